"""Putting a policy in force: proposed, approved by its quorum, applied at once; never what lint calls an error."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from server.domain.errors import Forbidden, Misconfigured, Missing, Refused, SafehandError
from server.exchange import Exchange
from server.exchange.asking import ProposalView
from server.policy.lint import PolicyRefused
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, moved, policy_files, put_in_force, small_exchange

LESS = {
    "withdrawn": ("agreement.yaml", "status: APPROVED", "status: WITHDRAWN"),
    "a draft": ("agreement.yaml", "status: APPROVED", "status: DRAFT"),
    "a role taken away": ("people.yaml", "roles: [designated_person, data_manager]", "roles: [data_manager]"),
    "a signature taken back": ("agreement.yaml", "kent, state: signed", "kent, state: withdrawn"),
}
MORE = ("access.yaml", "training_gate: deny", "training_gate: warn")
OWN = ("people.yaml", "email: dm2@essex.example.org", "email: dm3@essex.example.org")
TEXT = ("agreement.yaml", "\ntitle: ", "\ntitle: The ")


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


@pytest.fixture
def files(here: SmallExchange, gpg_person: MakeGpgPerson) -> dict[str, str]:
    """The set in force."""
    return policy_files(here.keys, gpg_person)


Edit = tuple[str, str, str]


def changed(files: dict[str, str], *edits: Edit, label: str = "2.1.1", version: str = "") -> dict[str, str]:
    """The set with these edits, and with labels that have moved."""
    files = dict(files)
    for file, old, new in edits:
        assert old in files[file]
        files[file] = files[file].replace(old, new, 1)
    files["policy.yaml"] = files["policy.yaml"].replace("version: 2.1.0", f"version: {label}")
    if version:
        files["agreement.yaml"] = files["agreement.yaml"].replace("\nversion: V2\n", f"\nversion: {version}\n")
    return files


def proposed(here: SmallExchange, files: dict[str, str], *edits: Edit, **labels: str) -> ProposalView:
    return here.exchange.revisions.propose(changed(files, *edits, **labels), by="a-essex-1")


def approve(here: SmallExchange, proposal: ProposalView, *people: str) -> str:
    """These people approve; where it stands then."""
    for person in people:
        here.exchange.revisions.approve(person, proposal.id, via="desk")
    return stands(here, proposal)


def stands(here: SmallExchange, proposal: ProposalView) -> str:
    return here.exchange.revisions.proposal("a-essex-1", proposal.id).needs_words


def apply(here: SmallExchange, proposal: ProposalView) -> str:
    return here.exchange.revisions.apply(proposal.id, by="operator")


# ---------------------------------------------------------------- what may be proposed


def test_a_set_whose_text_is_wrong_is_refused_and_nothing_changes(here: SmallExchange, files: dict[str, str]) -> None:
    """What lint calls an error names its place; the revision in force stays, and the ledger has no entry of it."""
    before, entries = here.exchange.revision, here.kinds()
    with pytest.raises(PolicyRefused) as refused:
        proposed(here, files, ("people.yaml", "dm@kent.example.org", "dm@kent.example.org."))
    assert {(f.file, f.severity) for f in refused.value.findings} == {("people.yaml", "error")}
    assert (here.exchange.revision, here.kinds()) == (before, entries)


@pytest.mark.parametrize("edit", LESS.values(), ids=list(LESS))
def test_what_only_takes_away_needs_one_person(here: SmallExchange, files: dict[str, str], edit: Edit) -> None:
    """Whatever closes the exchange, or a part of it, can be put in force by one approval."""
    proposal = proposed(here, files, edit)
    assert proposal.classes == ("removing",)
    assert proposal.needs_words == "It needs one more approval."
    assert approve(here, proposal, "g-kent").startswith("The quorum is there")
    assert "is in force" in apply(here, proposal)


def test_the_last_data_manager_of_a_member_can_be_taken_out(here: SmallExchange, files: dict[str, str]) -> None:
    """A leaver goes today, not when the successor has a key."""
    before, _, rest = files["people.yaml"].partition("- id: p-medway-1\n")
    people = before + rest[rest.index("- id: g-medway\n") :]
    put_in_force(here.exchange, files | {"people.yaml": people})
    assert here.exchange.policy.person("p-medway-1") is None


def test_who_proposes_must_be_allowed_to(here: SmallExchange, files: dict[str, str]) -> None:
    """An administrator of the set in force; not the operator alone, a data manager, a stranger or who is suspended.

    A set cannot name its own author: the one in force says who may.
    """
    less = changed(files, LESS["withdrawn"])
    grabbing = changed(files, ("access.yaml", "data_manager: [", "data_manager: [policy.propose, "))
    for content, by, error in (
        (less, "operator", Forbidden), (less, "p-kent-1", Forbidden), (grabbing, "p-kent-1", Forbidden),
        (less, "nobody", Missing),
    ):  # fmt: skip
        with pytest.raises(error):
            here.exchange.revisions.propose(content, by=by)
    here.exchange.people.suspend("a-essex-1", by="operator")
    with pytest.raises(Missing):
        here.exchange.revisions.propose(less, by="a-essex-1")
    assert here.exchange.policy.agreement.status == "APPROVED"


def test_nobody_is_locked_out(here: SmallExchange, files: dict[str, str]) -> None:
    """A set without anybody who may propose is refused, although it only takes away."""
    role = ("people.yaml", "roles: [administrator]", "roles: [auditor]")
    with pytest.raises(Refused, match="never be changed again") as refused:
        proposed(here, files, role)
    assert refused.value.code == "SHUTS_ITSELF"


def test_the_same_content_is_one_proposal(here: SmallExchange, files: dict[str, str]) -> None:
    """Proposing it again gives the open one; proposing what is in force is refused."""
    first = proposed(here, files, MORE)
    assert proposed(here, files, MORE).id == first.id
    with pytest.raises(Refused) as nothing:
        here.exchange.revisions.propose(files, by="a-essex-1")
    assert nothing.value.code == "NOTHING_CHANGED"


# ---------------------------------------------------------------- the label moves


def test_r009_the_label_must_move_when_the_content_does(here: SmallExchange, files: dict[str, str]) -> None:
    """The same label, a lower one, and one that was used before are refused; a higher one is not."""
    for label in ("2.1.0", "2.0.9", "2", "draft"):
        with pytest.raises(Refused) as refused:
            proposed(here, files, MORE, label=label)
        assert refused.value.code == "LABEL_NOT_MOVED"
    assert proposed(here, files, MORE, label="2.1.10").label == "2.1.10"


@pytest.mark.parametrize("label", ["3", "٣.٠", "9.0 approved", f"{'9' * 300}.1", "f" * 64, "3.0.0-1"])
def test_r009_a_label_is_numbers_with_dots(here: SmallExchange, files: dict[str, str], label: str) -> None:
    """It cannot be taken for a revision's hash or for another label, and never breaks anything."""
    with pytest.raises(Refused, match="numbers with dots"):
        proposed(here, files, LESS["withdrawn"], label=f"'{label}'")


