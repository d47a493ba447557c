"""Why one member may or may not send to another: every rule that was looked at, its clause and where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from server.domain.agreement import PolicySet
from server.domain.decision import Decision, Question, Rule, decide
from server.domain.schedule import LONDON, Period
from server.policy.revision import revision

HOLDS = {
    "AGREEMENT_NOT_APPROVED": "the agreement is approved",
    "AGREEMENT_NOT_IN_FORCE": "the agreement is in force",
    "AGREEMENT_REVIEW_OVERDUE": "its review is not overdue",
    "CHANNEL_NOT_AUTHORISED": "it names this server as a channel",
    "EXCHANGE_UNKNOWN": "there is such an exchange",
    "MEMBER_UNKNOWN": "there is such a member",
    "RECIPIENT_IS_SENDER": "sender and recipient are two members",
    "SENDER_NOT_IN_EXCHANGE": "the exchange is open to the sender",
    "RECIPIENT_NOT_IN_EXCHANGE": "the exchange is open to the recipient",
    "PARTY_NOT_SIGNED": "the member has signed",
    "SIGNATURE_STALE": "it signed this very text",
    "MEMBER_NOT_ADMITTED": "the member is admitted",
    "MEMBER_LEFT": "the member has not left",
    "OBLIGATION_NOT_STATED": "it is said whether the exchange is required",
    "EXCHANGE_NOT_BY_FILE": "files carry it",
    "PURPOSE_NOT_STATED": "a purpose of the agreement is stated",
    "LEGAL_BASIS_NOT_STATED": "a legal basis is stated",
    "LEGAL_BASIS_NOT_AVAILABLE": "public authorities may rely on it",
    "SPECIAL_CATEGORY_CONDITION_MISSING": "special-category fields have their condition",
    "RECORD_SCHEMA_MISSING": "its columns are agreed",
    "SENDER_UNKNOWN": "there is such a person",
    "SENDER_NOT_OF_MEMBER": "the person belongs to the sender",
    "SENDER_NOT_DESIGNATED": "the person is a designated person",
    "SENDER_SUSPENDED": "the person is not suspended",
    "TRAINING_EXPIRED": "the person's training is in date",
    "PERIOD_NOT_OPEN": "the period is open",
    "RECIPIENT_NOT_READY": "the recipient has a data manager",
    "RECIPIENT_KEY_UNUSABLE": "the recipient has a key to seal to",
    "PERSON_UNKNOWN": "there is such a person",
    "PERSON_SUSPENDED": "the person is not suspended",
    "NO_MAILBOX": "a role of theirs needs a mailbox",
    "VERB_NOT_GRANTED": "a role of theirs includes it",
    "DELIVERY_OF_ANOTHER_MEMBER": "the delivery is their member's",
    "SENDER_ACKNOWLEDGES": "somebody else sent it",
}


def explain(
    policy: PolicySet,
    sender: str,
    recipient: str,
    exchange: str,
    now: datetime,
    *,
    period: Period | None = None,
    unusable_keys: Mapping[str, str] | None = None,
) -> list[str]:
    """Lines of text: the answer, then every rule as `yes` or `NO`, with its clause and file:line.

    `sender` is a member's id, or a person's: then that person's role and training are looked at too. `unusable_keys`
    maps holders to why their key cannot be used; without it a key that is on file counts as usable.
    """
    person = policy.person(sender)
    member_id = person.member if person is not None else sender
    question = Question(
        sender_member=member_id, recipient=recipient, exchange=exchange, now=now,
        sender=person.id if person else None, period=period, unusable_keys=unusable_keys or {},
    )  # fmt: skip
    decision = decide(policy, question)
    asked = f"{now.astimezone(LONDON):%Y-%m-%d %H:%M %Z}"
    return [
        f"{_answer(decision)}: {sender} to {recipient}, {exchange}.",
        f"Asked for {asked}, revision {revision(policy)[:12]}, {len(decision.rules)} rules looked at:",
        *(_line(policy, rule) for rule in decision.rules),
    ]


def _answer(decision: Decision) -> str:
    if decision.permit:
        return "PERMIT"
    number = len(decision.reasons)
    return f"DENY, {number} reason{'' if number == 1 else 's'}"


def _line(policy: PolicySet, rule: Rule) -> str:
    place = policy.place(*rule.place)
    where = f"{place.file}:{place.line}" if place else "not in the files"
    clause = f"clause {rule.clause}" if rule.clause[:1].isdigit() else rule.clause
    source = ", ".join(part for part in (clause, where) if part)
    if rule.holds:
        return f"  yes  {HOLDS.get(rule.code, rule.code)} ({source})"
    return f"  NO   {rule.code}: {rule.sentence} ({source})"
