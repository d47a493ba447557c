"""How notices, replies and forms look in a chat. Pure: values in, message blocks out. Nobody's words become markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.conversation import Choice, Field, Form, Reply
from server.domain.notice import Button, Notice, Tone

Block = dict[str, Any]
"""One Block Kit block: a JSON object as https://docs.slack.dev/reference/block-kit defines it."""

SECTION = 3000
FALLBACK = 3500
FACT = 300
BUTTON_LABEL = 75
BUTTONS = 25
CONTEXT = 10
MODAL_TITLE = 24
LINE = 60
ROWS, CELLS, TICKS = 8, 4, 10
"""Characters and elements: Block Kit's limits, or safely below them."""
_MARK: dict[Tone, str] = {"info": "", "good": "✓ ", "attention": "● ", "bad": "▲ "}
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
SURE = {
    "recall": ("Recall this delivery?", "{0}: The recipient can no longer collect it, and is told.", "Recall"),
    "discard": ("Discard this upload?", "{0}: What arrived is deleted; the recipient never sees it.", "Discard"),
    "attest-destroyed": (
        "Is everything destroyed?",
        "You attest for your organisation that no copy is left of what it received here: not in its systems, not in "
        "anybody's folders, not with its processors; backups too.",
        "All destroyed",
    ),
    "release-hold": ("Release this hold?", "{0}: The sealed copy goes when its rule says, perhaps at once.", "Release"),
    "close-review": ("Is the review done?", "Every governance lead is told so.", "It is done"),
}
"""What the chat itself asks before it sends the press: verb -> title, text ({0} is the subject), button."""


@dataclass(frozen=True, slots=True)
class Card:
    """A Slack message: blocks, and the plain text for notifications and screen readers."""

    text: str
    blocks: tuple[Block, ...]


def escaped(text: str, limit: int) -> str:
    """Text for mrkdwn: `&<>` escaped (no mention or link can be made), at most `limit` characters, cut whole."""
    parts = [_ESCAPES.get(character, character) for character in text]
    if sum(map(len, parts)) <= limit:
        return "".join(parts)
    length, kept = 0, []
    for part in parts:
        length += len(part)
        if length > limit - 1:
            break
        kept.append(part)
    return "".join(kept) + "…"


def notice_card(notice: Notice, notice_id: int, version: int) -> Card:
    """The message of a notice. `notice_id` and `version` travel in the block id, so that a click says what was seen."""
    blocks: list[Block] = [_section(_MARK[notice.tone] + notice.text)]
    told = facts(notice)[:CONTEXT]
    if told:
        elements = [_mrkdwn(f"*{escaped(label, 60)}* {escaped(value, FACT)}") for label, value in told]
        blocks.append({"type": "context", "elements": elements})
    if notice.buttons:
        blocks.append(_actions(notice.buttons, f"notice:{notice_id}:{version}"))
    return Card(_fallback(notice), tuple(blocks))


def facts(notice: Notice) -> tuple[tuple[str, str], ...]:
    """The notice's facts, without those that its text says already."""
    said = notice.text.casefold()
    return tuple((label, value) for label, value in notice.facts if value.casefold().rstrip(".") not in said)


def notice_of(block_id: str) -> int | None:
    """The notice id in a block id that `notice_card` made; None for any other."""
    kind, _, rest = block_id.partition(":")
    number = rest.partition(":")[0]
    return int(number) if kind == "notice" and number.isascii() and number.isdigit() and len(number) < 19 else None


def reply_text(reply: Reply) -> str:
    """A reply as one mrkdwn text, for messages that only one person sees."""
    return escaped(_MARK[reply.tone] + reply.text, SECTION)


def reply_blocks(reply: Reply) -> tuple[Block, ...]:
    """The same with its buttons below; empty when it has none and the text is enough."""
    if not reply.buttons:
        return ()
    return (_section(_MARK[reply.tone] + reply.text), _actions(reply.buttons, "reply"))