def test_r009_a_plan_says_that_the_label_has_to_move(here: SmallExchange, files: dict[str, str]) -> None:
    """Before anybody proposes it; the plan is made all the same."""
    lines = here.exchange.revisions.plan(changed(files, MORE, label="2.1.0"), by="operator").lines
    assert lines[0] == "access.training_gate: deny -> warn."
    assert lines[-1].startswith("Before it can be proposed: The content changed but policy.version is 2.1.0")
    assert len(here.exchange.revisions.plan(changed(files, MORE), by="operator").lines) == len(lines) - 1


def test_r009_the_agreement_s_version_must_move_when_its_text_does(here: SmallExchange, files: dict[str, str]) -> None:
    """The version stands for one text: not for the one before it, and not for any earlier one."""
    with pytest.raises(Refused, match=r"agreement\.version is still V2") as refused:
        proposed(here, files, TEXT)
    assert refused.value.code == "LABEL_NOT_MOVED"
    put_in_force(here.exchange, changed(files, TEXT, version="V3"))
    other = changed(files, ("agreement.yaml", "\ntitle: ", "\ntitle: Another "), label="2.1.2", version="V3")
    with pytest.raises(Refused, match="still V3"):
        here.exchange.revisions.propose(other, by="a-essex-1")


def test_going_back_keeps_the_earlier_label_and_needs_its_own_quorum(
    here: SmallExchange, files: dict[str, str]
) -> None:
    """An earlier revision is proposed like any other; by its hash, its beginning or its label."""
    first = here.exchange.revision
    put_in_force(here.exchange, changed(files, LESS["withdrawn"]))
    back = here.exchange.revisions.rollback("2.1.0", by="a-essex-1")
    assert (back.revision, back.classes) == (first, ("widening",))
    with pytest.raises(Refused, match="needs"):
        apply(here, back)
    approve(here, back, "g-kent", "g-medway")
    apply(here, back)
    assert here.exchange.revision == first
    assert [one.label for one in here.exchange.revisions.history.applied()] == ["2.1.0", "2.1.1", "2.1.0"]


