"""What the desk's pages show, as words and values for the templates. Pure: views in, plain values out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime

from bot.cards import facts
from server.domain.delivery import Status
from server.domain.pacing import DIGEST
from server.domain.schedule import clock_words, in_words
from server.exchange.asking import ProposalView
from server.exchange.chased import Item
from server.exchange.digests import HEADINGS, told
from server.exchange.views import DeliveryView, NoticeView
from server.exchange.yearly import YearlyView

KINDS = {
    "member": "Members",
    "text": "The text of the agreement",
    "person": "People",
    "key": "Keys",
    "pair": "Who can send to whom",
    "due": "Due dates",
    "retention": "How long files are kept",
    "session": "Sessions that end",
    "also": "Also",
    "lint": "What the checks say",
}
"""Headings of a proposal's consequences, in the order in which a reader wants them."""
_STATUS_TONE = {
    Status.HELD: "attention",
    Status.AVAILABLE: "attention",
    Status.COLLECTED: "attention",
    Status.QUERIED: "attention",
    Status.ACKNOWLEDGED: "good",
    Status.REJECTED: "bad",
    Status.RECALLED: "bad",
}
_PROPOSAL_TONE = {"open": "attention", "applied": "good", "refused": "bad"}
_HOLDS = frozenset({"all-there", "discard", "approve-ad-hoc"})


def size_words(size: int) -> str:
    """Bytes as people read them: 28,462,080 bytes."""
    return f"{size:,} byte{'' if size == 1 else 's'}"


def day_words(day: str) -> str:
    """Mon 1 Feb 2027 for 2027-02-01."""
    parsed = date.fromisoformat(day)
    return f"{parsed:%a} {parsed.day} {parsed:%b %Y}"


def sentence(clause: str) -> str:
    """A clause as a sentence of its own."""
    return clause[:1].upper() + clause[1:] + ("" if clause.endswith((".", "?", "!")) else ".")


def by_member(statements: Iterable[YearlyView]) -> list[tuple[str, list[YearlyView]]]:
    """Yearly statements under the names of their members, in the order in which they come."""
    found: dict[str, list[YearlyView]] = {}
    for one in statements:
        found.setdefault(one.called, []).append(one)
    return list(found.items())


def today_groups(items: Sequence[Item]) -> list[tuple[str, list[tuple[Item, str]]]]:
    """What waits for somebody under the headings of the day's message: each item, and its words."""
    groups = {heading: [(i, told(i)) for i in items if i.group == group] for group, heading in HEADINGS.items()}
    return [(heading, found) for heading, found in groups.items() if found]


def waits(view: NoticeView) -> bool:
    """Whether something is asked of the person, not only offered."""
    return view.notice.kind != DIGEST and any(button.style == "primary" for button in view.notice.buttons)


def told_by(subjects: Collection[str], item: Item) -> bool:
    """Whether everything that can be done about it stands on the page already, in messages about these subjects."""
    own = {button.subject for button in item.buttons if button.verb != "snooze"}
    return bool(own) and own <= set(subjects)


def holds_first(view: NoticeView) -> bool:
    """The sort key that puts questions about held files in front."""
    return not any(button.verb in _HOLDS for button in view.notice.buttons)


def delivery_line(view: DeliveryView) -> dict[str, object]:
    """A delivery in a list."""
    return {"view": view, "at": in_words(view.at), "tone": _STATUS_TONE.get(view.status, "info")}


def notice_item(view: NoticeView, now: datetime) -> dict[str, object]:
    """A notice: its first line, the others, what it says besides, and the page that says more."""
    lines, page = view.notice.text.splitlines(), _page_of(view.notice.thread)
    return {
        "notice": view.notice,
        "facts": () if page else facts(view.notice),
        "first": lines[0] if lines else "",
        "more": lines[1:],
        "at": clock_words(view.at, now),
        "page": page,
    }


def _page_of(thread: str) -> tuple[str, str] | None:
    """(address, words) of the page about what a notice is about."""
    kind, _, subject = thread.partition(":")
    match kind:
        case "proposal":
            return f"/desk/changes/{subject}", "Everything it would change"
        case "review" | "agreement":
            return "/desk/agreement", "The agreement"
        case _:
            return None


def proposal_line(view: ProposalView) -> dict[str, object]:
    """A proposal in a list."""
    return {"view": view, "at": in_words(view.at), "tone": _PROPOSAL_TONE.get(view.status, "info")}


def consequence_groups(told: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """(heading, sentences) of a proposal; a kind that has no heading of its own stands under the last."""
    groups: dict[str, list[str]] = {heading: [] for heading in KINDS.values()}
    for kind, words in told:
        groups[KINDS.get(kind, KINDS["also"])].append(words)
    return [(heading, sentences) for heading, sentences in groups.items() if sentences]
