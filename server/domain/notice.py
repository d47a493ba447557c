"""Notices as values: words for a person, facts, buttons. How they look is the business of the front ends."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from server.domain.agreement import Person

Tone = Literal["info", "good", "attention", "bad"]


@dataclass(frozen=True, slots=True)
class Button:
    """One thing that the person can do about it: `verb` is the conversation's word, `subject` an id."""

    verb: str
    label: str
    subject: str
    style: Literal["primary", "danger", "plain"] = "plain"
    asks_reason: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """What one person is told about one thread (a delivery, a hold, a refusal …); at most three lines of text.

    A later notice of the same person and thread takes the earlier one's place: the message is edited, not repeated.
    """

    person: str
    thread: str
    kind: str
    text: str
    tone: Tone = "info"
    facts: tuple[tuple[str, str], ...] = ()
    buttons: tuple[Button, ...] = ()
    member: str = ""
    """Whose business it is: whoever leaves this member does not see it any more. Empty: the person's own."""

    def concerns(self, person: Person) -> bool:
        """Whether it is still for this person, as the policy has them now."""
        return person.id == self.person and self.member in {"", person.member}

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Notice:
        data = json.loads(text)
        data["facts"] = tuple((str(k), str(v)) for k, v in data["facts"])
        data["buttons"] = tuple(Button(**button) for button in data["buttons"])
        return cls(**data)
