"""The consequences of a policy set, its classes of change and the quorum that they need."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from server.domain.agreement import PolicySet
from server.domain.decision import Facts
from server.domain.quorum import Approver, Needs, needs, shuts_itself
from server.policy.changes import changes, judged
from server.policy.load import load
from server.policy.plan import Standing, due_to_come, permitted, plan
from server.policy.revision import revision

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"
Content = dict[str, Any]
Edit = Callable[[Content], None]


@cache
def _content() -> Content:
    """The shipped set as plain values, with a few keys."""
    content: Content = load(Path(__file__).parents[2] / "policies" / "ccis-v2").model_dump(mode="json", by_alias=True)
    for person in ("p-essex-1", "p-kent-1", "p-medway-1"):
        one = item(content, "people", person)
        one["ssh_keys"] = [{"public": f"{KEY}{person[2:4]}AA", "label": "laptop", "networks": ["192.0.2.0/24"]}]
        one["gpg_keys"] = [{"fingerprint": person[2].upper().replace("K", "C").replace("M", "D") * 40, "armored": "x"}]
    return content


def item(content: Content, section: str, name: str) -> Content:
    found: Content = next(one for one in content[section] if one["id"] == name)
    return found


def a_policy(*edits: Edit) -> PolicySet:
    content = copy.deepcopy(_content())
    for edit in edits:
        edit(content)
    return PolicySet.model_validate(content)


BEFORE = a_policy()


def planned(*edits: Edit, standing: Standing | None = None) -> Any:
    return plan(BEFORE, a_policy(*edits), standing or Standing(NOW))


def put(section: str, name: str, field: str, value: object) -> Edit:
    """The item's field gets another value."""

    def edit(content: Content) -> None:
        assert item(content, section, name)[field] != value
        item(content, section, name)[field] = value

    return edit


def without(section: str, name: str) -> Edit:
    return lambda content: content[section].remove(item(content, section, name))


def a_newcomer(**fields: object) -> Edit:
    person = {
        "id": "p-medway-9", "member": "medway", "name": "N. Nettle", "roles": ["designated_person"],
        "email": "n@medway.example.org",
    }  # fmt: skip
    return lambda content: content["people"].append({**person, **fields})


def signature(member: str, **fields: object) -> Edit:
    def edit(content: Content) -> None:
        next(s for s in content["agreement"]["signatures"] if s["member"] == member).update(fields)

    return edit


def key_of(person: str, **fields: object) -> Edit:
    return lambda content: item(content, "people", person)["ssh_keys"][0].update(fields)


def setting(*path: str | int, value: object) -> Edit:
    def edit(content: Content) -> None:
        inner: Any = content
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value

    return edit


REMOVING: dict[str, Edit] = {
    "a person less": without("people", "p-kent-2"),
    "a role less": put("people", "p-essex-2", "roles", ["data_manager"]),
    "a login key less": put("people", "p-kent-1", "ssh_keys", []),
    "a sealing key less": put("people", "p-medway-1", "gpg_keys", []),
    "a key from fewer networks": key_of("p-essex-1", networks=["192.0.2.0/28"]),
    "a key to put only": key_of("p-medway-1", put_only=True),
    "training that ends earlier": put("people", "p-es-1", "training_valid_until", "2026-12-31"),
    "the agreement withdrawn": setting("agreement", "status", value="WITHDRAWN"),
    "a signature withdrawn": signature("thurrock", state="withdrawn"),
    "a withdrawal as it is written": signature(
        "kent", state="withdrawn", on="2026-12-01", method=None, by_role=None, document_sha256=None
    ),
}
OWN: dict[str, Edit] = {
    "a person more": a_newcomer(),
    "a role more": put("people", "p-es-2", "roles", ["designated_person", "data_manager"]),
    "a login key more": put("people", "g-kent", "ssh_keys", [{"public": f"{KEY}zz"}]),
    "training renewed": put("people", "p-le-1", "training_valid_until", "2028-03-31"),
    "an address": put("people", "p-southend-1", "email", "other@southend.example.org"),
    "a team's address": put("members", "thurrock", "ig_team", {"email": "team@thurrock.example.org"}),
}
WIDENING: dict[str, Edit] = {
    "training only warned of": setting("access", "training_gate", value="warn"),
    "a verb more": setting("access", "roles", "auditor", value=["status.read", "inbox.read"]),
    "a smaller quorum": setting("policy", "approvals", "widening", value={"people": 1}),
    "a longer use": setting("retention", "rules", 0, "use_by", "length", value="P9M"),
    "a finding less waived": setting("waivers", value=[]),
    "somebody else's notices": put("people", "p-rbk-1", "acts_for", ["kent"]),
    "quiet hours": setting("notifications", "digest_daily", value="10:00"),
}
TEXT: dict[str, Edit] = {
    "fewer members": put("exchanges", "post16-destinations", "members", ["essex", "kent"]),
    "a title": setting("agreement", "title", value="Another"),
    "an authority more": lambda content: item(content, "members", "london-east")["represents"].append(
        {"la": "204", "name": "Hackney", "capacity": "processor"}
    ),
}
ALL = {**REMOVING, **OWN, **WIDENING, **TEXT}


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize("edit", REMOVING.values(), ids=list(REMOVING))
def test_what_takes_away_is_removing_alone(edit: Edit) -> None:
    """One person may do it at once."""
    found = planned(edit)
    assert found.classes == ("removing",)
    assert found.only_removing
    assert (found.needs.people, found.needs.members, found.needs.leads_of) == (1, 1, frozenset())


