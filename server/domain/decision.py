"""Whether a consignment may go. Pure: policy set, facts and time in, a Decision out. Absence never permits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from server.domain.agreement import Exchange, Member, Person, PolicySet
from server.domain.schedule import Period, london_day


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that was looked at: code, whether it holds, a sentence, the clause and the place in the policy set."""

    code: str
    holds: bool
    sentence: str
    clause: str
    place: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Permit only if every rule holds; `rules` are all that were looked at, in order."""

    rules: tuple[Rule, ...]

    @property
    def permit(self) -> bool:
        return bool(self.rules) and all(rule.holds for rule in self.rules)

    @property
    def reasons(self) -> tuple[Rule, ...]:
        """Every rule that does not hold, not only the first."""
        return tuple(rule for rule in self.rules if not rule.holds)

    @property
    def sentence(self) -> str:
        """What a person is told: the first failing rule, and how many more there are."""
        if self.permit:
            return "Permitted."
        if not self.reasons:
            return "Denied: no rule permits it."
        more = len(self.reasons) - 1
        tail = f" ({more} more reason{'s' if more > 1 else ''}: safehand access explain)" if more else ""
        return self.reasons[0].sentence + tail


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `sender` is a person's id, None when only the pair of members is asked about; `period` likewise.

    `unusable_keys` maps a holder to why no file can be sealed to it ("expired", "absent", …), for the recipient.
    """

    sender_member: str
    recipient: str
    exchange: str
    now: datetime
    sender: str | None = None
    period: Period | None = None
    unusable_keys: Mapping[str, str] | None = None


def decide(policy: PolicySet, question: Question) -> Decision:
    """Every rule of the agreement for this question (R-004, R-005, R-008 and those of each clause)."""
    exchange = policy.exchange(question.exchange)
    sender, recipient = policy.member(question.sender_member), policy.member(question.recipient)
    rules = [*_agreement(policy, question.now), _channel(policy)]
    rules.append(
        _known(
            "EXCHANGE_UNKNOWN", exchange is not None, f"There is no exchange called {question.exchange}.", "exchanges"
        )
    )
    rules.append(
        _known("MEMBER_UNKNOWN", sender is not None, f"There is no member called {question.sender_member}.", "members")
    )
    rules.append(
        _known("MEMBER_UNKNOWN", recipient is not None, f"There is no member called {question.recipient}.", "members")
    )
    if exchange is None or sender is None or recipient is None:
        return Decision(tuple(rules))
    rules += _pair(policy, exchange, sender, recipient)
    rules += _basis(policy, exchange)
    if question.sender is not None:
        rules += _sender(policy, question.sender, sender, question.now)
    if question.period is not None:
        rules.append(_period(policy, exchange, question.period, question.now))
    rules += _recipient(policy, recipient, question.unusable_keys)
    return Decision(tuple(rules))


def _known(code: str, holds: bool, sentence: str, table: str) -> Rule:
    return Rule(code, holds, sentence, "", (table,))


def _agreement(policy: PolicySet, now: datetime) -> list[Rule]:
    agreement, today = policy.agreement, london_day(now)
    until = agreement.in_force.until
    in_force = agreement.in_force.from_ <= today and (until is None or today <= until)
    reviewed = today <= agreement.review.due or agreement.review.on_overdue == "warn"
    return [
        Rule("AGREEMENT_NOT_APPROVED", agreement.status == "APPROVED",
             f"The agreement is {agreement.status}; nothing can be sent until it is APPROVED.",
             "version control", ("agreement", "status")),
        Rule("AGREEMENT_NOT_IN_FORCE", in_force,
             f"The agreement is not in force today (from {agreement.in_force.from_}"
             f"{f' until {until}' if until else ''}).", "version control", ("agreement", "in_force")),
        Rule("AGREEMENT_REVIEW_OVERDUE", reviewed,
             f"The agreement's review was due on {agreement.review.due} and has not been done.",
             "version control", ("agreement", "review", "due")),
    ]  # fmt: skip


