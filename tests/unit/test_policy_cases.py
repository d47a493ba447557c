"""The cases beside each shipped set hold, and together they show every reason for a denial."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from server.domain import decision, standing
from server.policy.cases import try_cases, uncovered
from server.policy.explain import HOLDS
from server.policy.problem import PolicyInvalid

POLICIES = Path(__file__).parents[2] / "policies"
SETS = sorted(path.parent.name for path in POLICIES.glob("*/policy.yaml"))
CASE = """- id: one
  given: {now: 2026-12-01, sender: essex, recipient: kent, exchange: trial}
  expect: permit
"""


@pytest.mark.parametrize("name", SETS)
def test_every_case_of_a_shipped_set_holds(name: str) -> None:
    """Given these facts, permit, or deny for exactly these reasons."""
    tried = try_cases(POLICIES / name)
    assert tried
    assert [str(one) for one in tried if not one.holds] == []


def test_every_reason_has_a_case() -> None:
    """A reason code that no case of any shipped set expects fails the suite."""
    assert uncovered(one for name in SETS for one in try_cases(POLICIES / name)) == ()


def test_every_reason_has_words_for_when_it_holds() -> None:
    """What `explain` can say is exactly what the decision can look at."""
    sources = [Path(module.__file__ or "").read_text() for module in (decision, standing)]
    codes = {code for source in sources for code in re.findall(r'(?:Rule|_known)\(\s*"([A-Z_]+)"', source)}
    assert codes == set(HOLDS)


def test_the_agreement_as_it_was_written_denies_every_exchange() -> None:
    """Every row of appendix 1 has a case, and each is denied."""
    tried = try_cases(POLICIES / "seed-v1")
    rows = {"post16-destinations", "movers", "activity-survey", "year11-residents", "year14-destinations",
            "september-guarantee"}  # fmt: skip
    assert {one.case.given.exchange for one in tried} - {None} == rows
    assert not any(one.decision.permit for one in tried)


def test_r060_only_the_nccis_platform_is_a_channel_of_the_first_text() -> None:
    """R-060: the 2016 text names the NCCIS platform alone, so every deposit over SFTP is denied for that too."""
    sent = [one for one in try_cases(POLICIES / "seed-v1") if one.case.given.act == "send"]
    assert sent
    assert all("CHANNEL_NOT_AUTHORISED" in one.decision.codes for one in sent)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The working set without its cases."""
    return Path(shutil.copytree(POLICIES / "ccis-v2", tmp_path / "set", ignore=shutil.ignore_patterns("cases")))


def with_cases(folder: Path, text: str) -> Path:
    (folder / "cases").mkdir(exist_ok=True)
    (folder / "cases" / "some.yaml").write_text(text)
    return folder


def test_a_case_that_fails_says_which_and_what_was_decided(copied: Path) -> None:
    """By file and line, what was expected and what was decided instead."""
    text = CASE.replace("recipient: kent", "recipient: essex")
    failed = try_cases(with_cases(copied, text))[0]
    assert not failed.holds
    assert "cases/some.yaml:1): expected permit; decided deny RECIPIENT_IS_SENDER" in str(failed)


def test_a_denial_for_other_reasons_fails_too(copied: Path) -> None:
    """One reason more or less than the case names is a failure."""
    text = CASE.replace("expect: permit", "expect: deny\n  codes: [RECIPIENT_IS_SENDER, MEMBER_LEFT]")
    assert not try_cases(with_cases(copied, text.replace("recipient: kent", "recipient: essex")))[0].holds


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("  expect: permit", "  expect: perhaps", 3, "not known here"),
        ("  expect: permit", "  expect: deny", 1, "a denial has its codes"),
        ("  expect: permit", "  expect: deny\n  codes: [MEMBER_LEFFT]", 1, "did you mean MEMBER_LEFT?"),
        ("sender: essex, ", "", 1, "sender is missing"),
        ("sender: essex", "sendr: essex", 2, "unknown key"),
        ("now: 2026-12-01", "now: tomorrow", 2, "form"),
        ("exchange: trial}", "exchange: trial, change: {members.atlantis.name: A}}", 2, "no such place in the set"),
        ("exchange: trial}", "exchange: trial, change: {agreement.status: [A]}}", 1, "one value is wanted"),
        ("- id: one", "- id: one\n  id: two", 2, "already there"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_case_is_told_by_line(copied: Path, old: str, new: str, line: int, words: str) -> None:
    """Cases are read as strictly as the set itself."""
    assert old in CASE
    with pytest.raises(PolicyInvalid) as caught:
        try_cases(with_cases(copied, CASE.replace(old, new)))
    assert any(words in error.sentence and error.line == line for error in caught.value.errors), caught.value.errors


def test_a_change_reaches_lists_by_id_by_member_and_by_number(copied: Path) -> None:
    """The dotted path is the one that errors name; null takes out what stands there."""
    change = "{exchanges.trial.members: [essex], agreement.signatures.kent: null, agreement.approved_channels.1: null}"
    text = CASE.replace("exchange: trial}", f"exchange: trial, change: {change}}}")
    denied = "AGREEMENT_NOT_IN_FORCE"
    decided = try_cases(with_cases(copied, text.replace("permit", f"deny\n  codes: [{denied}]")))[0].decision.codes
    assert {"RECIPIENT_NOT_IN_EXCHANGE", "PARTY_NOT_SIGNED", "CHANNEL_NOT_AUTHORISED"} <= decided
