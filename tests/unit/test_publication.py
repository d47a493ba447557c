"""The public copy says the whole agreement and names nobody: no person, no key, no address but a governance team's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.cli.root import app
from server.domain.agreement import PolicySet
from server.policy.load import load, load_texts, read_texts
from server.publication import PAGES, WITHHELD, published

ROOT = Path(__file__).parents[2]
TEXTS = read_texts(ROOT / "policies" / "ccis-v2")
POLICY = load_texts(TEXTS)
SEED = load(ROOT / "policies" / "seed-v1")
ADDRESS = re.compile(r"[\w.%+-]*@[\w.-]*")


def pages(policy: PolicySet = POLICY, **states: str) -> dict[str, str]:
    named = {member.replace("_", "-"): state for member, state in states.items()}
    return published(policy, ROOT / "templates", revision="a" * 64, today=date(2026, 12, 1), states=named)


def another(policy: PolicySet, **sections: Any) -> PolicySet:
    """A set with other sections, made anew: a copy would keep what it had worked out already."""
    whole = {name: getattr(policy, name) for name in PolicySet.model_fields}
    return PolicySet.model_validate(whole | sections)


def changed(policy: PolicySet, **agreement: Any) -> PolicySet:
    return another(policy, agreement=policy.agreement.model_copy(update=agreement))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("policy", [POLICY, SEED], ids=["ccis-v2", "seed-v1"])
def test_r059_the_public_copy_contains_no_at_sign_but_team_mailboxes(policy: PolicySet, page: str) -> None:
    """Every @ belongs to the team's address of a member's summary row; the agreement's own contact is left out."""
    teams = {member.ig_team.email for member in policy.members if member.ig_team}
    assert set(ADDRESS.findall(pages(policy)[page])) <= teams
    assert pages(POLICY)[page].count("@") == 8


@pytest.mark.parametrize("page", PAGES)
def test_no_person_and_no_key_is_in_the_public_copy(page: str) -> None:
    """Names, ids, addresses and telephone numbers of people; keys and networks; hosts; contracts' references."""
    text = pages()[page]
    for person in POLICY.people:
        assert not re.search(rf"\b{re.escape(person.name)}\b", text)
        assert not re.search(rf"\b{person.id}\b", text)
        assert person.email not in text
        assert person.phone is None or person.phone not in text
    for secret in ("ssh-", "BEGIN PGP", "exchange.example.org", "CONTRACT-MED-1", "HOST-2026", "dpo@", "put_only"):
        assert secret not in text


def _planted() -> Iterator[tuple[str, PolicySet]]:
    """The set with an address and a hostile mark-up in each free text in turn."""
    mark = "x <script>alert(1)</script> first.last@secret.example *a* | b, A. Alder"
    yield "title", changed(POLICY, title=mark)
    yield "necessity", changed(POLICY, necessity=mark)
    yield "liability", changed(POLICY, liability=mark)
    yield "complaints", changed(POLICY, complaints=mark)
    yield "transparency", changed(POLICY, transparency="https://example.org/first.last@secret.example")
    yield "status", changed(POLICY, status=mark)
    kent = POLICY.members[3].model_copy(update={"name": mark, "privacy_notice": "javascript:alert(1)"})
    yield "a member's name", another(POLICY, members=(*POLICY.members[:3], kent, *POLICY.members[4:]))
    first = POLICY.exchanges[0].model_copy(update={"title": mark})
    yield "an exchange's title", another(POLICY, exchanges=(first, *POLICY.exchanges[1:]))
    signed = POLICY.agreement.signatures[0].model_copy(update={"by_role": mark, "printed_name": "First Last"})
    yield "a signature", changed(POLICY, signatures=(signed, *POLICY.agreement.signatures[1:]))


@pytest.mark.parametrize("case", list(_planted()), ids=lambda case: case[0])
def test_whatever_is_written_in_a_text_is_only_text(case: tuple[str, PolicySet]) -> None:
    """An address in it is taken out, mark-up in it is shown and does nothing, in the page and in Markdown."""
    for text in pages(case[1]).values():
        assert "secret.example" not in text
        assert "<script>" not in text
        assert "First Last" not in text
        assert "A. Alder" not in text
        assert 'href="javascript' not in text
        assert "<javascript" not in text
        assert "| b" not in text.replace(r"\| b", "") or "<html" in text
    assert any(WITHHELD in text for text in pages(case[1]).values())


