"""Whether a consignment may go: everything has to be there and right. Take one thing away and the answer is no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import Channel, GpgKey, InForce, LawfulBasis, PolicySet, Review, Signature
from server.domain.decision import Act, Decision, Deed, Facts, Question, decide
from server.domain.ruling import TOLD
from server.domain.schedule import Period
from server.policy.explain import HOLDS
from server.policy.load import load

SHIPPED = Path(__file__).parent.parent.parent / "policies" / "ccis-v2"
NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
ASKED = Question("essex", "kent", "post16-destinations", NOW, "p-essex-1", Period(2026, 11), {})
KEY = GpgKey(fingerprint="A" * 40, armored="a public key")


def with_parts(policy: PolicySet, **parts: Any) -> PolicySet:
    """The same set with these parts in place of its own, made anew, so that nothing is remembered of the old one."""
    known = {name: getattr(policy, name) for name in PolicySet.model_fields if name != "written"}
    return PolicySet.model_construct(**{**known, **parts})


def with_item(policy: PolicySet, table: str, item: str, **changes: Any) -> PolicySet:
    """The same set with one member, person or exchange changed."""
    rows = [row.model_copy(update=changes) if row.id == item else row for row in getattr(policy, table)]
    return with_parts(policy, **{table: tuple(rows)})


def with_agreement(policy: PolicySet, **changes: Any) -> PolicySet:
    return with_parts(policy, agreement=policy.agreement.model_copy(update=changes))


def resigned(policy: PolicySet) -> PolicySet:
    """The same set, its text signed anew by all who had signed."""
    text = policy.document_sha256
    rows = [s.model_copy(update={"document_sha256": text}) if s.document_sha256 else s
            for s in policy.agreement.signatures]  # fmt: skip
    return with_agreement(policy, signatures=tuple(rows))


WRITTEN = load(SHIPPED)
PERMITTING = WRITTEN
for _person in ("p-kent-1", "p-kent-2"):
    PERMITTING = with_item(PERMITTING, "people", _person, gpg_keys=(KEY,))


def signed(policy: PolicySet, member: str, state: str | None) -> PolicySet:
    rows = [s for s in policy.agreement.signatures if s.member != member]
    if state is not None:
        text = policy.document_sha256
        rows.append(Signature.model_validate({"member": member, "state": state, "document_sha256": text}))
    return with_agreement(policy, signatures=tuple(rows))


def in_force(policy: PolicySet, first: str, last: str | None) -> PolicySet:
    return with_agreement(policy, in_force=InForce.model_validate({"from": first, "until": last}))


def without_verb(policy: PolicySet, verb: str) -> PolicySet:
    roles = {role: verbs - {verb} for role, verbs in policy.access.roles.items()}
    return with_parts(policy, access=policy.access.model_copy(update={"roles": roles}))


def without_managers(policy: PolicySet) -> PolicySet:
    for person in policy.people_of("kent", "data_manager"):
        policy = with_item(policy, "people", person.id, roles=frozenset({"governance_lead"}))
    return policy


def without_keys(policy: PolicySet) -> PolicySet:
    for person in policy.people_of("kent"):
        policy = with_item(policy, "people", person.id, gpg_keys=())
    return policy


@dataclass(frozen=True)
class Lack:
    """One fact that is missing or otherwise, and the reason that must be given for it."""

    name: str
    code: str
    change: Callable[[PolicySet], PolicySet]
    place: str
    """Lacks of one place exclude one another."""


P16 = "post16-destinations"
LACKS = [
    *(Lack(f"the agreement is {status}", "AGREEMENT_NOT_APPROVED", partial(with_agreement, status=status), "status")
      for status in ("DRAFT", "FOR_APPROVAL", "WITHDRAWN")),
    Lack("it begins tomorrow", "AGREEMENT_NOT_IN_FORCE", lambda p: in_force(p, "2026-12-02", None), "in force"),
    Lack("it ended yesterday", "AGREEMENT_NOT_IN_FORCE", lambda p: in_force(p, "2026-09-01", "2026-11-30"), "in force"),
    Lack("its review was due yesterday", "AGREEMENT_REVIEW_OVERDUE",
         lambda p: with_agreement(p, review=Review(due=date(2026, 11, 30), on_overdue="deny")), "review"),
    Lack("no channel is approved", "CHANNEL_NOT_AUTHORISED", partial(with_agreement, approved_channels=()), "channel"),
    Lack("another channel is approved", "CHANNEL_NOT_AUTHORISED",
         lambda p: with_agreement(p, approved_channels=(Channel(id="portal", kind="external"),)), "channel"),
    *(Lack(f"{member} is {state}", "PARTY_NOT_SIGNED", partial(signed, member=member, state=state), f"signed {member}")
      for member in ("essex", "kent") for state in (None, "blank", "named", "withdrawn", "block_missing")),
    Lack("the exchange is not open to the sender", "SENDER_NOT_IN_EXCHANGE",
         lambda p: with_item(p, "exchanges", P16, members=("kent", "medway")), "members"),
    Lack("the exchange is not open to the recipient", "RECIPIENT_NOT_IN_EXCHANGE",
         lambda p: with_item(p, "exchanges", P16, members=("essex", "medway")), "members"),
    Lack("the exchange states no purpose", "PURPOSE_NOT_STATED", lambda p: with_item(p, "exchanges", P16, purposes=()),
         "purpose"),
    Lack("the exchange states a purpose that the agreement does not", "PURPOSE_NOT_STATED",
         lambda p: with_item(p, "exchanges", P16, purposes=("provide-support", "curiosity")), "purpose"),
    Lack("the agreement states no purposes", "PURPOSE_NOT_STATED", lambda p: with_agreement(p, purposes=()), "purpose"),
    Lack("no lawful basis", "LEGAL_BASIS_NOT_STATED",
         partial(with_agreement, lawful_basis=LawfulBasis(article6=())), "basis"),
    Lack("the sender left", "SENDER_UNKNOWN",
         lambda p: with_parts(p, people=tuple(row for row in p.people if row.id != "p-essex-1")), "sender"),
    Lack("the sender is another member's", "SENDER_NOT_OF_MEMBER",
         lambda p: with_item(p, "people", "p-essex-1", member="thurrock"), "sender"),
    Lack("the sender is no designated person", "SENDER_NOT_DESIGNATED",
         lambda p: with_item(p, "people", "p-essex-1", roles=frozenset({"data_manager"})), "sender"),
    Lack("the sender has no role", "SENDER_NOT_DESIGNATED",
         lambda p: with_item(p, "people", "p-essex-1", roles=frozenset()), "sender"),
    Lack("no role may send", "SENDER_NOT_DESIGNATED", lambda p: without_verb(p, "outbox.write"), "roles"),
    Lack("the sender has no training", "TRAINING_EXPIRED",
         lambda p: with_item(p, "people", "p-essex-1", training_valid_until=None), "sender"),
    Lack("the sender's training ended yesterday", "TRAINING_EXPIRED",
         lambda p: with_item(p, "people", "p-essex-1", training_valid_until=date(2026, 11, 30)), "sender"),
    Lack("the recipient has no data manager", "RECIPIENT_NOT_READY", without_managers, "recipient"),
    Lack("the recipient has no key", "RECIPIENT_KEY_UNUSABLE", without_keys, "recipient"),
]  # fmt: skip
OF_DEEDS = {"PERSON_UNKNOWN", "PERSON_SUSPENDED", "NO_MAILBOX", "VERB_NOT_GRANTED", "DELIVERY_OF_ANOTHER_MEMBER",
            "SENDER_ACKNOWLEDGES", "ATTESTED_IN_ANOTHER_ROLE", "SENDER_ATTESTS"}  # fmt: skip
SENDING = set(HOLDS) - OF_DEEDS
QUESTIONS = [
    ("to itself", "RECIPIENT_IS_SENDER", {"recipient": "essex"}),
    ("to nobody", "MEMBER_UNKNOWN", {"recipient": "atlantis"}),
    ("from nobody", "MEMBER_UNKNOWN", {"sender_member": "atlantis"}),
    ("an exchange that there is not", "EXCHANGE_UNKNOWN", {"exchange": "gossip"}),
    ("by a person that there is not", "SENDER_UNKNOWN", {"sender": "p-essex-9"}),
    ("by nobody's id", "SENDER_UNKNOWN", {"sender": ""}),
    ("by the partner's person", "SENDER_NOT_OF_MEMBER", {"sender": "p-kent-1"}),
    ("by a governance lead", "SENDER_NOT_DESIGNATED", {"sender": "g-essex"}),
    ("for this month", "PERIOD_NOT_OPEN", {"period": Period(2026, 12)}),
    ("for a month long over", "PERIOD_NOT_OPEN", {"period": Period(2026, 8)}),
    ("before midnight in London", "PERIOD_NOT_OPEN", {"now": datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)}),
    ("before the agreement", "AGREEMENT_NOT_IN_FORCE", {"now": datetime(2026, 8, 31, 22, 59, 59, tzinfo=UTC)}),
    ("after the agreement", "AGREEMENT_NOT_IN_FORCE", {"now": datetime(2029, 8, 31, 23, 0, tzinfo=UTC)}),
    ("when no key of theirs works", "RECIPIENT_KEY_UNUSABLE",
     {"unusable_keys": {"p-kent-1": "expired", "p-kent-2": "absent"}}),
]  # fmt: skip


def codes(decision: Decision) -> set[str]:
    return {rule.code for rule in decision.reasons}


def told(decision: Decision) -> list[tuple[str, bool, str]]:
    """A decision without where things are written."""
    return [(rule.code, rule.holds, rule.sentence) for rule in decision.rules]


def test_the_shipped_agreement_permits_essex_to_send_to_kent() -> None:
    """Everything is there, so it may go; this is what every other test takes something away from."""
    decision = decide(PERMITTING, ASKED)
    assert decision.permit
    assert decision.reasons == ()
    assert decision.sentence == "Permitted."
    assert {rule.code for rule in decision.rules} == SENDING, "every rule was looked at"


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: lack.name)
def test_whatever_is_missing_denies(lack: Lack) -> None:
    """Absence never permits: each fact in turn is taken away or altered, and the reason names it."""
    decision = decide(resigned(lack.change(PERMITTING)), ASKED)
    assert not decision.permit
    assert lack.code in codes(decision)
    assert decision.sentence.startswith(decision.reasons[0].sentence)


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: lack.name)
def test_only_what_is_missing_is_named(lack: Lack) -> None:
    """One lack is one reason: nobody is sent to mend what is whole."""
    alone = codes(decide(resigned(lack.change(PERMITTING)), ASKED))
    assert alone == {lack.code}


@pytest.mark.parametrize(("code", "change"), [q[1:] for q in QUESTIONS], ids=[q[0] for q in QUESTIONS])
def test_a_question_about_something_else_is_denied(code: str, change: dict[str, Any]) -> None:
    """Somebody else, some other time, some other thing."""
    decision = decide(PERMITTING, replace(ASKED, **change))
    assert not decision.permit
    assert code in codes(decision)


@given(st.lists(st.sampled_from(LACKS), min_size=1, unique_by=lambda lack: lack.place))
def test_all_reasons_are_returned_and_in_one_order(lacks: list[Lack]) -> None:
    """Not only the first: one visit to the administrator is enough. The order lacks came in makes no difference."""
    together, backwards = PERMITTING, PERMITTING
    for lack in lacks:
        together = lack.change(together)
    for lack in reversed(lacks):
        backwards = lack.change(backwards)
    wanted = {lack.code for lack in lacks}
    if "SENDER_UNKNOWN" in wanted:
        wanted.discard("SENDER_NOT_DESIGNATED")  # nobody is there whose role could be looked at
    decision = decide(resigned(together), ASKED)
    assert codes(decision) == wanted
    assert told(decide(resigned(backwards), ASKED)) == told(decision)
    more = len(decision.reasons) - TOLD
    assert (f"({more} more reason" in decision.sentence) == (more > 0)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(random: Any) -> None:
    """Members, people, exchanges, signatures, purposes … may stand in any order: one text, and the same answers."""

    def shuffled(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(rows, len(rows)))

    agreement = PERMITTING.agreement
    tables = ("members", "people", "exchanges", "schemas", "codelists", "mappings", "calendars", "waivers")
    lists = ("signatures", "purposes", "approved_channels", "gateways", "information_types", "data_subjects", "sources")
    other = with_parts(PERMITTING, **{table: shuffled(getattr(PERMITTING, table)) for table in tables})
    other = with_agreement(other, **{name: shuffled(getattr(agreement, name)) for name in lists})
    assert other.document_sha256 == PERMITTING.document_sha256
    for question in (ASKED, replace(ASKED, recipient="brighton-hove"), replace(ASKED, sender="g-kent")):
        assert told(decide(other, question)) == told(decide(PERMITTING, question))


def test_one_usable_key_is_enough() -> None:
    """A data manager whose key has expired does not stop the file for the other."""
    assert decide(PERMITTING, replace(ASKED, unusable_keys={"p-kent-1": "expired"})).permit


def test_the_recipient_is_told_why_by_holder() -> None:
    """Whose key and what is wrong with it, and that they know."""
    sentence = decide(PERMITTING, replace(ASKED, unusable_keys={"p-kent-1": "expired", "p-kent-2": "revoked"})).sentence
    assert "p-kent-1: expired, p-kent-2: revoked" in sentence
    assert "They have been told" in sentence


def test_a_cover_keeps_a_member_ready_and_a_recovery_key_alone_does_not() -> None:
    """When its managers' keys are gone, somebody must still hold one: an offline key is in nobody's hands."""
    bare = without_keys(PERMITTING)
    assert not decide(with_item(bare, "members", "kent", recovery_key=KEY), ASKED).permit
    covered = with_item(with_item(bare, "people", "p-medway-1", gpg_keys=(KEY,)), "members", "kent", cover="p-medway-1")
    assert decide(covered, ASKED).permit


def test_a_warning_gate_lets_pass_what_a_denying_one_stops() -> None:
    """Training and review deny unless the agreement itself says that they only warn."""
    lenient = with_parts(PERMITTING, access=PERMITTING.access.model_copy(update={"training_gate": "warn"}))
    assert decide(with_item(lenient, "people", "p-essex-1", training_valid_until=None), ASKED).permit
    warned = with_agreement(PERMITTING, review=Review(due=date(2026, 11, 30), on_overdue="warn"))
    assert decide(resigned(warned), ASKED).permit


def test_an_exchange_without_personal_data_needs_no_purpose() -> None:
    """The trial exchange is for anybody who signed, whatever clause 2 says; everything else holds for it too."""
    trial = replace(ASKED, exchange="trial")
    assert decide(resigned(with_agreement(PERMITTING, purposes=())), trial).permit
    assert codes(decide(signed(PERMITTING, "kent", None), trial)) == {"PARTY_NOT_SIGNED"}


def test_a_decision_without_rules_is_a_denial() -> None:
    """Nothing was looked at, so nothing is permitted."""
    assert not Decision(()).permit
    assert Decision(()).sentence == "Denied: no rule permits it."


@pytest.mark.parametrize("lack", LACKS, ids=lambda lack: lack.name)
def test_every_reason_says_where_it_is_written(lack: Lack) -> None:
    """A sentence for a person and a place in the policy set for the administrator."""
    for rule in decide(resigned(lack.change(PERMITTING)), ASKED).reasons:
        assert rule.sentence.endswith(".")
        assert WRITTEN.place(*rule.place) is not None


# ---------------------------------------------------------------- properties


def _without(policy: PolicySet, path: str) -> PolicySet | None:
    """The set without what stands at this place; None where there is nothing or the model needs it."""
    table, item, key = (*path.split("."), "", "")[:3]
    if table == "agreement":
        return _bare(policy, "agreement", policy.agreement, item)
    rows = {row.id: row for row in getattr(policy, table)}
    if not key:
        return with_parts(policy, **{table: tuple(row for row in rows.values() if row.id != item)})
    row = rows[item]
    field = type(row).model_fields[key]
    if field.is_required():
        return None
    return with_item(policy, table, item, **{key: field.get_default(call_default_factory=True)})


def _bare(policy: PolicySet, table: str, part: Any, key: str) -> PolicySet | None:
    field = type(part).model_fields[key]
    if field.is_required():
        return None
    changed = part.model_copy(update={key: field.get_default(call_default_factory=True)})
    return with_parts(policy, **{table: changed})


RULES = [
    *(f"agreement.{key}" for key in type(WRITTEN.agreement).model_fields),
    *(f"{table}.{row.id}" for table in ("members", "people", "exchanges") for row in getattr(WRITTEN, table)),
    *(f"{table}.{row.id}.{key}" for table in ("members", "people", "exchanges") for row in getattr(WRITTEN, table)
      for key in type(row).model_fields),
]  # fmt: skip
ASKED_IN_ALL = [
    replace(ASKED, recipient=recipient, exchange=exchange, sender=sender, sender_member=member, unusable_keys=None)
    for sender, member in (("p-essex-1", "essex"), ("p-kent-1", "kent"), ("g-kent", "kent"))
    for recipient in ("kent", "essex", "thurrock", "brighton-hove")
    for exchange in WRITTEN.exchange_by_id
]


@given(st.lists(st.sampled_from(RULES), min_size=1, max_size=4, unique=True), st.sampled_from(ASKED_IN_ALL))
def test_no_rules_absence_permits(absent: list[str], question: Question) -> None:
    """Whatever is taken out of the set, even when everybody signs what is left: a denial never becomes a permit."""
    policy: PolicySet = PERMITTING
    for path in absent:
        rest = _without(policy, path) if path.count(".") < 2 or path.split(".")[1] in _ids(policy, path) else None
        policy = rest or policy
    if decide(resigned(policy), question).permit:
        assert decide(PERMITTING, question).permit, absent


def _ids(policy: PolicySet, path: str) -> set[str]:
    return {row.id for row in getattr(policy, path.split(".")[0])}


GRANTS: list[Callable[[PolicySet], PolicySet]] = [
    lambda p: with_parts(p, people=(*p.people, p.people[0].model_copy(update={"id": "p-new-1", "member": "medway"}))),
    lambda p: with_item(p, "exchanges", "year14-destinations", members="all"),
    lambda p: with_item(p, "people", "g-kent", roles=frozenset({"governance_lead", "designated_person"})),
    lambda p: signed(p, "brighton-hove", "signed"),
]
"""What grants: another person, a role, an exchange open to more, a signature."""
ADDS: list[Callable[[PolicySet], PolicySet]] = [
    lambda p: with_parts(p, exchanges=(*p.exchanges, p.exchanges[0].model_copy(update={"id": "another"}))),
    lambda p: with_parts(p, members=(*p.members, p.members[0].model_copy(update={"id": "tenth"}))),
    lambda p: with_agreement(p, purposes=(*p.agreement.purposes, p.agreement.purposes[0].model_copy(
        update={"id": "another"}))),
    lambda p: with_agreement(p, approved_channels=(*p.agreement.approved_channels, Channel(id="a", kind="external"))),
    lambda p: with_agreement(p, gateways=(*p.agreement.gateways, p.agreement.gateways[0].model_copy(
        update={"id": "another"}))),
    lambda p: with_item(p, "people", "p-kent-1", acts_for=("essex", "brighton-hove")),
    lambda p: with_item(p, "members", "brighton-hove", cover="p-essex-1"),
    lambda p: with_item(p, "members", "brighton-hove", recovery_key=KEY),
    lambda p: with_item(p, "members", "kent", represents=(*p.member_by_id["kent"].represents,
        *p.member_by_id["medway"].represents)),
    lambda p: signed(p, "brighton-hove", "named"),
]  # fmt: skip
"""What adds a rule, a name or a key, and grants nothing."""


@given(st.lists(st.sampled_from(ADDS), min_size=1, max_size=4, unique_by=id), st.sampled_from(ASKED_IN_ALL))
def test_adding_a_rule_never_permits_what_was_denied(added: list[Callable[[PolicySet], PolicySet]],
                                                     question: Question) -> None:  # fmt: skip
    """More of the agreement is not more permission: only those rules grant that say so (see GRANTS)."""
    policy = PERMITTING
    for add in added:
        policy = add(policy)
    for asked in (resigned(policy), policy):
        assert not decide(asked, question).permit or decide(PERMITTING, question).permit


@pytest.mark.parametrize("grant", GRANTS)
def test_what_grants_is_named(grant: Callable[[PolicySet], PolicySet]) -> None:
    """A rule that grants takes a reason away, for somebody, and puts none in its place."""
    more = resigned(grant(PERMITTING))
    asked = [*ASKED_IN_ALL, replace(ASKED, sender="p-new-1", sender_member="medway", unusable_keys=None)]
    fewer = [q for q in asked if codes(decide(more, q)) < codes(decide(PERMITTING, q))]
    assert fewer


# ---------------------------------------------------------------- requirements, by their vectors


ALL_ASKED = [
    replace(ASKED, sender_member=sender, recipient=recipient, exchange=exchange, sender=None, unusable_keys=None)
    for sender in WRITTEN.member_by_id for recipient in WRITTEN.member_by_id for exchange in WRITTEN.exchange_by_id
]  # fmt: skip


def everywhere(policy: PolicySet, now: datetime = NOW) -> list[set[str]]:
    """Why not, for every pair and every exchange."""
    return [codes(decide(policy, replace(question, now=now))) for question in ALL_ASKED]


def test_r004_nothing_goes_before_the_month_in_which_the_agreement_begins() -> None:
    """2016-07-31 is denied, 2016-08-01 is allowed by this rule: of a month the first day counts."""
    policy = resigned(in_force(WRITTEN, "2016-08-01", "2019-07-31"))
    last, first = datetime(2016, 7, 31, 22, 59, tzinfo=UTC), datetime(2016, 7, 31, 23, 0, tzinfo=UTC)
    assert all("AGREEMENT_NOT_IN_FORCE" in reasons for reasons in everywhere(policy, last))
    assert not any("AGREEMENT_NOT_IN_FORCE" in reasons for reasons in everywhere(policy, first))


def test_r004_an_agreement_without_an_end_is_not_in_force() -> None:
    """Neither a last day nor a term: absence never permits. A term alone gives the last day."""
    endless = with_agreement(WRITTEN, in_force=InForce.model_validate({"from": "2026-09-01"}))
    assert all("AGREEMENT_NOT_IN_FORCE" in reasons for reasons in everywhere(endless))
    term = with_agreement(WRITTEN, in_force=InForce.model_validate({"from": "2026-09-01", "term": "P3Y"}))
    last, after = datetime(2029, 8, 31, 22, 59, tzinfo=UTC), datetime(2029, 8, 31, 23, 0, tzinfo=UTC)
    assert not any("AGREEMENT_NOT_IN_FORCE" in reasons for reasons in everywhere(term, last))
    assert all("AGREEMENT_NOT_IN_FORCE" in reasons for reasons in everywhere(term, after))


def test_r005_with_an_overdue_review_all_deposits_are_refused() -> None:
    """Due in August 2019 and `deny`: from 2019-09-01 everything is refused for it; the last day itself is not."""
    policy = with_agreement(WRITTEN, review=Review(due=date(2019, 8, 31), on_overdue="deny"))
    due, over = datetime(2019, 8, 31, 12, tzinfo=UTC), datetime(2019, 9, 1, 12, tzinfo=UTC)
    assert not any("AGREEMENT_REVIEW_OVERDUE" in reasons for reasons in everywhere(policy, due))
    assert all("AGREEMENT_REVIEW_OVERDUE" in reasons for reasons in everywhere(policy, over))


@pytest.mark.parametrize("status", ["APPROVAL", "DRAFT", "FOR_APPROVAL", "FOR APPROVAL", "approved", "WITHDRAWN"])
def test_r008_only_the_word_approved_opens_an_exchange(status: str) -> None:
    """`status: APPROVAL`, or any other word than APPROVED: every exchange is denied for it."""
    assert all("AGREEMENT_NOT_APPROVED" in r for r in everywhere(with_agreement(WRITTEN, status=status)))
    assert not any("AGREEMENT_NOT_APPROVED" in r for r in everywhere(WRITTEN))


def test_r014_a_member_that_did_not_join_neither_sends_nor_logs_in() -> None:
    """A tenth party without `member_since`, or with one to come."""
    for since in (None, date(2026, 12, 2)):
        policy = with_item(PERMITTING, "members", "essex", member_since=since)
        assert codes(decide(policy, ASKED)) == {"MEMBER_NOT_ADMITTED"}
        assert decide(policy, Deed(Act.LOG_IN, "p-essex-1", NOW)).codes == {"MEMBER_NOT_ADMITTED"}


def test_r065_who_handles_no_data_needs_no_training_to_log_in() -> None:
    """A lead, who signs and answers for breaches, is not locked out by a date; whoever sends or reads is."""
    for person, wanted in (("g-kent", set()), ("a-essex-1", set()), ("p-kent-2", {"TRAINING_EXPIRED"})):
        for until in (None, date(2026, 11, 30)):
            policy = with_item(WRITTEN, "people", person, training_valid_until=until)
            assert decide(policy, Deed(Act.LOG_IN, person, NOW)).codes == wanted


def test_r108_both_sign_before_anything_goes() -> None:
    """Essex has signed and Kent is only named: denied, both ways, until Kent signs this very text."""
    for state in ("block_missing", "blank", "named", "withdrawn"):
        named = signed(PERMITTING, "kent", state)
        assert codes(decide(named, ASKED)) == {"PARTY_NOT_SIGNED"}
        assert "PARTY_NOT_SIGNED" in codes(decide(named, replace(ASKED, sender_member="kent", recipient="essex")))
    assert "Kent has withdrawn its signature" in decide(signed(PERMITTING, "kent", "withdrawn"), ASKED).sentence
    there = Facts(signed={"kent": frozenset({PERMITTING.document_sha256})})
    assert decide(signed(PERMITTING, "kent", "named"), replace(ASKED, facts=there)).permit
    other = Facts(signed={"kent": frozenset({"0" * 64})})
    assert codes(decide(signed(PERMITTING, "kent", "named"), replace(ASKED, facts=other))) == {"SIGNATURE_STALE"}


def test_r109_another_authority_makes_every_signature_stale() -> None:
    """A signature covers the list of authorities: add a borough, and all sign again."""
    borough = WRITTEN.member_by_id["south-london"].represents[0].model_copy(update={"la": "999"})
    represents = (*WRITTEN.member_by_id["medway"].represents, borough)
    policy = with_item(PERMITTING, "members", "medway", represents=represents)
    assert codes(decide(policy, ASKED)) == {"SIGNATURE_STALE"}
    both = {member: frozenset({policy.document_sha256}) for member in ("essex", "kent")}
    assert decide(policy, replace(ASKED, facts=Facts(signed=both))).permit
