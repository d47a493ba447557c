"""Governance leads sign one text by its hash, for their own member; adding an authority makes the signature stale."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlmodel import Session

from server.domain.errors import Forbidden, Refused
from server.policy.load import load_texts
from server.store.tables import SignatureRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, put_in_force, small_exchange


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def state(here: SmallExchange, member: str = "kent") -> str:
    return {one.member: one.state for one in here.exchange.signing.states()}[member]


def with_kent(here: SmallExchange, gpg_person: MakeGpgPerson, block: str) -> None:
    """The set in force, with Kent's signature block as given."""
    files = policy_files(here.keys, gpg_person)
    agreement = files["agreement.yaml"]
    start = agreement.index("{member: kent,")
    files["agreement.yaml"] = agreement[:start] + block + agreement[agreement.index("}", start) + 1 :]
    put_in_force(here.exchange, files)


BLOCKS = {
    "block_missing": "{member: kent, state: block_missing}",
    "blank": "{member: kent, state: blank}",
    "named": "{member: kent, state: named, printed_name: A. Name}",
    "withdrawn": "{member: kent, state: withdrawn, on: 2026-11-30}",
    "stale": f"{{member: kent, state: signed, on: 2026-08-22, method: paper, document_sha256: {'a' * 64}}}",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_r108_signing_states_are_told_with_day_and_method(
    here: SmallExchange, gpg_person: MakeGpgPerson, block: str
) -> None:
    """Signed on a day, block missing, blank, named, withdrawn, stale; a lead's signature mends all but withdrawn."""
    document = here.exchange.signing.document("g-kent")
    words = dict(document.states)["Kent"]
    assert words.startswith("signed on") and words.endswith("(paper)") and document.buttons == ()
    with_kent(here, gpg_person, BLOCKS[block])
    assert state(here) == block
    document = here.exchange.signing.document("g-kent")
    if block == "withdrawn":
        assert document.buttons == ()
        with pytest.raises(Refused, match="withdrew"):
            here.exchange.signing.sign("g-kent", document.sha256, via="desk")
        return
    assert [(button.verb, button.subject) for button in document.buttons] == [("sign-agreement", document.sha256)]
    assert here.exchange.signing.sign("g-kent", document.sha256, via="desk").changed
    assert state(here) == "signed"
    assert "by g-kent (desk)" in dict(here.exchange.signing.document("g-kent").states)["Kent"]


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_r108_signing_opens_the_pair(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """A signed and B only named: nothing goes; B's lead signs, once: it goes, and the ledger has one entry of it."""
    with_kent(here, gpg_person, BLOCKS["named"])
    with pytest.raises(Refused, match="Kent has not signed"):
        here.send()
    sha256, signing = here.exchange.signing.document("g-kent").sha256, here.exchange.signing
    assert signing.sign("g-kent", sha256, via="desk").changed
    assert not signing.sign("g-kent-2", sha256, via="chat").changed
    here.exchange.refresh()
    here.send()
    assert here.kinds().count("agreement.signed") == 1


def test_a_signature_that_the_ledger_does_not_tell_of_is_none(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Written by SQL it opens nothing and is not shown; the lead can still sign."""
    with_kent(here, gpg_person, BLOCKS["named"])
    sha256 = here.exchange.policy.document_sha256
    row = SignatureRow(
        member="kent", document_sha256=sha256, person="g-kent", revision="0" * 64, via="desk", at=here.exchange.now()
    )
    with Session(here.exchange.ground.store.engine) as session:
        session.add(row)
        session.commit()
    here.exchange.refresh()
    assert state(here) == "named"
    with pytest.raises(Refused, match="Kent has not signed"):
        here.send()
    assert here.exchange.signing.sign("g-kent", sha256, via="desk").changed
    assert state(here) == "signed"


def test_only_a_lead_of_the_member_signs_and_only_the_text_in_force(here: SmallExchange) -> None:
    """Not a data manager, not an administrator; not another hash."""
    signing = here.exchange.signing
    sha256 = signing.document("p-kent-1").sha256
    for person in ("p-kent-1", "a-essex-1"):
        assert signing.document(person).buttons == ()
        with pytest.raises(Forbidden):
            signing.sign(person, sha256, via="desk")
    with pytest.raises(Refused) as changed:
        signing.sign("g-kent", "0" * 64, via="desk")
    assert changed.value.code == "DOCUMENT_CHANGED"


def test_r109_signing_covers_the_list_of_authorities(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """A borough more is another text: the paper signatures are stale, those of the leads who approved it stand."""
    files = policy_files(here.keys, gpg_person)
    before = load_texts(files)
    members = files["members.yaml"]
    at = members.index("represents:", members.index("- id: london-east\n"))
    line_end = members.index("\n", at)
    assert members[at:line_end] == "represents:"
    borough = '\n  - {la: "204", name: Hackney, capacity: processor, instrument: LE-2026-09}'
    files["members.yaml"] = members[:line_end] + borough + members[line_end:]
    assert load_texts(files).document_sha256 != before.document_sha256
    planned = here.exchange.revisions.plan(files, by="a-essex-1")
    assert "London East comes to represent Hackney." in planned.lines
    assert any("signature of East Sussex, Essex" in line for line in planned.lines)
    assert "agreement_text" in planned.classes
    put_in_force(here.exchange, files)
    assert state(here, "london-east") == "signed"
    paper = {row.member: row.document_sha256 for row in here.exchange.policy.agreement.signatures}
    assert paper["london-east"] != here.exchange.policy.document_sha256
