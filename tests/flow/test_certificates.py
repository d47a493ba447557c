"""Certificates: issued once, in two forms, each signed; anybody can check them with gpg alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli.certificate import verify
from server.domain.errors import Refused
from server.store.tables import DeliveryRow
from tests.conftest import GpgPerson, MakeGpgPerson, MakeSshKey
from tests.demo_process import PYTHON, ROOT
from tests.small_exchange import SmallExchange, small_exchange

WORDS = "<b>\u00e9</b>"


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def issued(here: SmallExchange, delivery: str) -> str:
    """The certificate of a disposal that did not happen, with words that would like to be markup."""
    facts = {
        "rule": "use_by", "rule_words": WORDS, "clause": "8", "retention_rule": "two-months", "records": 3,
        "payload": {"sha256": "0" * 64, "bytes": 1}, "key_packets": {"sha256": None, "bytes": 0}, "encrypted_to": [],
        "stored_from": "", "stored_until": "", "started_at": "", "finished_at": "", "by": "exchange", "method": "",
        "legal_hold": {"open": 0, "checked_at": "", "released": []}, "tool": "", "database": "", "backups": "",
        "limit": "", "verification": {"key_packets": "", "payload": "", "checked_at": ""},
    }  # fmt: skip
    with here.exchange.ground.transaction() as tx:
        row = tx.session.get(DeliveryRow, delivery)
        assert row is not None
        return here.exchange.certificates.issue(tx, kind="system", delivery=row, document=facts)


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_both_forms_carry_the_facts_and_gpg_alone_verifies_them(
    here: SmallExchange, gpg_person: MakeGpgPerson, tmp_path: Path
) -> None:
    """The JSON is stable text, the page names its SHA-256, and the ledger has the hashes of both."""
    delivery = here.arrive()
    name = issued(here, delivery)
    files = {paper.name: paper for paper in here.exchange.views.certificates(here.visitor("p-kent-1"))}
    stem = f"{name}_{delivery}"
    assert sorted(files) == [f"{stem}{end}" for end in (".html", ".html.asc", ".json", ".json.asc")]
    auditor: GpgPerson = gpg_person("auditor")
    auditor.trusts(here.exchange.ground.key.armored)
    for paper in files.values():
        content = paper.content()
        assert paper.size == len(content) and content.isascii()
        (tmp_path / paper.name).write_bytes(content)
    for end in (".json", ".html"):
        done = auditor.gpg("--verify", str(tmp_path / f"{stem}{end}.asc"), str(tmp_path / f"{stem}{end}"))
        assert done.returncode == 0, done.stderr
    text = (tmp_path / f"{stem}.json").read_text()
    told, page = json.loads(text), (tmp_path / f"{stem}.html").read_text()
    assert text == json.dumps(told, indent=1, sort_keys=True) + "\n"
    assert told["disposal"]["rule_words"] == WORDS and told["what"] == "safehand certificate of disposal 1"
    assert told["agreement"]["sha256"] == here.exchange.policy.document_sha256
    assert hashlib.sha256(text.encode()).hexdigest() in page
    assert "<b>" not in page and "&lt;b&gt;" in page
    entry = next(e for e in here.exchange.evidence.entries() if e.kind == "certificate.issued")
    assert int(told["ledger_head"]["entry"]) == entry.number - 1 and told["ledger_head"]["hash"] == entry.previous
    assert json.loads(entry.data)["json_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert json.loads(entry.data)["page_sha256"] == hashlib.sha256(page.encode()).hexdigest()


def test_the_two_members_see_it_and_nobody_else(here: SmallExchange) -> None:
    """Sender and recipient; a third member has an empty folder. A second one is a new version."""
    delivery = here.arrive()
    first, second = issued(here, delivery), issued(here, delivery)
    assert (first, second) == ("S-2026-000001", "S-2026-000002")
    with here.exchange.ground.store.reading() as session:
        seen = {m: here.exchange.certificates.of_member(session, m) for m in ("essex", "kent", "medway")}
    assert seen["essex"] == seen["kent"] and [view.version for view in seen["kent"]] == [1, 2]
    assert seen["medway"] == ()


# ---------------------------------------------------------------- verifying


class Folder:
    """A member's copy of one certificate, in a folder of its own, with the exchange's key."""

    def __init__(self, here: SmallExchange, name: str, folder: Path) -> None:
        self.folder, self.data = folder, here.exchange.ground.data
        folder.mkdir()
        for file, content in here.exchange.certificates.complete(name).items():
            (folder / file).write_bytes(content)
        (folder / "exchange.asc").write_text(here.exchange.ground.key.armored)
        self.json, self.html = sorted(p for end in ("json", "html") for p in folder.glob(f"*.{end}"))[::-1]

    def gpg_refuses(self, auditor: GpgPerson, file: Path) -> bool:
        return auditor.gpg("--verify", f"{file}.asc", str(file)).returncode != 0

    def refused(self, file: Path, *, key: Path | None = None, data: Path | None = None) -> str:
        """Why `safehand certificate verify` refuses the file."""
        with pytest.raises(Refused) as refused:
            verify(file, key=key, data=data or self.folder / "no-exchange")
        return refused.value.sentence


@pytest.fixture
def proof(here: SmallExchange, tmp_path: Path) -> Folder:
    return Folder(here, issued(here, here.arrive()), tmp_path / "proof")


def changed(path: Path, at: int = -30) -> None:
    """One byte of the file is another one."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def test_a_certificate_verifies_without_any_exchange(proof: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON and page, with exchange.asc beside them, by the name of the signature too; with a data folder its ledger."""
    for file in (proof.json, proof.html, proof.json.with_name(f"{proof.json.name}.asc")):
        verify(file, key=None, data=proof.folder / "no-exchange")
        assert "S-2026-000001 holds" in capsys.readouterr().out
        verify(file, key=None, data=proof.data)
        assert "of the ledger names it" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["json", "html"])
