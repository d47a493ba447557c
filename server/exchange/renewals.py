"""Reminders of what runs out, each stage once: whoever looks, however often, however many processes there are."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.ledger import Event, Fact
from server.domain.renewals import Renewal, due
from server.domain.schedule import day_words, london_day
from server.exchange.ground import Ground
from server.store.tables import NoticeRow


class Renewals:
    """Writes the notices of the stages that have come."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._seen: tuple[str, date] | None = None
        """The revision and day for which everything is written."""

    def remind_due(self) -> int:
        """Remind of every stage that has come and was not yet said to its people; how many were new."""
        in_force, now = self._ground.in_force, self._ground.now()
        looked_at = (in_force.revision, london_day(now))
        if self._seen == looked_at:
            return 0
        renewals = due(in_force.policy, now)
        with self._ground.store.reading() as session:
            new = [renewal for renewal in renewals if self._unsaid(session, renewal)]
        for renewal in new:
            self._remind(in_force.policy, renewal)
        self._seen = looked_at
        return len(new)

    def _unsaid(self, session: Session, renewal: Renewal) -> list[str]:
        """Those who have no notice of it yet."""
        told = session.exec(select(NoticeRow.person).where(col(NoticeRow.thread) == renewal.thread)).all()
        return [person for person in renewal.people if person not in told]

    def _remind(self, policy: PolicySet, renewal: Renewal) -> None:
        """Looked at again inside: another process may have been quicker."""
        with self._ground.transaction() as tx:
            people = self._unsaid(tx.session, renewal)
            if not people:
                return
            facts: dict[str, Fact] = {
                "kind": renewal.kind,
                "last": renewal.last.isoformat(),
                "stage": renewal.stage,
                "to": ",".join(people),
            }
            about = tx.record(Event("renewal.reminded", "exchange", (renewal.subject,), facts))
            for person_id in people:
                person = policy.person_by_id[person_id]
                notice = self._ground.notices.notice(
                    "renewal", person=person.id, member=person.member, thread=renewal.thread,
                    facts=self._facts(policy, renewal, person_id), tone="bad" if renewal.over else "attention",
                )  # fmt: skip
                tx.notify(notice, about=about)

    def _facts(self, policy: PolicySet, renewal: Renewal, reader: str) -> dict[str, object]:
        member = policy.member(renewal.subject)
        trainee = policy.person(renewal.subject)
        return {
            "kind": renewal.kind,
            "over": renewal.over,
            "last": day_words(renewal.last),
            "yours": renewal.subject == reader,
            "member": member.called if member else "",
            "person": trainee.name if trainee else "",
            "agreement": f"{policy.agreement.title}, {policy.agreement.version}",
            "owner": self._ground.called(policy.agreement.owner),
            "denies": policy.agreement.review.on_overdue == "deny",
            "gate": policy.access.training_gate == "deny",
        }
