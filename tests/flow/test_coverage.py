"""What the agreement asks of every exchange as a whole: who sent to whom, under which words, and no further."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from server.domain.agreement import PolicySet
from server.domain.errors import SafehandError
from server.domain.schedule import Period
from server.records import RecordSummary
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, records, small_exchange

NOVEMBER = Period(2026, 11)


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def document(here: SmallExchange, person: str, kind: str) -> dict[str, object]:
    """The signed text of the person's first receipt, or of the first manifest in the inbox from Essex."""
    views, visitor = here.exchange.views, here.visitor(person)
    if kind == "receipt":
        papers = [paper for paper in views.receipts(visitor) if paper.name.endswith(".receipt.json")]
    else:
        files = views.inbox_files(visitor, "post16-destinations", "2026-11", "essex")
        papers = [file.paper for file in files if file.paper is not None and file.name.endswith(".manifest.json")]
    signed = json.loads(papers[0].content())["signed"]
    found: dict[str, object] = json.loads(signed)
    return found


def test_r024_every_directed_pair_is_accounted_for(here: SmallExchange) -> None:
    """R-024: nine members make 72 directed pairs, each sent, nil, missing or not ready; nobody is left out."""
    delivery = here.arrive()
    assert here.put("p-essex-1", "post16-destinations/2026-11/medway/NIL", b"")
    pairs = here.exchange.coverage.pairs("post16-destinations", NOVEMBER)
    assert len(pairs) == len({(pair.sender, pair.recipient) for pair in pairs}) == 72
    states = {(pair.sender, pair.recipient): pair.state for pair in pairs}
    assert states["essex", "kent"] == "sent"
    assert states["essex", "medway"] == "nil"
    assert states["kent", "essex"] == "missing"
    assert states["essex", "brighton-hove"] == "not ready"
    assert Counter(states.values())["not ready"] == 16  # to and from Brighton and Hove
    here.collect(delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk")
    states = {(p.sender, p.recipient): p.state for p in here.exchange.coverage.pairs("post16-destinations", NOVEMBER)}
    assert states["essex", "kent"] == "acknowledged"


def test_r009_every_receipt_and_manifest_names_the_version_and_the_text(here: SmallExchange) -> None:
    """R-009: what was shared under which version and which text stands on each receipt and manifest, signed."""
    here.arrive()
    policy = here.exchange.policy
    for person, kind in (("p-essex-1", "receipt"), ("p-kent-1", "manifest")):
        said = document(here, person, kind)
        assert said["revision"] == here.exchange.revision
        assert said["policy"] == policy.policy.version
        assert said["agreement"] == {
            "id": "ccis-sharing", "version": policy.agreement.version, "sha256": policy.document_sha256,
        }  # fmt: skip
        assert said["purposes"] == sorted(policy.exchange_by_id["post16-destinations"].purposes)


def test_r033_a_receipt_says_that_nothing_goes_further(here: SmallExchange) -> None:
    """R-033: no disclosure to a third party: the sender's receipt and the recipient's manifest both say so."""
    here.arrive()
    assert document(here, "p-essex-1", "receipt")["onward_disclosure"] == "prohibited"
    assert document(here, "p-kent-1", "manifest")["onward_disclosure"] == "prohibited"


def test_a_representative_is_told_on_whose_behalf_it_receives(here: SmallExchange) -> None:
    """Clause 1: Medway's trust receives for Medway Council; Kent receives for itself."""
    path = "post16-destinations/2026-11/medway/for-medway.csv"
    assert here.put("p-essex-1", path, records(3))
    here.release()
    assert document(here, "p-medway-1", "manifest")["on_behalf_of"] == ["887"]
    here.arrive()
    assert document(here, "p-kent-1", "manifest")["on_behalf_of"] == []


def test_r025_nothing_scores_a_person(here: SmallExchange) -> None:
    """R-025: decisions stay with people: of a file counts, hashes and rules are kept, never a row or a value."""
    here.arrive()
    kept = set(RecordSummary.__dataclass_fields__)
    assert not {name for name in kept if any(word in name for word in ("score", "person", "value", "row_"))}
    text = "".join(entry.data for entry in here.exchange.evidence.entries())
    assert "Person" not in text
    assert "2009-01-01" not in text


def test_r068_a_receiver_cannot_send_a_delivery_on(here: SmallExchange) -> None:
    """R-068: nothing re-addresses a delivery: the inbox takes no file, and what was sealed is refused in an outbox."""
    delivery = here.arrive()
    reading = here.exchange.collection.read(here.visitor("p-kent-2"), delivery)
    envelope = reading.read(0, reading.size)
    reading.close(by_client=True)
    with pytest.raises(SafehandError, match="already encrypted"):
        here.put("p-kent-1", "post16-destinations/2026-11/medway/onward.csv", envelope)
    with pytest.raises(SafehandError):
        here.put("p-kent-1", "../inbox/post16-destinations/2026-11/medway/onward.csv", b"x")
    here.release()
    assert [view.recipient for view in here.exchange.views.received("p-kent-1")] == ["kent"]
    assert here.exchange.views.received("p-medway-1") == ()


def test_only_members_can_receive() -> None:
    """R-033: a recipient is a member's id in the policy; there is no field for anybody else's address."""
    assert {"recipients", "forward_to", "copy_to"}.isdisjoint(PolicySet.model_fields)
