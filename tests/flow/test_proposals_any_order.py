"""Approvals, refusals, suspensions, withdrawals in any order: what comes into force always had its quorum then."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from server.domain.errors import SafehandError
from server.exchange.asking import ProposalView
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, small_exchange

MEMBER_OF = {"g-essex": "essex", "a-essex-1": "essex", "g-kent": "kent", "g-medway": "medway", "p-kent-1": "kent"}
COLLEAGUES = {
    "essex": ("g-essex-2", "p-essex-1"), "kent": ("g-kent-2", "p-kent-2"), "medway": ("g-medway-2", "p-medway-1"),
}  # fmt: skip
"""Two of each who lift a suspension; they take no other part."""
MAY = set(MEMBER_OF) - {"p-kent-1"}
people = st.sampled_from(sorted(MEMBER_OF))
acts = st.one_of(
    st.tuples(st.sampled_from(["approve", "approve", "approve", "refuse", "suspend"]), people),
    st.tuples(st.sampled_from(["apply", "apply", "withdraw"]), st.just("a-essex-1")),
)


def widened(here: SmallExchange, files: dict[str, str], labels: Iterator[int]) -> ProposalView:
    """A proposal that turns the training gate round: it needs two people of two members."""
    now = here.exchange.policy.access.training_gate
    other = "warn" if now == "deny" else "deny"
    changed = dict(files)
    changed["access.yaml"] = re.sub("training_gate: [a-z]+", f"training_gate: {other}", files["access.yaml"])
    changed["policy.yaml"] = re.sub(r"(?m)^version: .*$", f"version: 3.{next(labels)}", files["policy.yaml"])
    return here.exchange.revisions.propose(changed, by="a-essex-1")


def tried(here: SmallExchange, proposal: ProposalView, act: str, person: str) -> bool:
    """Whether the act was taken and changed something."""
    revisions = here.exchange.revisions
    try:
        if act == "apply":
            return "is in force" in revisions.apply(proposal.id, by="operator")
        if act == "suspend":
            return here.exchange.people.suspend(person, by="operator").changed
        if act == "withdraw":
            return revisions.withdraw(person, proposal.id, via="test").changed
        if act == "refuse":
            return revisions.refuse(person, proposal.id, "Not yet.", via="test").changed
        return revisions.approve(person, proposal.id, via="test").changed
    except SafehandError:
        return False


class Model:
    """What the rules say, counted by hand."""

    def __init__(self) -> None:
        self.open, self.answers, self.suspended = True, dict[str, str](), set[str]()

    def expects(self, act: str, person: str) -> bool:
        """Whether the act must succeed; takes note of it."""
        if act == "suspend":
            fresh = person not in self.suspended
            self.suspended.add(person)
            return fresh
        if act == "apply":
            counted = [p for p, answer in self.answers.items() if answer == "approve" and p not in self.suspended]
            holds = self.open and len(counted) >= 2 and len({MEMBER_OF[p] for p in counted}) >= 2
            self.open = self.open and not holds
            return holds
        if not self.open or person in self.suspended:
            return False
        if act == "withdraw":
            self.open = False
            return True
        before = self.answers.get(person)
        if person not in MAY or before == "refuse" or (act, before) == ("approve", "approve"):
            return False
        self.answers[person] = act
        return True


def test_whatever_the_order_the_quorum_decides(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> None:
    """Every act is taken or refused as a count by hand says, and the policy changes only by an apply that was due."""
    with small_exchange(gpg_person, ssh_key) as here:
        files, labels = policy_files(here.keys, gpg_person), itertools.count(1)

        @settings(max_examples=12, suppress_health_check=list(HealthCheck))
        @given(st.lists(acts, min_size=3, max_size=9))
        def holds(taken: list[tuple[str, str]]) -> None:
            with here.exchange.ground.store.engine.begin() as connection:
                connection.execute(text("UPDATE proposal SET status = 'withdrawn' WHERE status = 'open'"))
            for person in sorted(here.exchange.ground.suspended):
                for colleague in COLLEAGUES[MEMBER_OF[person]]:
                    here.exchange.people.resume(person, by=colleague)
            here.exchange.refresh()
            proposal, model, before = widened(here, files, labels), Model(), here.exchange.revision
            for act, person in taken:
                expected = model.expects(act, person)
                assert tried(here, proposal, act, person) == expected, (act, person)
                here.exchange.refresh()
                if act == "apply" and expected:
                    before = proposal.revision
                assert here.exchange.revision == before

        holds()