def modal(form: Form, private: str) -> Block:
    """A form as a modal view; `private` (up to 3000 characters) comes back with the answers."""
    said = "\n".join(line for line in (form.title, form.intro, form.document) if line)
    blocks = [_section(said), *(_input(asked, form.answers.get(asked.name, "")) for asked in form.fields)]
    return {
        "type": "modal",
        "callback_id": f"safehand:{form.verb}",
        "private_metadata": private,
        "title": _plain(form.heading or form.subject, MODAL_TITLE),
        "submit": _plain(form.submit, MODAL_TITLE),
        "close": _plain("Back", MODAL_TITLE),
        "blocks": blocks,
    }


def _fallback(notice: Notice) -> str:
    lines = "".join(f"\n{label}: {value}" for label, value in facts(notice))
    return escaped(_MARK[notice.tone] + notice.text + lines, FALLBACK)


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(escaped(text, SECTION))}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _plain(text: str, limit: int) -> Block:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return {"type": "plain_text", "text": cut, "emoji": False}


def _actions(buttons: Sequence[Button], block_id: str) -> Block:
    elements = [_button(button) for button in buttons[:BUTTONS]]
    seen: dict[str, int] = {}
    for element in elements:
        times = seen[element["action_id"]] = seen.get(element["action_id"], 0) + 1
        if times > 1:
            element["action_id"] += f":{times}"
    return {"type": "actions", "block_id": block_id, "elements": elements}


def _button(button: Button) -> Block:
    element: Block = {
        "type": "button",
        "action_id": f"safehand:{button.verb}",
        "value": button.subject,
        "text": _plain(button.label, BUTTON_LABEL),
    }
    if button.style != "plain":
        element["style"] = button.style
    if button.verb in SURE:
        title, text, confirm = SURE[button.verb]
        element["confirm"] = {
            "title": _plain(title, 100),
            "text": _plain(text.format(button.subject), 300),
            "confirm": _plain(confirm, 30),
            "deny": _plain("Back", 30),
            "style": "danger",
        }
    return element


def fits(form: Form) -> bool:
    """Whether a modal can ask all of it: a table of many columns, or of many rows, has no room there."""
    rows = [asked for asked in form.fields if asked.kind == "row"]
    ticks = [len(asked.choices) for asked in form.fields if asked.kind == "choices"]
    return len(rows) <= ROWS and all(len(row.parts) <= CELLS for row in rows) and all(n <= TICKS for n in ticks)


def _input(asked: Field, given: str) -> Block:
    block: Block = {
        "type": "input", "block_id": asked.name, "label": _plain(asked.label, 2000), "element": _element(asked, given),
    }  # fmt: skip
    if asked.optional:
        block["optional"] = True
    if asked.hint:
        block["hint"] = _plain(asked.hint, 2000)
    return block


def _element(asked: Field, given: str) -> Block:
    """The element of a question, with what is known already filled in."""
    match asked.kind:
        case "choice" | "select" | "choices":
            return _of_choices(asked, given)
        case "date":
            return {"type": "datepicker", "action_id": "answer"} | ({"initial_date": given} if given else {})
        case "text":
            text: Block = {"type": "plain_text_input", "action_id": "answer", "multiline": True}
            text |= {"min_length": 0 if asked.optional else 1, "max_length": asked.max_length or SECTION}
            return text | ({"initial_value": given} if given else {})
        case _:
            line: Block = {"type": "plain_text_input", "action_id": "answer", "max_length": LINE}
            return line | ({"initial_value": given} if given else {})


def _of_choices(asked: Field, given: str) -> Block:
    kinds = {"choice": "radio_buttons", "select": "static_select", "choices": "checkboxes"}
    element: Block = {
        "type": kinds[asked.kind], "action_id": "answer", "options": [_option(one) for one in asked.choices],
    }  # fmt: skip
    chosen = [_option(one) for one in asked.choices if one.value in given.split(",")]
    if chosen:
        name = "initial_options" if asked.kind == "choices" else "initial_option"
        element[name] = chosen if asked.kind == "choices" else chosen[0]
    return element


def _option(choice: Choice) -> Block:
    option: Block = {"value": choice.value, "text": _plain(choice.label, 75)}
    if choice.hint:
        option["description"] = _plain(choice.hint, 75)
    return option
