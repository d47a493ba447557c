"""Small files that are acts: NIL says that there is nothing to send, `<name>.sha256` that a file is whole."""

from __future__ import annotations

import re

from server.domain import guard
from server.domain.agreement import PolicySet
from server.domain.decision import Facts, Question, decide
from server.domain.delivery import Status
from server.domain.errors import Refused
from server.domain.schedule import clock_words
from server.exchange.address import Address
from server.exchange.arrivals import Small
from server.exchange.delivery import Deliveries
from server.exchange.ground import Ground
from server.exchange.nil_returns import Nil, NilReturns
from server.exchange.outbox_rows import checksum_of, deliveries_of, latest
from server.exchange.refusals import Refusals
from server.exchange.sessions import Sessions, Visitor
from server.store import Tx
from server.store.tables import ChecksumRow, ConsignmentRow

_CHECKSUM = re.compile(rb"\s*\\?([0-9a-fA-F]{64})(?:\s|$)")


class SmallFiles:
    """Acts on a small file when the client closes it."""

    def __init__(
        self, ground: Ground, sessions: Sessions, deliveries: Deliveries, refusals: Refusals, nil_returns: NilReturns
    ) -> None:
        self._ground, self._sessions, self._deliveries, self._refusals = ground, sessions, deliveries, refusals
        self._nil_returns = nil_returns

    def close(self, small: Small) -> str:
        if small.failed is not None:
            raise small.failed
        self._sessions.require(small.visitor)
        try:
            act = self._nil if guard.is_nil(small.name) else self._take_checksum
            return act(small)
        except Refused as error:
            self._refusals.note(small.visitor, small.address.place, small.name, error, address=small.address)
            raise

    def _permitted_at(self, tx: Tx, visitor: Visitor, address: Address) -> tuple[str, ...]:
        """Like `permitted`, by what this very transaction sees."""
        in_force, facts = self._ground.in_force_at(tx.session), self._ground.facts_at(tx.session)
        return self.permitted(visitor, address, in_force.policy, facts)

    def permitted(self, visitor: Visitor, address: Address, policy: PolicySet, facts: Facts) -> tuple[str, ...]:
        """The members that this may be said to; their keys do not matter, for nothing is sealed. Raises Refused."""
        answers = {
            recipient: decide(
                policy,
                Question(
                    visitor.member.id, recipient, address.exchange.id, self._ground.now(), sender=visitor.person.id,
                    period=address.period, facts=facts,
                ),
            )
            for recipient in address.recipients
        }  # fmt: skip
        found = tuple(sorted(recipient for recipient, decision in answers.items() if decision.permit))
        if not found:
            raise Refused(next((d.sentence for d in answers.values()), "Nobody takes part."), code="DENIED")
        return found

    def _nil(self, small: Small) -> str:
        address, visitor = small.address, small.visitor
        if bytes(small.content).strip():
            raise Refused("A nil return is an empty file; this one has content.", code="NIL_NOT_EMPTY")
        with self._ground.transaction() as tx:
            to = self._permitted_at(tx, visitor, address)
            nil = Nil(
                visitor.person, address.exchange, str(address.period), to, "sftp", address.folder, small.name
            )  # fmt: skip
            earlier = self._nil_returns.say(tx, nil)
            if earlier is not None:
                return f"This nil return was already received at {clock_words(earlier.at, tx.now)}."
        return "Nil return received: nothing to send this period."

    def _take_checksum(self, small: Small) -> str:
        found = _CHECKSUM.match(bytes(small.content))
        if found is None:
            raise Refused(
                "A .sha256 file begins with 64 hexadecimal digits; this one does not.", code="CHECKSUM_UNREADABLE"
            )
        said = found[1].decode().lower()
        name, address, visitor = small.name[: -len(".sha256")], small.address, small.visitor
        with self._ground.transaction() as tx:
            self._permitted_at(tx, visitor, address)
            consignment = latest(tx.session, visitor, (address.exchange.id, str(address.period), address.folder), name)
            if consignment is not None and consignment.sha256 == said:
                held = [row for row in deliveries_of(tx.session, consignment) if row.status is Status.HELD]
                consignment.cut_words = None
                tx.session.add(consignment)
                if held and consignment.hold == "completeness":
                    self._deliveries.settle(tx, consignment, held, actor=visitor.person.id)
                sentence = f"The checksum fits {consignment.id}: the file is whole."
            else:
                self._keep_checksum(tx, small, name, said)
                sentence = self._not_fitting(tx, consignment)
        return sentence

    def _not_fitting(self, tx: Tx, consignment: ConsignmentRow | None) -> str:
        """What a checksum means that fits no file here: one that is still to come, or one that arrived damaged."""
        if consignment is None or consignment.staged:
            return "Checksum noted: it is compared with the file when that arrives."
        words = "The file differs from its .sha256 file: it may be damaged, cut off or older. Is it right?"
        if self._deliveries.doubt(tx, consignment, words):
            return f"The checksum does not fit {consignment.id}, which is held now: send the file again."
        return f"The checksum does not fit {consignment.id}, which has gone: recall it, or send the right file again."

    def _keep_checksum(self, tx: Tx, small: Small, name: str, said: str) -> None:
        address = small.address
        row = ChecksumRow(
            person=small.visitor.person.id, exchange=address.exchange.id, period=str(address.period),
            folder=address.folder, name=small.name, name_key=name.casefold(), sha256=said, size=small.size, at=tx.now,
        )  # fmt: skip
        place = (row.exchange, row.period, row.folder)
        earlier = checksum_of(tx.session, row.person, place, row.name_key)
        if earlier is not None:
            tx.session.delete(earlier)
            tx.session.flush()
        tx.session.add(row)