# ---------------------------------------------------------------- who must agree


def test_widening_needs_two_people_of_two_members(here: SmallExchange, files: dict[str, str]) -> None:
    """It says in words what is missing; two people of one member are not enough."""
    proposal = proposed(here, files, MORE)
    assert proposal.classes == ("widening",)
    assert proposal.needs_words == "It needs two more approvals, of two different members."
    assert approve(here, proposal, "g-essex") == "It needs one more approval, of another member than Essex."
    assert approve(here, proposal, "a-essex-1") == "It needs one more approval, of another member than Essex."
    with pytest.raises(Refused, match="of another member than Essex") as refused:
        apply(here, proposal)
    assert refused.value.code == "QUORUM_MISSING"
    assert here.exchange.policy.access.training_gate == "deny"
    approve(here, proposal, "g-kent")
    apply(here, proposal)
    assert here.exchange.policy.access.training_gate == "warn"


def test_a_member_s_own_people_need_its_lead_and_the_host(here: SmallExchange, files: dict[str, str]) -> None:
    """Kent's new key: a lead of Kent and somebody of Essex, nobody else in their place."""
    proposal = proposed(here, files, ("people.yaml", "email: dm@kent.example.org", "email: new@kent.example.org"))
    assert proposal.classes == ("own_people",)
    approve(here, proposal, "g-medway", "g-southend")
    assert "a governance lead of Kent" in stands(here, proposal)
    assert "Essex, which runs the exchange" in stands(here, proposal)
    assert approve(here, proposal, "g-kent", "a-essex-1").startswith("The quorum is there")


def test_the_text_needs_a_lead_of_every_signatory_and_is_signed_by_it(
    here: SmallExchange, files: dict[str, str]
) -> None:
    """The approval of a lead signs the new text for their member: nothing is stale when it comes into force."""
    proposal = proposed(here, files, TEXT, version="V3")
    assert "agreement_text" in proposal.classes
    leads = [person.id for person in here.exchange.policy.people if person.id.startswith("g-")]
    firsts = [lead for lead in leads if not lead.endswith("-2")]
    for lead in firsts[:-1]:
        approve(here, proposal, lead)
    with pytest.raises(Refused, match="South London, which signed the agreement"):
        apply(here, proposal)
    approve(here, proposal, firsts[-1])
    apply(here, proposal)
    states = {state.member: state.state for state in here.exchange.signing.states()}
    assert states.pop("brighton-hove") == "block_missing"
    assert set(states.values()) == {"signed"}
    assert here.kinds().count("agreement.signed") == len(firsts) == 8


def test_nobody_approves_twice_nor_for_another(here: SmallExchange, files: dict[str, str]) -> None:
    """The second approval of a person changes nothing; one without the role or of no member is refused."""
    proposal, revisions = proposed(here, files, MORE), here.exchange.revisions
    assert revisions.approve("g-kent", proposal.id, via="desk").changed
    assert not revisions.approve("g-kent", proposal.id, via="chat").changed
    assert stands(here, proposal) == "It needs one more approval, of another member than Kent."
    for stranger, error in (("p-medway-1", Forbidden), ("u-auditor-1", Forbidden), ("nobody", Missing)):
        with pytest.raises(error):
            revisions.approve(stranger, proposal.id, via="desk")
    assert [answer[0] for answer in revisions.proposal("g-kent", proposal.id).answers] == ["g-kent"]


def test_a_suspended_or_departed_approver_does_not_count(here: SmallExchange, files: dict[str, str]) -> None:
    """Neither may they answer, nor does what they answered before count at the moment of applying."""
    proposal = proposed(here, files, MORE)
    approve(here, proposal, "g-kent", "g-medway")
    here.exchange.people.suspend("g-kent", by="operator")
    here.exchange.departures.leave("medway", by="operator")
    with pytest.raises(Refused, match="two more approvals") as refused:
        apply(here, proposal)
    assert refused.value.code == "QUORUM_MISSING"
    with pytest.raises((Forbidden, Missing)):
        approve(here, proposal, "g-medway-2")


