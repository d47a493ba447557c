"""The second half of `demo --check`: what was received is used and attested, and the exchange's own copy goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from server.cli.story_stage import Done, Stage, demand, entries_after, expect, said, until
from server.domain.ledger import moment_of

_LATER = timedelta(days=8)
"""The grace of seven days after an acknowledgement, and one."""


def processed(stage: Stage) -> str:
    """Kent fills in the form that lies in its attest/."""
    form = _form(stage, "processed")
    wrong = {"kept": "200", "not ours": "10", "rejected": "0"}
    expect(_put(stage, "processed", form, wrong).code != 0, "counts that do not add up are taken")
    return said(demand(_put(stage, "processed", form, {**wrong, "rejected": "2"}), "the right counts are taken"))


def destroyed(stage: Stage) -> str:
    """Where it lay, how it was destroyed, when the backups expire; nobody says it for another member."""
    form = _form(stage, "destroyed")
    answers = {"import folder": "deleted", "backups": "none", "destroyed": "yes"}
    expect(_put(stage, "destroyed", form, answers, person="p-essex-1").code != 0, "the sender attests for Kent")
    return said(demand(_put(stage, "destroyed", form, answers), "the destruction is attested"))


def attested(stage: Stage) -> str:
    """The recipient's certificate, as gpg alone sees it."""
    return _verified(stage, "R")


def disposed(stage: Stage) -> str:
    """The exchange's own copy goes by rule, with a certificate of its own."""
    now = moment_of(entries_after(stage, stage.head)[-1].at)
    demand(stage.safehand("clock", "set", (now + _LATER).isoformat()), "the clock is set")
    until(lambda: bool(_certificates(stage, "S")), "there is no certificate of the exchange's own copy")
    expect(stage.delivery not in stage.inbox("p-kent-1", "post16-destinations"), "Kent still sees it")
    return _verified(stage, "S")


def heads(stage: Stage) -> str:
    """The heads that Essex was handed out still are those of the ledger."""
    demand(stage.sftp("p-essex-1", "get receipts/heads.txt"), "heads.txt is fetched")
    done = stage.safehand("ledger", "verify", "--head", str(stage.work / "heads.txt"))
    return demand(done, "the ledger fits the heads that were handed out").out.decode().strip().splitlines()[-1]


STEPS: Sequence[tuple[str, Callable[[Stage], str | None]]] = (
    ("Kent says what was in it; numbers that do not add up are refused", processed),
    ("Kent attests what it destroyed; Essex cannot do that for it", destroyed),
    ("gpg alone verifies Kent's certificate, and sees a changed byte", attested),
    ("eight days later the exchange's own copy goes, with its certificate", disposed),
    ("the ledger fits every head that was handed out", heads),
)


def _form(stage: Stage, word: str) -> str:
    name = f"{stage.delivery}.{word}.txt"
    demand(stage.sftp("p-kent-1", f"get attest/{name}"), f"the form {name} lies in attest/")
    return (stage.work / name).read_text(encoding="utf-8-sig")


def _put(stage: Stage, word: str, form: str, answers: Mapping[str, str], *, person: str = "p-kent-1") -> Done:
    for field, answer in answers.items():
        form = re.sub(rf"(?m)^{field}:.*$", f"{field}: {answer}", form)
    (stage.work / f"{stage.delivery}.{word}.txt").write_text(form)
    return stage.sftp(person, f"put {stage.delivery}.{word}.txt attest/")


def _certificates(stage: Stage, letter: str) -> list[str]:
    done = stage.sftp("p-essex-1", "ls -1 certificates")
    listed = done.out.decode() if done.code == 0 else ""
    return re.findall(rf"({letter}-\d{{4}}-\d{{6,}}_{stage.delivery})\.json\s", listed)


def _verified(stage: Stage, letter: str) -> str:
    """Fetched by Essex, verified by plain gpg and by the command; with one byte changed, by neither."""
    found = _certificates(stage, letter)
    expect(bool(found), "there is no certificate")
    stem = found[-1]
    fetch = [f"get certificates/{stem}.json", f"get certificates/{stem}.json.asc", "get keys/exchange.asc"]
    demand(stage.sftp("p-essex-1", *fetch), "the certificate is fetched")
    demand(stage.gpg("p-essex-1", "--import", "exchange.asc"), "gpg knows the exchange's key")
    verify = ("--verify", f"{stem}.json.asc", f"{stem}.json")
    demand(stage.gpg("p-essex-1", *verify), "gpg verifies it")
    file = stage.work / f"{stem}.json"
    answer = demand(stage.safehand("certificate", "verify", str(file)), "the command verifies it")
    file.write_bytes(file.read_bytes().replace(b'"version": 1', b'"version": 2'))
    expect(stage.gpg("p-essex-1", *verify).code != 0, "gpg does not see a changed byte")
    expect(stage.safehand("certificate", "verify", str(file)).code != 0, "the command does not see a changed byte")
    return answer.out.decode().strip()
