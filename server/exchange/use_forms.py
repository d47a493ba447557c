"""The forms of use and destruction: what chat and desk ask with everything filled in that is known, and what lies in
/attest/ as plain forms and tables for people to fill in and put back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from server.domain.agreement import Person
from server.domain.attestation import (
    BACKUPS,
    EXPIRES,
    METHODS,
    PLACES,
    SUBCONTRACTORS,
    Unclear,
    counted_for,
    counts_of,
    destruction_of,
    is_yes,
)
from server.domain.attested_forms import Filled, read, read_table, table, text_of, written
from server.domain.decision import Act, Deed, decide
from server.domain.errors import Missing, Refused, SafehandError
from server.domain.schedule import day_words, london_day
from server.exchange.attested import Held, grouped, held_by, step_of, use_words
from server.exchange.delivery import Outcome
from server.exchange.documents import Paper
from server.exchange.ground import Ground
from server.exchange.telling import period_words
from server.exchange.use import SeveralRefused, UseOfCopies
from server.store.duty_tables import AttestationRow
from server.store.tables import DeliveryRow

T = TypeVar("T")
_FORM = re.compile(r"(d-\d{4}-\d{6,})\.(processed|destroyed)(?:\.(?:txt|csv))*", re.IGNORECASE)
_TABLE = re.compile(r"([a-z0-9-]{1,40})_(\d{4}-\d{2})\.(processed|destroyed)(?:\.(?:csv|txt))+", re.IGNORECASE)
_GROUP = re.compile(r"([a-z0-9-]{1,40})-(\d{4}-\d{2})")
_DESTROYED = ("backups", "subcontractors", "exceptions", "witness", "destroyed")
_COUNTED = ("received", "kept", "not_ours", "rejected")
_WHAT = {
    "kept": "relevant, and used: they are yours now",
    "not_ours": "about people who neither live nor study with you: to be destroyed",
    "rejected": "could not be used: to be destroyed",
}


@dataclass(frozen=True, slots=True)
class Copy:
    """One delivery that something is asked about; `received` None where nobody counted its records."""

    delivery: str
    sender: str
    words: str
    received: int | None
    to_destroy: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form about copies is made of: the deliveries, the authorities to count for, what was said last time.

    `authorities` are (code, name) where the member states each one's; `colleagues` (id, name) of possible witnesses.
    """

    what: str
    use_by: str
    copies: tuple[Copy, ...]
    authorities: tuple[tuple[str, str], ...]
    habit: Mapping[str, str]
    colleagues: tuple[tuple[str, str], ...]
    witness_required: bool


def group_of(subject: str) -> tuple[str, str] | None:
    """(exchange, period) of a subject that names all open deliveries of them; None for a single delivery's id."""
    found = _GROUP.fullmatch(subject)
    return (found[1], found[2]) if found and not subject.startswith("D-") else None