def test_a_refusal_is_shown_and_may_follow_an_approval(here: SmallExchange, files: dict[str, str]) -> None:
    """It takes the place of one's own approval, never the other way; others may still make the quorum."""
    proposal, revisions = proposed(here, files, MORE), here.exchange.revisions
    approve(here, proposal, "g-kent", "g-medway")
    revisions.refuse("g-kent", proposal.id, "Training is a condition of ours.", via="desk")
    assert stands(here, proposal) == "It needs one more approval, of another member than Medway."
    with pytest.raises(Refused, match="You refused"):
        revisions.approve("g-kent", proposal.id, via="desk")
    assert approve(here, proposal, "g-essex").startswith("The quorum is there")


def test_a_signatory_s_refusal_ends_a_change_of_the_text(here: SmallExchange, files: dict[str, str]) -> None:
    """Without that member it cannot be."""
    proposal, revisions = proposed(here, files, TEXT, version="V3"), here.exchange.revisions
    assert "That ends it" in revisions.refuse("g-kent", proposal.id, "We need the year.", via="desk").sentence
    assert revisions.proposal("g-essex", proposal.id).status == "refused"
    with pytest.raises(Refused, match="is refused already"):
        revisions.approve("g-essex", proposal.id, via="desk")


def test_a_proposal_is_as_strict_as_its_strictest_part(here: SmallExchange, files: dict[str, str]) -> None:
    """Taking away, own people and widening together need what each needs."""
    proposal = proposed(here, files, LESS["a role taken away"], OWN, MORE)
    assert proposal.classes == ("removing", "own_people", "widening")
    assert approve(here, proposal, "g-kent", "g-medway") == "It needs the approval of a governance lead of Essex."
    assert approve(here, proposal, "g-essex").startswith("The quorum is there")


def test_a_lower_quorum_needs_the_old_one(here: SmallExchange, files: dict[str, str]) -> None:
    """The policy in force judges, not the one that is proposed."""
    softer = ("policy.yaml", "widening: {people: 2, members: 2}", "widening: {people: 1}")
    proposal = proposed(here, files, softer)
    approve(here, proposal, "a-essex-1")
    with pytest.raises(Refused, match="another member"):
        apply(here, proposal)


# ---------------------------------------------------------------- how it ends


def test_what_another_revision_overtook_is_proposed_again(here: SmallExchange, files: dict[str, str]) -> None:
    """Its consequences were worked out against what is no longer in force."""
    first, second = proposed(here, files, MORE), proposed(here, files, LESS["withdrawn"], label="2.1.2")
    approve(here, first, "g-kent", "g-medway")
    approve(here, second, "g-kent")
    apply(here, second)
    assert here.exchange.revisions.proposal("g-kent", first.id).status == "overtaken"
    with pytest.raises(Refused, match="overtaken"):
        apply(here, first)


def test_only_who_proposed_it_withdraws_it(here: SmallExchange, files: dict[str, str]) -> None:
    """And then it cannot be approved."""
    proposal, revisions = proposed(here, files, MORE), here.exchange.revisions
    with pytest.raises(Forbidden):
        revisions.withdraw("g-essex", proposal.id, via="desk")
    revisions.withdraw("a-essex-1", proposal.id, via="desk")
    with pytest.raises(Refused, match="withdrawn"):
        approve(here, proposal, "g-kent")


def test_the_ledger_says_who_and_which_revision(here: SmallExchange, files: dict[str, str]) -> None:
    """Proposed, approved, applied: each with the hash; the entry of the applying is the first under the new one."""
    before = here.exchange.revision
    proposal = proposed(here, files, MORE)
    approve(here, proposal, "g-kent", "g-medway")
    apply(here, proposal)
    entries = [entry for entry in here.exchange.evidence.entries() if f'"{proposal.id}"' in entry.subjects]
    assert [(entry.kind, entry.actor) for entry in entries] == [
        ("policy.proposed", "a-essex-1"), ("policy.approved", "g-kent"), ("policy.approved", "g-medway"),
        ("policy.applied", "operator"),
    ]  # fmt: skip
    assert {json.loads(entry.data)["revision"] for entry in entries} == {here.exchange.revision}
    assert json.loads(entries[-1].data)["approved_by"] == ["g-kent", "g-medway"]
    assert [entry.revision for entry in entries] == [before] * 3 + [here.exchange.revision]


