"""What stands between a sender and what it owes that is not its own doing: the recipient, the agreement, the exchange.

A sender whose signature is of an older text is itself to blame. One that is not bound by the agreement at all (never
signed, not admitted, gone) is not late: nothing of it would be taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from sqlmodel import Session

from server.domain.agreement import PolicySet
from server.domain.decision import Facts, Question, decide
from server.domain.ruling import Rule
from server.domain.schedule import LONDON, in_words, london_day
from server.domain.standing import of_member, of_signature
from server.exchange.ground import Ground, InForce
from server.exchange.uptime import Outage, outages
from server.store import once
from server.store.duty_tables import ObligationRow

_DAY_BEGINS = time(8)
_LONG = timedelta(hours=1)
"""How long the exchange is down on the due day, before it is due, for that to be the reason."""
_NOT_BOUND = frozenset({"PARTY_NOT_SIGNED", "MEMBER_NOT_ADMITTED", "MEMBER_LEFT"})


@dataclass(frozen=True)
class Hindrance:
    """What prevents what, as one transaction or read sees it."""

    ground: Ground
    session: Session
    in_force: InForce
    facts: Facts
    _known: dict[tuple[str, str, str, datetime], str | None] = field(default_factory=dict, repr=False)
    """What was found already: a pair is asked about once for every period that it is late with."""
    _down: dict[datetime, tuple[Outage, ...]] = field(default_factory=dict, repr=False)
    """The outages, as they were known at that moment."""

    @classmethod
    def seen(cls, ground: Ground, session: Session) -> Hindrance:
        def found() -> Hindrance:
            return cls(ground, session, ground.in_force_at(session), ground.facts_at(session))

        return once(session, "hindrance", found)

    def of(self, row: ObligationRow, moment: datetime) -> str | None:
        """What keeps its sender from sending at `moment`, as words after "blocked by"; None when nothing does."""
        if not row.recipient:
            return None
        return self.between(row.exchange, row.sender, row.recipient, moment)

    def between(self, exchange: str, sender: str, recipient: str, moment: datetime) -> str | None:
        """The same for any pair."""
        key = (exchange, sender, recipient, moment)
        if key not in self._known:
            self._known[key] = self._between(*key)
        return self._known[key]

    def _between(self, exchange: str, sender: str, recipient: str, moment: datetime) -> str | None:
        policy = self.in_force.policy
        unusable: dict[str, str] = {}
        if policy.member(recipient) is not None:
            _, unusable = self.in_force.keys_for(recipient, self.ground.real())
        question = Question(sender, recipient, exchange, moment, unusable_keys=unusable, facts=self.facts)
        reasons = [rule for rule in decide(policy, question).reasons if rule not in self._own(policy, sender, moment)]
        if not reasons:
            return None
        return _words(reasons[0], policy, recipient)

    def at_due(self, row: ObligationRow, now: datetime) -> str | None:
        """What prevented it when it fell due: an outage on that day, else the recipient or the agreement."""
        begins = datetime.combine(london_day(row.due_at), _DAY_BEGINS, tzinfo=LONDON)
        if now not in self._down:
            self._down[now] = outages(self.session, now)
        for down in self._down[now]:
            if min(down.until_at, row.due_at) - max(down.from_at, begins) >= _LONG:
                return f"the exchange, which was down from {in_words(down.from_at)} to {in_words(down.until_at)}"
        return self.of(row, row.due_at)

    def _own(self, policy: PolicySet, sender: str, moment: datetime) -> list[Rule]:
        """Rules about the sender itself that are its own doing."""
        member = policy.member(sender)
        if member is None:
            return []
        rules = [*of_member(member, self.facts, moment), *of_signature(policy, member, self.facts)]
        return [rule for rule in rules if rule.code not in _NOT_BOUND]


def _words(rule: Rule, policy: PolicySet, recipient: str) -> str:
    """The rule's first sentence, so that it reads on after "blocked by"."""
    member, sentence = policy.member(recipient), rule.sentence.split(". ")[0].removesuffix(".")
    if member is not None and sentence.startswith(f"{member.called} "):
        return f"{member.called}, which {sentence.removeprefix(member.called).strip()}"
    return f"the agreement: {sentence}"