def test_a_team_address_that_is_a_person_s_is_not_published() -> None:
    """Neither one that looks like a name, nor one that somebody of the set has."""
    for address in ("first.last@kent.example.org", "dm@kent.example.org"):
        texts = TEXTS | {"members.yaml": TEXTS["members.yaml"].replace("ig@kent.example.org", address)}
        for text in pages(load_texts(texts)).values():
            assert address not in text
            assert WITHHELD in text or WITHHELD.replace("(", r"\(") in text


def test_it_says_where_every_signature_stands() -> None:
    """As the set has it; as the exchange knows it, where it is asked; never who signed, only in which role."""
    text = pages()["agreement.md"]
    assert "| Essex County Council | Signed on 20 August 2026, by its Senior Information Risk Owner |" in text
    assert "| Brighton and Hove | Has not signed |" in text
    known = pages(brighton_hove="signed", kent="stale", medway="withdrawn")["agreement.md"]
    assert "| Brighton and Hove | Signed |" in known
    assert "| Kent County Council | Signed an earlier text, and has not signed this one |" in known
    assert "| Medway Youth Trust | Has withdrawn |" in known
    other = pages(changed(POLICY, necessity="Another text."))["agreement.md"]
    assert "| Essex County Council | Signed an earlier text, and has not signed this one |" in other


@pytest.mark.parametrize("page", PAGES)
def test_the_whole_agreement_is_in_it(page: str) -> None:
    """Title, dates in words, hash, each member with its authorities, purposes, statutes, exchanges and columns."""
    text = re.sub(r"\\(.)", r"\1", pages()[page])
    for words in (
        POLICY.agreement.title,
        "from 1 September 2026 until 31 August 2029",
        POLICY.document_sha256,
        "UK GDPR Article 6(1)(c) and 6(1)(e)",
        "Education and Skills Act 2008 s10, s12, s17 and s68",
        "Working days 11 to 15 of every month",
        "Essex and Thurrock; Essex processes for both",
        "within 2 calendar months from the day on which it became available",
        "within 72 hours",
        "Newham (316), as its processor",
    ):
        assert words in text
    for member in POLICY.members:
        assert member.name in text
    for exchange in POLICY.exchanges:
        assert exchange.title in text
    for schema in POLICY.schemas:
        for column in schema.columns:
            assert column.names[0] in text
    for purpose in POLICY.agreement.purposes:
        assert purpose.text is not None
        assert purpose.text in text


class _Page(HTMLParser):
    """What makes a page accessible: its language, title, headings, links to places, tables with headed columns."""

    def __init__(self) -> None:
        super().__init__()
        self.language, self.levels, self.ids, self.targets = "", [0], set[str](), set[str]()
        self.tables, self.scopes = 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.language = found.get("lang") or self.language
        self.ids |= {found["id"] or ""} if "id" in found else set()
        self.targets |= {href[1:]} if (href := found.get("href") or "").startswith("#") else set()
        self.tables += tag == "table"
        self.scopes += tag == "th" and found.get("scope") == "col"
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))


def test_the_page_is_accessible_and_asks_nobody_for_anything() -> None:
    """One h1, no heading skipped, every link inside leads somewhere, tables are headed; no script, font or image."""
    text = pages()["agreement.html"]
    page = _Page()
    page.feed(text)
    assert page.language == "en-GB"
    assert page.levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(page.levels, page.levels[1:], strict=False))
    assert page.targets <= page.ids
    assert page.scopes >= 2 * page.tables > 0
    assert not re.search(r"<script|<img|<link|src=|url\(", text)


def test_publishing_from_the_command_line_writes_two_files_for_everybody(tmp_path: Path) -> None:
    """A set that is named is published as it stands; the files can be read by a web server."""
    folder = tmp_path / "public"
    done = CliRunner().invoke(app, ["policy", "publish", str(ROOT / "policies" / "ccis-v2"), "--to", str(folder)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in folder.iterdir()) == sorted(PAGES)
    assert oct(folder.stat().st_mode & 0o777) == "0o755"
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o644"}
