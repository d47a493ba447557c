"""The chain of the ledger: whatever was changed, moved, taken out, cut off or put in is found, and named."""

from __future__ import annotations

from dataclasses import asdict, astuple, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from server.domain.ledger import GENESIS, Entry, Event, digest, entry, fault, moment_of, text_of

START = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
TEXTS = [field.name for field in fields(Entry) if field.name != "number"]
plain = st.text(st.characters(codec="utf-8"), max_size=12)
facts = st.dictionaries(plain, st.one_of(st.none(), st.booleans(), st.integers(), plain, st.lists(plain)), max_size=3)
kinds = st.sampled_from(["delivery.available", "delivery.collected", "policy.applied"])
events = st.builds(Event, kinds, st.from_regex("[a-z]{1,6}-[0-9]", fullmatch=True), st.tuples(plain), facts)
offsets = st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
histories = st.lists(events, min_size=2, max_size=6)


def chained(history: list[Event], start: Entry | None = None) -> list[Entry]:
    """The history as a ledger has it."""
    ledger = [start] if start else []
    for event in history:
        last = ledger[-1] if ledger else None
        number, previous = (last.number + 1, last.hash) if last else (1, GENESIS)
        at = START + timedelta(seconds=number)
        ledger.append(entry(event, number=number, at=at, revision="a" * 64, previous=previous))
    return ledger[1:] if start else ledger


def first_fault(ledger: list[Entry]) -> tuple[int, str] | None:
    """The place (from 1) and the words of the first entry that does not hold."""
    previous = GENESIS
    for number, row in enumerate(ledger, start=1):
        found = fault(row, number=number, previous=previous)
        if found is not None:
            return number, found
        previous = row.hash
    return None


@given(histories)
def test_a_ledger_that_nobody_touched_holds(history: list[Event]) -> None:
    """Every entry follows the one before it, from the first on, whatever stands in it."""
    ledger = chained(history)
    assert first_fault(ledger) is None
    assert all(after.previous == before.hash for before, after in pairwise(ledger))


@given(histories, st.data())
def test_any_changed_byte_of_any_field_is_found_and_its_entry_named(history: list[Event], data: st.DataObject) -> None:
    """One character another, one more or one less, in any field of any entry: the first fault is there."""
    ledger = chained(history)
    place = data.draw(st.integers(0, len(ledger) - 1))
    field = data.draw(st.sampled_from(TEXTS))
    before: str = getattr(ledger[place], field)
    at = data.draw(st.integers(0, len(before)))
    after = before[:at] + data.draw(plain) + before[at + data.draw(st.integers(0, 1)) :]
    assume(after != before)
    ledger[place] = Entry(**(asdict(ledger[place]) | {field: after}))
    found = first_fault(ledger)
    assert found is not None
    assert found[0] == place + 1
    assert found[1].startswith(f"entry {place + 1} ")


@given(histories, st.data())
def test_a_changed_number_is_found(history: list[Event], data: st.DataObject) -> None:
    """The number is part of what is proved."""
    ledger = chained(history)
    place = data.draw(st.integers(0, len(ledger) - 1))
    other = data.draw(st.integers(0, 20).filter(lambda number: number != place + 1))
    ledger[place] = replace(ledger[place], number=other)
    assert first_fault(ledger) == (place + 1, f"entry {place + 1} is missing: the next row says {other}")


@given(histories, st.data())
def test_a_changed_entry_with_its_own_hash_made_anew_breaks_at_the_next(
    history: list[Event], data: st.DataObject
) -> None:
    """Who rewrites one entry properly has to rewrite every later one; the heads that partners keep forbid that."""
    ledger = chained(history)
    place = data.draw(st.integers(0, len(ledger) - 2))
    forged = replace(ledger[place], actor=ledger[place].actor + "x")
    content = astuple(forged)[:-1]
    ledger[place] = replace(forged, hash=digest(*content))
    assert first_fault(ledger) == (place + 2, f"entry {place + 2} does not follow the entry before it")


@given(histories, st.data())
def test_a_removed_entry_is_missed(history: list[Event], data: st.DataObject) -> None:
    """Every entry but the last; that the last one is missing is what the head says."""
    ledger = chained(history)
    place = data.draw(st.integers(0, len(ledger) - 2))
    del ledger[place]
    assert first_fault(ledger) == (place + 1, f"entry {place + 1} is missing: the next row says {place + 2}")


@given(histories, st.data())
def test_a_removed_entry_is_missed_even_when_the_others_are_numbered_anew(
    history: list[Event], data: st.DataObject
) -> None:
    """The number is in the hash, and so is the entry before."""
    ledger = chained(history)
    place = data.draw(st.integers(0, len(ledger) - 2))
    del ledger[place]
    ledger = [replace(row, number=number) for number, row in enumerate(ledger, start=1)]
    found = first_fault(ledger)
    assert found is not None
    assert found[0] == place + 1


@given(histories, st.data())
def test_entries_in_another_order_do_not_hold(history: list[Event], data: st.DataObject) -> None:
    """The first entry that is not where it was is named."""
    ledger = chained(history)
    shuffled = data.draw(st.permutations(ledger))
    assume(shuffled != ledger)
    moved = next(place for place, (row, other) in enumerate(zip(ledger, shuffled, strict=True)) if row != other)
    found = first_fault(shuffled)
    assert found is not None
    assert found[0] == moved + 1


@given(histories, histories)
def test_an_entry_from_another_history_does_not_fit(history: list[Event], other: list[Event]) -> None:
    """An entry appended from a ledger that went another way does not follow this one."""
    assume(history[0] != other[0])
    mine, theirs = chained(history), chained([*other, *other, *history])
    stranger = theirs[len(mine)]
    assert first_fault([*mine, stranger]) == (
        len(mine) + 1,
        f"entry {len(mine) + 1} does not follow the entry before it",
    )


@given(events, events)
def test_two_events_never_have_one_hash(one: Event, other: Event) -> None:
    """What differs in any stored text differs in the hash."""
    first, second = chained([one])[0], chained([other])[0]
    assert (first.hash == second.hash) == (astuple(first)[:-1] == astuple(second)[:-1])


@given(events)
def test_no_field_holds_a_line_end_so_that_lines_are_fields(event: Event) -> None:
    """Free text is escaped by JSON; a row that has a line end in a field all the same is no entry."""
    row = chained([event])[0]
    assert not any("\n" in str(value) for value in astuple(row))
    # The same lines cut at another place: the digest is the same, and still it is found.
    moved = replace(row, kind=f"{row.kind}\n{row.actor}", actor="")
    assert fault(moved, number=1, previous=GENESIS) == "entry 1 has a line end inside a field"


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=offsets))
def test_times_are_kept_to_the_microsecond_in_utc_and_sort_as_they_read(moment: datetime) -> None:
    """Stored as text; what is read is what was written."""
    stored = text_of(moment)
    assert moment_of(stored) == moment
    assert text_of(moment_of(stored)) == stored
    assert text_of(moment + timedelta(microseconds=1)) > stored
    assert len(stored) == 27
