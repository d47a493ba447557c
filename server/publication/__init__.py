"""The agreement as the public may read it (clause 5, R-059): one web page and one Markdown text.

Of addresses only those of governance teams, and no name of a person of the set, wherever somebody wrote one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from server.domain.agreement import PolicySet
from server.publication.facts import WITHHELD, facts, public_teams

PAGES = ("agreement.html", "agreement.md")
_ADDRESS = re.compile(r"[^\s<>()\[\],;\"']*@[^\s<>()\[\],;\"']*")
_LINK = re.compile(r"https?://[^\s<>()\"'\\@]+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&]|^[-+=](?=\s)|(?<=^\d)[.)])")
NAMELESS = "(name not published)"


class _Raw(str):
    """Markdown that is meant."""

    __slots__ = ()


def published(
    policy: PolicySet, templates: Path, *, revision: str, today: date, states: Mapping[str, str] | None = None
) -> dict[str, str]:
    """{file name: text} of the public copy.

    `states` says where each member's signature stands as the exchange knows it; without it the policy set alone does.
    """
    found, tidy = facts(policy, revision, today, states or {}), _for_the_public(policy)
    return {
        name: _environment(templates, name, tidy).get_template(f"agreement/{name}").render(**found) for name in PAGES
    }


def _environment(templates: Path, name: str, tidy: Callable[[str], str]) -> Environment:
    """Every text is made fit for the public, and is then escaped for its medium."""
    html = name.endswith(".html")
    made = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=html,  # noqa: S701  Markdown has its own escapes: see _markdown
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finally(tidy, str if html else _markdown),
        keep_trailing_newline=True,
    )
    made.filters["linked"] = _html_link if html else _markdown_link
    return made


def _finally(tidy: Callable[[str], str], escape: Callable[[str], str]) -> Callable[[object], object]:
    def final(value: object) -> object:
        marked = not isinstance(value, str) or isinstance(value, _Raw | Markup)
        return value if marked else escape(tidy(str(value)))

    return final


def _for_the_public(policy: PolicySet) -> Callable[[str], str]:
    """What takes people's names and every address but a team's out of a text."""
    teams, names = public_teams(policy), {person.name for person in policy.people}
    names |= {contact.name for contact in policy.source.contacts}
    names |= {signature.printed_name for signature in policy.agreement.signatures if signature.printed_name}
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    people = re.compile(rf"(?<!\w)(?:{longest_first or '(?!)'})(?!\w)")

    def tidy(text: str) -> str:
        without = _ADDRESS.sub(lambda found: found[0] if found[0] in teams else WITHHELD, text)
        return people.sub(NAMELESS, without)

    return tidy


def _html_link(text: str) -> str:
    return Markup('<a href="{0}">{0}</a>').format(text) if _LINK.fullmatch(text) else text


def _markdown_link(text: str) -> str:
    return _Raw(f"<{text}>") if _LINK.fullmatch(text) else text


def _markdown(text: str) -> str:
    """Text that means itself in Markdown, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
