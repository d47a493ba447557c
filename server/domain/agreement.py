"""The agreement as values: what the policy files say, frozen. Reading them is the business of `server.policy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{40}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
PublicLine = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Months = Annotated[str, StringConstraints(pattern=r"^P\d{1,2}M$")]

Role = Literal["designated_person", "data_manager", "governance_lead", "administrator", "auditor"]
Verb = Literal[
    "outbox.write", "inbox.read", "receipts.read", "keys.propose", "acknowledge", "attest", "recall", "suspend",
    "status.read", "policy.apply",
]  # fmt: skip
EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: file relative to the policy set, line and column from 1."""

    file: str
    line: int
    column: int


class Frozen(BaseModel):
    """Every model of the policy set: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


class SshKey(Frozen):
    """One public key that may log in as its person, optionally only from some networks and only to put."""

    public: PublicLine = Field(description="one line: type, base64, as in id_ed25519.pub")
    label: Text = "key"
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    put_only: bool = False


class GpgKey(Frozen):
    """A public key that files are sealed to, whole and by its full fingerprint."""

    fingerprint: Fingerprint
    armored: str = Field(max_length=200_000)


class Chat(Frozen):
    """Where a person would like to be told. The account itself is tied by a one-time code, never here."""

    slack: bool = True
    teams: bool = False


class Person(Frozen):
    """Somebody a member named. The mailbox is theirs; what is delivered belongs to the member."""

    id: Id
    member: Id
    name: Text
    roles: frozenset[Role] = Field(min_length=1)
    email: Text
    phone: str | None = None
    acts_for: tuple[Id, ...] = ()
    deputy: Id | None = None
    training_valid_until: date | None = None
    chat: Chat = Chat()
    ssh_keys: tuple[SshKey, ...] = ()
    gpg_keys: tuple[GpgKey, ...] = ()


class IgTeam(Frozen):
    """A member's information governance team: a team address, so that notices survive leavers."""

    email: Text
    phone: str | None = None


class Authority(Frozen):
    """A local authority (3-digit DfE code) that a member represents."""

    la: Annotated[str, StringConstraints(pattern=r"^\d{3}$")]
    name: str | None = None
    capacity: Literal["own", "processor"] = "own"
    instrument: str | None = None
    governance: str | None = None


class Member(Frozen):
    """An organisation party to the agreement."""

    id: Id
    name: Text
    short: Text | None = None
    kind: Literal["local_authority", "representative"] = "local_authority"
    represents: tuple[Authority, ...] = ()
    ig_team: IgTeam | None = None
    ico: Annotated[str, StringConstraints(pattern=r"^Z[A-B]?\d{6,7}$")] | None = None
    dpo: str | None = None
    address: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    note: str | None = None
    cover: Id | None = Field(
        default=None, description="person whose keys this member's files are always sealed to as well"
    )
    recovery_key: GpgKey | None = Field(default=None, description="the member's offline key")

    @property
    def called(self) -> str:
        """The name used in short sentences."""
        return self.short or self.name


class InForce(Frozen):
    """From this day on, for so long."""

    from_: date = Field(alias="from")
    until: date | None = None


class Review(Frozen):
    """When the agreement is looked at again, and what happens if nobody did."""

    due: date
    on_overdue: Literal["warn", "deny"] = "deny"


class Channel(Frozen):
    """A way of sending that the agreement allows."""

    id: Id
    kind: Literal["external", "this-server"]
    host: str | None = None


class Purpose(Frozen):
    """What the data may be used for, and the clause that says so."""

    id: Id
    clause: str
    gateway: str | None = None


class LawfulBasis(Frozen):
    """Why the sharing is lawful."""

    article6: tuple[str, ...]
    article9: str | None = None
    dpa2018_sch1: str | None = None


class Signature(Frozen):
    """A member's signature block as it stands."""

    member: Id
    state: Literal["signed", "unsigned", "block_missing"]
    on: date | None = None
    by_role: str | None = None


