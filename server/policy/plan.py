"""What a policy set would change for whom, in plain words. Pure: two sets and facts in, a Plan out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from server.domain.agreement import Member, Person, PolicySet
from server.domain.decision import Facts, Question, decide
from server.domain.due import due_ahead
from server.domain.quorum import CLASS_WORDS, About, Called, ChangeClass, Needs, needs
from server.domain.schedule import Period, in_words
from server.domain.standing import of_signature
from server.policy.changes import Change, changes, judged
from server.policy.lint import LintFinding, lint
from server.policy.public_keys import fingerprint
from server.policy.revision import revision

_FEW = 6
_ALSO = 12
_DATES = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """What the store knows and no policy says: the time, who signed and left, open deliveries, sessions."""

    now: datetime
    facts: Facts = field(default_factory=Facts)
    deliveries: Mapping[str, int] = field(default_factory=dict)
    """Exchange id -> deliveries whose sealed copy is still here."""
    sessions: Mapping[str, int] = field(default_factory=dict)
    """Person id -> open desk sessions."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """One thing that changes. `kind`: member, text, person, key, pair, due, retention, session, lint, label or also."""

    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a set would change against the one in force, and who must agree to it."""

    base: str
    """The revision in force that it was worked out against."""
    revision: str
    label: str
    consequences: tuple[Consequence, ...]
    about: About
    needs: Needs
    needs_words: str
    errors: tuple[LintFinding, ...]
    """Lint errors that the set in force does not have already."""
    document_before: str
    document_sha256: str

    @property
    def changes_text(self) -> bool:
        """Whether the text that members sign differs."""
        return self.document_before != self.document_sha256

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its parts, from the weakest to the strictest."""
        return tuple(kind.value for kind in ChangeClass if kind in self.about)

    @property
    def only_removing(self) -> bool:
        """Whether it takes away and does nothing else."""
        return set(self.about) == {ChangeClass.REMOVING}

    @property
    def class_words(self) -> str:
        """What kind of change it is, as a clause."""
        return (
            "; ".join(CLASS_WORDS[kind] for kind in ChangeClass if kind in self.about)
            or "changes nothing but its label"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """Every consequence as a sentence, in the order in which a reader wants them."""
        return tuple(one.sentence for one in self.consequences)


def plan(before: PolicySet, after: PolicySet, standing: Standing) -> Plan:
    """The consequences of `after` taking the place of `before`, and the quorum that `before` asks for."""
    about = judged(before, after)
    wanted = needs(before, about, signed=signatories(before, standing.facts), left=standing.facts.left)
    old, new = lint(before, standing.now), lint(after, standing.now)
    known = {_mark(finding) for finding in old}
    told = (
        *_members(before, after), *_text(before, after, standing.facts), *_people(before, after), *_keys(before, after),
        *_pairs(before, after, standing, wanted), *_due(before, after, standing.now),
        *_retention(before, after, standing), *_sessions(before, after, standing),
        *_also(changes(before, after)), *_findings(old, new, before.document_sha256 != after.document_sha256),
    )  # fmt: skip
    return Plan(
        base=revision(before),
        revision=revision(after),
        label=after.policy.version,
        consequences=told,
        about=about,
        needs=wanted,
        needs_words=wanted.words(_called(before, after)),
        errors=tuple(f for f in new if f.is_error and not f.only_closes and _mark(f) not in known),
        document_before=before.document_sha256,
        document_sha256=after.document_sha256,
    )


def signatories(policy: PolicySet, facts: Facts) -> frozenset[str]:
    """The members whose signature stands under the policy's text, on paper or by what they signed here."""
    return frozenset(m.id for m in policy.members if all(r.holds for r in of_signature(policy, m, facts)))


# ---------------------------------------------------------------- one kind of consequence each


