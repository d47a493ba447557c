"""A file outside the schedule (R-026): asked for, approved or refused, to one member, for a while."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlmodel import select

from server.domain.delivery import VISIBLE, Status
from server.domain.errors import Forbidden, Missing, Refused, SafehandError
from server.exchange.address import resolve
from server.store.tables import AdHocRow, DeliveryRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, put_in_force, small_exchange

PLACE = "safeguarding/2026-11"
WHY = "Strategy meeting on Monday needs it"


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def asked_for(here: SmallExchange, *, to: str = "kent", name: str = "case.pdf", content: bytes = b"a case") -> str:
    """p-essex-1 puts a file outside the schedule; the consignment's id."""
    assert here.put("p-essex-1", f"{PLACE}/{to}/{name}", content)
    return here.exchange.views.sent_deliveries("p-essex-1")[0].consignment


def pass_(here: SmallExchange, time: timedelta) -> None:
    here.exchange.clock.set(here.exchange.now() + time)
    here.exchange.tick()


def notice(here: SmallExchange, person: str, thread: str):  # type: ignore[no-untyped-def]
    return next((v.notice for v in here.exchange.views.notices(person) if v.notice.thread == thread), None)


def of_kent(here: SmallExchange) -> list[str]:
    return [view.id for view in here.exchange.views.received("p-kent-1")]


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_r026_without_a_governance_leads_approval_it_never_becomes_available(here: SmallExchange) -> None:
    """It is held, not even its sender lets it go; when the time to approve it is over it ends, and nothing is left."""
    consignment = asked_for(here)
    pass_(here, timedelta(hours=47))
    with pytest.raises(Refused, match="only if a governance lead of Essex approves"):
        here.exchange.delivery.all_there("p-essex-1", consignment, via="test")
    assert of_kent(here) == []
    pass_(here, timedelta(hours=2))
    told = notice(here, "p-essex-1", f"consignment:{consignment}")
    assert "nobody approved it" in told.text.casefold() and "Kent never saw it" in told.text
    assert told.buttons == ()
    assert "did not go" in notice(here, "g-essex", f"ad-hoc:{consignment}").text
    assert not here.exchange.ad_hoc.approve("g-essex", consignment, WHY, via="test").changed
    pass_(here, timedelta(days=3))
    assert of_kent(here) == [] and here.told("p-kent-1") == []
    assert list(here.exchange.ground.spool.folder.iterdir()) == []
    assert here.kinds().count("consignment.not-approved") == 1


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_r026_with_it_exactly_one_recipient_gets_it(here: SmallExchange) -> None:
    """Kent, after the release time, for fourteen days; nobody else; the reason is kept, the ledger has its hash."""
    consignment = asked_for(here)
    assert notice(here, "g-essex", f"ad-hoc:{consignment}").buttons != ()
    outcome = here.exchange.ad_hoc.approve("g-essex", consignment, WHY, via="test")
    assert outcome.changed and "goes to Kent" in outcome.sentence
    here.exchange.tick()
    assert of_kent(here) == [], "its sender can still undo it"
    pass_(here, timedelta(minutes=3))
    view = here.exchange.views.received("p-kent-1")[0]
    assert (view.consignment, view.status, view.use_by) == (consignment, Status.AVAILABLE, "2026-12-15")
    assert here.exchange.views.received("p-medway-1") == ()
    with here.exchange.ground.store.reading() as session:
        kept = session.get(AdHocRow, consignment)
        assert kept is not None and (kept.approved_by, kept.reason) == ("g-essex", WHY)
        assert [row.recipient for row in session.exec(select(DeliveryRow)).all()] == ["kent"]
    assert here.count("consignment.approved", consignment) == 1
    assert WHY not in "".join(entry.data for entry in here.exchange.evidence.entries())
    again = here.exchange.ad_hoc.approve("g-essex-2", consignment, WHY, via="test")
    assert not again.changed and "already approved by g-essex" in again.sentence


