"""Every key of the working set is taken out and spoilt in turn: nothing crashes, and nothing permits more for it."""

from __future__ import annotations

import pytest

from tests.mutants import BASE, FEW, SECTIONS, mutants, permits, try_all


@pytest.mark.parametrize("section", SECTIONS)
def test_nothing_that_is_missing_or_spoilt_permits_more(section: str) -> None:
    """A mutant is refused with its places, or is an error of lint, or permits no more than the set as it is."""
    tried, loaded = try_all(mutants(section), FEW)
    assert 0 < loaded < tried


def test_there_are_hundreds_of_mutants_and_the_set_permits_something() -> None:
    """What is tried is worth trying."""
    assert sum(1 for section in SECTIONS for _ in mutants(section)) > 1000
    assert len({permit[0] for permit in permits(BASE, FEW)}) == 8
