"""What becomes of a delivery at its recipient: processed, destroyed, countersigned, and overdue when nobody says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlmodel import col, select

from server.domain.attestation import Counts, Destruction, Unclear
from server.domain.audience import Hat
from server.domain.delivery import Use
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.notice import Notice
from server.exchange.attested import Attested
from server.exchange.use import SeveralRefused
from server.exchange.use_chase import UseChase
from server.store.duty_tables import AttestationRow, AttestedAuthorityRow, HoldRow, StageRow
from server.store.tables import DeliveryRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, put_in_force, records, small_exchange

GONE = Destruction({"downloads": "deleted", "import_folder": "overwritten"}, "none")
ALL = Counts(3, 3, 0, 0)
SOME = Counts(3, 2, 1, 0)


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def acknowledged(here: SmallExchange, *, rows: int = 3) -> str:
    """A delivery that Kent has collected and acknowledged."""
    delivery = here.arrive(rows=rows)
    here.collect(delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk")
    return delivery


def row_of(here: SmallExchange, delivery: str) -> DeliveryRow:
    with here.exchange.ground.store.reading() as session:
        row = session.get(DeliveryRow, delivery)
    assert row is not None
    return row


def said_of(here: SmallExchange, delivery: str) -> AttestationRow | None:
    with here.exchange.ground.store.reading() as session:
        return session.get(AttestationRow, delivery)


def notice(here: SmallExchange, person: str, thread: str) -> Notice:
    return next(v.notice for v in here.exchange.views.notices(person) if v.notice.thread == thread)


def verbs(here: SmallExchange, delivery: str, person: str = "p-kent-1") -> list[str]:
    """The buttons of the data manager's message about it; the desk's list says the same."""
    shown = [button.verb for button in notice(here, person, f"delivery:{delivery}").buttons]
    listed = next(view for view in here.exchange.views.received(person) if view.id == delivery)
    assert [button.verb for button in listed.buttons] == shown
    return shown


# ---------------------------------------------------------------- saying it


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_from_acknowledged_to_destroyed(here: SmallExchange) -> None:
    """Each step has its button, and each repetition says who was first."""
    use, delivery = here.exchange.use, acknowledged(here)
    assert verbs(here, delivery) == ["processed", "problem"]
    first = use.processed("p-kent-1", delivery, SOME, via="desk")
    assert first.changed
    assert "Now destroy the 1 that are not yours" in first.sentence
    again = use.processed("p-kent-2", delivery, ALL, via="desk")
    assert not again.changed
    assert "p-kent-1 said so already" in again.sentence
    assert verbs(here, delivery) == ["destroyed", "problem"]
    assert use.destroyed("p-kent-2", delivery, GONE, via="desk").changed
    repeated = use.destroyed("p-kent-1", delivery, GONE, via="desk")
    assert not repeated.changed
    assert "p-kent-2 attested it already" in repeated.sentence
    assert verbs(here, delivery) == []
    assert row_of(here, delivery).use_state is Use.DESTROYED
    assert [here.count(kind, delivery) for kind in ("use.processed", "use.destroyed")] == [1, 1]


def test_r082_relevant_and_other_records_are_recorded_and_shown_to_the_sender(here: SmallExchange) -> None:
    """As numbers: in its message, in its list, and as the share of records that were not their recipient's."""
    delivery = acknowledged(here)
    here.exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    consignment = row_of(here, delivery).consignment
    assert "2 kept, 1 not relevant, 0 rejected" in notice(here, "p-essex-1", f"consignment:{consignment}").text
    listed = next(v for v in here.exchange.views.sent_deliveries("p-essex-1") if v.id == delivery)
    assert "2 kept, 1 not relevant, 0 rejected" in listed.words
    exchange = here.exchange
    with exchange.ground.store.reading() as session:
        share = Attested(session, exchange.policy, exchange.now()).shares()
    assert [(s.sender, s.exchange, s.received, s.not_ours, s.share) for s in share] == [
        ("essex", "post16-destinations", 3, 1, 33.3)
    ]


@pytest.mark.parametrize(
    "counts", [Counts(3, 3, 1, 0), Counts(3, 2, 0, 0), Counts(4, 4, 0, 0), Counts(3, 3, 0, 0, {"887": 3})]
)
def test_counts_that_do_not_add_up_are_refused(here: SmallExchange, counts: Counts) -> None:
    """Nothing of it is written."""
    delivery = acknowledged(here)
    with pytest.raises(Unclear):
        here.exchange.use.processed("p-kent-1", delivery, counts, via="desk")
    assert said_of(here, delivery) is None
    assert here.count("use.processed", delivery) == 0