def test_both_verifiers_see_every_changed_byte(proof: Folder, gpg_person: MakeGpgPerson, form: str) -> None:
    """At the beginning, in the middle, at the end, one more, one fewer, and in the signature."""
    auditor = gpg_person("auditor")
    auditor.trusts((proof.folder / "exchange.asc").read_text())
    file: Path = getattr(proof, form)
    signature = file.with_name(f"{file.name}.asc")
    assert not proof.gpg_refuses(auditor, file)
    good, good_signature = file.read_bytes(), signature.read_bytes()
    spoilt = [bytes([good[0] ^ 1]) + good[1:], good[:-1], good + b"\n", good.replace(b"essex", b"esser", 1)]
    for content in spoilt:
        file.write_bytes(content)
        assert "changed" in proof.refused(file) and proof.gpg_refuses(auditor, file)
    file.write_bytes(good)
    for content in (good_signature[:100] + good_signature[120:], b"", b"no signature\n", good):
        signature.write_bytes(content)
        assert proof.refused(file) and proof.gpg_refuses(auditor, file)
    signature.unlink()
    assert "cannot be read" in proof.refused(file)


def test_another_key_and_another_exchange_are_refused(
    proof: Folder, gpg_person: MakeGpgPerson, tmp_path: Path, ssh_key: MakeSshKey
) -> None:
    """A forger's signature under the right key file; the right signature under another key; another ledger."""
    forger = gpg_person("forger")
    other = tmp_path / "other.asc"
    other.write_text(forger.armored)
    assert "not signed with this exchange's key" in proof.refused(proof.json, key=other)
    good = proof.json.with_name(f"{proof.json.name}.asc").read_bytes()
    done = forger.gpg("--armor", "--detach-sign", "--output", "-", str(proof.json))
    assert done.returncode == 0
    proof.json.with_name(f"{proof.json.name}.asc").write_bytes(done.stdout)
    assert "not signed with this exchange's key" in proof.refused(proof.json)
    assert "certificate of another exchange" in proof.refused(proof.json, key=other)
    proof.json.with_name(f"{proof.json.name}.asc").write_bytes(good)
    both_keys = tmp_path / "both.asc"
    both_keys.write_text((proof.folder / "exchange.asc").read_text() + forger.armored)
    assert "exactly one public key" in proof.refused(proof.json, key=both_keys)
    with small_exchange(gpg_person, ssh_key, new=True) as second:
        assert "not signed with this exchange's key" in proof.refused(proof.json, data=second.exchange.ground.data)


def test_what_the_ledger_does_not_name_is_refused(here: SmallExchange, proof: Folder) -> None:
    """Signed with the real key, and never issued: whoever had the key for a minute is found out."""
    key = here.exchange.ground.key
    for name, content in (
        ("S-2026-000009", proof.json.read_bytes().replace(b"S-2026-000001", b"S-2026-000009")),
        ("S-2026-000001", proof.json.read_bytes().replace(b'"records": 3', b'"records": 4')),
    ):
        file = proof.folder / f"{name}_forged.json"
        file.write_bytes(content)
        file.with_name(f"{file.name}.asc").write_bytes(key.sign_detached(content))
        verify(file, key=None, data=proof.folder / "no-exchange")
        assert "ledger" in proof.refused(file, data=proof.data)


def test_a_page_belongs_to_its_json(here: SmallExchange, proof: Folder) -> None:
    """The page of one beside the JSON of another says so; a file that is no certificate is none."""
    second = here.exchange.certificates.complete(issued(here, here.arrive()))
    name = next(name for name in second if name.endswith(".json"))
    proof.json.write_bytes(second[name])
    assert "is not the JSON form" in proof.refused(proof.html)
    for ending, content in ((".json", b"[]"), (".html", b"<p>hello</p>"), (".json", b"{")):
        file = proof.folder / f"x{ending}"
        file.write_bytes(content)
        file.with_name(f"{file.name}.asc").write_bytes(here.exchange.ground.key.sign_detached(content))
        assert "no " in proof.refused(file)


def test_the_command_answers_by_its_exit_code(here: SmallExchange, proof: Folder) -> None:
    """0 and a sentence, 1 and the reason; `list` and `show` name what there is."""
    environment = {**os.environ, "SAFEHAND_DATA": str(proof.data)}

    def safehand(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PYTHON, "certificate", *arguments], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
            env=environment,
        )  # fmt: skip

    assert "S-2026-000001" in safehand("list").stdout
    shown = safehand("show", "S-2026-000001", "--out", str(proof.folder / "out"))
    assert shown.returncode == 0 and len(list((proof.folder / "out").iterdir())) == 5
    assert safehand("show", "S-2026-000001").stdout.encode() == proof.json.read_bytes()
    good = safehand("verify", str(proof.json))
    assert (good.returncode, good.stderr) == (0, "") and "holds" in good.stdout
    changed(proof.json)
    bad = safehand("verify", str(proof.json))
    assert (bad.returncode, bad.stdout) == (1, "") and "changed" in bad.stderr
