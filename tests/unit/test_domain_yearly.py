"""Yearly statements: what there is to say, until when it counts, and when it is asked for."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import Refused
from server.domain.yearly import KIND, KINDS, asked_for, checked, form_text, read_form, span_of, standing
from server.policy.load import load

SHIPPED = load(Path(__file__).parent.parent.parent / "policies" / "ccis-v2")
FOUNDED = date(2026, 12, 1)


def first(kind: str, founded: date = FOUNDED) -> date:
    """The day by which Kent gives its first statement of this kind."""
    found = standing(SHIPPED, "kent", kind, None, founded)
    assert found is not None
    return found.last


def test_the_agreement_asks_for_every_kind_once_a_year() -> None:
    """Four by its signed text, two beside it."""
    assert {kind.id: span_of(SHIPPED, kind.id) for kind in KINDS} == {kind.id: "P1Y" for kind in KINDS}
    assert asked_for(SHIPPED) == KINDS


def test_first_statements_are_asked_for_one_kind_a_week() -> None:
    """Thirty days after there was a member, an agreement in force and an exchange; not all on one day."""
    days = [first(kind.id) for kind in KINDS]
    assert days[0] == FOUNDED + timedelta(days=30)
    assert [later - earlier for earlier, later in itertools.pairwise(days)] == [timedelta(days=7)] * 5
    since = SHIPPED.member_by_id["kent"].member_since
    assert since is not None and first("physical", date(2000, 1, 1)) > since


@pytest.mark.parametrize(
    ("day", "words", "counts"),
    [
        (date(2026, 12, 1), "given on Tue 1 Dec 2026, until Wed 1 Dec 2027", True),
        (date(2027, 12, 1), "given on Tue 1 Dec 2026, until Wed 1 Dec 2027", True),
        (date(2027, 12, 2), "not provided since Wed 1 Dec 2027", False),
    ],
)
def test_r090_others_read_that_it_was_given_or_is_not_provided(day: date, words: str, counts: bool) -> None:
    """Until the same day of the next year; without what was ticked in it."""
    found = standing(SHIPPED, "kent", "due-diligence", FOUNDED, FOUNDED)
    assert found is not None and (found.words(day), found.counts(day)) == (words, counts)
    never = standing(SHIPPED, "kent", "due-diligence", None, FOUNDED)
    assert never is not None and never.words(day) == "not provided"


@given(st.dates(date(2020, 1, 1), date(2090, 1, 1)), st.sampled_from([kind.id for kind in KINDS]))
def test_another_year_is_asked_for_anew(day: date, kind: str) -> None:
    """Thirty and seven days before it runs out, and when it has; under another name than the year before."""
    found = standing(SHIPPED, "kent", kind, day, FOUNDED)
    assert found is not None
    assert [stage for stage, _ in found.stages()] == ["P30D", "P7D", "over"]
    again = standing(SHIPPED, "kent", kind, found.last, FOUNDED)
    assert again is not None and again.about != found.about


@pytest.mark.parametrize(
    ("kind", "answers", "code"),
    [
        ("weather", {"statement": "yes"}, "NO_SUCH_STATEMENT"),
        ("physical", {}, "NOT_ANSWERED"),
        ("physical", {"statement": "of course"}, "NOT_ANSWERED"),
        ("physical", {"statement": "yes", "note": "yes"}, "NOT_ANSWERED"),
        ("physical", {"statement": "no"}, "NOT_GIVEN"),
        ("due-diligence", {"contracts": "yes"}, "NOT_ANSWERED"),
    ],
)
def test_only_ticks_are_answers(kind: str, answers: dict[str, str], code: str) -> None:
    """No words; and what is one sentence is either true or not stated."""
    with pytest.raises(Refused) as refused:
        checked(kind, answers)
    assert refused.value.code == code


@given(st.sampled_from(KINDS), st.data())
def test_a_form_says_what_was_ticked_in_it(kind, data) -> None:  # type: ignore[no-untyped-def]
    """Put back as it lies there, every box is empty; with an x in a box, that one is ticked."""
    text = form_text(kind, "not provided")
    assert read_form(text) == dict.fromkeys(kind.names, "no")
    ticked = data.draw(st.sets(st.sampled_from(kind.names)))
    for name in ticked:
        text = text.replace(
            f"[ ] {name}:", data.draw(st.sampled_from([f"[x] {name}:", f"[ X ] {name}:", f"[X]{name}:"]))
        )
    assert read_form(text) == {name: "yes" if name in ticked else "no" for name in kind.names}


@pytest.mark.parametrize("line", ["statement: yes", "x statement", "[y] statement", "[x x] statement"])
def test_other_lines_are_no_form(line: str) -> None:
    """Whoever writes words into it is told what to fill in."""
    with pytest.raises(Refused, match="Only the boxes"):
        read_form(f"# {KIND['physical'].title}\n{line}\n")