def test_approvers_have_one_notice_that_is_edited(here: SmallExchange, files: dict[str, str]) -> None:
    """At most three lines, with the buttons until they answered, then how it ended."""
    proposal = proposed(here, files, MORE)

    def notice(person: str) -> tuple[str, list[str]]:
        found = [v.notice for v in here.exchange.views.notices(person) if v.notice.thread == f"proposal:{proposal.id}"]
        assert len(found) == 1
        return found[0].text, [button.verb for button in found[0].buttons]

    text, buttons = notice("g-kent")
    assert "training_gate: deny -> warn" in text
    assert (len(text.splitlines()) <= 3, buttons) == (True, ["approve-change", "refuse-change"])
    approve(here, proposal, "g-kent")
    assert notice("g-kent")[1] == ["refuse-change"]
    approve(here, proposal, "g-medway")
    apply(here, proposal)
    assert "Applied at" in notice("g-essex")[0]
    assert notice("g-essex")[1] == []


# ---------------------------------------------------------------- the first one, and what is kept


def test_the_first_revision_says_who_vouched(here: SmallExchange, files: dict[str, str]) -> None:
    """Their ids are in the ledger; a second first one is refused."""
    entry = next(e for e in here.exchange.evidence.entries() if e.kind == "policy.founded")
    assert json.loads(entry.subjects) == json.loads(entry.data)["vouched_by"] == ["g-essex", "g-kent"]
    with pytest.raises(Refused, match="in force already"):
        here.exchange.revisions.found(changed(files, MORE), vouched_by=["g-essex"])


@pytest.mark.parametrize(("vouchers", "error"), [([], Refused), (["p-kent-1"], Forbidden), (["nobody"], Missing)])
def test_only_leads_and_administrators_vouch(
    here: SmallExchange, files: dict[str, str], vouchers: list[str], error: type[Exception]
) -> None:
    """And somebody must."""
    with pytest.raises(error):
        here.exchange.revisions.found(files, vouched_by=vouchers)


def test_every_revision_is_kept_and_compared(here: SmallExchange, files: dict[str, str]) -> None:
    """By hash, its beginning or label; the difference is told by paths, keys by their fingerprints."""
    first = here.exchange.revision
    put_in_force(here.exchange, changed(files, MORE))
    history = here.exchange.revisions.history
    assert history.files(first[:8]) == files == history.files("2.1.0")
    told = [str(change) for change in history.changes("2.1.0", "2.1.1")]
    assert told == ["access.training_gate: deny -> warn", "policy.version: 2.1.0 -> 2.1.1"]
    with pytest.raises(Missing, match="history"):
        history.files("2.9.9")


def test_a_tampered_stored_revision_is_refused_at_start(here: SmallExchange) -> None:
    """One word changed by SQL: a server that starts says so, one that runs denies everything."""
    with here.exchange.ground.store.engine.begin() as connection:
        connection.execute(
            text("UPDATE revision SET files = replace(files, 'training_gate: deny', 'training_gate: warn')")
        )
    ground = here.exchange.ground
    fresh = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        with pytest.raises(Misconfigured, match="was changed; it is refused"):
            fresh.ground.require_sound()
        assert fresh.sessions.admit("p-kent-1", here.visitor("p-kent-1").key, "127.0.0.1") is None
    finally:
        fresh.ground.store.close()


@pytest.mark.parametrize("files", ["{", "[1]", "null", "{}"])
def test_a_stored_text_that_is_none_is_refused_with_a_sentence(here: SmallExchange, files: str) -> None:
    """Whatever somebody writes into the database, a server that starts says so, and a proposal of it is refused."""
    proposal = proposed(here, policy_texts(here), LESS["withdrawn"])
    sql(here, "UPDATE proposal SET files = :files", files=files)
    with pytest.raises(Misconfigured, match="was changed"):
        apply(here, proposal)
    sql(here, "UPDATE revision SET files = :files", files=files)
    ground = here.exchange.ground
    fresh = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        with pytest.raises(Misconfigured, match="The stored text of policy revision"):
            fresh.ground.require_sound()
    finally:
        fresh.ground.store.close()


def test_a_tampered_proposal_is_refused(here: SmallExchange, files: dict[str, str]) -> None:
    """What was approved is what comes into force, or nothing does."""
    proposal = proposed(here, files, LESS["withdrawn"])
    approve(here, proposal, "g-kent")
    with here.exchange.ground.store.engine.begin() as connection:
        connection.execute(
            text("UPDATE proposal SET files = replace(files, 'training_gate: deny', 'training_gate: warn')")
        )
    with pytest.raises(Misconfigured, match="was changed"):
        apply(here, proposal)


