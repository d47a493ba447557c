"""What the published agreement says, section by section: words for the public, made from the policy set.

No person, no key, nothing of how the exchange is secured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from server.domain.agreement import Authority, Column, Exchange, Member, PolicySet, Population, Signature
from server.domain.guard import looks_personal
from server.domain.schedule_words import (
    clause_words,
    date_words,
    listed,
    obligation_words,
    schedule_words,
    span_words,
    working_days_words,
)

_STATUSES = {"APPROVED": "Approved", "DRAFT": "Draft", "FOR_APPROVAL": "For approval", "WITHDRAWN": "Withdrawn"}
_CAPACITIES = {
    "processor": "as its processor",
    "joint": "as a joint controller",
    "controller": "as a controller",
}
_TYPES = {
    "person_name": "a name", "address": "an address", "postcode": "a postcode", "uln": "a unique learner number",
    "upn": "a unique pupil number", "date_of_birth": "a date of birth", "date": "a date", "phone": "a telephone number",
    "email": "an e-mail address", "code": "a code", "establishment": "the name of an establishment",
    "laestab": "an establishment's number", "urn": "an establishment's reference", "ukprn": "a provider's number",
    "text": "text", "level": "a level of study", "la_code": "a local authority's code", "flag": "yes or no",
    "source": "where the record comes from",
}  # fmt: skip
_STATES = {
    "block_missing": "Has not signed",
    "blank": "Has not signed",
    "named": "Has not signed",
    "withdrawn": "Has withdrawn",
    "stale": "Signed an earlier text, and has not signed this one",
    "signed": "Signed",
}
_COMMITTED = {"independent": "each a controller of its own", "joint": "joint controllers", None: "not stated"}


WITHHELD = "(address not published)"


@dataclass(frozen=True, slots=True)
class Party:
    """A member as the public sees it."""

    name: str
    authorities: tuple[str, ...]
    address: str
    phone: str
    team: str
    ico: str
    privacy: str
    complaints: str


@dataclass(frozen=True, slots=True)
class Line:
    """One agreed column."""

    names: str
    meaning: str
    kind: str
    required: bool
    special: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One exchange of the schedule."""

    id: str
    called: str
    title: str
    obligation: str
    when: str
    facts: tuple[tuple[str, str], ...]
    columns: tuple[Line, ...]


def facts(policy: PolicySet, revision: str, today: date, states: Mapping[str, str]) -> dict[str, object]:
    """The facts of both templates, by name. `states`: where a member's signature stands, as far as that is known."""
    agreement = policy.agreement
    return {
        "title": agreement.title,
        "glance": tuple(_glance(policy, revision, today)),
        "parties": tuple(_party(member, public_teams(policy)) for member in policy.members),
        "purposes": tuple(_purposes(policy)),
        "necessity": agreement.necessity or "",
        "types": tuple((t.text, _titles(policy, t.exchanges)) for t in agreement.information_types),
        "people": agreement.data_subjects,
        "sources": tuple(_sources(policy)),
        "basis": tuple(_basis(policy)),
        "gateways": tuple(_gateways(policy)),
        "channels": tuple(_channels(policy)),
        "rows": tuple(_row(policy, exchange) for exchange in policy.exchanges),
        "keeping": tuple(_keeping(policy)),
        "rights": tuple(_rights(policy)),
        "complaints": agreement.complaints or "Each member answers complaints by its own procedure.",
        "breach": f"within {span_words(policy.breach.ico_deadline)}",
        "review": tuple(_review(policy)),
        "liability": agreement.liability or "",
        "signatures": tuple((m.name, _signature(policy, m, states.get(m.id))) for m in policy.members),
        "document": policy.document_sha256,
        "publication": agreement.publication.url or "",
        "today": date_words(today),
    }


def public_teams(policy: PolicySet) -> frozenset[str]:
    """The addresses that may be published: governance teams', unless one is, or looks like, a person's own."""
    people = {person.email.casefold() for person in policy.people}
    teams = {m.ig_team.email for m in policy.members if m.ig_team is not None and m.ig_team.email is not None}
    return frozenset(team for team in teams if team.casefold() not in people and not looks_personal(team))


