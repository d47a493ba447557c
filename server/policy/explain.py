"""Why one member may or may not send to another: every rule looked at, its clause and where it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from server.domain.agreement import PolicySet
from server.domain.decision import Act, Decision, Deed, Facts, Question, Rule, decide
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
    "ATTESTED_IN_ANOTHER_ROLE": "they have the role that attests",
    "SENDER_ATTESTS": "somebody else sent what they attest",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with everything that it was made of. `folder` stands before the names of the files."""

    asked: str
    policy: PolicySet
    decision: Decision
    now: datetime
    folder: str = ""

    def lines(self) -> list[str]:
        """The answer, then every rule as `yes` or `NO`, with its clause and file:line."""
        moment = f"{self.now.astimezone(LONDON):%Y-%m-%d %H:%M %Z}"
        count = len(self.decision.rules)
        return [
            f"{_answer(self.decision)}: {self.asked}.",
            f"Asked for {moment}, revision {revision(self.policy)[:12]}, {count} rules looked at:",
            *(self._line(rule) for rule in self.decision.rules),
        ]

    def json(self) -> str:
        """The same as one JSON object."""
        content = {
            "answer": "permit" if self.decision.permit else "deny",
            "asked": self.asked,
            "at": self.now.isoformat(),
            "revision": revision(self.policy),
            "rules": [
                {
                    "code": rule.code,
                    "holds": rule.holds,
                    "sentence": HOLDS[rule.code] if rule.holds else rule.sentence,
                    "clause": rule.clause,
                    "place": self._where(rule),
                }
                for rule in self.decision.rules
            ],
        }
        return json.dumps(content, ensure_ascii=False, indent=2)

    def _where(self, rule: Rule) -> str | None:
        place = self.policy.place(*rule.place)
        return f"{Path(self.folder, place.file)}:{place.line}" if place else None

    def _line(self, rule: Rule) -> str:
        where = self._where(rule) or "not in the files"
        word = "clauses" if "," in rule.clause else "clause"
        clause = f"{word} {rule.clause}" if rule.clause[:1].isdigit() else rule.clause
        source = ", ".join(part for part in (clause, where) if part)
        if rule.holds:
            return f"  yes  {HOLDS[rule.code]} ({source})"
        return f"  NO   {rule.code}: {rule.sentence} ({source})"


def explain(
    policy: PolicySet,
    sender: str,
    recipient: str,
    exchange: str,
    now: datetime,
    *,
    period: Period | None = None,
    unusable_keys: Mapping[str, str] | None = None,
    facts: Facts = Facts(),
    folder: str = "",
) -> Explanation:
    """Whether a file may go. `sender` is a member's id, or a person's: then role and training are looked at too.

    `unusable_keys` maps holders to why their key cannot be used; without it a key that is on file counts as usable.
    """
    person = policy.person(sender)
    question = Question(
        sender_member=person.member if person else sender, recipient=recipient, exchange=exchange, now=now,
        sender=person.id if person else None, period=period, unusable_keys=unusable_keys or {}, facts=facts,
    )  # fmt: skip
    asked = f"{sender} to {recipient}, {exchange}{f', {period}' if period else ''}"
    return Explanation(asked, policy, decide(policy, question), now, folder)


def explain_login(
    policy: PolicySet, person: str, now: datetime, *, facts: Facts = Facts(), folder: str = ""
) -> Explanation:
    """Whether a person may log in, with a key that the policy set has."""
    decision = decide(policy, Deed(Act.LOG_IN, person, now, facts=facts))
    return Explanation(f"{person} logs in", policy, decision, now, folder)


def _answer(decision: Decision) -> str:
    if decision.permit:
        return "PERMIT"
    number = len(decision.reasons)
    return f"DENY, {number} reason{'' if number == 1 else 's'}"
