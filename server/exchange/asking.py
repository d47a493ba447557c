"""What the approvers of a proposal are shown and told: its consequences, who answered what, what is still missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, select

from server.domain.agreement import Person, PolicySet
from server.domain.errors import Misconfigured
from server.domain.notice import Button, Tone
from server.domain.quorum import About, Approver, ChangeClass, Needs, approver, asked, needs
from server.domain.schedule import clock_words
from server.exchange.ground import Ground
from server.exchange.proposed_keys import HEARD, answers_for, is_gpg, key_buttons, key_of
from server.exchange.standing import can_answer
from server.exchange.vouched import answers
from server.policy.plan import Plan, signatories
from server.store import Tx
from server.store.tables import ApprovalRow, KeyProposalRow, NoticeRow, ProposalRow

APPROVED, REFUSED = "approved", "refused"
_SHOWN = 6
_TONES: dict[str, Tone] = {"open": "attention", "applied": "good", "refused": "bad"}


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A proposal as one person sees it. `status`: open, applied, refused, withdrawn or overtaken."""

    id: str
    label: str
    revision: str
    status: str
    by: str
    at: datetime
    lines: tuple[str, ...]
    """Every consequence, as a sentence."""
    classes: tuple[str, ...]
    needs_words: str
    """Where it stands, as a sentence: what is missing, or how it ended."""
    answers: tuple[tuple[str, str, str, datetime], ...]
    """(person, member, "approved" or "refused", when), in the order of the answers."""
    document_sha256: str
    changes_text: bool
    buttons: tuple[Button, ...]
    told: tuple[tuple[str, str], ...] = ()
    """(kind, sentence) of every consequence: `lines`, with what each is about."""
    reasons: tuple[tuple[str, str], ...] = ()
    """(person, reason) of every refusal."""
    key: str = ""
    """The fingerprint of the key that it is about; empty for any other proposal."""
    key_of: str = ""
    """The person whose key that is."""


