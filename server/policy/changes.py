"""What differs between two policy sets, by dotted paths, and which class of change each difference is. Pure.

Deny by default: what is not proven narrower, and not a member's own people and keys, counts as widening.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from server.domain.agreement import PolicySet
from server.domain.agreement.canonical import canonical_json
from server.domain.quorum import About, ChangeClass
from server.policy.public_keys import fingerprint, is_refresh

_NAMED_BY = {
    "members": "id", "people": "id", "exchanges": "id", "schemas": "id", "codelists": "id", "mappings": "id",
    "calendars": "id", "rules": "id", "purposes": "id", "gateways": "id", "information_types": "id",
    "approved_channels": "id", "signatures": "member", "represents": "la", "columns": "name", "codes": "code",
    "gpg_keys": "fingerprint", "ssh_keys": "public",
}  # fmt: skip
"""Lists of things that have a name of their own: a difference is told by that name, not by a position."""
_AGAIN = "#"
_CONTACT = frozenset({"name", "email", "phone", "deputy", "chat"})
_OWN_MEMBER = frozenset({
    "short", "address", "phone", "ig_team", "ico", "ico_valid_until", "dpo", "aliases", "note", "privacy_notice",
    "complaints",
})  # fmt: skip
"""What a member says of itself and nothing is permitted by."""
_REMOVING, _OWN, _WIDENING = ChangeClass.REMOVING, ChangeClass.OWN_PEOPLE, ChangeClass.WIDENING
Judged = tuple[ChangeClass, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `old` None: it is new; `new` None: it is gone. Values are as JSON; keys are by fingerprint."""

    path: tuple[str, ...]
    old: object
    new: object

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    def __str__(self) -> str:
        if self.old is None and isinstance(self.new, Mapping):
            return f"{self.dotted} is added"
        if self.new is None and isinstance(self.old, Mapping):
            return f"{self.dotted} is removed"
        return f"{self.dotted}: {_shown(self.old)} -> {_shown(self.new)}"


def changes(before: PolicySet, after: PolicySet) -> tuple[Change, ...]:
    """Every difference of content, sorted by path; none for sets of one revision."""
    return tuple(_differences((), _tree(before), _tree(after)))


def judged(before: PolicySet, after: PolicySet) -> About:
    """The classes of everything that differs, each with the members that this part is about."""
    found: dict[ChangeClass, frozenset[str]] = {}
    for change in changes(before, after):
        for kind, members in _judge(change, before, after):
            found[kind] = found.get(kind, frozenset()) | members
    if before.document_sha256 != after.document_sha256:
        found[ChangeClass.AGREEMENT_TEXT] = frozenset()
    return found


# ---------------------------------------------------------------- differences


def _tree(policy: PolicySet) -> object:
    content = policy.model_dump(mode="json", by_alias=True)
    return _named("", json.loads(canonical_json(content)))


def _named(key: str, value: object) -> object:
    """Lists of named things as mappings by name; the armour of a key as its hash."""
    if isinstance(value, dict):
        return {name: _named(name, item) for name, item in value.items()}
    if key == "armored" and isinstance(value, str):
        return hashlib.sha256(value.encode()).hexdigest()[:12]
    if not isinstance(value, list) or key not in _NAMED_BY or not all(isinstance(item, dict) for item in value):
        return value
    by = _NAMED_BY[key]
    found: dict[str, object] = {}
    for item in value:
        name = str(item[by])
        named = fingerprint(name) or name if key == "ssh_keys" else name
        while named in found:  # said twice: the second is a difference of its own
            named += _AGAIN
        found[named] = _named("", {k: v for k, v in item.items() if k != "public"})
    if key == "columns":
        found["(order)"] = [str(item[by]) for item in value]
    return found


def _differences(path: tuple[str, ...], old: object, new: object) -> Iterator[Change]:
    if old == new:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield Change(path, old, new)
        return
    for name in sorted(old.keys() | new.keys()):
        yield from _differences((*path, name), old.get(name), new.get(name))


def _shown(value: object) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, str):
        return value if len(value) <= 120 else f"{value[:119]}…"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 240 else f"{text[:239]}…"


# ---------------------------------------------------------------- classes


def _judge(change: Change, before: PolicySet, after: PolicySet) -> list[Judged]:
    match change.path:
        case ("policy", "version"):
            return []
        case ("people", person, *rest):
            return _person(change, person.rstrip(_AGAIN), tuple(rest), before, after)
        case ("members", member, *rest):
            return _member(change, member, tuple(rest), after)
        case ("agreement", "status"):
            return [(_WIDENING if change.new == "APPROVED" else _REMOVING, frozenset())]
        case ("policy", "approvals", *rest):
            return _approvals(tuple(rest), before)
        case ("agreement", "signatures", member, *rest):
            return _signature(change, member, tuple(rest), before, after)
        case _:
            return [(_WIDENING, frozenset())]