@pytest.mark.parametrize("edit", OWN.values(), ids=list(OWN))
def test_a_member_s_own_people_and_keys_are_a_class(edit: Edit) -> None:
    """The lead of that very member, and the host."""
    found = planned(edit)
    assert found.classes == ("own_people",)
    (member,) = found.needs.leads_of
    assert found.needs.host == "essex"
    assert member in {"medway", "east-sussex", "kent", "london-east", "southend", "thurrock"}


@pytest.mark.parametrize("edit", WIDENING.values(), ids=list(WIDENING))
def test_whatever_is_not_proven_narrower_widens(edit: Edit) -> None:
    """Two people of two members; deny by default."""
    found = planned(edit)
    assert "widening" in found.classes
    assert (found.needs.people, found.needs.members) >= (2, 2)


@pytest.mark.parametrize("edit", TEXT.values(), ids=list(TEXT))
def test_the_signed_text_needs_every_signatory(edit: Edit) -> None:
    """Every member whose signature stands under it: eight of the nine."""
    found = planned(edit)
    assert "agreement_text" in found.classes
    assert found.changes_text
    assert len(found.needs.signatories) == 8


LOOSER: dict[str, tuple[Edit, Edit]] = {
    "a key that may do more than put": (key_of("p-kent-1", put_only=True), key_of("p-kent-1", put_only=False)),
    "a key from another network": (key_of("p-kent-1"), key_of("p-kent-1", networks=["198.51.100.0/24"])),
    "a key from everywhere": (key_of("p-kent-1"), key_of("p-kent-1", networks=[])),
    "a larger network": (key_of("p-kent-1"), key_of("p-kent-1", networks=["192.0.0.0/16"])),
    "the cover of somebody else": (
        put("members", "kent", "recovery_key", {"fingerprint": "A" * 40, "armored": "x"}),
        put("members", "kent", "cover", "p-medway-1"),
    ),
    "a signature claimed": (signature("kent", state="named"), signature("kent", state="signed")),
    "approved again": (setting("agreement", "status", value="DRAFT"), setting("agreement", "status", value="APPROVED")),
    "the same key twice, less limited": (
        key_of("p-kent-1", put_only=True),
        lambda content: item(content, "people", "p-kent-1")["ssh_keys"].append({"public": f"{KEY}keAA"}),
    ),
}


@pytest.mark.parametrize(("first", "then"), LOOSER.values(), ids=list(LOOSER))
def test_what_is_loosened_is_never_only_removing(first: Edit, then: Edit) -> None:
    """Limits of keys, covers of other members, claimed signatures."""
    assert set(judged(a_policy(first), a_policy(first, then))) != {"removing"}
    assert "widening" in judged(a_policy(first), a_policy(first, then)) or "twice" in str(then)


def test_a_claimed_signature_needs_that_member_s_own_lead() -> None:
    """Two others cannot sign for a third."""
    before = a_policy(signature("kent", state="named"))
    found = plan(before, a_policy(), Standing(NOW))
    assert found.classes == ("own_people", "widening")
    assert found.needs.leads_of == {"kent"}


