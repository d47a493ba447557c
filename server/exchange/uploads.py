"""The uploads that are open, or were interrupted a moment ago and may be resumed. In memory: a restart ends them."""

from __future__ import annotations

import threading
import time

from server.domain import guard
from server.domain.errors import Busy, Refused, SafehandError
from server.exchange.arrivals import Handle, Target, Upload
from server.exchange.sessions import Visitor

OPEN_AT_ONCE, OPEN_PER_MEMBER, OPEN_PER_PERSON, KEPT_AT_ONCE = 128, 48, 32, 16
REPLACED = "This upload was replaced by a newer one of the same name."
Key = tuple[str, str, str]


def key_of(visitor: Visitor, folder: tuple[str, ...], name: str) -> Key:
    """Person, place and name: what a second handle on the same file is known by."""
    return visitor.person.id, "/".join(folder), name.casefold()


class Uploads:
    """A register of uploads by person, place and name. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[Key, Upload] = {}
        self._lock = threading.Lock()

    def make_way(self, key: Key, target: Target) -> None:
        """Room for a new upload: an earlier one of the name ends. Raises Busy when too many are open."""
        with self._lock:
            others = [upload.target.visitor for upload in self._known.values()]
            mine = sum(1 for other in others if other.person.id == target.visitor.person.id)
            ours = sum(1 for other in others if other.member.id == target.visitor.member.id)
            if len(others) >= OPEN_AT_ONCE or ours >= OPEN_PER_MEMBER or mine >= OPEN_PER_PERSON:
                raise Busy("Too many files are being sent at once; wait for some to finish, then send this one again.")
            earlier = self._known.pop(key, None)
        if earlier is not None:
            earlier.give_way(Refused(REPLACED, code="TAKEN_OVER"))

    def add(self, key: Key, upload: Upload) -> None:
        """Register it. Of two that were opened at the same moment the later one stays."""
        with self._lock:
            earlier, self._known[key] = self._known.get(key), upload
        if earlier is not None:
            earlier.give_way(Refused(REPLACED, code="TAKEN_OVER"))

    def forget(self, upload: Upload) -> None:
        """It ended, one way or another."""
        with self._lock:
            for key in [key for key, known in self._known.items() if known is upload]:
                del self._known[key]

    def take(self, key: Key) -> Upload | None:
        """The upload of that name, no longer registered."""
        with self._lock:
            return self._known.pop(key, None)

    def resumed(self, key: Key, visitor: Visitor) -> Handle | None:
        """A new handle on the upload of that name, which ends the earlier handle; only with the key that began it."""
        upload = self.get(key)
        return Handle(upload) if upload is not None and upload.target.visitor.key == visitor.key else None

    def get(self, key: Key) -> Upload | None:
        """The upload of that name, if it has not failed."""
        with self._lock:
            upload = self._known.get(key)
        return upload if upload is not None and upload.failed is None else None

    def interrupt(self, upload: Upload) -> bool:
        """Mark it as interrupted; False when too many are kept already."""
        with self._lock:
            kept = sum(1 for other in self._known.values() if other.interrupted_at is not None)
            upload.holder, upload.interrupted_at = None, time.monotonic()
        return kept < KEPT_AT_ONCE

    def interrupted_for(self, seconds: float) -> list[Upload]:
        """What was interrupted at least so long ago."""
        late = time.monotonic() - seconds
        with self._lock:
            uploads = list(self._known.values())
        return [u for u in uploads if u.interrupted_at is not None and u.interrupted_at <= late]

    def abandon_all(self) -> None:
        """The server ends: nothing of an unfinished upload remains."""
        with self._lock:
            uploads, self._known = list(self._known.values()), {}
        for upload in uploads:
            upload.give_way(Busy("The exchange is stopping; send the file again in a few minutes."))

    def listed(self, person_id: str, folder: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
        """(name, contiguous bytes) of this person's open and interrupted uploads in a folder."""
        place = "/".join(folder)
        with self._lock:
            uploads = [u for key, u in self._known.items() if key[:2] == (person_id, place) and u.failed is None]
        return tuple((upload.target.name, upload.size) for upload in uploads)

    def size(self, visitor: Visitor, folder: tuple[str, ...], name: bytes) -> int | None:
        """Contiguous bytes of an open or interrupted upload of that name."""
        try:
            upload = self.get(key_of(visitor, folder, guard.file_name(name)))
        except SafehandError:
            return None
        return upload.size if upload is not None else None