# ------------------------------------------------------------------ sections


def _glance(policy: PolicySet, revision: str, today: date) -> Iterator[tuple[str, str]]:
    agreement = policy.agreement
    until = f" until {date_words(agreement.in_force.until)}" if agreement.in_force.until else ""
    owner = policy.member(agreement.owner)
    yield "Version", agreement.version
    yield "Status", _STATUSES.get(agreement.status, f"{agreement.status} (not a status that permits anything)")
    yield "In force", f"from {date_words(agreement.in_force.from_)}{until}"
    yield "Review due", date_words(agreement.review.due)
    if agreement.supersedes is not None:
        yield (
            "Takes the place of",
            f"version {agreement.supersedes.version}, in force from {agreement.supersedes.in_force}",
        )
    yield "Owner", owner.name if owner else agreement.owner
    if agreement.drawn_up_by is not None:
        yield "Drawn up by", agreement.drawn_up_by.role
    yield "Parties", f"{len(policy.members)} members for {_authorities(policy)} local authorities"
    yield "Policy set", f"{policy.policy.id} {policy.policy.version}, revision {revision[:12]}"
    yield "This copy", f"made on {date_words(today)}"


def _authorities(policy: PolicySet) -> int:
    return len({authority.la for member in policy.members for authority in member.represents})


def _party(member: Member, teams: frozenset[str]) -> Party:
    team = member.ig_team
    email = (team.email or "") if team else ""
    parts = (email if email in teams or not email else WITHHELD, (team.phone or "") if team else "")
    return Party(
        name=member.name,
        authorities=tuple(_authority(authority) for authority in member.represents),
        address=", ".join(member.address),
        phone=member.phone or "",
        team=", ".join(part for part in parts if part),
        ico=member.ico or "",
        privacy=member.privacy_notice or "",
        complaints=member.complaints or "",
    )


def _authority(authority: Authority) -> str:
    name = f"{authority.name or 'Authority'} ({authority.la})"
    if authority.capacity == "own":
        return name
    under = " under a written contract" if authority.instrument else ""
    return f"{name}, {_CAPACITIES[authority.capacity]}{under}"


def _purposes(policy: PolicySet) -> Iterator[tuple[str, str, str]]:
    cites = {gateway.id: gateway.cite for gateway in policy.agreement.gateways}
    for purpose in policy.agreement.purposes:
        gateway = cites.get(purpose.gateway or "", purpose.gateway or "")
        yield purpose.text or purpose.id.replace("-", " ").capitalize(), clause_words(purpose.clause), gateway


def _titles(policy: PolicySet, exchanges: tuple[str, ...]) -> str:
    return listed(tuple(found.called for e in exchanges if (found := policy.exchange(e)) is not None)) or "no exchange"


def _basis(policy: PolicySet) -> Iterator[tuple[str, str]]:
    agreement, basis = policy.agreement, policy.agreement.lawful_basis
    yield "Lawful basis", f"UK GDPR Article {listed(basis.article6)}" if basis.article6 else "not stated"
    if basis.article9:
        schedule = f", with DPA 2018 Schedule 1 {basis.dpa2018_sch1}" if basis.dpa2018_sch1 else ""
        yield "Special categories", f"UK GDPR Article {basis.article9}{schedule}"
    if basis.criminal_offence:
        yield "Offences", basis.criminal_offence
    if basis.appropriate_policy_document:
        yield "Appropriate policy document", basis.appropriate_policy_document
    consent = {"not_relied_on": "not relied on", "explicit": "explicit", "overridden_if_refused": "asked for"}
    yield "Consent", consent[basis.consent]
    if agreement.controllership is not None:
        yield "Members are", _COMMITTED[agreement.controllership.treated_as]
    if agreement.dpia is not None:
        on = f" of {date_words(agreement.dpia.on)}" if agreement.dpia.on else ""
        outcome = f": {agreement.dpia.outcome}" if agreement.dpia.outcome else ""
        yield "Impact assessment", f"{agreement.dpia.ref}{on}{outcome}"
    if agreement.transparency:
        yield "How people are told", agreement.transparency
    yield "Passing on", "No member may pass on what it receives (clause 6)"