class UseForms:
    """Fills forms in with what is known, and carries out what was filled in."""

    def __init__(self, ground: Ground, use: UseOfCopies) -> None:
        self._ground, self._use = ground, use

    # -- chat and desk

    def asked(self, person_id: str, subject: str, step: str) -> Asked:
        """What the form for this step is made of. Raises Refused with where it stands when it is not open to this."""
        person = self._ground.person(person_id)
        held = self._open(person, step)
        group = group_of(subject)
        if group is None:
            rows = [one for one in held if one[0].id == subject]
        else:
            rows = [one for one in held if (one[1].exchange, one[1].period) == group]
        if not rows:
            raise Refused(self._why_not(person, subject), code="NOTHING_OPEN")
        return self._of(person, rows)

    def open_groups(self, person_id: str) -> tuple[tuple[str, str, str, int], ...]:
        """(exchange, period, words, how many) of what waits to be used or destroyed, for links to their tables."""
        known = self._ground.policy.person(person_id)
        if known is None or known.member in self._ground.facts.left:
            return ()
        person = self._ground.person(person_id)
        held = [*self._open(person, "processed"), *self._open(person, "destroyed")]
        return tuple((*key, self._titled(*key), len(rows)) for key, rows in grouped(held).items())

    def waiting(self, person_id: str) -> tuple[tuple[str, str, str], ...]:
        """(subject, step, words) of each form that is open to this person: one for a month of several deliveries."""
        known = self._ground.policy.person(person_id)
        if known is None or known.member in self._ground.facts.left:
            return ()
        person = self._ground.person(person_id)
        return tuple(
            (_subject(rows), step, f"{self._titled(*key)}: {', '.join(one[0].id for one in rows)}")
            for step in ("destroyed", "processed")
            for key, rows in grouped(self._open(person, step)).items()
        )

    def _open(self, person: Person, step: str) -> list[Held]:
        """What this person may say this of now."""
        with self._ground.store.reading() as session:
            policy = self._ground.in_force_at(session).policy
            held = held_by(session, policy, person.member)
        now, facts = self._ground.now(), self._ground.facts

        def may(sent_by: str) -> bool:
            deed = Deed(Act.ATTEST, person.id, now, recipient=person.member, sent_by=sent_by, facts=facts)
            return decide(policy, deed).permit

        allowed = {sent_by: may(sent_by) for sent_by in {one[1].person for one in held}}
        return [one for one in held if step_of(one[0]) == step and allowed[one[1].person]]

    def _why_not(self, person: Person, subject: str) -> str:
        if group_of(subject) is not None:
            return "Nothing of it waits for you any more."
        with self._ground.store.reading() as session:
            row = session.get(DeliveryRow, subject)
            said = session.get(AttestationRow, subject)
        if row is None or row.recipient != person.member or row.available_at is None:
            raise Missing("There is no such delivery.")
        words = use_words(row, said, self._ground.now())
        if words:
            by = said.destroyed_by or said.processed_by if said else ""
            return f"{subject}: {words} ({by} said so)."
        if row.acknowledged_at is None:
            return f"Acknowledge {subject} first."
        return f"{subject} is {row.status}: that is not asked of you now."

    def _of(self, person: Person, rows: list[Held]) -> Asked:
        policy, member = self._ground.policy, self._ground.member(person.member)
        rule = policy.retention.attestation
        names = {authority.la: authority.name or authority.la for authority in member.represents}
        counted = counted_for(member, per_authority=rule.per_represented_la)
        days = sorted(row.use_by for row, _, _ in rows if row.use_by)
        first = rows[0][1]
        what = self._titled(first.exchange, first.period)
        return Asked(
            what if len(rows) > 1 else f"{rows[0][0].id} from {self._ground.called(first.member)}, {what}",
            day_words(date.fromisoformat(days[0]) if days else london_day(self._ground.now())),
            tuple(self._copy(one) for one in rows), tuple((la, names[la]) for la in counted),
            self._use.habit(person.member),
            tuple((p.id, p.name) for p in policy.people_of(person.member) if p.id != person.id),
            rule.witness == "required",
        )  # fmt: skip

    def _copy(self, held: Held) -> Copy:
        row, consignment, said = held
        called = self._ground.called(consignment.member)
        to_destroy = said.not_ours + said.rejected if said else consignment.rows or 0
        count = _records(consignment.rows) if consignment.rows is not None else "records not counted"
        if step_of(row) == "destroyed":
            count = f"{_records(to_destroy)} to destroy" if to_destroy else "only the file itself to destroy"
        return Copy(row.id, called, f"{row.id} from {called}: {count}", consignment.rows, to_destroy)

    def _titled(self, exchange: str, period: str) -> str:
        return f"{self._ground.titled(exchange)}, {period_words(period)}"

    # -- what lies in /attest/

    def papers(self, person_id: str) -> tuple[Paper, ...]:
        """A form for each delivery that something is to be said of, and a table where it is several of one month."""
        person = self._ground.person(person_id)
        papers: list[Paper] = []
        for step in ("processed", "destroyed"):
            held = self._open(person, step)
            papers += [self._form(self._of(person, [one]), step) for one in held]
            for (exchange, period), rows in grouped(held).items():
                if len(rows) > 1:
                    name = f"{exchange}_{period}.{step}.csv"
                    papers.append(self._paper(name, self._table(self._of(person, rows), step)))
        return tuple(papers)

    def _paper(self, name: str, text: str) -> Paper:
        """Windows line ends and a mark in front: Notepad and Excel show it as it is meant."""
        body = text.replace("\r\n", "\n").replace("\n", "\r\n")
        return Paper.of(name, b"\xef\xbb\xbf" + body.encode(), self._ground.now())

    def _form(self, asked: Asked, step: str) -> Paper:
        (copy,) = asked.copies
        head = [f"{copy.words}. Use and destroy by {asked.use_by}.", ""]
        if step == "processed":
            head += ["What was in it? Fill in the numbers, and put this file back under the same name.",
                     "Received is kept and not ours and rejected together.", ""]  # fmt: skip
            answers = self._blank_counts(copy, asked)
            notes = _WHAT | {f"kept_{la}": f"kept for {name}" for la, name in asked.authorities}
        else:
            head += [f"{_records(copy.to_destroy)}, and the file itself wherever it lay: to be destroyed.",
                     "Say for each place how that was done, and put this file back under the same name.",
                     f"How: {', '.join(METHODS)}.", ""]  # fmt: skip
            answers = _inline(asked.habit)
            notes = _notes(asked)
        return self._paper(f"{copy.delivery}.{step}.txt", written(head, answers, notes))

    def _blank_counts(self, copy: Copy, asked: Asked) -> dict[str, str]:
        known = "" if copy.received is None else str(copy.received)
        fixed = {"received": known, "kept": "", "not_ours": "", "rejected": ""}
        return fixed | {f"kept_{la}": "" for la, _ in asked.authorities}

    def _table(self, asked: Asked, step: str) -> str:
        if step == "processed":
            columns = ["delivery", "from", *_COUNTED, *(f"kept_{la}" for la, _ in asked.authorities)]
            rows = [self._blank_counts(copy, asked) for copy in asked.copies]
        else:
            columns = ["delivery", "from", "to_destroy", *PLACES, *_DESTROYED]
            rows = [_inline(asked.habit) | {"to_destroy": str(copy.to_destroy)} for copy in asked.copies]
        whole = [{"delivery": c.delivery, "from": c.sender} | row for c, row in zip(asked.copies, rows, strict=True)]
        return table(columns, whole)

    # -- what was put back

    def is_one(self, name: str) -> bool:
        """Whether a file of this name is a form or a table of ours."""
        return _FORM.fullmatch(name) is not None or _TABLE.fullmatch(name) is not None

    def put(self, person_id: str, name: str, content: bytes, *, via: str) -> Outcome:
        """What the file says is done. Raises Refused naming the line that is wrong; nothing of it is written then."""
        form, whole = _FORM.fullmatch(name), _TABLE.fullmatch(name)
        person = self._ground.person(person_id)
        if form is not None:
            known = self._known(person, form[2].casefold())
            filled = {form[1].upper(): read(text_of(content), known)}
            return self._carry_out(person_id, form[2].casefold(), filled, via)
        if whole is None:
            raise Missing
        step = whole[3].casefold()
        filled = read_table(text_of(content), ("delivery", "from", "to_destroy", *self._known(person, step)))
        marks = {"destroyed"} if step == "destroyed" else set(self._known(person, step)) - {"received"}
        given = {d: row for d, row in filled.items() if any(row.answers.get(mark) for mark in marks)}
        if not given:
            asked = "destroyed" if step == "destroyed" else "kept, not ours and rejected"
            raise Refused(f"No row of it is filled in: nothing was recorded. Fill in {asked}.", code="NOTHING_SAID")
        return self._carry_out(person_id, step, given, via)

    def _known(self, person: Person, step: str) -> tuple[str, ...]:
        if step == "destroyed":
            return (*PLACES, *_DESTROYED)
        member = self._ground.member(person.member)
        return (*_COUNTED, *(f"kept_{authority.la}" for authority in member.represents))

    def _carry_out(self, person_id: str, step: str, filled: Mapping[str, Filled], via: str) -> Outcome:
        try:
            if step == "processed":
                counts = _each(filled, lambda row: counts_of(row.answers))
                return self._use.processed_many(person_id, counts, via=via)
            today = london_day(self._ground.now())
            said = _each(filled, lambda row: destruction_of(_confirmed(row), today))
            return self._use.destroyed_many(person_id, said, via=via)
        except SeveralRefused as several:
            raise _located(several.errors, filled) from several
        except Unclear as error:
            raise next(iter(filled.values())).located(error) from error


