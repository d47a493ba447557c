"""One-word files in /attest/: the SFTP twin of the buttons. The name says which and what; a reason is the content."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from server.domain import guard
from server.domain.errors import Refused
from server.exchange.acknowledgement import Acknowledgements
from server.exchange.ad_hoc import AdHoc
from server.exchange.away import Absences, days_said
from server.exchange.chasing import Nudges
from server.exchange.corrections import Corrections
from server.exchange.delivery import Deliveries, Outcome
from server.exchange.holds import Holds
from server.exchange.obligations import Obligations
from server.exchange.revisions import Revisions
from server.exchange.sessions import Sessions, Visitor
from server.exchange.signing import Signing
from server.exchange.use import UseOfCopies
from server.exchange.use_forms import UseForms
from server.exchange.yearly import Yearly

_NAME = re.compile(r"([cdehp]-\d{4}-\d{6,}|agreement-[0-9a-f]{12})\.([a-z-]+?)(?:\.txt)?", re.IGNORECASE)
_AWAY = re.compile(r"away_(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})(?:_([a-z0-9-]{1,40}))?(?:\.txt)?", re.IGNORECASE)
_BACK = re.compile(r"back(?:\.txt)?", re.IGNORECASE)
_OWED = re.compile(r"([a-z0-9-]+)\.(\d{4}-\d{2})(?:\.([a-z0-9-]+))?\.(nil|cannot|done)(?:\.txt)?", re.IGNORECASE)
_WANTED = re.compile(r"([a-z0-9-]+?)(?:\.([a-z0-9-]+))?\.wanted(?:\.txt)?", re.IGNORECASE)
_YEARLY = re.compile(r"yearly-([a-z-]{1,40})\.txt", re.IGNORECASE)
WORDS = (
    "D-….acknowledged  D-….queried  D-….rejected (with the reason inside)  D-….recall  C-….all-there  C-….discard  "
    "C-….approved  C-….refused (with the reason inside)  P-….approved  P-….refused (with the reason inside)  "
    "agreement-….signed  D-….correct (with the line and the field inside)  E-….accepted  "
    "E-….declined (with the reason inside)  E-….withdrawn  D-….countersigned  "
    "D-….nudge  away_2026-12-21_2027-01-04_COLLEAGUE.txt  back.txt  "
    "D-….hold (with the reason inside)  H-….release  EXCHANGE.MONTH.nil  EXCHANGE.MONTH.MEMBER.nil  "
    "EXCHANGE.MONTH.cannot, EXCHANGE.MONTH.MEMBER.cannot (with the reason inside)  "
    "EXCHANGE.MONTH.done (with the day inside)  EXCHANGE.wanted  EXCHANGE.MEMBER.wanted  "
    "and the forms that lie here, filled in: D-….processed.txt  D-….destroyed.txt  "
    "EXCHANGE_MONTH.processed.csv  EXCHANGE_MONTH.destroyed.csv  yearly-….txt"
)


class Attest:
    """Turns a one-word file into the act that it names."""

    def __init__(
        self, sessions: Sessions, deliveries: Deliveries, acknowledgements: Acknowledgements, ad_hoc: AdHoc,
        revisions: Revisions, signing: Signing, corrections: Corrections, use: UseOfCopies, forms: UseForms,
        yearly: Yearly, holds: Holds, absences: Absences, nudges: Nudges, obligations: Obligations,
    ) -> None:  # fmt: skip
        self._forms, self._revisions, self._absences, self._obligations = forms, revisions, absences, obligations
        self._sessions, self._acknowledgements, self._signing = sessions, acknowledgements, signing
        self._corrections, self._yearly = corrections, yearly
        self._with_reason: Mapping[tuple[str, str], Callable[..., Outcome]] = {
            ("D", "queried"): partial(self._problem, "queried"),
            ("D", "rejected"): partial(self._problem, "rejected"),
            ("D", "hold"): holds.hold,
            ("C", "approved"): ad_hoc.approve,
            ("C", "refused"): ad_hoc.refuse,
            ("P", "refused"): revisions.refuse,
            ("P", "approved"): self._approve,
            ("D", "correct"): self._correct,
            ("E", "declined"): corrections.decline,
        }
        self._alone: Mapping[tuple[str, str], Callable[..., Outcome]] = {
            ("D", "acknowledged"): acknowledgements.acknowledge,
            ("D", "countersigned"): use.countersign,
            ("D", "recall"): deliveries.recall,
            ("D", "recalled"): deliveries.recall,
            ("D", "nudge"): nudges.nudge,
            ("H", "release"): holds.release,
            ("H", "released"): holds.release,
            ("C", "all-there"): deliveries.all_there,
            ("C", "discard"): deliveries.discard,
            ("P", "withdrawn"): revisions.withdraw,
            ("E", "accepted"): corrections.accept,
            ("E", "withdrawn"): corrections.withdraw,
            ("A", "signed"): self._sign,
        }

    def __call__(self, visitor: Visitor, name: bytes, content: bytes) -> str:
        """The act's sentence. Raises Refused for a name that names none, with those there are."""
        person = self._sessions.require(visitor).id
        clean = guard.file_name(name)
        if guard.is_ignored(clean):
            return ""
        if visitor.put_only:
            raise Refused("This key may only put files into the outbox.", code="PUT_ONLY")
        if self._forms.is_one(clean):
            return self._forms.put(person, clean, content, via="sftp").sentence
        absent = self._absent(person, clean)
        if absent is not None:
            return absent.sentence
        form = _YEARLY.fullmatch(clean)
        if form is not None:
            return self._yearly.by_form(person, form[1].casefold(), _text(content), via="sftp").sentence
        said = self._owed(person, clean, content)
        if said is not None:
            return said.sentence
        found = _NAME.fullmatch(clean)
        if found is None:
            raise Refused(f"A file here is called one of: {WORDS}", code="ATTEST_UNKNOWN")
        subject, word = found[1].upper(), found[2].casefold()
        act = (subject[0], word)
        if act in self._with_reason:
            return self._with_reason[act](person, subject, _text(content), via="sftp").sentence
        if act in self._alone:
            return self._alone[act](person, subject, via="sftp").sentence
        raise Refused(f"A file here is called one of: {WORDS}", code="ATTEST_UNKNOWN")

    def _absent(self, person: str, name: str) -> Outcome | None:
        """`away_2026-12-21_2027-01-04_p-kent-2.txt` and `back.txt`; None for any other name."""
        if _BACK.fullmatch(name):
            return self._absences.back(person, by=person, via="sftp")
        found = _AWAY.fullmatch(name)
        if found is None:
            return None
        first, last = days_said(found[1], found[2])
        cover = found[3].casefold() if found[3] else None
        return self._absences.away(person, first, last, cover, by=person, via="sftp")

    def _owed(self, person: str, name: str, content: bytes) -> Outcome | None:
        """What is owed, by exchange, month and member: nothing to send, cannot, done; or asked for. None: another."""
        owed, wanted = _OWED.fullmatch(name), _WANTED.fullmatch(name)
        if wanted is not None:
            exchange, sender = wanted[1].casefold(), (wanted[2] or "").casefold()
            return self._obligations.ask_for(person, exchange, sender or None, via="sftp")
        if owed is None:
            return None
        exchange, month, member = owed[1].casefold(), owed[2], (owed[3] or "").casefold() or None
        match owed[4].casefold():
            case "nil":
                return self._obligations.nil(person, exchange, month, member, via="sftp")
            case "cannot":
                return self._obligations.cannot(person, exchange, month, member, _text(content), via="sftp")
            case _:
                return self._obligations.done(person, exchange, month, _text(content), via="sftp")

    def _problem(
        self, kind: Literal["queried", "rejected"], person: str, subject: str, reason: str, *, via: str
    ) -> Outcome:
        return self._acknowledgements.problem(person, subject, kind, reason, via=via)

    def _approve(self, person: str, subject: str, text: str, *, via: str) -> Outcome:
        """The content is how a key's fingerprint ends; any other change needs none."""
        return self._revisions.approve(person, subject, via=via, heard=text.strip()[:80])

    def _correct(self, person: str, subject: str, text: str, *, via: str) -> Outcome:
        """`line: 44` and `field: address`, one a line."""
        said = dict(line.partition(":")[::2] for line in text.splitlines() if line.strip())
        given = {name.strip().casefold(): value.strip() for name, value in said.items()}
        if given.keys() != {"line", "field"}:
            raise Refused("Write two lines into it and nothing else: line: 44 and field: address.", code="ATTEST_FORM")
        return self._corrections.correct(person, subject, given["line"], given["field"], via=via)

    def _sign(self, person: str, subject: str, *, via: str) -> Outcome:
        """The text in force, named by the beginning of its hash; any other is refused by the verb."""
        begins, text = subject.partition("-")[2].casefold(), self._signing.document(person).sha256
        return self._signing.sign(person, text if text.startswith(begins) else begins, via=via)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