def test_nobody_attests_for_another(here: SmallExchange) -> None:
    """Not the sender's person, not a third member's, not a lead, nobody suspended, and nobody before it is
    acknowledged."""
    use, delivery = here.exchange.use, here.arrive()
    with pytest.raises(Refused, match=r"Acknowledge D-.* first"):
        use.processed("p-kent-1", delivery, ALL, via="desk")
    here.collect(delivery)
    with pytest.raises(Refused, match=r"Acknowledge D-.* first"):
        use.destroyed("p-kent-1", delivery, GONE, via="desk")
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk")
    for person, error in {"p-essex-1": Forbidden, "p-medway-1": Missing, "g-kent": Forbidden}.items():
        with pytest.raises(error):
            use.processed(person, delivery, ALL, via="desk")
        with pytest.raises(error):
            use.destroyed(person, delivery, GONE, via="desk")
    with pytest.raises(Forbidden, match="Only Kent says"):
        use.processed("p-essex-2", delivery, ALL, via="desk")
    here.exchange.people.suspend("p-kent-2", by="p-kent-1")
    with pytest.raises(Missing):
        use.processed("p-kent-2", delivery, ALL, via="desk")
    with pytest.raises(Refused, match="Say first what"):
        use.destroyed("p-kent-1", delivery, GONE, via="desk")


def test_a_replaced_copy_is_destroyed_whole(here: SmallExchange) -> None:
    """Its counts are not asked for: nothing of it is kept. One that nobody collected asks for nothing."""
    old = here.arrive(name="one.csv")
    here.collect(old)
    new = here.arrive(rows=4, name="one.csv")
    assert verbs(here, old) == ["destroyed"]
    with pytest.raises(Refused, match=f"replaced by {new}"):
        here.exchange.use.processed("p-kent-1", old, ALL, via="desk")
    assert here.exchange.use.destroyed("p-kent-1", old, GONE, via="desk").changed
    said = said_of(here, old)
    assert said is not None
    assert (said.received, said.kept, said.rejected) == (3, 0, 3)
    newest = here.arrive(rows=5, name="one.csv")
    assert newest != new
    assert not here.exchange.use.destroyed("p-kent-1", new, GONE, via="desk").changed
    assert verbs(here, new) == []


def test_a_rejected_copy_is_destroyed_whole(here: SmallExchange) -> None:
    """The reason to reject it does not end the duty to destroy what was fetched."""
    delivery = here.arrive()
    here.collect(delivery)
    here.exchange.acknowledgement.problem("p-kent-1", delivery, "rejected", "wrong month", via="desk")
    assert verbs(here, delivery) == ["destroyed"]
    assert here.exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk").changed


# ---------------------------------------------------------------- several at once


def test_several_are_said_at_once_or_not_at_all(here: SmallExchange) -> None:
    """One wrong line, and none is written; the answer says which, and why."""
    use, found = here.exchange.use, [acknowledged(here) for _ in range(3)]
    with pytest.raises(SeveralRefused) as refused:
        use.processed_many("p-kent-1", dict.fromkeys(found[:2], ALL) | {found[2]: Counts(3, 1, 1, 0)}, via="desk")
    assert set(refused.value.errors) == {found[2]}
    assert f"Nothing was recorded for any of them. {found[2]}: 1 kept" in refused.value.sentence
    assert [said_of(here, delivery) for delivery in found] == [None] * 3
    done = use.processed_many("p-kent-1", dict.fromkeys(found, ALL), via="desk")
    assert done.sentence == "3 of 3 deliveries are processed now."
    use.destroyed("p-kent-1", found[0], GONE, via="desk")
    ended = use.destroyed_many("p-kent-2", dict.fromkeys(found, GONE), via="desk")
    assert ended.sentence == "2 of 3 deliveries are destroyed now. 1 were destroyed before."


# ---------------------------------------------------------------- per authority, witness


def with_retention(here: SmallExchange, before: str, after: str) -> None:
    """The policy set with another rule of attestation, put in force the real way."""
    exchange = here.exchange
    files = dict(exchange.revisions.history.files(exchange.revision))
    assert before in files["retention.yaml"]
    files["retention.yaml"] = files["retention.yaml"].replace(before, after)
    put_in_force(exchange, files)
    exchange.refresh()