def _sources(policy: PolicySet) -> Iterator[str]:
    codes = policy.codes("sources")
    labels = {code.code: code.label for code in codes.codes} if codes else {}
    for source in policy.agreement.sources:
        label = labels.get(source, source)
        yield label[:1].lower() + label[1:] if label[1:2] in (" ", "h") else label


def _gateways(policy: PolicySet) -> Iterator[str]:
    for gateway in policy.agreement.gateways:
        yield gateway.cite + ("" if gateway.verified else " (citation not verified)")


def _channels(policy: PolicySet) -> Iterator[str]:
    for channel in policy.agreement.approved_channels:
        own = "the members' own exchange, where every file is sealed for its recipient"
        yield own if channel.kind == "this-server" else channel.id.replace("-", " ")


def _row(policy: PolicySet, exchange: Exchange) -> Row:
    schema = policy.schema_of(exchange)
    special = {column.name for column in policy.special_columns(exchange)}
    columns = tuple(_line(column, column.name in special) for column in schema.columns) if schema else ()
    facts = tuple((term, words) for term, words in _row_facts(policy, exchange) if words)
    obligation, when = obligation_words(exchange), schedule_words(exchange)
    return Row(exchange.id, exchange.called, exchange.title, obligation, when, facts, columns)


def _row_facts(policy: PolicySet, exchange: Exchange) -> Iterator[tuple[str, str]]:
    known = {purpose.id: purpose.text or purpose.id for purpose in policy.agreement.purposes}
    cites = {gateway.id: gateway.cite for gateway in policy.agreement.gateways}
    yield "Where in the text", clause_words(exchange.clause)
    yield "Personal data", "" if exchange.personal_data else "never"
    yield "Obligation", obligation_words(exchange)
    yield "When", schedule_words(exchange)
    yield "Between", _members(policy, exchange)
    yield "About", _population(exchange.population)
    yield "Purposes", "; ".join(known.get(purpose, purpose) for purpose in exchange.purposes)
    if exchange.lawful_basis is not None:
        gateways = _cited(tuple(cites.get(g, g) for g in exchange.lawful_basis.gateways))
        articles = listed(exchange.lawful_basis.article6)
        yield "Lawful basis", f"UK GDPR Article {articles}" + (f"; {gateways}" if gateways else "")
    if exchange.special_category is not None:
        condition = exchange.special_category
        yield (
            "Special categories",
            f"UK GDPR Article {condition.article9}, DPA 2018 Schedule 1 {condition.dpa2018_sch1}",
        )
    months = policy.use_by_months(exchange)
    yield "Used within", "one month" if months == 1 else f"{months} months"
    yield "Acknowledged within", working_days_words(exchange.acknowledge.within) if exchange.by_file else ""
    yield "Privacy notice", exchange.notice_url or ""


def _cited(cites: tuple[str, ...]) -> str:
    """The sections of one act together: Education and Skills Act 2008 s10 and s12."""
    acts: dict[str, tuple[str, ...]] = {}
    for cite in cites:
        act, _, section = cite.rpartition(" ")
        acts[act] = (*acts.get(act, ()), section)
    return "; ".join(f"{act} {listed(sections)}".strip() for act, sections in acts.items())


def _members(policy: PolicySet, exchange: Exchange) -> str:
    if exchange.members == "all":
        return "all members"
    names = listed(tuple(found.called for m in exchange.members if (found := policy.member(m)) is not None))
    processing = policy.member(exchange.processing_party) if exchange.processing_party else None
    return names + (f"; {processing.called} processes for both" if processing else "")


