"""The organisations party to the agreement, the authorities they represent, and the people they named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from server.domain.agreement.terms import Fingerprint, Frozen, Id, LaCode, Role, Text

Verb = Literal[
    "outbox.write", "inbox.read", "receipts.read", "keys.propose", "acknowledge", "attest", "recall", "suspend",
    "status.read", "policy.propose", "policy.approve", "agreement.sign", "exchange.approve", "obligation.answer",
    "event.announce", "correct", "hold", "countersign", "attest.yearly",
]  # fmt: skip
PublicLine = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
IcoNumber = Annotated[str, StringConstraints(pattern=r"^(Z\d{7}|Z[AB]\d{6})$")]


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
    phone: Text | None = None
    acts_for: tuple[Id, ...] = Field(default=(), description="members whose notices this person gets as well; no sight")
    acts_for_instrument: Text | None = Field(default=None, description="the contract under which they act for others")
    deputy: Id | None = Field(default=None, description="who stands in, of the same member")
    training_valid_until: date | None = None
    chat: Chat = Chat()
    ssh_keys: tuple[SshKey, ...] = ()
    gpg_keys: tuple[GpgKey, ...] = ()


class IgTeam(Frozen):
    """A member's information governance team: a team address, so that notices survive leavers."""

    email: Text | None = None
    phone: Text | None = None


class Authority(Frozen):
    """A local authority (3-digit DfE code) that a member represents, under which instrument and in which capacity.

    `own`: the member is the authority. Otherwise it receives on the authority's behalf.
    """

    la: LaCode
    name: Text | None = None
    capacity: Literal["own", "processor", "joint", "controller"] = "own"
    instrument: Text | None = None
    governance: Text | None = Field(default=None, description="the authority's own governance contact")


class Subcontractor(Frozen):
    """Somebody who works on a member's shared data under a contract (R-069)."""

    name: Text
    contract: Text
    review: date
    countries: tuple[Text, ...] = ("United Kingdom",)


class Member(Frozen):
    """An organisation party to the agreement."""

    id: Id
    name: Text
    short: Text | None = None
    kind: Literal["local_authority", "representative"] = "local_authority"
    represents: tuple[Authority, ...] = ()
    address: tuple[Text, ...] = ()
    phone: Text | None = None
    ig_team: IgTeam | None = None
    ico: IcoNumber | None = None
    ico_valid_until: date | None = None
    dpo: Text | None = None
    domains: tuple[Text, ...] = Field(default=(), description="domains that its people's addresses are expected in")
    aliases: tuple[Text, ...] = ()
    member_since: date | None = None
    note: Text | None = None
    privacy_notice: Text | None = None
    complaints: Text | None = None
    local_retention: Text | None = None
    notice_precedence: Literal["own_first", "representative_first", "both"] = "both"
    subcontractors: tuple[Subcontractor, ...] = ()
    cover: Id | None = Field(
        default=None, description="person whose keys this member's files are always sealed to as well"
    )
    recovery_key: GpgKey | None = Field(default=None, description="the member's offline key")

    @property
    def called(self) -> str:
        """The name used in short sentences."""
        return self.short or self.name

    @property
    def names(self) -> frozenset[str]:
        """Everything that it is called, case folded and single spaced."""
        every = (self.id, self.name, self.short or self.name, *self.aliases)
        return frozenset(" ".join(name.casefold().split()) for name in every)

    @property
    def on_behalf_of(self) -> tuple[str, ...]:
        """The authorities that it receives for without being them: their codes."""
        return tuple(authority.la for authority in self.represents if authority.capacity != "own")


class Access(Frozen):
    """Which role may do what, and the rules of logging in."""

    roles: Mapping[Role, frozenset[Verb]]
    training_gate: Literal["deny", "warn"] = "deny"
    training_warn_days: tuple[int, ...] = (30, 7)
    sender_may_acknowledge: bool = Field(
        default=False, description="whether a person who sent a file may also acknowledge it for its recipient"
    )