def test_r026_everyone_and_a_second_recipient_are_refused(here: SmallExchange) -> None:
    """By any spelling of the path, and the same file to another member while the first one stands."""
    for path in (f"{PLACE}/everyone/case.pdf", f"{PLACE}/everyone.pdf", f"{PLACE}/NIL", f"{PLACE}/kent/NIL"):
        with pytest.raises(Refused):
            here.put("p-essex-1", path, b"" if path.endswith("NIL") else b"a case")
    assert "everyone" not in here.exchange.views.outbox_folders(here.visitor("p-essex-1"), "safeguarding")
    first = asked_for(here)
    with pytest.raises(Refused, match="one recipient"):
        asked_for(here, to="medway")
    here.exchange.delivery.discard("p-essex-1", first, via="test")
    second = asked_for(here, to="medway")
    here.exchange.ad_hoc.approve("g-essex", second, WHY, via="test")
    pass_(here, timedelta(minutes=3))
    assert of_kent(here) == [] and len(here.exchange.views.received("p-medway-1")) == 1


def test_r026_it_goes_to_one_member_even_where_the_exchange_says_that_it_broadcasts(here: SmallExchange) -> None:
    """A contradiction in the policy is decided for the narrower side."""
    exchange = here.exchange.policy.exchange_by_id["safeguarding"].model_copy(update={"broadcast": True})
    others = tuple(one for one in here.exchange.policy.exchanges if one.id != "safeguarding")
    policy = here.exchange.policy.model_copy(update={"exchanges": (*others, exchange)})
    with pytest.raises(Refused, match="one member at a time"):
        resolve(policy, "essex", ("safeguarding", "2026-11", "everyone"), "case.pdf")


def test_a_worry_of_this_month_has_a_folder(here: SmallExchange) -> None:
    """On 1 December the folder of December is there; the schedule's own exchanges have none before January."""
    views, visitor = here.exchange.views, here.visitor("p-essex-1")
    assert views.outbox_periods(visitor, "safeguarding")[0] == "2026-12"
    assert views.outbox_periods(visitor, "post16-destinations")[0] == "2026-11"
    assert here.put("p-essex-1", "safeguarding/2026-12/kent/case.pdf", b"a case")


def test_a_refusal_ends_it_and_says_why(here: SmallExchange) -> None:
    """Its sender reads the reason; the partner never hears of it; a second answer changes nothing."""
    consignment = asked_for(here)
    assert here.exchange.ad_hoc.refuse("g-essex-2", consignment, "Ask their social worker instead", via="test").changed
    told = notice(here, "p-essex-1", f"consignment:{consignment}").text
    assert "ot approved by g-essex-2" in told and "social worker" in told
    later = here.exchange.ad_hoc.approve("g-essex", consignment, WHY, via="test")
    assert not later.changed and "social worker" in later.sentence
    assert not here.exchange.ad_hoc.refuse("g-essex", consignment, WHY, via="test").changed
    pass_(here, timedelta(days=1))
    assert of_kent(here) == [] and here.told("p-kent-1") == []


@pytest.mark.parametrize(
    ("who", "error"),
    [("p-essex-1", Forbidden), ("p-essex-2", Forbidden), ("a-essex-1", Forbidden), ("u-auditor-1", Forbidden),
     ("g-kent", Missing), ("p-kent-1", Missing), ("nobody", Missing)],
)  # fmt: skip
def test_only_a_governance_lead_of_the_sender_answers(
    here: SmallExchange, who: str, error: type[SafehandError]
) -> None:
    """Not the sender, not another role, not another member's lead; nothing moves."""
    consignment = asked_for(here)
    for answer in (here.exchange.ad_hoc.approve, here.exchange.ad_hoc.refuse):
        with pytest.raises(error):
            answer(who, consignment, WHY, via="test")
    pass_(here, timedelta(minutes=5))
    assert of_kent(here) == []


