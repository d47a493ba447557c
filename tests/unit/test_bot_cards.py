"""How notices and forms look in chat: limits kept, nothing of anybody's words becomes markup."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cards import BUTTON_LABEL, MODAL_TITLE, SECTION, escaped, modal, notice_card, notice_of, reply_text
from bot.conversation import Form, Reply, check
from server.domain.notice import Button, Notice


def a_notice(**changed: object) -> Notice:
    facts: dict[str, object] = {
        "person": "p-kent-1", "thread": "delivery:D-2026-000417", "kind": "delivery",
        "text": "D-2026-000417 from Essex: Post-16 destinations, Nov 2026.\n212 rows wait in your inbox.",
        "buttons": (
            Button("acknowledge", "Acknowledge", "D-2026-000417", "primary"),
            Button("problem", "Problem", "D-2026-000417", asks_reason=True),
        ),
    }  # fmt: skip
    return Notice(**(facts | changed))  # type: ignore[arg-type]


def test_a_card_says_the_text_first_and_the_buttons_last() -> None:
    """Text, facts, buttons: in that order."""
    card = notice_card(a_notice(facts=(("Kent D-2026-000417", "collected"),)), 7, 2)
    assert [block["type"] for block in card.blocks] == ["section", "context", "actions"]
    assert [e["action_id"] for e in card.blocks[-1]["elements"]] == ["safehand:acknowledge", "safehand:problem"]
    assert [e["value"] for e in card.blocks[-1]["elements"]] == ["D-2026-000417"] * 2


def test_a_click_says_which_notice_was_seen() -> None:
    """The block id carries the notice's number; anything else is no notice."""
    assert notice_of(notice_card(a_notice(), 712, 3).blocks[-1]["block_id"]) == 712
    assert [notice_of(other) for other in ("", "x", "notice:", "notice:x:1", "other:7:1", "notice:٣:1")] == [None] * 6


def test_words_never_become_a_mention_or_a_link() -> None:
    """`<!channel>` and `<http://…|…>` are shown as they were typed."""
    card = notice_card(a_notice(text="<!channel> & <http://x|y>", facts=(("<@U1>", "a<b"),)), 1, 1)
    written = json.dumps([card.text, *card.blocks])
    assert "<" not in written.replace("&lt;", "")
    assert "&lt;!channel&gt; &amp; &lt;http" in written
    assert all(element["verbatim"] for element in card.blocks[1]["elements"])


def test_what_cannot_be_undone_is_asked_first() -> None:
    """Recall and discard carry Slack's own "are you sure?"."""
    buttons = (Button("recall", "Recall", "D-2026-000001", "danger"), Button("discard", "Discard", "C-2026-000001"))
    elements = notice_card(a_notice(buttons=buttons), 1, 1).blocks[-1]["elements"]
    assert all("confirm" in element for element in elements)
    assert elements[0]["style"] == "danger"
    assert "style" not in elements[1]


def test_two_buttons_of_one_verb_keep_names_of_their_own() -> None:
    """Slack refuses a message with one action id twice."""
    buttons = tuple(Button("recall", f"Recall {n}", f"D-2026-00000{n}") for n in (1, 2, 3))
    names = [element["action_id"] for element in notice_card(a_notice(buttons=buttons), 1, 1).blocks[-1]["elements"]]
    assert len(set(names)) == 3
    assert {name.split(":")[1] for name in names} == {"recall"}


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.integers(1, 60))
def test_cut_text_keeps_its_limit_and_never_half_an_escape(text: str, limit: int) -> None:
    """At most `limit` characters; every & in it begins a whole escape."""
    cut = escaped(text, limit)
    assert len(cut) <= limit
    rest = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not set(rest) & set("&<>")


def test_a_long_notice_stays_within_slacks_limits() -> None:
    """3000 characters a section, 75 a button, 10 facts, 25 buttons."""
    buttons = tuple(Button("acknowledge", "A" * 200, f"D-{n}") for n in range(40))
    notice = a_notice(text="&" * 9000, facts=tuple((str(n), "x" * 900) for n in range(30)), buttons=buttons)
    section, context, actions = notice_card(notice, 1, 1).blocks
    assert len(section["text"]["text"]) <= SECTION
    assert len(context["elements"]) == 10
    assert len(actions["elements"]) == 25
    assert all(len(element["text"]["text"]) <= BUTTON_LABEL for element in actions["elements"])


def test_the_problem_form_asks_a_choice_and_a_reason() -> None:
    """Two inputs, and what it is about travels along unseen."""
    form = check("problem", "D-2026-000417", {})
    assert isinstance(form, Form)
    view = modal(form, "[1]")
    assert [block["block_id"] for block in view["blocks"] if block["type"] == "input"] == ["kind", "reason"]
    assert view["private_metadata"] == "[1]"
    assert len(view["title"]["text"]) <= MODAL_TITLE


@pytest.mark.parametrize(
    ("reason", "wrong"),
    [
        ("", "Please give a reason"),
        ("ask anna@example.org", "an e-mail address"),
        ("pupil 9000000016 twice", "a ULN"),
        ("born 03/04/2009", "a date of birth"),
        ("x" * 301, "under 300"),
    ],
)
def test_a_reason_with_personal_data_is_stopped_before_it_is_sent(reason: str, wrong: str) -> None:
    """The form comes back with one sentence at the field; the sentence never repeats what was typed."""
    form = check("problem", "D-2026-000417", {"kind": "queried", "reason": reason})
    assert form is not None
    assert wrong in form.errors["reason"]
    assert not reason or reason not in form.errors["reason"]


def test_a_good_reason_needs_no_form_again() -> None:
    """Nothing to ask; and a verb that asks nothing never does."""
    assert check("problem", "D-2026-000417", {"kind": "rejected", "reason": "Rows of October, not November"}) is None
    assert check("acknowledge", "D-2026-000417", {}) is None
    missing = check("problem", "D-2026-000417", {"kind": "burn", "reason": "Rows of October"})
    assert missing is not None
    assert set(missing.errors) == {"kind"}


def test_a_reply_is_escaped_too() -> None:
    """A sentence for one person cannot call a channel."""
    assert reply_text(Reply("<!here>", "attention")) == "● &lt;!here&gt;"
