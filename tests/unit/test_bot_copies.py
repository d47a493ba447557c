"""Forms about copies: filled in with what is known, asked again with what is wrong, small enough for a modal."""

from __future__ import annotations

import json

import pytest

from bot.cards import fits, modal
from bot.conversation import check
from bot.conversation.copies import destroyed, processed, ticked
from bot.slack import _answers
from server.exchange.use_forms import Asked, Copy, group_of

HABIT = {
    "import_folder": "not held there", "staging_tables": "not held there", "downloads": "deleted",
    "mail": "not held there", "portable_device": "not held there", "paper": "shredded",
    "other_system": "not held there", "backups": "expires", "backups_until": "2027-03-31", "subcontractors": "none",
    "exceptions": "", "witness": "",
}  # fmt: skip
ONE, ALL = "D-2026-000417", "post16-destinations-2026-11"


def asked(number: int = 1, **changed: object) -> Asked:
    copies = tuple(
        Copy(f"D-2026-{417 + n:06d}", "Essex", f"D-2026-{417 + n:06d} from Essex: 318 records", 318, 28)
        for n in range(number)
    )
    facts: dict[str, object] = {
        "what": "D-2026-000417 from Essex, Post-16, Nov 2026", "use_by": "Mon 1 Feb 2027", "copies": copies,
        "authorities": (), "habit": HABIT, "colleagues": (("p-kent-2", "B. Birch"),), "witness_required": False,
    }  # fmt: skip
    return Asked(**(facts | changed))  # type: ignore[arg-type]


LONDON = tuple((f"{200 + n}", f"Borough {n}") for n in range(9))


def test_what_is_known_is_filled_in() -> None:
    """The records that were received, what was said last time, and nobody as a witness."""
    view = modal(processed(ONE, asked()), "private")
    values = {block["block_id"]: block["element"].get("initial_value") for block in view["blocks"][1:]}
    assert values == {"received": "318", "kept": None, "not_ours": None, "rejected": "0"}
    view = modal(destroyed(ONE, asked()), "private")
    elements = {block["block_id"]: block["element"] for block in view["blocks"][1:]}
    assert elements["downloads"]["initial_option"]["value"] == "deleted"
    assert elements["mail"]["initial_option"]["value"] == "not held there"
    assert elements["backups"]["initial_option"]["value"] == "expires"
    assert elements["backups_until"] == {"type": "datepicker", "action_id": "answer", "initial_date": "2027-03-31"}
    assert elements["witness"]["initial_option"]["value"] == "-"


def test_the_very_first_time_nothing_is_presumed_of_backups() -> None:
    """No option is chosen, so that the chat itself asks for one."""
    first = HABIT | {"downloads": "not held there", "paper": "not held there", "backups": "", "backups_until": ""}
    elements = {b["block_id"]: b["element"] for b in modal(destroyed(ONE, asked(habit=first)), "x")["blocks"][1:]}
    assert "initial_option" not in elements["backups"]
    assert "initial_date" not in elements["backups_until"]


@pytest.mark.parametrize("form", [
    processed(ONE, asked()), processed(ALL, asked(8)), destroyed(ONE, asked()), destroyed(ALL, asked(8)),
    processed(ONE, asked(authorities=LONDON)),
])  # fmt: skip
def test_a_modal_keeps_within_the_platforms_limits(form: object) -> None:
    """Blocks, labels, options and names are as long as Block Kit allows, and every name is there once."""
    assert fits(form)  # type: ignore[arg-type]
    view = modal(form, "x" * 200)  # type: ignore[arg-type]
    assert len(view["blocks"]) <= 100
    names = [block["block_id"] for block in view["blocks"][1:]]
    assert len(set(names)) == len(names)
    for block in view["blocks"][1:]:
        assert len(block["block_id"]) <= 255
        assert len(block["label"]["text"]) <= 2000
        options = block["element"].get("options", [{"text": {"text": ""}}])
        assert 1 <= len(options) <= (10 if block["element"]["type"] == "checkboxes" else 100)
        assert all(len(option["text"]["text"]) <= 75 for option in options)
    assert len(json.dumps(view)) < 250_000