@pytest.mark.parametrize("reason", ["", "   ", "for ULN 9000000016", "x" * 301])
def test_an_approval_needs_a_reason_without_personal_data(here: SmallExchange, reason: str) -> None:
    """As every free text here."""
    consignment = asked_for(here)
    with pytest.raises(Refused):
        here.exchange.ad_hoc.approve("g-essex", consignment, reason, via="test")
    pass_(here, timedelta(minutes=5))
    assert of_kent(here) == []


def test_nobody_approves_a_file_of_their_own(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """A sender who is a governance lead too is not asked, and is refused; where there is no other, so is the file."""
    files = policy_files(here.keys, gpg_person)
    people = files["people.yaml"]
    at = people.index("roles:", people.index("- id: p-essex-1\n"))
    files["people.yaml"] = people[:at] + people[at:].replace(
        "[designated_person, data_manager]", "[designated_person, data_manager, governance_lead]", 1
    )
    put_in_force(here.exchange, files)
    consignment = asked_for(here)
    assert notice(here, "p-essex-1", f"ad-hoc:{consignment}") is None
    with pytest.raises(Forbidden, match="of their own"):
        here.exchange.ad_hoc.approve("p-essex-1", consignment, WHY, via="test")
    alone = files["people.yaml"]
    for lead in ("g-essex", "g-essex-2"):
        at = alone.index("roles:", alone.index(f"- id: {lead}\n"))
        alone = alone[:at] + alone[at:].replace("[governance_lead]", "[auditor]", 1)
    waivers = files["waivers.yaml"].replace("approved_by: g-essex", "approved_by: g-kent")
    put_in_force(here.exchange, files | {"people.yaml": alone, "waivers.yaml": waivers})
    with pytest.raises(Refused, match="names none"):
        asked_for(here, name="another.pdf", content=b"another case")


def test_an_exchange_that_becomes_ad_hoc_asks_for_what_has_not_gone(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """Sent under the old rule, released under the new: it waits for approval, too."""
    files = policy_files(here.keys, gpg_person)
    place = "exchanges/safeguarding.yaml"
    changed = {place: files[place].replace("obligation: ad_hoc", "obligation: on_request")}
    put_in_force(here.exchange, files | changed)
    consignment = asked_for(here)
    put_in_force(here.exchange, files)
    pass_(here, timedelta(minutes=3))
    assert of_kent(here) == []
    here.exchange.ad_hoc.approve("g-essex", consignment, WHY, via="test")
    pass_(here, timedelta(minutes=3))
    assert len(of_kent(here)) == 1


def test_sending_again_before_the_answer_leaves_one_question(here: SmallExchange) -> None:
    """The earlier one is replaced; its question says that there is nothing to decide."""
    first = asked_for(here)
    second = asked_for(here, content=b"the case, mended")
    assert notice(here, "g-essex", f"ad-hoc:{first}").buttons == ()
    assert not here.exchange.ad_hoc.approve("g-essex", first, WHY, via="test").changed
    here.exchange.ad_hoc.approve("g-essex", second, WHY, via="test")
    pass_(here, timedelta(minutes=3))
    assert [view.consignment for view in here.exchange.views.received("p-kent-1")] == [second]


def test_a_leads_answer_fits_into_a_small_file(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """C-….approved and C-….refused in /attest/, with the reason inside; HOW.txt names them."""
    files = policy_files(here.keys, gpg_person)
    people = files["people.yaml"]
    at = people.index("roles:", people.index("- id: p-essex-2\n"))
    files["people.yaml"] = people[:at] + people[at:].replace(
        "[designated_person, data_manager]", "[designated_person, governance_lead]", 1
    )
    put_in_force(here.exchange, files)
    lead = here.visitor("p-essex-2")
    first, second = asked_for(here), asked_for(here, to="medway", name="b.pdf", content=b"another")
    how = here.exchange.views.attest(lead)[0].content().decode()
    assert f"{first}.approved" in how and f"{second}.refused" in how
    with pytest.raises(Refused, match="give a reason"):
        here.exchange.attest(lead, f"{first}.approved".encode(), b"")
    assert "approved" in here.exchange.attest(lead, f"{first}.approved".encode(), WHY.encode())
    assert "refused" in here.exchange.attest(lead, f"{second.lower()}.refused.txt".encode(), b"Not for them")
    pass_(here, timedelta(minutes=3))
    assert len(of_kent(here)) == 1 and here.exchange.views.received("p-medway-1") == ()


def test_what_has_expired_can_no_longer_be_read(here: SmallExchange) -> None:
    """The day after its last day the copy here ends, and both sides read so."""
    consignment = asked_for(here)
    here.exchange.ad_hoc.approve("g-essex", consignment, WHY, via="test")
    pass_(here, timedelta(minutes=3))
    delivery = of_kent(here)[0]
    pass_(here, timedelta(days=14))
    assert len(here.exchange.views.inbox(here.visitor("p-kent-1"))) == 1
    pass_(here, timedelta(days=1))
    assert here.exchange.views.inbox(here.visitor("p-kent-1")) == ()
    with pytest.raises(Missing):
        here.exchange.collection.read(here.visitor("p-kent-1"), delivery)
    assert "left your inbox" in notice(here, "p-kent-1", f"delivery:{delivery}").text
    assert "no longer read it" in notice(here, "p-essex-1", f"consignment:{consignment}").text
    assert list(here.exchange.ground.spool.folder.iterdir()) == []


@pytest.mark.parametrize("seed", range(6))
def test_no_order_of_acts_lets_it_go_without_approval(here: SmallExchange, seed: int) -> None:
    """Resending, checksums that fit or not, all there, undoing, time: what Kent can see was approved before."""
    rolled = random.Random(seed)

    def an(act: Callable[[str], object]) -> Callable[[], object]:
        return lambda: act(
            rolled.choice([view.consignment for view in here.exchange.views.sent_deliveries("p-essex-1")])
        )

    visitor, folder = here.visitor("p-essex-1"), tuple(f"{PLACE}/kent".split("/"))
    acts: list[Callable[[], object]] = [
        lambda: here.put("p-essex-1", f"{PLACE}/kent/a.pdf", rolled.choice([b"one", b"two"])),
        lambda: here.put("p-essex-2", f"{PLACE}/kent/a.pdf", rolled.choice([b"one", b"three"])),
        lambda: here.put("p-essex-1", f"{PLACE}/kent/a.pdf.sha256", b"0" * 64),
        an(lambda c: here.exchange.delivery.all_there("p-essex-1", c, via="test")),
        an(lambda c: here.exchange.delivery.discard("p-essex-1", c, via="test")),
        an(lambda c: here.exchange.ad_hoc.refuse("g-essex", c, WHY, via="test")),
        lambda: here.exchange.amendments.remove(visitor, folder, b"a.pdf"),
        lambda: pass_(here, timedelta(minutes=3)),
        lambda: pass_(here, timedelta(hours=30)),
    ]
    approve = an(lambda c: here.exchange.ad_hoc.approve("g-essex", c, WHY, via="test"))
    for _ in range(25):
        with suppress(SafehandError, IndexError):
            rolled.choice([*acts, *([approve] if seed % 2 else [])])()
    pass_(here, timedelta(minutes=3))
    with here.exchange.ground.store.reading() as session:
        seen = [row for row in session.exec(select(DeliveryRow)).all() if row.status in VISIBLE or row.available_at]
        approved = {row.consignment for row in session.exec(select(AdHocRow)).all() if row.approved_at}
    assert {row.consignment for row in seen} <= approved
    assert seed % 2 or not seen
    assert here.exchange.evidence.verify().entries == len(here.kinds())
