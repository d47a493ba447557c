"""Templates -> notices and pages. The words live in templates/, one file a kind; here they only become values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from server.domain.notice import Button, Notice, Tone


class Notices:
    """Renders notices and mailbox texts (plain text, StrictUndefined: a missing fact is an error, never a gap)."""

    def __init__(self, templates: Path) -> None:
        # Plain text for mailboxes and chat: each front end escapes for its own medium.
        self._env = Environment(
            loader=FileSystemLoader(templates),
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.filters["sentence"] = _sentence
        self._pages = Environment(
            loader=FileSystemLoader(templates), undefined=StrictUndefined, autoescape=True, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip

    def page(self, template: str, facts: Mapping[str, object]) -> str:
        """A rendered page of HTML: nobody's words become markup."""
        return self._pages.get_template(template).render(**facts).strip() + "\n"

    def text(self, template: str, facts: Mapping[str, object]) -> str:
        """The rendered template, without blank space around it."""
        return self._env.get_template(template).render(**facts).strip()

    def notice(
        self,
        kind: str,
        *,
        person: str,
        member: str = "",
        thread: str,
        facts: Mapping[str, object],
        tone: Tone = "info",
        shown: tuple[tuple[str, str], ...] = (),
        buttons: tuple[Button, ...] = (),
    ) -> Notice:
        """The notice of this kind for one person of that member; at most three lines."""
        text = self.text(f"notices/{kind}.txt", facts)
        return Notice(person, thread, kind, text, tone, shown, buttons, member)


def _sentence(clause: str) -> str:
    """A clause as a sentence of its own."""
    return clause[:1].upper() + clause[1:] + ("" if clause.endswith((".", "?", "!")) else ".")