def _members(before: PolicySet, after: PolicySet) -> Iterator[Consequence]:
    for member in after.members:
        old = before.member(member.id)
        if old is None:
            yield Consequence("member", f"{member.called} becomes a member{_authorities(member)}.")
            continue
        joined = {a.la: a.name or a.la for a in member.represents}
        left = {a.la: a.name or a.la for a in old.represents}
        if gained := [name for la, name in joined.items() if la not in left]:
            yield Consequence("member", f"{member.called} comes to represent {_listed(gained)}.")
        if lost := [name for la, name in left.items() if la not in joined]:
            yield Consequence("member", f"{member.called} no longer represents {_listed(lost)}.")
    for member in before.members:
        if after.member(member.id) is None:
            yield Consequence("member", f"{member.called} is no longer a member.")


def _authorities(member: Member) -> str:
    names = [authority.name or authority.la for authority in member.represents]
    return f", representing {_listed(names)}" if names else ""


def _text(before: PolicySet, after: PolicySet, facts: Facts) -> Iterator[Consequence]:
    old, new = before.document_sha256, after.document_sha256
    if old == new:
        return
    yield Consequence("text", f"The text of the agreement changes: document {old[:12]} becomes {new[:12]}.")
    fresh = signatories(after, facts)
    stale = [_called(before, after)(m) for m in sorted(signatories(before, facts) - fresh)]
    if stale:
        yield Consequence(
            "text",
            f"The signature of {_listed(stale, 12)} is of the earlier text; whose lead approves this signs the new.",
        )


def _people(before: PolicySet, after: PolicySet) -> Iterator[Consequence]:
    called = _called(before, after)
    for person in after.people:
        old = before.person(person.id)
        if old is None:
            yield Consequence("person", f"{person.id} ({called(person.member)}) gains access: {_roles(person.roles)}.")
            continue
        if old.member != person.member:
            yield Consequence("person", f"{person.id} moves from {called(old.member)} to {called(person.member)}.")
        if gained := person.roles - old.roles:
            yield Consequence("person", f"{person.id} ({called(person.member)}) becomes {_roles(gained)}.")
        if lost := old.roles - person.roles:
            yield Consequence("person", f"{person.id} ({called(person.member)}) is no longer {_roles(lost)}.")
    for person in before.people:
        if after.person(person.id) is None:
            yield Consequence("person", f"{person.id} ({called(person.member)}) loses access: {_roles(person.roles)}.")
    yield from _verbs(before, after)


def _verbs(before: PolicySet, after: PolicySet) -> Iterator[Consequence]:
    for role in sorted(before.access.roles.keys() | after.access.roles.keys()):
        old, new = before.access.roles.get(role, frozenset()), after.access.roles.get(role, frozenset())
        if gained := sorted(new - old):
            yield Consequence("person", f"Every {_word(role)} may also: {_listed(gained, 20)}.")
        if lost := sorted(old - new):
            yield Consequence("person", f"No {_word(role)} may any more: {_listed(lost, 20)}.")


def _keys(before: PolicySet, after: PolicySet) -> Iterator[Consequence]:
    old, new = _all_keys(before), _all_keys(after)
    for holder, mark in sorted(new.keys() - old.keys()):
        yield Consequence("key", f"{holder}: {new[holder, mark]} {mark} is added.")
    for holder, mark in sorted(old.keys() - new.keys()):
        yield Consequence("key", f"{holder}: {old[holder, mark]} {mark} is taken out.")


def _all_keys(policy: PolicySet) -> dict[tuple[str, str], str]:
    """{(holder, fingerprint): what it is}."""
    found: dict[tuple[str, str], str] = {}
    for person in policy.people:
        for key in person.ssh_keys:
            found[person.id, fingerprint(key.public)] = f"login key “{key.label}”"
        for gpg in person.gpg_keys:
            found[person.id, gpg.fingerprint] = "sealing key"
    for member in policy.members:
        if member.recovery_key is not None:
            found[member.called, member.recovery_key.fingerprint] = "recovery key"
    return found


