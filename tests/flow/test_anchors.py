"""Every day the ledger's head is handed out; a ledger that was rewritten disagrees with what was handed out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from server.cli.root import app
from server.domain import ledger
from server.domain.errors import Refused
from server.domain.heads import heads_in
from server.exchange import Exchange
from server.exchange.anchors import LEDGER_BREAK
from server.seal.verification import require_signature
from server.store.duty_tables import AnchorRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def a_day_later(here: SmallExchange) -> None:
    here.exchange.clock.set(here.exchange.now() + timedelta(days=1))
    here.exchange.anchors.anchor_due()


def paper(here: SmallExchange, name: str) -> bytes:
    """A paper in /receipts/, as its client gets it."""
    papers = {one.name: one for one in here.exchange.views.receipts(here.visitor("p-essex-1"))}
    content = papers[name].content()
    assert len(content) == papers[name].size
    return content


def rewrite(exchange: Exchange, number: int, *, keep: int | None = None) -> None:
    """Somebody with the database changes an entry and makes the chain right again; `keep`: and cuts it after that."""
    entries = [entry for entry in exchange.evidence.entries() if keep is None or entry.number <= keep]
    store, previous, at = exchange.ground.store, ledger.GENESIS, ""
    with store.engine.begin() as connection:
        for trigger in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'ledger'"
        ).all():
            connection.exec_driver_sql(f"DROP TRIGGER {trigger[0]}")
        connection.exec_driver_sql("DELETE FROM ledger")
        for entry in entries:
            actor = "nobody" if entry.number == number else entry.actor
            fields = (entry.number, entry.at, entry.kind, actor, entry.subjects, entry.data, entry.revision, previous)
            previous, at = ledger.digest(*fields), entry.at
            connection.exec_driver_sql("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*fields, previous))
        connection.exec_driver_sql(
            "UPDATE ledger_head SET number = ?, hash = ?, at = ? WHERE id = 1", (len(entries), previous, at)
        )
    exchange.evidence.verify()


def verify(data: Path, *more: str) -> tuple[int, str]:
    """The command, on a copy of the data folder; its exit code and what it says."""
    from server.cli.exits import translated
    from server.domain.errors import SafehandError

    done = CliRunner().invoke(app, ["ledger", "verify", "--data", str(data), *more])
    if isinstance(done.exception, SafehandError):
        return translated(done.exception), done.output + done.exception.sentence
    assert not done.exception or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


# ---------------------------------------------------------------- the days


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_a_day_has_one_anchor_whoever_looks(here: SmallExchange) -> None:
    """Two processes at once, and again after a restart: one row, one entry, signed by the exchange's key."""
    data, url = here.exchange.ground.data, here.exchange.ground.store.url
    other = Exchange.open(data, database_url=url, templates=TEMPLATES)
    start = threading.Barrier(2)

    def look(exchange: Exchange) -> None:
        start.wait()
        exchange.anchors.anchor_due()

    threads = [threading.Thread(target=look, args=(one,)) for one in (here.exchange, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.ground.store.close()
    here.exchange.tick()
    assert here.kinds().count("ledger.anchored") == 1
    (anchor,) = here.exchange.anchors.anchors()
    assert anchor.day == "2026-12-01" and not anchor.after_break
    assert require_signature(anchor.text, anchor.signature.encode(), here.exchange.ground.key.armored)
    assert all(held.holds for held in here.exchange.anchors.hold_anchors())


def test_the_heads_of_all_days_stand_in_the_mailbox(here: SmallExchange) -> None:
    """heads.txt: for people line by line, for machines as signed JSON; both say the same."""
    here.exchange.tick()
    a_day_later(here)
    told = json.loads(paper(here, "heads.txt"))
    require_signature(told["signed"].encode(), told["signature"].encode(), here.exchange.ground.key.armored)
    signed = json.loads(told["signed"])
    assert signed["what"] == "safehand ledger head 1" and signed["break"] is None
    assert [(a["day"], a["after_break"]) for a in signed["anchors"]] == [("2026-12-01", False), ("2026-12-02", False)]
    assert {head.hash for head in heads_in("\n".join(told["read"]))} == {
        signed["hash"], *(a["hash"] for a in signed["anchors"])
    }  # fmt: skip


# ---------------------------------------------------------------- what was handed out


def test_everything_handed_out_holds_the_ledger_to_it(here: SmallExchange) -> None:
    """heads.txt, a receipt, a bare line, a saved mail, a page: each head in them still is what it was."""
    delivery = here.arrive()
    here.exchange.tick()
    anchors, (number, digest, _) = here.exchange.anchors, here.exchange.ground.store.head()
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Today", "exchange@example.org", "team@example.org"
    mail.set_content(f"Kent – today.\n\nLedger: entry {number:012d}, head {digest}\n", cte="base64")
    for content, signed in (
        (paper(here, "heads.txt"), True),
        (paper(here, f"{delivery}.receipt.json"), True),
        (f"{number} {digest}".encode(), False),
        (bytes(mail), False),
        (f"<p>entry <b>{number:,}</b>, head <code>{digest}</code></p>".encode(), False),
    ):
        handed = anchors.hold(content)
        assert handed.signed is signed and handed.heads and all(held.holds for held in handed.heads), content[:60]
        assert "it still has" in handed.heads[0].words
    for content, why in ((b"Dear all", "names no head"), (b"x" * (16 * 1024 * 1024 + 1), "too long")):
        with pytest.raises(Refused, match=why):
            anchors.hold(content)


def test_a_paper_that_was_changed_is_no_evidence(here: SmallExchange) -> None:
    """A signed paper is read only when its signature is this exchange's, over these bytes."""
    here.exchange.tick()
    told = json.loads(paper(here, "heads.txt"))
    forged = told | {"signed": told["signed"].replace(json.loads(told["signed"])["hash"], "0" * 64)}
    with pytest.raises(Refused, match="Its bytes are not those that were signed"):
        here.exchange.anchors.hold(json.dumps(forged).encode())


@pytest.mark.parametrize("cut", [False, True], ids=["rewritten", "cut and regrown"])
def test_a_rewritten_ledger_with_a_right_chain_is_found_and_stays_found(here: SmallExchange, cut: bool) -> None:
    """The next day notes it for ever; old anchors stay, new ones are marked; heads.txt and the status say so."""
    here.arrive()
    here.exchange.tick()
    kept = paper(here, "heads.txt")
    before = here.exchange.anchors.anchors()[0]
    rewrite(here.exchange, 3, keep=before.head.number - 2 if cut else None)
    if cut:
        here.exchange.clock.set(here.exchange.now() + timedelta(minutes=1))
        assert "cut" in here.exchange.anchors.hold(kept).heads[0].words
    handed = here.exchange.anchors.hold(kept)
    assert handed.signed and not any(held.holds for held in handed.heads)
    for _ in range(3):
        a_day_later(here)
    anchors = here.exchange.anchors.anchors()
    assert anchors[0].head == before.head
    assert [anchor.after_break for anchor in anchors] == [False, True, True, True]
    (finding,) = [one for one in here.exchange.findings.open() if one.code == LEDGER_BREAK]
    assert finding.permanent and f"Entry {before.head.number:,} had that hash" in finding.words
    with here.exchange.ground.transaction() as tx:
        assert not here.exchange.findings.clear(tx, LEDGER_BREAK, finding.subject)
    assert finding in here.exchange.status.sight(None).findings
    told = json.loads(paper(here, "heads.txt"))
    assert json.loads(told["signed"])["break"]["words"] == finding.words
    assert any(line.startswith("THE LEDGER WAS REWRITTEN") for line in told["read"])
    assert sum("(after the break)" in line for line in told["read"]) == 3


def test_a_second_break_is_a_finding_of_its_own(here: SmallExchange) -> None:
    """What was anchored after the first one is held to like everything else."""
    here.exchange.tick()
    rewrite(here.exchange, 2)
    a_day_later(here)
    a_day_later(here)
    rewrite(here.exchange, here.exchange.anchors.anchors()[-1].head.number)
    a_day_later(here)
    a_day_later(here)
    assert len([one for one in here.exchange.findings.open() if one.code == LEDGER_BREAK]) == 2


def test_a_changed_anchor_is_not_believed(here: SmallExchange) -> None:
    """Who rewrites the anchors too has not the key that signed them."""
    here.exchange.tick()
    rewrite(here.exchange, 2)
    with here.exchange.ground.store.transaction(here.exchange.now(), "0" * 64) as tx:
        row = tx.session.exec(select(AnchorRow)).one()
        row.hash = next(e.hash for e in here.exchange.evidence.entries() if e.number == row.number)
        tx.session.add(row)
    (held,) = here.exchange.anchors.hold_anchors()
    assert not held.holds and "not the one that was signed" in held.words


def test_an_anchor_that_was_taken_away_is_missed(here: SmallExchange) -> None:
    """The entry of its making tells of it."""
    here.exchange.tick()
    assert all(held.holds for held in here.exchange.anchors.hold_anchors())
    with here.exchange.ground.store.transaction(here.exchange.now(), "0" * 64) as tx:
        tx.session.delete(tx.session.exec(select(AnchorRow)).one())
    (held,) = here.exchange.anchors.hold_anchors()
    assert not held.holds and "that anchor is gone" in held.words


# ---------------------------------------------------------------- the command


def test_verify_head_at_the_command_line(here: SmallExchange, tmp_path: Path) -> None:
    """It holds: exit 0. Rewritten with a right chain: exit 1, by anchors and file alike, and a finding for ever."""
    delivery = here.arrive()
    here.exchange.tick()
    kept, line = tmp_path / "heads.txt", tmp_path / "line.txt"
    kept.write_bytes(paper(here, "heads.txt"))
    number, digest, _ = here.exchange.ground.store.head()
    line.write_text(f"entry {number:012d}, head {digest}\n")
    (tmp_path / "receipt.json").write_bytes(paper(here, f"{delivery}.receipt.json"))
    data = here.exchange.ground.data
    code, said = verify(data, "--head", str(kept))
    assert code == 0 and "Signed with this exchange's key." in said and "It agrees with 1 daily anchor." in said
    code, said = verify(data, "--head", str(line))
    assert code == 0 and "Not signed" in said and "it still has" in said
    rewrite(here.exchange, 3)
    for file in (line, kept, tmp_path / "receipt.json"):
        code, said = verify(data, "--head", str(file))
        assert code == 1 and "the ledger was rewritten" in said, said
    assert all(one.permanent for one in here.exchange.findings.open() if one.code == LEDGER_BREAK)
    assert verify(data)[0] == 1