def _channel(policy: PolicySet) -> Rule:
    holds = any(channel.kind == "this-server" for channel in policy.agreement.approved_channels)
    return Rule("CHANNEL_NOT_AUTHORISED", holds, "The agreement does not name this server as an approved channel.",
                "6, 7", ("agreement", "approved_channels"))  # fmt: skip


def _signed(policy: PolicySet, member: Member) -> Rule:
    states = {s.member: s.state for s in policy.agreement.signatures}
    return Rule("PARTY_NOT_SIGNED", states.get(member.id) == "signed", f"{member.called} has not signed the agreement.",
                "12", ("agreement", "signatures"))  # fmt: skip


def _pair(policy: PolicySet, exchange: Exchange, sender: Member, recipient: Member) -> list[Rule]:
    place = ("exchanges", exchange.id, "members")
    return [
        Rule("RECIPIENT_IS_SENDER", sender.id != recipient.id,
             f"{recipient.called} is your own organisation; a file goes to another member.", exchange.clause, place),
        Rule("SENDER_NOT_IN_EXCHANGE", policy.takes_part(sender.id, exchange),
             f"{exchange.called} is not open to {sender.called}.", exchange.clause, place),
        Rule("RECIPIENT_NOT_IN_EXCHANGE", policy.takes_part(recipient.id, exchange),
             f"{exchange.called} is not open to {recipient.called}.", exchange.clause, place),
        _signed(policy, sender),
        _signed(policy, recipient),
    ]  # fmt: skip


def _basis(policy: PolicySet, exchange: Exchange) -> list[Rule]:
    if not exchange.personal_data:
        return []
    known = {purpose.id for purpose in policy.agreement.purposes}
    stated = bool(exchange.purposes) and set(exchange.purposes) <= known
    place = ("exchanges", exchange.id, "purposes")
    return [
        Rule("PURPOSE_NOT_STATED", stated, f"{exchange.called} states no purpose of the agreement.", "2", place),
        Rule("LEGAL_BASIS_NOT_STATED", bool(policy.agreement.lawful_basis.article6),
             "The agreement states no legal basis.", "4", ("agreement", "lawful_basis")),
    ]  # fmt: skip


def _sender(policy: PolicySet, person_id: str, member: Member, now: datetime) -> list[Rule]:
    person = policy.person(person_id)
    known = Rule("SENDER_UNKNOWN", person is not None, f"{person_id} is not a person of this agreement.", "6",
                 ("people",))  # fmt: skip
    return [known] if person is None else [known, *_designated(policy, person, member, now)]


def _designated(policy: PolicySet, person: Person, member: Member, now: datetime) -> list[Rule]:
    place = ("people", person.id)
    gate = policy.access.training_gate
    until = person.training_valid_until
    trained = gate == "warn" or (until is not None and london_day(now) <= until)
    return [
        Rule("SENDER_NOT_OF_MEMBER", person.member == member.id,
             f"{person.id} does not belong to {member.called}.", "6",
             place),
        Rule("SENDER_NOT_DESIGNATED", policy.may(person, "outbox.write"),
             f"{person.id} is not a designated person and cannot send.", "6", (*place, "roles")),
        Rule("TRAINING_EXPIRED", trained,
             f"{person.id} has no training in date{f' (it ended on {until})' if until else ''}; renew it, then send.",
             "6", (*place, "training_valid_until")),
    ]  # fmt: skip


def _period(policy: PolicySet, exchange: Exchange, period: Period, now: datetime) -> Rule:
    months = policy.use_by_months(exchange)
    if london_day(now) < period.opens:
        sentence = f"{period} is not over yet: it can be sent from {period.opens}."
    else:
        sentence = f"{period} closed on {period.closes(months)}; ask the recipient before sending anything so late."
    return Rule("PERIOD_NOT_OPEN", period.is_open(now, months), sentence, exchange.clause, ("exchanges", exchange.id))


def _recipient(policy: PolicySet, member: Member, unusable: Mapping[str, str] | None) -> list[Rule]:
    managers = policy.people_of(member.id, "data_manager")
    rules = [Rule("RECIPIENT_WITHOUT_DATA_MANAGER", bool(managers),
                  f"{member.called} is not ready: it has no data manager to receive files.", "6",
                  ("members", member.id))]  # fmt: skip
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
