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
from server.domain.decision import Decision, Question, decide
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
            "SENDER_ACKNOWLEDGES"}  # fmt: skip
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
    more = len(decision.reasons) - 1
    assert (f"({more} more reason" in decision.sentence) == (more > 0)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(random: Any) -> None:
    """Members, people, exchanges, signatures and purposes may stand in any order: the answer is the same."""

    def shuffled(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(rows, len(rows)))

    agreement = PERMITTING.agreement
    other = with_parts(PERMITTING, **{t: shuffled(getattr(PERMITTING, t)) for t in ("members", "people", "exchanges")})
    other = with_agreement(other, **{t: shuffled(getattr(agreement, t)) for t in ("signatures", "purposes")})
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