class Agreement(Frozen):
    """The legal document's facts."""

    id: Id
    title: Text
    version: Text
    status: Literal["DRAFT", "FOR_APPROVAL", "APPROVED", "WITHDRAWN"]
    in_force: InForce
    review: Review
    owner: Id
    approved_channels: tuple[Channel, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    lawful_basis: LawfulBasis
    signatures: tuple[Signature, ...] = ()


class Columns(Frozen):
    """The agreed columns of a record file."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class Exchange(Frozen):
    """One row of the sharing schedule."""

    id: Id
    title: Text
    short: Text | None = None
    clause: str
    source_row: str | None = None
    purposes: tuple[Id, ...] = ()
    personal_data: bool = True
    members: Literal["all"] | tuple[Id, ...] = "all"
    broadcast: bool = False
    formats: tuple[str, ...] = ()
    """Agreed extensions without the dot; empty: any file."""
    content_inspection: Literal["csv", "none"] = "csv"
    columns: Columns = Columns()
    completeness: Literal["ask", "trust"] = "ask"
    files: Literal["many", "one"] = "many"
    nil_return: Literal["allowed", "refused"] = "allowed"
    release_after: timedelta = timedelta(minutes=2)
    use_by: Months = "P2M"
    max_bytes: int = Field(default=5 * 1024**3, ge=1)
    controller_from: Literal["first_download", "acknowledgement"] = "first_download"

    @property
    def use_by_months(self) -> int:
        """`use_by` in calendar months."""
        return int(self.use_by[1:-1])

    @property
    def called(self) -> str:
        """The name used in short sentences."""
        return self.short or self.title


class Access(Frozen):
    """Which role may do what, and the rules of logging in."""

    roles: Mapping[Role, frozenset[Verb]]
    training_gate: Literal["deny", "warn"] = "deny"


class PolicyMeta(Frozen):
    """The set's own name and version."""

    id: Id
    version: Text


class PolicySet(Frozen):
    """One loaded state of the agreement's machine form: everything that the exchange may do follows from it."""

    policy: PolicyMeta
    agreement: Agreement
    members: tuple[Member, ...]
    people: tuple[Person, ...]
    exchanges: tuple[Exchange, ...]
    access: Access
    written: Mapping[str, Place] = Field(default_factory=dict, exclude=True, repr=False)
    """Where each thing stands in the files, by dotted path ("people.p-kent-1.roles"); no part of the content."""

    def place(self, *path: str | int) -> Place | None:
        """Where `path` is written, or the nearest thing around it that is; None for a set that came from no file."""
        for length in range(len(path), 0, -1):
            found = self.written.get(".".join(map(str, path[:length])))
            if found is not None:
                return found
        return None

    @cached_property
    def member_by_id(self) -> dict[str, Member]:
        return {member.id: member for member in self.members}

    @cached_property
    def person_by_id(self) -> dict[str, Person]:
        return {person.id: person for person in self.people}

    @cached_property
    def exchange_by_id(self) -> dict[str, Exchange]:
        return {exchange.id: exchange for exchange in self.exchanges}

    def member(self, member_id: str) -> Member | None:
        return self.member_by_id.get(member_id)

    def person(self, person_id: str) -> Person | None:
        return self.person_by_id.get(person_id)

    def exchange(self, exchange_id: str) -> Exchange | None:
        return self.exchange_by_id.get(exchange_id)

    def people_of(self, member_id: str, role: Role | None = None) -> tuple[Person, ...]:
        """The member's people, in the order of the file; only those with `role` if one is given."""
        return tuple(p for p in self.people if p.member == member_id and (role is None or role in p.roles))

    def may(self, person: Person, verb: Verb) -> bool:
        """Whether any of the person's roles includes the verb."""
        return any(verb in self.access.roles.get(role, frozenset()) for role in person.roles)

    def takes_part(self, member_id: str, exchange: Exchange) -> bool:
        """Whether the exchange is open to the member."""
        return exchange.members == "all" or member_id in exchange.members

    def sealed_to(self, member_id: str) -> tuple[tuple[str, GpgKey], ...]:
        """(holder, key) of everybody a member's files are sealed to: data managers, standing cover, recovery key."""
        member = self.member_by_id[member_id]
        holders = list(self.people_of(member_id, "data_manager"))
        cover = self.person(member.cover) if member.cover else None
        if cover is not None and cover not in holders:
            holders.append(cover)
        keys = [(person.id, key) for person in holders for key in person.gpg_keys]
        if member.recovery_key is not None:
            keys.append((f"recovery-{member_id}", member.recovery_key))
        return tuple(keys)