def test_a_table_of_many_columns_or_rows_goes_to_the_desk() -> None:
    """Nine authorities of eight deliveries are no form for a chat."""
    assert not fits(processed(ALL, asked(8, authorities=LONDON)))
    assert not fits(processed(ALL, asked(9)))
    assert not fits(destroyed(ALL, asked(11)))


@pytest.mark.parametrize(
    ("subject", "answers", "wrong"),
    [
        (ONE, {"received": "318", "kept": "290", "not_ours": "28", "rejected": "0"}, {}),
        (ONE, {"received": "318", "kept": "290", "not_ours": "27", "rejected": "0"}, {"kept": "is 317"}),
        (ONE, {"received": "318", "kept": "", "not_ours": "x", "rejected": "0"}, {"kept": "", "not_ours": ""}),
        (ALL, {"counts.D-2026-000417.318": "290, 28, 0", "counts.D-2026-000418.5": ""}, {}),
        (ALL, {"counts.D-2026-000417.318": "290 / 28 / 0"}, {}),
        (ALL, {"counts.D-2026-000417.": "2 1 0"}, {}),
        (ALL, {"counts.D-2026-000417.318": "290, 27, 0"}, {"counts.D-2026-000417.318": "is 317"}),
        (ALL, {"counts.D-2026-000417.318": "290"}, {"counts.D-2026-000417.318": "empty"}),
        (ALL, {"counts.D-2026-000417.318": ""}, {"counts.D-2026-000417.318": "at least one row"}),
        (ALL, {"received.D-2026-000417": "318", "kept.D-2026-000417": "1", "not_ours.D-2026-000417": "1",
               "rejected.D-2026-000417": "0"}, {"kept.D-2026-000417": "is 2"}),
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_said_before_anything_is_sent(
    subject: str, answers: dict[str, str], wrong: dict[str, str]
) -> None:
    """Beside the field that it is about; nobody types it twice."""
    form = check("processed", subject, answers)
    errors = dict(form.errors) if form else {}
    assert set(errors) == set(wrong)
    assert all(words in errors[name] for name, words in wrong.items())


@pytest.mark.parametrize(
    ("subject", "changed", "wrong"),
    [
        (ONE, {}, set()),
        (ONE, {"backups": "expires", "backups_until": ""}, {"backups_until"}),
        (ONE, {"downloads": "not held there", "paper": "not held there"}, {"import_folder"}),
        (ALL, {"deliveries": "D-2026-000417,D-2026-000418"}, set()),
        (ALL, {"deliveries": ""}, {"deliveries"}),
    ],
)
def test_what_is_missing_of_a_destruction_is_said(subject: str, changed: dict[str, str], wrong: set[str]) -> None:
    """A place, a day, a tick."""
    form = check("destroyed", subject, HABIT | {"witness": "-"} | changed)
    assert (set(form.errors) if form else set()) == wrong


def test_a_submitted_view_gives_the_answers_back() -> None:
    """Options, ticks, days and texts, each by the name of its field."""
    values = {
        "downloads": {"answer": {"type": "static_select", "selected_option": {"value": "deleted"}}},
        "deliveries": {"answer": {"type": "checkboxes", "selected_options": [{"value": "D-1"}, {"value": "D-2"}]}},
        "backups_until": {"answer": {"type": "datepicker", "selected_date": "2027-03-31"}},
        "exceptions": {"answer": {"type": "plain_text_input", "value": None}},
        "kept": {"answer": {"type": "plain_text_input", "value": "290"}},
    }
    found = _answers({"state": {"values": values}})
    assert found == {
        "downloads": "deleted", "deliveries": "D-1,D-2", "backups_until": "2027-03-31", "exceptions": "", "kept": "290",
    }  # fmt: skip
    assert ticked(found) == ["D-1", "D-2"]


@pytest.mark.parametrize(
    ("subject", "group"),
    [(ALL, ("post16-destinations", "2026-11")), (ONE, None), ("kent", None), ("trial-2026-12", ("trial", "2026-12"))],
)
def test_a_subject_names_one_delivery_or_a_month_of_them(subject: str, group: tuple[str, str] | None) -> None:
    """The exchange's id and the period, as the buttons of the day's message have them."""
    assert group_of(subject) == group
