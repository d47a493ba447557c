"""The agreement as the public may read it (clause 5, R-059): one web page and one Markdown text.

Of addresses only those of governance teams, wherever another one was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from server.domain.agreement import PolicySet
from server.domain.guard import looks_personal
from server.publication.facts import facts

PAGES = ("agreement.html", "agreement.md")
_ADDRESS = re.compile(r"[^\s<>()\[\],;\"']*@[^\s<>()\[\],;\"']*")
_LINK = re.compile(r"https?://[^\s<>()\"'\\@]+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&]|^[-+=](?=\s)|(?<=^\d)[.)])")
WITHHELD = "(address not published)"


class _Raw(str):
    """Markdown that is meant."""

    __slots__ = ()


def published(
    policy: PolicySet, templates: Path, *, revision: str, today: date, states: Mapping[str, str] | None = None
) -> dict[str, str]:
    """{file name: text} of the public copy.

    `states` says where each member's signature stands as the exchange knows it; without it the policy set alone does.
    """
    found, teams = facts(policy, revision, today, states or {}), _teams(policy)
    return {
        name: _environment(templates, name, teams).get_template(f"agreement/{name}").render(**found) for name in PAGES
    }


def _environment(templates: Path, name: str, teams: frozenset[str]) -> Environment:
    """Every text loses its addresses but those of teams, and is then escaped for its medium."""
    html = name.endswith(".html")
    made = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=html,  # noqa: S701  Markdown has its own escapes: see _markdown
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_addresses(teams, str if html else _markdown),
        keep_trailing_newline=True,
    )
    made.filters["linked"] = _html_link if html else _markdown_link
    return made


def _without_addresses(teams: frozenset[str], then: Callable[[str], str]) -> Callable[[object], object]:
    def final(value: object) -> object:
        if not isinstance(value, str) or isinstance(value, _Raw | Markup):
            return value
        return then(_ADDRESS.sub(lambda found: found[0] if found[0] in teams else WITHHELD, value))

    return final


def _teams(policy: PolicySet) -> frozenset[str]:
    """The addresses that may be published: governance teams', unless one is, or looks like, a person's own."""
    people = {person.email.casefold() for person in policy.people}
    teams = {m.ig_team.email for m in policy.members if m.ig_team is not None and m.ig_team.email is not None}
    return frozenset(team for team in teams if team.casefold() not in people and not looks_personal(team))


def _html_link(text: str) -> str:
    return Markup('<a href="{0}">{0}</a>').format(text) if _LINK.fullmatch(text) else text


def _markdown_link(text: str) -> str:
    return _Raw(f"<{text}>") if _LINK.fullmatch(text) else text


def _markdown(text: str) -> str:
    """Text that means itself in Markdown, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
