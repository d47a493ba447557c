"""Whether something may be done. Pure: policy set, facts and time in, a Decision out. Absence never permits.

A consignment may go only when every rule of the agreement holds for its sender, recipient, exchange and period; what
one person may do besides is in `standing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from server.domain.agreement import Exchange, LawfulBasis, Member, Person, PolicySet
from server.domain.ruling import Act, Decision, Deed, Facts, Rule
from server.domain.schedule import Period, london_day
from server.domain.standing import of_deed, of_member, of_signature, of_training

__all__ = ["Act", "Decision", "Deed", "Facts", "Question", "Rule", "decide"]

PUBLIC_TASK = frozenset({"6(1)(b)", "6(1)(c)", "6(1)(d)", "6(1)(e)"})
"""The legal bases open to a public authority for its tasks. Legitimate interests are not (UK GDPR Article 6(1))."""
CONSENT = "6(1)(a)"


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a file may be sent. `sender` is a person's id, None when only the members are asked about.

    `period` likewise. `unusable_keys` maps a holder to why no file can be sealed to it ("expired", "absent", …), for
    the recipient; None when sealing is not what is asked about.
    """

    sender_member: str
    recipient: str
    exchange: str
    now: datetime
    sender: str | None = None
    period: Period | None = None
    unusable_keys: Mapping[str, str] | None = None
    facts: Facts = field(default_factory=Facts)

    @property
    def act(self) -> Act:
        return Act.SEND


def decide(policy: PolicySet, question: Question | Deed) -> Decision:
    """Every rule of the agreement for this question, all that fail and not only the first (R-004 … R-109)."""
    if isinstance(question, Deed):
        return Decision(of_deed(policy, question))
    exchange = policy.exchange(question.exchange)
    sender, recipient = policy.member(question.sender_member), policy.member(question.recipient)
    rules = [
        *_agreement(policy, question.now),
        _channel(policy),
        _known("EXCHANGE_UNKNOWN", exchange, "exchanges", question.exchange),
        _known("MEMBER_UNKNOWN", sender, "members", question.sender_member),
        _known("MEMBER_UNKNOWN", recipient, "members", question.recipient),
    ]
    if exchange is None or sender is None or recipient is None:
        return Decision(tuple(rules))
    rules += _pair(policy, exchange, sender, recipient)
    rules += [rule for member in (sender, recipient) for rule in of_member(member, question.facts, question.now)]
    rules += [rule for member in (sender, recipient) for rule in of_signature(policy, member, question.facts)]
    rules += [*_obligation(exchange), *_basis(policy, exchange)]
    if question.sender is not None:
        rules += _sender(policy, question.sender, sender, question)
    if question.period is not None:
        rules.append(_period(policy, exchange, question.period, question.now))
    rules += _recipient(policy, recipient, question)
    return Decision(tuple(rules))


def _known(code: str, found: object, table: str, name: str) -> Rule:
    sentence = f"There is no {table.removesuffix('s')} called {name}."
    return Rule(code, found is not None, sentence, "", (table, name))


def _agreement(policy: PolicySet, now: datetime) -> list[Rule]:
    agreement, today = policy.agreement, london_day(now)
    begins, ends = agreement.in_force.from_, agreement.in_force.last_day
    in_force = ends is not None and begins <= today <= ends
    span = f"from {begins} until {ends}" if ends else f"from {begins}; no last day or term is given"
    reviewed = today <= agreement.review.due or agreement.review.on_overdue == "warn"
    return [
        Rule("AGREEMENT_NOT_APPROVED", agreement.status == "APPROVED",
             f"The agreement is {agreement.status}; nothing can be sent until it is APPROVED.",
             "version control", ("agreement", "status")),
        Rule("AGREEMENT_NOT_IN_FORCE", in_force, f"The agreement is not in force today ({span}).",
             "version control", ("agreement", "in_force")),
        Rule("AGREEMENT_REVIEW_OVERDUE", reviewed,
             f"The agreement's review was due on {agreement.review.due} and has not been done.",
             "version control", ("agreement", "review", "due")),
    ]  # fmt: skip


def _channel(policy: PolicySet) -> Rule:
    holds = any(channel.kind == "this-server" for channel in policy.agreement.approved_channels)
    return Rule("CHANNEL_NOT_AUTHORISED", holds, "The agreement does not name this server as an approved channel.",
                "6, 7", ("agreement", "approved_channels"))  # fmt: skip


def _pair(policy: PolicySet, exchange: Exchange, sender: Member, recipient: Member) -> list[Rule]:
    place = ("exchanges", exchange.id, "members")
    return [
        Rule("RECIPIENT_IS_SENDER", sender.id != recipient.id,
             f"{recipient.called} is your own organisation; a file goes to another member.", exchange.clause, place),
        Rule("SENDER_NOT_IN_EXCHANGE", policy.takes_part(sender.id, exchange),
             f"{exchange.called} is not open to {sender.called}.", exchange.clause, place),
        Rule("RECIPIENT_NOT_IN_EXCHANGE", policy.takes_part(recipient.id, exchange),
             f"{exchange.called} is not open to {recipient.called}.", exchange.clause, place),
    ]  # fmt: skip


def _obligation(exchange: Exchange) -> list[Rule]:
    place = ("exchanges", exchange.id, "obligation")
    unsaid = f"The agreement does not say whether {exchange.called} is required."
    stated = Rule("OBLIGATION_NOT_STATED", exchange.obligation is not None, unsaid, exchange.clause, place)
    if exchange.obligation is None:
        return [stated]
    sentence = f"{exchange.called} happens elsewhere; no file carries it."
    return [stated, Rule("EXCHANGE_NOT_BY_FILE", exchange.by_file, sentence, exchange.clause, place)]