def _population(population: Population) -> str:
    parts = []
    if population.year_groups:
        parts.append(f"year {listed(tuple(map(str, population.year_groups)))}")
    if population.min_age is not None and population.max_age is not None:
        parts.append(f"young people of {population.min_age} to {population.max_age}")
    if population.over_19_needs:
        parts.append("over 19 only with a learning difficulty or disability")
    return ", ".join(parts)


def _line(column: Column, special: bool) -> Line:
    names = f"{column.names[0]} to {column.names[-1]}" if column.repeat else column.name
    return Line(names, (column.as_written or "").removeprefix("V2: "), _TYPES[column.type], column.required, special)


def _keeping(policy: PolicySet) -> Iterator[tuple[str, str]]:
    for rule in policy.retention.rules:
        months = "one month" if rule.use_by_months == 1 else f"{rule.use_by_months} calendar months"
        since = "it became available" if rule.use_by.from_ == "available" else "it was first fetched"
        yield "Use", f"Shared information is used within {months} from the day on which {since}."
        within = working_days_words(rule.destroy_within)
        yield (
            "Destruction",
            f"What is not about a member's own young people is destroyed within {within} of processing.",
        )
    grace = span_words(policy.retention.rules[0].server_copy.acknowledged_plus)
    yield (
        "The sealed copy",
        f"It is removed {grace} after it was acknowledged, and at the latest when it may no longer be used.",
    )
    yield (
        "Evidence",
        f"What was sent and received, without its content, is on record for {span_words(policy.retention.evidence)}.",
    )


def _rights(policy: PolicySet) -> Iterator[tuple[str, str]]:
    rights = policy.rights
    yield "Your information", "Ask any member for a copy of what it holds about you. The one that holds it answers."
    if rights is None:
        return
    more, first = span_words(rights.sar.extension), working_days_words(rights.sar.consult.within)
    yield (
        "How long an answer takes",
        (
            f"{_capital(span_words(rights.sar.length))}; for a complex request, {more} more. "
            f"The member that sent the information is asked first, and answers within {first}."
        ),
    )
    yield (
        "Freedom of information",
        (
            f"{_capital(working_days_words(rights.foi.within))}. "
            "The authority that you ask decides, after asking the one that sent it."
        ),
    )
    answer, again = working_days_words(rights.correction.sender_answers), working_days_words(rights.correction.reissue)
    yield (
        "Mistakes",
        (
            f"Tell any member. The one that sent the record answers within {answer} and sends a corrected one within "
            f"{again}; everybody who had the wrong one is told."
        ),
    )
    yield "Complaints", f"Acknowledged within {span_words(rights.complaint.acknowledge)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _review(policy: PolicySet) -> Iterator[str]:
    agreement = policy.agreement
    overdue = (
        "nothing more is shared until it is done" if agreement.review.on_overdue == "deny" else "members are reminded"
    )
    yield f"The agreement is reviewed by {date_words(agreement.review.due)}; if it is not, {overdue}."
    yield "Any member can ask for an earlier review when the law or what authorities must do changes."
    for trigger in agreement.review_triggers:
        yield f"{date_words(trigger.on)}: {trigger.reason}"
    within = span_words(agreement.termination.attest_destruction_within)
    yield f"A member that leaves loses its access at once, and attests within {within} that it destroyed its copies."


def _signature(policy: PolicySet, member: Member, known: str | None) -> str:
    written = next((s for s in policy.agreement.signatures if s.member == member.id), None)
    state = known or _written_state(policy, written)
    words = _STATES.get(state, "Has not signed")
    if written is None or state != "signed" or _written_state(policy, written) != "signed":
        return words
    on = f" on {date_words(written.on)}" if written.on else ""
    return f"{words}{on}" + (f", by its {written.by_role}" if written.by_role else "")


def _written_state(policy: PolicySet, written: Signature | None) -> str:
    if written is None:
        return "block_missing"
    stale = written.state == "signed" and written.document_sha256 != policy.document_sha256
    return "stale" if stale else written.state