def _each(filled: Mapping[str, Filled], of: Callable[[Filled], T]) -> dict[str, T]:
    """What every row says. Raises Refused with the lines of all that cannot be taken."""
    found, errors = dict[str, T](), dict[str, SafehandError]()
    for delivery, row in filled.items():
        try:
            found[delivery] = of(row)
        except Unclear as error:
            errors[delivery] = error
    if errors:
        raise _located(errors, filled)
    return found


def _located(errors: Mapping[str, SafehandError], filled: Mapping[str, Filled]) -> Refused:
    said = []
    for delivery, error in errors.items():
        row = filled[delivery]
        located = (
            row.located(error) if isinstance(error, Unclear) else row.located(Unclear({"delivery": error.sentence}))
        )
        said.append(located.sentence)
    code = next(iter(errors.values())).code
    return Refused(f"Nothing was recorded. {' '.join(said)}", code=code)


def _confirmed(row: Filled) -> Mapping[str, str]:
    """A form that was only put back says nothing: its last line has to say so. Raises Unclear."""
    if not is_yes(row.answers.get("destroyed", "")):
        raise Unclear({"destroyed": "Write “destroyed: yes” when it is done."}, code="NOT_CONFIRMED")
    return row.answers


def _inline(habit: Mapping[str, str]) -> dict[str, str]:
    """The remembered answers as a form has them: one line for backups; the confirmation is always blank."""
    backups = habit["backups"]
    if backups == EXPIRES:
        backups = f"expires on {habit['backups_until']}"
    return {name: habit[name] for name in PLACES} | {
        "backups": backups, "subcontractors": habit["subcontractors"], "exceptions": "", "witness": "", "destroyed": "",
    }  # fmt: skip


def _notes(asked: Asked) -> dict[str, str]:
    return {
        "backups": f"Backups: none ({_lower(BACKUPS['none'])}), expires on a day such as 2027-03-31, or beyond use",
        "subcontractors": "Subcontractors: " + ", ".join(f"{k} ({_lower(v)})" for k, v in SUBCONTRACTORS.items()),
        "exceptions": "What is left and why, in a few words without personal data; blank if nothing is",
        "witness": f"A second person of yours by their id{'' if asked.witness_required else ', if you like'}: "
                   f"{', '.join(_ids(asked.colleagues)) or 'nobody'}",
        "destroyed": "Write yes when it is done. You attest for your organisation, as far as you can know.",
    }  # fmt: skip


def _subject(rows: list[Held]) -> str:
    """What a button names: the delivery, or the month of several."""
    return rows[0][0].id if len(rows) == 1 else f"{rows[0][1].exchange}-{rows[0][1].period}"


def _records(number: int) -> str:
    return f"{number:,} record{'' if number == 1 else 's'}"


def _ids(colleagues: Iterable[tuple[str, str]]) -> list[str]:
    return [person for person, _ in colleagues]


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
