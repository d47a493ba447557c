"""From a path in the outbox to exchange, period and recipients. All three are in the path; nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain import guard
from server.domain.agreement import EVERYONE, Exchange, PolicySet
from server.domain.errors import NotWritable, Refused
from server.domain.schedule import Period

OTHER_DOCUMENTS = frozenset(
    "xlsx xls ods odt txt pdf zip gz 7z gpg pgp asc doc docx xml json tsv jpg png eml msg csv xlsm parquet".split()
)
"""Extensions that name a kind of document: one that is not agreed is refused, never taken for a temporary name."""
WHERE = "Put the file into outbox/<exchange>/<period>/<member>/, or name it after the member (kent.csv)."


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file is going. `folder`: a member's id, "everyone", or "" for a file named after its member."""

    exchange: Exchange
    period: Period
    folder: str
    recipients: tuple[str, ...]

    @property
    def broadcast(self) -> bool:
        return len(self.recipients) > 1

    @property
    def place(self) -> str:
        """The path below outbox/, without the name."""
        return "/".join(part for part in (self.exchange.id, str(self.period), self.folder) if part)


def resolve(policy: PolicySet, sender: str, folder: tuple[str, ...], name: str) -> Address:
    """The address of this path for this member. Raises Refused that says which part is wrong.

    NotWritable where the agreement has no such exchange, period or member.
    """
    if len(folder) not in {2, 3}:
        raise NotWritable(WHERE)
    exchange = policy.exchange(folder[0])
    if exchange is None or not policy.takes_part(sender, exchange):  # who is outside does not learn that it exists
        open_to = _listed(policy, sender)
        raise NotWritable(f"There is no exchange of that name; there are {open_to}.", code="EXCHANGE_UNKNOWN")
    period = Period.parse(folder[1])
    if period is None:
        raise NotWritable("The period is a month, written like 2026-11.", code="PERIOD_UNKNOWN")
    member = folder[2] if len(folder) == 3 else _member_named(name)
    if guard.is_nil(name) and len(folder) == 2:
        member = EVERYONE
    elif member == EVERYONE and not goes_to_everyone(exchange):
        raise Refused(f"{exchange.called} goes to one member at a time, not to everyone.", code="NO_BROADCAST")
    if member == EVERYONE:
        others = tuple(m.id for m in policy.members if m.id != sender and policy.takes_part(m.id, exchange))
        return Address(exchange, period, folder[2] if len(folder) == 3 else "", others)
    if policy.member(member) is None:
        raise NotWritable(f"There is no member of that name. {WHERE}", code="MEMBER_UNKNOWN")
    return Address(exchange, period, folder[2] if len(folder) == 3 else "", (member,))


def goes_to_everyone(exchange: Exchange) -> bool:
    """Whether one upload may go to every member; what is outside the schedule never does (R-026)."""
    return exchange.broadcast and exchange.obligation != "ad_hoc"


def _member_named(name: str) -> str:
    """`kent` for kent.csv, kent.csv.filepart and KENT.CSV.sha256."""
    return name.casefold().split(".")[0]


def _listed(policy: PolicySet, sender: str) -> str:
    return ", ".join(
        exchange.id for exchange in policy.exchanges if exchange.by_file and policy.takes_part(sender, exchange)
    )


def is_temporary(address: Address, name: str) -> bool:
    """Whether a file of this name waits for its rename. Raises Refused for a document that is not agreed."""
    formats = address.exchange.formats
    if guard.without_temporary_suffix(name) is not None:
        return True
    ending = guard.extension(name)
    if not formats or ending in formats:
        return False
    if ending in OTHER_DOCUMENTS:
        agreed = " or ".join(f".{each}" for each in formats)
        raise Refused(
            f"{address.exchange.called} takes {agreed} files, not .{ending}; save it as {agreed}.", code="FORMAT"
        )
    return True