@pytest.mark.parametrize("then", [
    lambda content: content["agreement"]["signatures"].remove(
        next(s for s in content["agreement"]["signatures"] if s["member"] == "kent")
    ),
    signature("kent", state="named"),
    signature("kent", state="blank"),
], ids=["gone", "named", "blank"])  # fmt: skip
def test_a_withdrawal_is_undone_only_with_that_member_s_own_lead(then: Edit) -> None:
    """What was signed on the desk would hold again when the withdrawal no longer stands in its way."""
    before = a_policy(signature("kent", state="withdrawn"))
    found = plan(before, a_policy(signature("kent", state="withdrawn"), then), Standing(NOW))
    assert found.classes == ("own_people", "widening")
    assert found.needs.leads_of == {"kent"}


def test_one_of_two_signatures_of_a_member_does_not_simply_go() -> None:
    """A stale one beside a fresh one denies; without it the pair opens."""

    def again(content: Content) -> None:
        content["agreement"]["signatures"].append({"member": "kent", "state": "named"})

    assert "widening" in judged(a_policy(again), a_policy())


def test_a_quorum_is_changed_by_that_very_quorum() -> None:
    """Two members cannot first lower what protects the others and then do what it protected them from."""
    text = planned(setting("policy", "approvals", "agreement_text", value={"people": 1}))
    assert len(text.needs.signatories) == 8
    assert not text.changes_text
    roles = planned(setting("policy", "approvals", "roles", value=["administrator", "governance_lead", "auditor"]))
    assert len(roles.needs.signatories) == 8
    own = planned(setting("policy", "approvals", "own_people", value={"people": 1}))
    assert {"kent", "medway", "thurrock"} <= own.needs.leads_of


def test_a_member_without_a_lead_is_vouched_for_by_two_members() -> None:
    """Brighton and Hove has nobody yet who could agree to its first people."""
    found = planned(a_newcomer(id="p-bh-1", member="brighton-hove", email="a@brighton-hove.example.org"))
    assert found.classes == ("own_people",)
    assert found.needs.leads_of == frozenset()
    assert (found.needs.people, found.needs.members) == (2, 2)


def test_a_key_of_somebody_s_cover_is_that_member_s_business_too() -> None:
    """Whoever covers Medway opens Medway's files."""
    covered = put("members", "medway", "cover", "g-kent")
    key = put("people", "g-kent", "gpg_keys", [{"fingerprint": "E" * 40, "armored": "x"}])
    found = plan(a_policy(covered), a_policy(covered, key), Standing(NOW))
    assert found.needs.leads_of == {"kent", "medway"}


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted(ALL)), min_size=2, max_size=6, unique=True))
def test_no_class_gets_weaker_by_adding_a_change(names: list[str]) -> None:
    """Whoever may put the whole of it in force may put every part of it in force."""
    steps = [a_policy(*(ALL[name] for name in names[:count])) for count in range(1, len(names) + 1)]
    found = [judged(BEFORE, after) for after in steps]
    quorums = [needs(BEFORE, about, signed=["essex", "kent", "medway"]) for about in found]
    for (weaker, less), (stronger, more) in pairwise(zip(found, quorums, strict=True)):
        assert set(weaker) <= set(stronger)
        assert more.covers(less)


PATHS: list[tuple[str | int, ...]] = []


def _walk(value: object, path: tuple[str | int, ...] = ()) -> None:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        PATHS.append((*path, name))
        _walk(one, (*path, name))


_walk(_content())
OTHERS = [None, True, False, [], {}, 0, 1, 99, "essex", "signed", "APPROVED", "all", "warn", "P9M", "2030-01-01"]