def _pairs(before: PolicySet, after: PolicySet, standing: Standing, wanted: Needs) -> Iterator[Consequence]:
    """Between whom it opens or closes. Whoever has to approve a new text has signed it when it comes into force."""
    called, now, facts = _called(before, after), standing.now, standing.facts
    old = permitted(before, now, facts)
    new = permitted(after, now, _signed_too(facts, wanted.signatories, after.document_sha256))
    alike: dict[tuple[str, frozenset[tuple[str, str]]], list[str]] = {}
    for exchange in sorted(old.keys() | new.keys()):
        title = _titled(before, after, exchange)
        opened = new.get(exchange, frozenset()) - old.get(exchange, frozenset())
        closed = old.get(exchange, frozenset()) - new.get(exchange, frozenset())
        for verb, pairs in (("opens", opened), ("closes", closed)):
            if pairs:
                alike.setdefault((verb, pairs), []).append(title)
    for (verb, pairs), titles in alike.items():
        words = [f"{called(sender)} to {called(recipient)}" for sender, recipient in sorted(pairs)]
        count = "one pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
        each = " each" if len(titles) > 1 else ""
        yield Consequence("pair", f"{', '.join(titles)}: {verb} {count}{each}: {_listed(words)}.")


def _signed_too(facts: Facts, members: Iterable[str], text: str) -> Facts:
    signed = {**facts.signed, **{member: facts.signed.get(member, frozenset()) | {text} for member in members}}
    return replace(facts, signed=signed)


def permitted(policy: PolicySet, now: datetime, facts: Facts) -> dict[str, frozenset[tuple[str, str]]]:
    """The pairs (sender, recipient) of members between which each exchange is open now, with the keys on file."""
    ids = [member.id for member in policy.members]
    return {
        exchange.id: frozenset(
            (sender, recipient)
            for sender in ids
            for recipient in ids
            if sender != recipient
            and _open(policy, Question(sender, recipient, exchange.id, now, unusable_keys={}, facts=facts))
        )
        for exchange in policy.exchanges
    }


def _open(policy: PolicySet, question: Question) -> bool:
    return decide(policy, question).permit


def _due(before: PolicySet, after: PolicySet, now: datetime) -> Iterator[Consequence]:
    """Due dates to come that appear, move or go; what is past stays as it was."""
    old, new = due_to_come(before, now), due_to_come(after, now)
    for exchange in sorted(old.keys() | new.keys()):
        was, becomes = old.get(exchange, {}), new.get(exchange, {})
        title = _titled(before, after, exchange)
        fresh = [f"{p.words} by {in_words(becomes[p])}" for p in sorted(becomes.keys() - was.keys())]
        gone = [f"{p.words} (was {in_words(was[p])})" for p in sorted(was.keys() - becomes.keys())]
        moved = [
            f"{period.words} from {in_words(was[period])} to {in_words(becomes[period])}"
            for period in sorted(was.keys() & becomes.keys())
            if was[period] != becomes[period]
        ]
        for words, dates in (("becomes due", fresh), ("moves its due date", moved), ("is no longer due", gone)):
            if dates:
                yield Consequence("due", f"{title} {words}: {_listed(dates, _DATES)}.")


def due_to_come(policy: PolicySet, now: datetime) -> dict[str, dict[Period, datetime]]:
    """{exchange: {period: due}} after `now`, as far as the set's horizon and its calendars reach."""
    calendars = {calendar.id: calendar for calendar in policy.calendars}
    found: dict[str, dict[Period, datetime]] = {}
    for exchange in policy.exchanges:
        calendar = calendars.get(exchange.recurrence.calendar or "") if exchange.recurrence else None
        if calendar is not None:
            rounds = due_ahead(exchange, calendar, now, policy.policy.horizon_months)
            found[exchange.id] = {one.period: one.due for one in rounds}
    return found