def test_a_witness_is_a_second_person_of_the_member(here: SmallExchange) -> None:
    """Where the agreement requires one: not oneself, not another member's, not somebody who may not act."""
    with_retention(here, "witness: optional", "witness: required")
    delivery = acknowledged(here)
    here.exchange.use.processed("p-kent-1", delivery, ALL, via="desk")
    for witness, words in {None: "asks for a witness", "p-kent-1": "their own word", "p-essex-1": "your organ"}.items():
        with pytest.raises(Unclear, match=words):
            here.exchange.use.destroyed(
                "p-kent-1", delivery, Destruction({"mail": "deleted"}, "none", witness=witness), via="desk"
            )
    told = Destruction({"mail": "deleted"}, "none", witness="p-kent-2")
    assert here.exchange.use.destroyed("p-kent-1", delivery, told, via="desk").changed


@pytest.fixture
def london(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, people=("p-essex-1", "p-le-1")) as made:
        yield made


def test_a_representative_says_what_each_authority_keeps(london: SmallExchange) -> None:
    """Nine authorities: their sum is what is kept, in the verb and in the form that lies in /attest/."""
    exchange = london.exchange
    assert london.put("p-essex-1", "post16-destinations/2026-11/london-east/a.csv", records(12))
    london.release()
    delivery = exchange.views.received("p-le-1")[0].id
    london.collect(delivery, "p-le-1")
    exchange.acknowledgement.acknowledge("p-le-1", delivery, via="desk")
    for counts in (Counts(12, 10, 2, 0), Counts(12, 10, 2, 0, {"201": 9})):
        with pytest.raises(Unclear, match="each of the 9"):
            exchange.use.processed("p-le-1", delivery, counts, via="desk")
    papers = {paper.name: paper for paper in exchange.views.attest(london.visitor("p-le-1"))}
    form = papers[f"{delivery}.processed.txt"].content().decode("utf-8-sig")
    assert "# kept for Tower Hamlets" in form
    filled = form.replace("kept 201:", "kept 201: 4").replace("kept 317:", "kept 317: 6")
    filled = filled.replace("not ours:", "not ours: 2").replace("rejected:", "rejected: 0")
    exchange.attest(london.visitor("p-le-1"), f"{delivery}.processed.txt".encode(), filled.encode())
    exchange.use.destroyed("p-le-1", delivery, GONE, via="desk")
    document = json.loads(exchange.certificates.content(exchange.certificates.all()[0].id, ".json"))
    kept = {one["name"]: one["kept"] for one in document["attestation"]["authorities"]}
    assert (len(kept), kept["City of London"], kept["Redbridge"], kept["Newham"]) == (9, 4, 6, 0)


def test_the_only_authority_keeps_what_is_kept(here: SmallExchange) -> None:
    """Nobody is asked twice."""
    delivery = acknowledged(here)
    here.exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    with here.exchange.ground.store.reading() as session:
        parts = session.exec(select(AttestedAuthorityRow).where(AttestedAuthorityRow.delivery == delivery)).all()
    assert [(part.la, part.kept) for part in parts] == [("886", 2)]


# ---------------------------------------------------------------- time


def at(here: SmallExchange, day: str, hour: int = 12) -> None:
    here.exchange.clock.set(datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC))
    here.exchange.refresh()
    here.exchange.tick()


def planned(here: SmallExchange, about: str) -> Mapping[str, datetime]:
    """The stages that are to come, or have come, in order of time."""
    exchange = here.exchange
    exchange.tick()
    query = select(StageRow).where(StageRow.about == about).order_by(col(StageRow.due_at))
    with exchange.ground.store.reading() as session:
        return {row.stage: row.due_at for row in session.exec(query).all()}


def asked(here: SmallExchange, about: str, stage: str) -> tuple[Hat, ...] | None:
    exchange = here.exchange
    with exchange.ground.store.reading() as session:
        ask = UseChase(exchange.ground).ask(session, about, stage, exchange.now())
    return ask.hats if ask else None


MANAGERS, LEADS = Hat("kent", "data_manager"), Hat("kent", "governance_lead")


def test_r081_use_by_is_reminded_of_on_working_days(here: SmallExchange) -> None:
    """Available on 31 December 2026: use by Sunday 28 February 2027, last reminder on Friday the 26th."""
    here.exchange.clock.set(datetime(2026, 12, 31, 12, 0, tzinfo=UTC))
    delivery = here.arrive()
    assert row_of(here, delivery).use_by == "2027-02-28"
    stages = planned(here, f"use:{delivery}")
    assert list(stages) == ["before-P21D", "before-P14D", "before-P7D", "before-P2D", "overdue-1"]
    assert stages["before-P2D"].isoformat() == "2027-02-26T09:30:00+00:00"
    assert stages["overdue-1"].isoformat() == "2027-03-01T09:30:00+00:00"
    assert asked(here, f"use:{delivery}", "before-P2D") == (MANAGERS,)


