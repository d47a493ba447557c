"""Certificates: issued once, in two forms, each signed; anybody can check them with gpg alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store.tables import DeliveryRow
from tests.conftest import GpgPerson, MakeGpgPerson, MakeSshKey
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
