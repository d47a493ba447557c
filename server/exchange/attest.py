"""One-word files in /attest/: the SFTP twin of the buttons. The name says which and what; a reason is the content."""

from __future__ import annotations

import re

from server.domain import guard
from server.domain.errors import Refused
from server.exchange.acknowledgement import Acknowledgements
from server.exchange.ad_hoc import AdHoc
from server.exchange.delivery import Deliveries
from server.exchange.sessions import Sessions, Visitor

_NAME = re.compile(r"([cd]-\d{4}-\d{6,})\.([a-z-]+?)(?:\.txt)?", re.IGNORECASE)
WORDS = (
    "D-….acknowledged  D-….queried  D-….rejected (with the reason inside)  D-….recall  C-….all-there  C-….discard  "
    "C-….approved  C-….refused (with the reason inside)"
)


class Attest:
    """Turns a one-word file into the act that it names."""

    def __init__(
        self, sessions: Sessions, deliveries: Deliveries, acknowledgements: Acknowledgements, ad_hoc: AdHoc
    ) -> None:
        self._sessions, self._deliveries, self._acknowledgements = sessions, deliveries, acknowledgements
        self._ad_hoc = ad_hoc

    def __call__(self, visitor: Visitor, name: bytes, content: bytes) -> str:
        """The act's sentence. Raises Refused for a name that names none, with those there are."""
        person = self._sessions.require(visitor).id
        clean = guard.file_name(name)
        if guard.is_ignored(clean):
            return ""
        if visitor.put_only:
            raise Refused("This key may only put files into the outbox.", code="PUT_ONLY")
        found = _NAME.fullmatch(clean)
        if found is None:
            raise Refused(f"A file here is called one of: {WORDS}", code="ATTEST_UNKNOWN")
        subject, word = found[1].upper(), found[2].casefold()
        if word in {"queried", "rejected"}:
            kind = "queried" if word == "queried" else "rejected"
            reason = _text(content)
            return self._acknowledgements.problem(person, subject, kind, reason, via="sftp").sentence  # type: ignore[arg-type]
        if word in {"approved", "refused"}:
            answer = self._ad_hoc.approve if word == "approved" else self._ad_hoc.refuse
            return answer(person, subject, _text(content), via="sftp").sentence
        acts = {
            "acknowledged": self._acknowledgements.acknowledge,
            "recall": self._deliveries.recall,
            "recalled": self._deliveries.recall,
            "all-there": self._deliveries.all_there,
            "discard": self._deliveries.discard,
        }
        if word not in acts:
            raise Refused(f"A file here is called one of: {WORDS}", code="ATTEST_UNKNOWN")
        return acts[word](person, subject, via="sftp").sentence


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