def _person(change: Change, person: str, rest: tuple[str, ...], before: PolicySet, after: PolicySet) -> list[Judged]:
    own = _members_of(person, before, after)
    match rest:
        case ():
            return _whole_person(change, own)
        case ("roles",):
            return _grown(change, own, _OWN)
        case ("acts_for",):
            return _grown(change, own, _WIDENING)
        case ("training_valid_until",):
            earlier = change.new is None or (change.old is not None and str(change.new) < str(change.old))
            return [(_REMOVING if earlier else _OWN, own)]
        case ("ssh_keys" | "gpg_keys", _):
            return [(_REMOVING if change.new is None else _OWN, own)]
        case ("ssh_keys", _, "networks"):
            return [(_REMOVING if _narrower(change.old, change.new) else _WIDENING, own)]
        case ("ssh_keys", _, "put_only"):
            return [(_REMOVING if change.new is True else _WIDENING, own)]
        case ("gpg_keys", key, "armored"):
            return [(ChangeClass.KEY_REFRESH if _refreshes(person, key, before, after) else _OWN, own)]
        case ("ssh_keys", _, "label") | ("member",):
            return [(_OWN, own)]
        case (field, *_) if field in _CONTACT:
            return [(_OWN, own)]
        case _:
            return [(_WIDENING, own)]


def _refreshes(person: str, key: str, before: PolicySet, after: PolicySet) -> bool:
    """Whether it is the same key with a longer life, and the set in force takes that for the same key."""
    blocks = []
    for policy in (before, after):
        one = policy.person(person)
        blocks += [own.armored for own in one.gpg_keys if own.fingerprint == key] if one else []
    return before.keys.refresh_same_fingerprint and len(blocks) == 2 and is_refresh(*blocks)


def _whole_person(change: Change, own: frozenset[str]) -> list[Judged]:
    if not isinstance(change.new, Mapping):
        return [(_REMOVING, own)]
    found: list[Judged] = [(_OWN, own)]
    if change.new.get("acts_for"):
        found.append((_WIDENING, own))
    return found


def _members_of(person: str, before: PolicySet, after: PolicySet) -> frozenset[str]:
    """The members whose people or files it touches: the person's own, and those that they are the cover of."""
    found: set[str] = set()
    for policy in (before, after):
        one = policy.person(person)
        if one is not None:
            found.add(one.member)
        found |= {member.id for member in policy.members if member.cover == person}
    return frozenset(found)


def _grown(change: Change, own: frozenset[str], kind: ChangeClass) -> list[Judged]:
    """A list that grew is of that class; one that shrank takes away; one that did both is both."""
    old, new = _items(change.old), _items(change.new)
    found: list[Judged] = [(kind, own)] if new - old else []
    return [*found, (_REMOVING, own)] if old - new else found


def _items(value: object) -> set[str]:
    return set(map(str, value)) if isinstance(value, list) else set()


def _narrower(old: object, new: object) -> bool:
    """Whether every network of the new list lies in one of the old; an empty list is everywhere."""
    outer, inner = [ip_network(n) for n in _items(old)], [ip_network(n) for n in _items(new)]
    if not outer or not inner:
        return not outer
    return all(any(_within(one, whole) for whole in outer) for one in inner)


def _within(one: IPv4Network | IPv6Network, whole: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(whole, IPv4Network):
        return one.subnet_of(whole)
    return isinstance(one, IPv6Network) and isinstance(whole, IPv6Network) and one.subnet_of(whole)


def _member(change: Change, member: str, rest: tuple[str, ...], after: PolicySet) -> list[Judged]:
    own = frozenset({member})
    match rest:
        case ("cover",) if change.new is not None:
            cover = after.person(str(change.new))
            inside = cover is not None and cover.member == member
            return [(_OWN, own)] if inside else [(_OWN, own), (_WIDENING, own)]
        case ("cover",) | ("recovery_key",) if change.new is None:
            return [(_REMOVING, own)]
        case ("recovery_key", *_):
            return [(_OWN, own)]
        case (field, *_) if field in _OWN_MEMBER:
            return [(_OWN, own)]
        case _:
            return [(_WIDENING, own)]


def _approvals(rest: tuple[str, ...], before: PolicySet) -> list[Judged]:
    """A quorum is changed by that very quorum at least: whom it protects agrees to lose the protection."""
    match rest:
        case ("removing" | "widening", *_):
            return [(_WIDENING, frozenset())]
        case ("own_people" | "key_refresh", *_):
            return [(_WIDENING, frozenset()), (_OWN, frozenset(member.id for member in before.members))]
        case _:
            return [(_WIDENING, frozenset()), (ChangeClass.AGREEMENT_TEXT, frozenset())]


def _signature(change: Change, member: str, rest: tuple[str, ...], before: PolicySet, after: PolicySet) -> list[Judged]:
    """A signature that is claimed needs its member's own lead as well; one that is taken back takes away.

    A member that has withdrawn is out whatever else its row says. A withdrawal stands in the way of what was signed in
    chat or on the desk: that it goes needs the lead too.
    """
    own = frozenset({member.rstrip(_AGAIN)})
    claimed: list[Judged] = [(_OWN, own), (_WIDENING, own)]
    if any({row.member} == own and row.state == "withdrawn" for row in after.agreement.signatures):
        return [(_REMOVING, own)]
    old, new = _state(change.old), _state(change.new)
    match rest:
        case () if change.new is None:
            alone = sum({row.member} == own for row in before.agreement.signatures) == 1
            return [(_REMOVING, own)] if alone and old != "withdrawn" else claimed
        case () | ("state",):
            return claimed if new == "signed" or old == "withdrawn" else [(_REMOVING, own)]
        case ("document_sha256",):
            return claimed
        case _:
            return [(_OWN, own)]


def _state(value: object) -> object:
    """The state of a signature, of a whole row or alone."""
    return value.get("state") if isinstance(value, Mapping) else value