def test_r083_destruction_is_asked_for_at_once(here: SmallExchange) -> None:
    """Processed without destruction: the data managers after one working day, the governance lead after three."""
    delivery = acknowledged(here)
    here.exchange.clock.set(datetime(2026, 12, 4, 12, 0, tzinfo=UTC))
    assert planned(here, f"destroy:{delivery}") == {}
    here.exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    stages = planned(here, f"destroy:{delivery}")
    assert {stage: moment.date() for stage, moment in stages.items()} == {
        "reminder": date(2026, 12, 7), "lead": date(2026, 12, 9),
    }  # fmt: skip
    assert asked(here, f"destroy:{delivery}", "reminder") == (MANAGERS,)
    assert asked(here, f"destroy:{delivery}", "lead") == (MANAGERS, LEADS)
    here.exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk")
    assert asked(here, f"destroy:{delivery}", "reminder") is None
    assert asked(here, f"use:{delivery}", "before-P7D") is None


def test_r084_the_day_after_it_is_overdue_and_on_the_register(here: SmallExchange) -> None:
    """Written down once on the first day, told to data managers and leads on the first working day, countersigned."""
    exchange, delivery = here.exchange, acknowledged(here)
    assert row_of(here, delivery).use_by == "2027-02-01"
    at(here, "2027-02-01", 23)
    assert here.count("use.overdue", delivery) == 0
    at(here, "2027-02-02", 0)
    at(here, "2027-02-02", 1)
    assert here.count("use.overdue", delivery) == 1
    assert asked(here, f"use:{delivery}", "overdue-1") == (MANAGERS, LEADS)
    with exchange.ground.store.reading() as session:
        register = Attested(session, exchange.policy, exchange.now()).overdue()
        states = [view.state for view in Attested(session, exchange.policy, exchange.now()).all("kent")]
    assert [(v.delivery, v.member, v.since, v.days, v.missing) for v in register] == [
        (delivery, "kent", date(2027, 2, 2), 1, "not said to be processed")
    ]
    assert states == ["overdue"]
    exchange.use.processed("p-kent-1", delivery, ALL, via="desk")
    late = exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk")
    assert "countersign" in late.sentence
    with exchange.ground.store.reading() as session:
        register = Attested(session, exchange.policy, exchange.now()).overdue("kent")
        items = list(UseChase(exchange.ground).items(session, LEADS, exchange.now()))
    assert [(v.delivery, v.attested) for v in register] == [(delivery, True)]
    assert "countersign" in planned(here, f"destroy:{delivery}")
    assert asked(here, f"destroy:{delivery}", "countersign") == (LEADS,)
    listed = exchange.views.received("g-kent")[0]
    assert [button.verb for button in listed.buttons] == ["countersign"]
    assert [[b.verb for b in item.buttons] for item in items] == [["countersign"]]
    with pytest.raises(Forbidden):
        exchange.use.countersign("p-kent-2", delivery, via="desk")
    assert exchange.use.countersign("g-kent", delivery, via="desk").changed
    assert not exchange.use.countersign("g-kent-2", delivery, via="desk").changed
    with exchange.ground.store.reading() as session:
        assert Attested(session, exchange.policy, exchange.now()).overdue() == ()
    at(here, "2027-02-03", 1)
    assert here.count("use.overdue", delivery) == 1


def test_a_member_that_left_is_asked_nothing_of_single_deliveries(here: SmallExchange) -> None:
    """It attests the destruction of everything at once: nothing of it is overdue beside that."""
    delivery = acknowledged(here)
    here.exchange.departures.leave("kent", by="operator")
    at(here, "2027-02-02")
    assert here.count("use.overdue", delivery) == 0
    assert asked(here, f"use:{delivery}", "before-P7D") is None


def test_what_the_own_lead_holds_is_not_destroyed(here: SmallExchange) -> None:
    """Under the recipient's hold nobody is asked to destroy it, nobody can say so, and it is not overdue."""
    exchange, delivery = here.exchange, acknowledged(here)
    exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    assert exchange.holds.hold("g-kent", delivery, "a request under way", via="desk").changed
    with pytest.raises(Refused, match="Your governance lead holds"):
        exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk")
    assert asked(here, f"destroy:{delivery}", "reminder") is None
    at(here, "2027-02-02")
    assert here.count("use.overdue", delivery) == 0
    with exchange.ground.store.reading() as session:
        hold = session.exec(select(HoldRow.id)).one()
    exchange.holds.release("g-kent", hold, via="desk")
    at(here, "2027-02-03")
    assert here.count("use.overdue", delivery) == 1
    assert exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk").changed