@pytest.mark.parametrize("column", ["consequences", "needs"])
@pytest.mark.parametrize("value", ["{", "[]", "{}", '{"about": {"nonsense": []}, "lines": [1], "changes_text": false}'])
def test_a_proposal_that_has_no_form_is_refused_with_a_sentence(
    here: SmallExchange, files: dict[str, str], column: str, value: str
) -> None:
    """Whatever somebody writes into its row, reading and applying it end with the same sentence."""
    proposal = proposed(here, files, LESS["withdrawn"])
    sql(here, f"UPDATE proposal SET {column} = :value", value=value)
    with pytest.raises(Misconfigured, match="was said to change was changed in the database"):
        here.exchange.revisions.proposal("a-essex-1", proposal.id)
    with pytest.raises(SafehandError):
        apply(here, proposal)


def test_a_proposal_whose_classes_were_changed_is_refused(here: SmallExchange, files: dict[str, str]) -> None:
    """Somebody with the database makes it look weaker: what it really changes is worked out again at the end."""
    proposal = proposed(here, files, MORE)
    with here.exchange.ground.store.engine.begin() as connection:
        connection.execute(text("UPDATE proposal SET needs = replace(needs, 'widening', 'removing')"))
    approve(here, proposal, "g-kent")
    with pytest.raises(Refused, match="not what was said"):
        apply(here, proposal)
    assert here.exchange.policy.access.training_gate == "deny"


def policy_texts(here: SmallExchange) -> dict[str, str]:
    return dict(here.exchange.revisions.history.files("2.1.0"))


def sql(here: SmallExchange, statement: str, **values: str) -> None:
    """Somebody has the database."""
    with here.exchange.ground.store.engine.begin() as connection:
        connection.execute(text(statement), values)


FORGED = {
    "an approval that nobody gave": (
        "INSERT INTO approval (proposal, person, member, answer, via, at) "
        "VALUES (:id, 'g-medway', 'medway', 'approved', 'desk', '2026-12-01T09:00:00.000000Z')"
    ),
    "a refusal turned into an approval": "UPDATE approval SET answer = 'approved' WHERE person = 'g-essex'",
    "an approval for another member": "UPDATE approval SET member = 'medway' WHERE person = 'g-kent'",
    "another proposer": "UPDATE proposal SET by = 'a-essex-2' WHERE id = :id",
}


@pytest.mark.parametrize("statement", FORGED.values(), ids=list(FORGED))
def test_what_the_ledger_does_not_tell_of_counts_for_nothing(
    here: SmallExchange, files: dict[str, str], statement: str
) -> None:
    """Rows written by SQL make no quorum, and applying says that somebody changed the database."""
    proposal = proposed(here, files, MORE)
    approve(here, proposal, "g-kent")
    here.exchange.revisions.refuse("g-essex", proposal.id, "not now", via="desk")
    before = stands(here, proposal)
    sql(here, statement, **({"id": proposal.id} if ":id" in statement else {}))
    assert stands(here, proposal).startswith("It needs one more approval" if "by =" in statement else "It needs")
    with pytest.raises(Misconfigured, match="The ledger does not know") as refused:
        apply(here, proposal)
    assert refused.value.code == "NOT_IN_LEDGER"
    assert "another member" in before
    assert here.exchange.policy.access.training_gate == "deny"


def test_an_ended_proposal_is_not_opened_again_by_sql(here: SmallExchange, files: dict[str, str]) -> None:
    """Withdrawn is withdrawn, whatever the row says."""
    proposal = proposed(here, files, LESS["withdrawn"])
    approve(here, proposal, "g-kent")
    here.exchange.revisions.withdraw("a-essex-1", proposal.id, via="desk")
    sql(here, "UPDATE proposal SET status = 'open', ended_at = NULL")
    with pytest.raises(Misconfigured, match="has ended"):
        apply(here, proposal)


def test_who_was_forged_can_still_answer(here: SmallExchange, files: dict[str, str]) -> None:
    """The real approval takes the place of the one that was written by SQL."""
    proposal = proposed(here, files, MORE)
    approve(here, proposal, "g-kent")
    sql(here, FORGED["an approval that nobody gave"], id=proposal.id)
    assert approve(here, proposal, "g-medway").startswith("The quorum is there")
    assert "is in force" in apply(here, proposal)


def test_a_label_s_successor_is_found() -> None:
    """The helper of these tests moves what people would move."""
    assert moved("id: x\nversion: V2\n", "V2") == "id: x\nversion: V3\n"
    assert moved("version: 2.0.9\n", "2.0.9") == "version: 2.0.10\n"