def _retention(before: PolicySet, after: PolicySet, standing: Standing) -> Iterator[Consequence]:
    for exchange in after.exchanges:
        was = before.exchange(exchange.id)
        if was is None:
            continue
        old, new = before.retention_of(was), after.retention_of(exchange)
        differs = old.model_copy(update={"id": ""}) != new.model_copy(update={"id": ""})
        if not differs:
            continue
        count = standing.deliveries.get(exchange.id, 0)
        kept = "no delivery is here now" if not count else f"{count} deliver{'y' if count == 1 else 'ies'} here now"
        used = f"use-by {old.use_by.length} becomes {new.use_by.length}; " if old.use_by != new.use_by else ""
        yield Consequence(
            "retention",
            f"{exchange.called}: retention changes ({used}{kept}; use-by dates that were given already stay).",
        )


def _sessions(before: PolicySet, after: PolicySet, standing: Standing) -> Iterator[Consequence]:
    ends = [person for person in before.people if _ends(person, after.person(person.id))]
    if sftp := [person.id for person in ends if person.ssh_keys]:
        yield Consequence("session", f"Open SFTP sessions end within 5 seconds: {_listed(sftp)}.")
    if desk := [f"{p.id} ({standing.sessions[p.id]})" for p in ends if standing.sessions.get(p.id)]:
        yield Consequence("session", f"Desk sessions end: {_listed(desk)}.")


def _ends(person: Person, after: Person | None) -> bool:
    if not person.ssh_keys:
        return after is None
    keys = {(fingerprint(key.public), key.put_only, key.networks) for key in after.ssh_keys} if after else set()
    return any((fingerprint(k.public), k.put_only, k.networks) not in keys for k in person.ssh_keys)


def _also(found: Iterable[Change]) -> Iterator[Consequence]:
    """Whatever no sentence above has told: nothing is left out, only cut off with a count."""
    rest = [change for change in found if not _is_told(change)]
    for change in rest[:_ALSO]:
        yield Consequence("also", f"{change}.")
    if len(rest) > _ALSO:
        yield Consequence("also", f"And {len(rest) - _ALSO} more values: `safehand policy diff` lists them.")


def _is_told(change: Change) -> bool:
    match change.path:
        case ("policy", "version"):
            return True
        case ("people", _) | ("people", _, "roles" | "member") | ("people", _, "ssh_keys" | "gpg_keys", _):
            return True
        case ("members", _) | ("members", _, "represents", _) | ("members", _, "recovery_key", *_):
            return True
        case ("access", "roles", *_):
            return True
        case _:
            return False


def _findings(old: Iterable[LintFinding], new: Iterable[LintFinding], text: bool) -> Iterator[Consequence]:
    """What lint finds now and did not, and the other way; several of one code in one sentence.

    That signatures are of the earlier text is told where the text is: whoever approves the new one signs it.
    """
    before, after = {_mark(f): f for f in old}, {_mark(f): f for f in new}
    gone, fresh = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    if text:
        fresh = [mark for mark in fresh if mark[0] != "SIGNATURE_STALE"]
    for words, marks in (("New finding", fresh), ("No longer found", gone)):
        for code in dict.fromkeys(mark[0] for mark in marks):
            said = [sentence for other, _, sentence in marks if other == code]
            tail = f" And {len(said) - 1} more of this code." if said[1:] else ""
            yield Consequence("lint", f"{words}: {code}: {said[0]}{tail}")


def _mark(finding: LintFinding) -> tuple[str, str, str]:
    """A finding without its place: it is the same finding when lines move."""
    return finding.code, finding.target, finding.sentence


# ---------------------------------------------------------------- words


def _called(before: PolicySet, after: PolicySet) -> Called:
    def name(member_id: str) -> str:
        member = after.member(member_id) or before.member(member_id)
        return member.called if member else member_id

    return name


def _titled(before: PolicySet, after: PolicySet, exchange_id: str) -> str:
    exchange = after.exchange(exchange_id) or before.exchange(exchange_id)
    return exchange.called if exchange else exchange_id


def _word(role: str) -> str:
    return role.replace("_", " ")


def _roles(roles: Iterable[str]) -> str:
    return ", ".join(sorted(_word(role) for role in roles))


def _listed(words: Sequence[str], few: int = _FEW) -> str:
    if len(words) <= few:
        return ", ".join(words)
    return f"{', '.join(words[:few])} and {len(words) - few} more"