@settings(max_examples=100)
@given(st.sampled_from(PATHS), st.sampled_from([*OTHERS, "(gone)"]))
def test_what_is_called_removing_never_permits_more(path: tuple[str | int, ...], value: object) -> None:
    """Any one value of the set taken out or replaced: one approval is enough only if no pair opens and nobody may more.

    Whatever differs has a class, but for the label alone.
    """
    content = copy.deepcopy(_content())
    inner: Any = content
    for name in path[:-1]:
        inner = inner[name]
    if value == "(gone)":
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    try:
        after = PolicySet.model_validate(content)
        about = judged(BEFORE, after)
    except (ValidationError, KeyError):
        return
    if revision(after) == revision(BEFORE) or path == ("policy", "version"):
        return
    assert about
    if set(about) != {"removing"}:
        return
    before, now = permitted(BEFORE, NOW, Facts()), permitted(after, NOW, Facts())
    assert all(pairs <= before[exchange] for exchange, pairs in now.items())
    for person in after.people:
        old = BEFORE.person(person.id)
        assert old is not None
        assert {v for r in person.roles for v in after.access.roles[r]} <= {
            v for r in old.roles for v in BEFORE.access.roles[r]
        }


def test_a_set_that_nobody_could_replace_is_known() -> None:
    """Without anybody who may propose, or with fewer approvers than its own quorum."""
    assert shuts_itself(BEFORE) is None
    assert "policy.propose" in str(shuts_itself(a_policy(without("people", "a-essex-1"))))
    few = setting("policy", "approvals", "widening", value={"people": 40, "members": 2})
    assert "too few people" in str(shuts_itself(a_policy(few)))


# ---------------------------------------------------------------- consequences


def sentences(*edits: Edit, standing: Standing | None = None) -> list[str]:
    lines: tuple[str, ...] = planned(*edits, standing=standing).lines
    return list(lines)


def test_people_and_keys_are_told_by_name_and_fingerprint() -> None:
    """Who gains, who loses, which roles; keys by what they are, never their armour."""
    told = sentences(REMOVING["a person less"], OWN["a role more"], OWN["a person more"], REMOVING["a login key less"])
    assert "p-kent-2 (Kent) loses access: data manager." in told
    assert "p-es-2 (East Sussex) becomes designated person." in told
    assert "p-medway-9 (Medway) gains access: designated person." in told
    assert any(line.startswith("p-kent-1: login key “laptop”") and line.endswith("is taken out.") for line in told)
    assert "Open SFTP sessions end within 5 seconds: p-kent-1." in told


def test_pairs_are_told_for_each_exchange() -> None:
    """Medway without a key: nobody can send to it any more; exchanges that change alike share a sentence."""
    told = [line for line in sentences(REMOVING["a sealing key less"]) if "pairs each:" in line]
    (line,) = told
    assert "closes 7 pairs each: East Sussex to Medway, Essex to Medway, Kent to Medway, " in line
    assert line.endswith(" and 1 more.")
    to_medway = [e for e, pairs in permitted(BEFORE, NOW, Facts()).items() if ("kent", "medway") in pairs]
    assert all(BEFORE.exchange_by_id[exchange].called in line for exchange in to_medway)


def test_a_new_text_closes_nothing_that_its_approvers_sign() -> None:
    """The leads who approve it sign it, so that no pair closes for a stale signature."""
    told = sentences(TEXT["a title"])
    assert told[0].startswith("The text of the agreement changes: document ")
    assert "signs the new" in told[1]
    assert not any("closes" in line or "SIGNATURE_STALE" in line for line in told)


def test_due_dates_to_come_are_told_and_no_past_ones() -> None:
    """Another hour moves every one of them; what is past is not spoken of."""

    def later(content: Content) -> None:
        item(content, "exchanges", "post16-destinations")["recurrence"]["due"]["time"] = "12:00"

    told = [line for line in sentences(later) if "moves its due date" in line]
    assert len(told) == 1
    assert "12:00" in told[0]
    dates = due_to_come(BEFORE, NOW)["post16-destinations"]
    assert dates
    assert all(due > NOW for due in dates.values())


def test_retention_and_sessions_are_told_with_their_counts() -> None:
    """How many deliveries fall under another rule; whose desk ends."""
    exchange = next(e for e in BEFORE.exchanges if e.retention == BEFORE.retention.rules[0].id)
    standing = Standing(NOW, deliveries={exchange.id: 3}, sessions={"p-kent-2": 2})
    told = sentences(WIDENING["a longer use"], REMOVING["a person less"], standing=standing)
    assert any(exchange.called in line and "3 deliveries here now" in line for line in told)
    assert "Desk sessions end: p-kent-2 (2)." in told