def _basis(policy: PolicySet, exchange: Exchange) -> list[Rule]:
    """Purpose, legal basis, special-category condition and columns: what personal data needs (clauses 2 to 4)."""
    if not exchange.personal_data:
        return []
    place = ("exchanges", exchange.id)
    known = {purpose.id for purpose in policy.agreement.purposes}
    purposes = bool(exchange.purposes) and set(exchange.purposes) <= known
    columns = exchange.content_inspection == "none" or policy.schema_of(exchange) is not None
    return [
        Rule("PURPOSE_NOT_STATED", purposes, f"{exchange.called} states no purpose of the agreement.", "2",
             (*place, "purposes")),
        *_lawful(policy.agreement.lawful_basis, exchange),
        _special(policy, exchange),
        Rule("RECORD_SCHEMA_MISSING", columns, f"No columns are agreed for {exchange.called}.", "3",
             (*place, "record_schema")),
    ]  # fmt: skip


def _lawful(whole: LawfulBasis, exchange: Exchange) -> list[Rule]:
    own = exchange.lawful_basis.article6 if exchange.lawful_basis else ()
    place = ("exchanges", exchange.id, "lawful_basis")
    stated = bool(own) and bool(whole.article6)
    rule = Rule("LEGAL_BASIS_NOT_STATED", stated, f"No legal basis is stated for {exchange.called}.", "4", place)
    if not stated:
        return [rule]
    sentence = f"The legal basis of {exchange.called} ({', '.join(own)}) is not open to public authorities."
    return [rule, Rule("LEGAL_BASIS_NOT_AVAILABLE", not available_to(whole).isdisjoint(own), sentence, "4", place)]


def available_to(whole: LawfulBasis) -> frozenset[str]:
    """The Article 6 conditions that exchanges of the agreement may rest on: those of public tasks; explicit consent."""
    return PUBLIC_TASK | ({CONSENT} if whole.consent == "explicit" else frozenset())


def _special(policy: PolicySet, exchange: Exchange) -> Rule:
    """A condition that covers each such field; where the content is not looked at, any may be in it (R-032)."""
    condition = exchange.special_category
    covered = set(condition.fields) if condition else set()
    bare = [column.name for column in policy.special_columns(exchange) if column.name not in covered]
    if exchange.content_inspection == "none" and condition is None:
        bare = ["whatever is in a file that is not looked at"]
    sentence = f"{exchange.called} has special-category data without a condition: {', '.join(bare)}."
    return Rule("SPECIAL_CATEGORY_CONDITION_MISSING", not bare, sentence, "4",
                ("exchanges", exchange.id, "special_category"))  # fmt: skip


def _sender(policy: PolicySet, person_id: str, member: Member, question: Question) -> list[Rule]:
    person = policy.person(person_id)
    known = Rule("SENDER_UNKNOWN", person is not None, f"{person_id} is not a person of this agreement.", "6",
                 ("people",))  # fmt: skip
    return [known] if person is None else [known, *_designated(policy, person, member, question)]


def _designated(policy: PolicySet, person: Person, member: Member, question: Question) -> list[Rule]:
    place = ("people", person.id)
    return [
        Rule("SENDER_NOT_OF_MEMBER", person.member == member.id,
             f"{person.id} does not belong to {member.called}.", "6", (*place, "member")),
        Rule("SENDER_NOT_DESIGNATED", policy.may(person, "outbox.write"),
             f"{person.id} is not a designated person and cannot send.", "6", (*place, "roles")),
        Rule("SENDER_SUSPENDED", person.id not in question.facts.suspended,
             f"{person.id} is suspended; two colleagues can lift that.", "6", place),
        of_training(policy, person, question.now),
    ]  # fmt: skip


def _period(policy: PolicySet, exchange: Exchange, period: Period, now: datetime) -> Rule:
    months, within = policy.use_by_months(exchange), exchange.covers_its_month
    first = period.first_sent(within=within)
    if london_day(now) < first:
        sentence = f"{period} {'has not begun' if within else 'is not over'} yet: it can be sent from {first}."
    else:
        sentence = f"{period} closed on {period.closes(months)}; ask the recipient before sending anything so late."
    return Rule(
        "PERIOD_NOT_OPEN",
        period.is_open(now, months, within=within),
        sentence,
        exchange.clause,
        ("exchanges", exchange.id),
    )


def _recipient(policy: PolicySet, member: Member, question: Question) -> list[Rule]:
    """Somebody there can open it: a data manager who is not suspended (R-015), with a key that works."""
    there = [p for p in policy.people_of(member.id, "data_manager") if policy.may(p, "inbox.read")]
    managers = [p.id for p in there if p.id not in question.facts.suspended]
    rules = [Rule("RECIPIENT_NOT_READY", bool(managers),
                  f"{member.called} is not ready: it has no data manager to receive files.", "6, 9",
                  ("members", member.id))]  # fmt: skip
    unusable = question.unusable_keys
    if not managers or unusable is None:
        return rules
    people = {holder for holder, _ in policy.sealed_to(member.id) if policy.person(holder) is not None}
    usable = bool(people - set(unusable))  # a recovery key alone is in nobody's hands
    rules.append(Rule("RECIPIENT_KEY_UNUSABLE", usable, _no_key(member, unusable), "6", ("members", member.id)))
    return rules


def _no_key(member: Member, unusable: Mapping[str, str]) -> str:
    why = ", ".join(f"{holder}: {reason}" for holder, reason in sorted(unusable.items())) or "no key is on file"
    sentence = f"{member.called} has no key that a file can be sealed to ({why})."
    return f"{sentence} They have been told; send again when they have one."