def test_what_waits_stands_in_the_mailbox_and_in_the_senders_receipt(here: SmallExchange) -> None:
    """DUE.txt names the form to fill in; the receipt has the numbers."""
    exchange, delivery = here.exchange, acknowledged(here)

    def due() -> str:
        papers = exchange.views.root(here.visitor("p-kent-1"))
        return next(paper.content().decode() for paper in papers if paper.name == "DUE.txt")

    assert f"by Mon 1 Feb 2027: attest/{delivery}.processed.txt" in due()
    exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    assert f"destroy, by Mon 1 Feb 2027: attest/{delivery}.destroyed.txt" in due()
    exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk")
    assert delivery not in due()
    papers = {paper.name: paper for paper in exchange.views.receipts(here.visitor("p-essex-1"))}
    receipt = json.loads(json.loads(papers[f"{delivery}.receipt.json"].content())["signed"])
    use = receipt["use"]
    assert (use["state"], use["kept"], use["not_relevant"]) == ("destroyed", 2, 1)


def test_what_nobody_collected_is_not_overdue(here: SmallExchange) -> None:
    """There is no copy to account for: that nobody collected it is told to its sender."""
    delivery = here.arrive()
    at(here, "2027-02-03", 9)
    assert here.count("use.overdue", delivery) == 0
    assert asked(here, f"use:{delivery}", "overdue-1") is None


def test_items_stand_together_where_they_belong_together(here: SmallExchange) -> None:
    """Three of one exchange and period are one line with one button; one alone has its own."""
    exchange, found = here.exchange, [acknowledged(here) for _ in range(3)]

    def lines() -> list[tuple[str, list[tuple[str, str]]]]:
        with exchange.ground.store.reading() as session:
            items = UseChase(exchange.ground).items(session, MANAGERS, exchange.now())
        return [(item.words.split(":")[0], [(b.verb, b.subject) for b in item.buttons]) for item in items]

    assert lines() == [
        ("Use and destroy by Mon 1 Feb 2027", [("processed", "post16-destinations-2026-11")])
    ]  # fmt: skip
    exchange.use.processed("p-kent-1", found[0], SOME, via="desk")
    assert [line[1][0] for line in lines()] == [
        ("destroyed", found[0]), ("processed", "post16-destinations-2026-11"),
    ]  # fmt: skip


def test_habits_are_remembered_for_the_member(here: SmallExchange) -> None:
    """Places, methods, and for how long a backup lasts: the next form has them filled in, with the day worked out."""
    exchange, delivery = here.exchange, acknowledged(here)
    exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    until = (exchange.now() + timedelta(days=30)).date()
    said = Destruction({"mail": "deleted", "paper": "shredded"}, until.isoformat())
    exchange.use.destroyed("p-kent-1", delivery, said, via="desk")
    exchange.clock.set(exchange.now() + timedelta(days=7))
    habit = exchange.use.habit("kent")
    assert {name: value for name, value in habit.items() if value not in {"", "not held there"}} == {
        "mail": "deleted", "paper": "shredded", "backups": "expires",
        "backups_until": (until + timedelta(days=7)).isoformat(), "subcontractors": "none",
    }  # fmt: skip


def test_the_certificate_says_what_the_recipient_attests_and_its_limit(here: SmallExchange) -> None:
    """One when it is destroyed, and a new version when it is countersigned; never a word about the sealed copy."""
    exchange, delivery = here.exchange, acknowledged(here)
    exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk")
    exchange.use.countersign("g-kent", delivery, via="desk")
    views = [view for view in exchange.certificates.all() if view.kind == "recipient"]
    assert [(view.delivery, view.version) for view in views] == [(delivery, 1), (delivery, 2)]
    document = json.loads(exchange.certificates.content(views[0].id, ".json"))
    own = document["attestation"]
    assert own["records"] == {"received": 3, "kept": 2, "not_ours": 1, "rejected": 0}
    assert own["places"] == [
        {"place": "Downloads", "method": "deleted"}, {"place": "Import folder", "method": "overwritten"},
    ]  # fmt: skip
    assert own["attested_by"]["person"] == "p-kent-1"
    assert own["limit"] == "This is what the recipient says of its own copies; the exchange cannot see them."
    page = exchange.certificates.content(views[1].id, ".html").decode()
    assert own["limit"] in page
    assert "Countersigned by</dt><dd>" in page and "g-kent" in page