def test_nothing_is_left_untold() -> None:
    """What has no sentence of its own is told by its path; a finding of lint that comes or goes too."""
    assert "access.training_gate: deny -> warn." in sentences(WIDENING["training only warned of"])
    assert any("New finding: AGREEMENT_NOT_APPROVED" in line for line in sentences(REMOVING["the agreement withdrawn"]))
    for name, edit in ALL.items():
        assert planned(edit).lines, name


def test_two_sets_of_one_content_have_no_changes() -> None:
    """And a list whose order says nothing has none either."""

    def turned(content: Content) -> None:
        content["people"].reverse()

    assert changes(BEFORE, a_policy(turned)) == ()


def test_armour_is_never_shown() -> None:
    """A key is told by its fingerprint."""

    def armoured(content: Content) -> None:
        item(content, "people", "p-kent-1")["gpg_keys"] = [{"fingerprint": "C" * 40, "armored": "SECRETLOOKING"}]

    assert "SECRETLOOKING" not in " ".join(map(str, changes(BEFORE, a_policy(armoured))))


# ---------------------------------------------------------------- quorum


def one(person: str, member: str, *, leads: bool = True) -> Approver:
    return Approver(person, member, leads, leads)


def called(member: str) -> str:
    return member.title()


QUORUMS = [
    (Needs(), [], "one more approval"),
    (Needs(people=2, members=2), [], "two more approvals, of two different members"),
    (Needs(people=2, members=2), [one("a", "essex")], "one more approval, of another member than Essex"),
    (Needs(people=2, members=2), [one("a", "essex"), one("b", "essex")],
     "one more approval, of another member than Essex"),
    (Needs(people=2, members=2), [one("a", "essex"), one("b", "kent")], ""),
    (Needs(people=2), [one("a", "essex"), one("a", "essex")], "one more approval"),
    (Needs(people=3, members=2), [one("a", "essex"), one("b", "kent")], "one more approval"),
    (Needs(leads_of=frozenset({"kent"})), [one("a", "kent", leads=False)], "the approval of a governance lead of Kent"),
    (Needs(leads_of=frozenset({"kent"})), [one("a", "kent")], ""),
    (Needs(people=2, host="essex"), [one("a", "kent"), one("b", "kent")],
     "the approval of Essex, which runs the exchange"),
    (Needs(signatories=frozenset({"kent"})), [one("a", "kent", leads=False)],
     "the approval of a governance lead of Kent, which signed the agreement"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "given_", "missing"), QUORUMS)
def test_what_a_quorum_lacks_is_said_in_words(wanted: Needs, given_: list[Approver], missing: str) -> None:
    """Named parties first, then how many more, of how many members; nothing when it is there."""
    assert "; ".join(wanted.missing(given_, called)) == missing


MEMBERS = ("essex", "kent", "medway")
approvers = st.builds(
    lambda number, member, leads: Approver(f"{member}-{number}", member, leads, leads),
    st.integers(0, 2), st.sampled_from(MEMBERS), st.booleans(),
)  # fmt: skip
quorums = st.builds(
    Needs, st.integers(1, 4), st.integers(1, 3), st.frozensets(st.sampled_from(MEMBERS)),
    st.sampled_from([None, *MEMBERS]), st.frozensets(st.sampled_from(MEMBERS)),
)  # fmt: skip


@given(quorums, st.lists(approvers, max_size=8))
def test_nothing_is_missing_only_when_every_condition_holds(wanted: Needs, given_: list[Approver]) -> None:
    """Counted by hand: different people, different members, the leads, the host, the signatories."""
    people = {approver.person: approver for approver in given_}.values()
    holds = (
        len(people) >= wanted.people
        and len({a.member for a in people}) >= wanted.members
        and wanted.leads_of <= {a.member for a in people if a.leads}
        and (wanted.host is None or wanted.host in {a.member for a in people})
        and wanted.signatories <= {a.member for a in people if a.signs}
    )
    assert (wanted.missing(given_, called) == ()) == holds


@given(quorums, quorums, st.lists(approvers, max_size=8))
def test_the_quorum_of_two_parts_satisfies_each(first: Needs, second: Needs, given_: list[Approver]) -> None:
    """Joined, and with another host only where one of them names none."""
    if first.host and second.host and first.host != second.host:
        return
    if first.joined(second).missing(given_, called) == ():
        assert first.missing(given_, called) == () == second.missing(given_, called)