class Asking:
    """Reads proposals and writes the notices about them, inside the transaction that moves them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def wanted(self, session: Session, row: ProposalRow) -> Needs:
        """The quorum that the policy in force asks for this proposal, with who has signed and left by now."""
        policy = self._ground.in_force_at(session).policy
        facts = self._ground.facts_at(session)
        return needs(policy, about_of(row), signed=signatories(policy, facts), left=facts.left)

    def approvers(self, session: Session, row: ProposalRow) -> tuple[Approver, ...]:
        """Who approved and whose approval counts now: whoever is suspended or has left since does not count."""
        policy = self._ground.in_force_at(session).policy
        people = [policy.person(answer.person) for answer in answers(session, row) if answer.answer == APPROVED]
        facts, now = self._ground.facts_at(session), self._ground.now()
        return tuple(approver(policy, p) for p in people if p is not None and can_answer(policy, p, facts, now))

    def missing(self, session: Session, row: ProposalRow) -> tuple[str, ...]:
        """What the quorum still lacks, as clauses; empty when it can be applied."""
        return self.wanted(session, row).missing(self.approvers(session, row), self._ground.called)

    def view(self, session: Session, row: ProposalRow, person: Person | None) -> ProposalView:
        """The proposal with the buttons that this person may press."""
        given, key = answers(session, row), key_of(session, row)
        return ProposalView(
            row.id, row.label, row.revision, row.status, row.by, row.at, lines_of(row),
            tuple(kind.value for kind in ChangeClass if kind in about_of(row)), self._stands(session, row),
            tuple((a.person, a.member, a.answer, a.at) for a in given), row.document_sha256, changes_text(row),
            self._buttons(session, row, person, given) if person else (), told_of(row),
            tuple((a.person, a.reason) for a in given if a.answer == REFUSED and a.reason),
            key.fingerprint if key else "", key.person if key else "",
        )  # fmt: skip

    def tell(self, tx: Tx, row: ProposalRow, *, about: int) -> None:
        """Everybody who is asked, everybody who answered, and who proposed it: one notice each, edited in place."""
        policy = self._ground.in_force_at(tx.session).policy
        given = answers(tx.session, row)
        heard = {a.person for a in given} | {row.by}
        wanted = self.wanted(tx.session, row) if row.status == "open" else None
        people = (
            asked(policy, wanted, self._ground.facts_at(tx.session).left) if wanted else self._told(tx, row, policy)
        )
        key = key_of(tx.session, row)
        if key is not None and wanted:
            people = tuple(p for p in people if answers_for(policy, p, key, frozenset(about_of(row))))
        stands = self._stands(tx.session, row)
        for person in (*people, *(p for p in policy.people if p.id in heard and p not in people)):
            self._notify(tx, row, person, given, stands, about=about)

    def _told(self, tx: Tx, row: ProposalRow, policy: PolicySet) -> tuple[Person, ...]:
        """Who has the notice of this proposal already: how it ended is told to the same people."""
        told = set(tx.session.exec(select(NoticeRow.person).where(NoticeRow.thread == thread_of(row))).all())
        return tuple(person for person in policy.people if person.id in told)

    def _notify(
        self, tx: Tx, row: ProposalRow, person: Person, given: list[ApprovalRow], stands: str, *, about: int
    ) -> None:
        lines, policy = lines_of(row), self._ground.in_force_at(tx.session).policy
        key = key_of(tx.session, row)
        if key is not None:
            self._notify_of_key(tx, row, key, person, given, stands, about=about)
            return
        facts = {
            "id": row.id, "label": row.label, "by": row.by, "status": row.status,
            "stands": stands,
            "first": lines[0] if lines else "Nothing changes but the label.", "more": len(lines) - 1,
            "text": changes_text(row), "document": row.document_sha256[:12],
            "signs": approver(policy, person).signs, "member": self._ground.called(person.member),
        }  # fmt: skip
        shown = [(f"Change {n}", line) for n, line in enumerate(lines[:_SHOWN], 1)]
        if changes_text(row):
            shown.append(("Document", row.document_sha256))
        shown += [(a.person, f"{a.answer} {clock_words(a.at, tx.now)}") for a in given]
        notice = self._ground.notices.notice(
            "proposal", person=person.id, member=person.member, thread=thread_of(row), facts=facts,
            tone=_TONES.get(row.status, "info"), shown=tuple(shown),
            buttons=self._buttons(tx.session, row, person, given),
        )  # fmt: skip
        tx.notify(notice, about=about)

    def _notify_of_key(
        self, tx: Tx, row: ProposalRow, key: KeyProposalRow, person: Person, given: list[ApprovalRow], stands: str, *,
        about: int,
    ) -> None:  # fmt: skip
        """Whose key, its whole fingerprint, and that it is checked by phone."""
        owner = self._ground.in_force_at(tx.session).policy.person(key.person)
        facts = {
            "id": row.id, "label": row.label, "status": row.status, "stands": stands,
            "owner": owner.name if owner else key.person,
            "member": self._ground.called(owner.member) if owner else "",
            "kind": "GPG" if is_gpg(key.fingerprint) else "SSH", "fingerprint": key.fingerprint,
            "refresh": ChangeClass.KEY_REFRESH in about_of(row), "yours": person.id == key.person,
            "reason": next((a.reason for a in given if a.answer == REFUSED), None), "heard": HEARD,
            "keeps_files": "administrator" in person.roles,
        }  # fmt: skip
        notice = self._ground.notices.notice(
            "key-proposed", person=person.id, member=person.member, thread=thread_of(row), facts=facts,
            tone=_TONES.get(row.status, "info"), buttons=self._buttons(tx.session, row, person, given),
            shown=tuple((a.person, f"{a.answer} {clock_words(a.at, tx.now)}") for a in given),
        )  # fmt: skip
        tx.notify(notice, about=about)

    def _stands(self, session: Session, row: ProposalRow) -> str:
        if row.status == "open":
            missing = self.missing(session, row)
            if missing:
                return f"It needs {'; '.join(missing)}."
            if key_of(session, row) is not None:
                return "The quorum is there; it takes effect now."
            return "The quorum is there; it takes effect when an administrator applies it."
        when = clock_words(row.ended_at, self._ground.now()) if row.ended_at else "an unknown time"
        return {
            "applied": f"Applied at {when}.",
            "refused": f"Refused at {when}.",
            "withdrawn": f"Withdrawn at {when}.",
            "overtaken": f"Overtaken at {when}: another revision came into force. Propose it again.",
        }.get(row.status, "Somebody changed it in the database; it is refused.")

    def _buttons(
        self, session: Session, row: ProposalRow, person: Person, given: list[ApprovalRow]
    ) -> tuple[Button, ...]:
        policy, facts = self._ground.in_force_at(session).policy, self._ground.facts_at(session)
        key = key_of(session, row) if row.status == "open" else None
        if key is not None:
            may = can_answer(policy, person, facts, self._ground.now())
            may = may and answers_for(policy, person, key, frozenset(about_of(row)))
            mine = next((answer.answer for answer in given if answer.person == person.id), None)
            return key_buttons(person, key, may=may, answered=mine)
        if row.status != "open" or not can_answer(policy, person, facts, self._ground.now()):
            return ()
        mine = next((answer.answer for answer in given if answer.person == person.id), None)
        refuse = Button("refuse-change", "Refuse", row.id, "danger", asks_reason=True)
        if mine == REFUSED:
            return ()
        return (refuse,) if mine else (Button("approve-change", "Approve", row.id, "primary"), refuse)


def thread_of(row: ProposalRow) -> str:
    return f"proposal:{row.id}"


def consequences_text(plan: Plan) -> str:
    """What the plan said, as it is stored: a list of [kind, sentence], and whether the signed text changes."""
    told = [[one.kind, one.sentence] for one in plan.consequences]
    return json.dumps({"changes_text": plan.changes_text, "lines": told}, ensure_ascii=False)


def needs_text(plan: Plan) -> str:
    """The classes of change and the members that each is about, as they are stored."""
    about = {kind.value: sorted(members) for kind, members in plan.about.items()}
    return json.dumps({"about": about, "words": plan.needs_words}, ensure_ascii=False, sort_keys=True)


def told_of(row: ProposalRow) -> tuple[tuple[str, str], ...]:
    """(kind, sentence) of every consequence."""
    with _as_stored(row):
        return tuple((str(kind), str(sentence)) for kind, sentence in json.loads(row.consequences)["lines"])


def lines_of(row: ProposalRow) -> tuple[str, ...]:
    return tuple(sentence for _, sentence in told_of(row))


def changes_text(row: ProposalRow) -> bool:
    with _as_stored(row):
        return bool(json.loads(row.consequences)["changes_text"])


def about_of(row: ProposalRow) -> About:
    """The classes that were worked out when it was proposed, against the revision that is still in force."""
    with _as_stored(row):
        return {ChangeClass(kind): frozenset(members) for kind, members in json.loads(row.needs)["about"].items()}


@contextmanager
def _as_stored(row: ProposalRow) -> Iterator[None]:
    """What was stored has a form; anything else was written by somebody with the database."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Misconfigured(f"What {row.id} was said to change was changed in the database; it is refused.") from None
