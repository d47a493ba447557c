"""What every member says again each year, because nobody else can see it: kinds, ticks, and how they stand. Pure.

Everybody sees whether a statement was given and until when it counts; what was ticked in it is its member's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from server.domain.agreement import PolicySet
from server.domain.agreement.rules import Statements
from server.domain.errors import Refused
from server.domain.renewals import stages
from server.domain.schedule import day_after, day_words

BEFORE = ("P30D", "P7D")
FIRST_WITHIN = "P30D"
"""How long a member has for a statement that it never gave."""
APART = timedelta(days=7)
"""So far apart are the first statements of different kinds asked for."""
YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Kind:
    """One statement. `ticks`: (name, what it says); `whole`: it can only be given with every tick."""

    id: str
    title: str
    clause: str
    ticks: tuple[tuple[str, str], ...]
    whole: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.ticks)


def _one(kind: str, title: str, clause: str, words: str) -> Kind:
    return Kind(kind, title, clause, (("statement", words),))


KINDS: tuple[Kind, ...] = (
    _one(
        "physical", "Physical security", "6",
        "Wherever our people use shared information, nobody else can get at it.",
    ),
    _one(
        "portable-encryption", "Encrypted devices", "6",
        "Every portable device that shared information may come onto is encrypted to industry standard.",
    ),
    _one(
        "training", "Training", "6",
        "Everybody who works with shared information was trained in confidentiality within the last year.",
    ),
    _one(
        "subcontractors", "Processors", "6",
        "Contracts and systems make sure that our processors keep shared information secure.",
    ),
    _one(
        "privacy-notice", "Privacy notice", "4",
        "Our privacy notice is public, says that information is shared under this agreement, and is accurate.",
    ),
    Kind(
        "due-diligence", "Due diligence", "9",
        (
            ("contracts", "Contracts with all our processors are in place."),
            ("assessment", "The data protection impact assessment is current."),
            ("breach_test", "Our breach procedure was tried out within the last year."),
            ("access_review", "Who of ours has access was reviewed within the last six months."),
            ("retention", "Copies were destroyed in time, and attested."),
        ),
        whole=False,
    ),
)  # fmt: skip
KIND = {kind.id: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Standing:
    """How one statement of one member stands. `given` None: never; `last`: the day until which it counts, or is due."""

    member: str
    kind: str
    given: date | None
    last: date

    @property
    def about(self) -> str:
        """Another year is another thing."""
        return f"yearly:{self.member}:{self.kind}:{self.last}"

    def stages(self) -> Iterator[tuple[str, date]]:
        """(stage, the first day on which it counts), in order."""
        yield from stages(self.last, BEFORE)

    def counts(self, today: date) -> bool:
        """Whether there is one that counts today."""
        return self.given is not None and today <= self.last

    def words(self, today: date) -> str:
        """What everybody may know: given and until when, or that it is not provided."""
        if self.given is None:
            return "not provided"
        if not self.counts(today):
            return f"not provided since {day_words(self.last)}"
        return f"given on {day_words(self.given)}, until {day_words(self.last)}"


def span_of(policy: PolicySet, kind: str) -> str | None:
    """How long a statement of this kind counts; None where the agreement does not ask for it."""
    written = policy.agreement.attestations
    beside = policy.rights.statements if policy.rights else Statements()
    spans: Mapping[str, str | None] = {
        "training": written.training,
        "physical": written.physical,
        "portable-encryption": written.portable_encryption,
        "subcontractors": written.subcontractors,
        "privacy-notice": beside.privacy_notice,
        "due-diligence": beside.due_diligence,
    }
    return spans.get(kind)


def asked_for(policy: PolicySet) -> tuple[Kind, ...]:
    """The kinds that the agreement asks for."""
    return tuple(kind for kind in KINDS if span_of(policy, kind.id) is not None)


def standing(policy: PolicySet, member_id: str, kind: str, given: date | None, founded: date) -> Standing | None:
    """How it stands; None for who is no member, or a kind that is not asked for.

    A first statement is due thirty days after there was a member, an agreement in force and an exchange (`founded`),
    one kind a week.
    """
    member, span = policy.member(member_id), span_of(policy, kind)
    if member is None or member.member_since is None or span is None:
        return None
    if given is not None:
        return Standing(member_id, kind, given, day_after(given, span))
    begins = max(member.member_since, policy.agreement.in_force.from_, founded)
    place = [one.id for one in asked_for(policy)].index(kind)
    return Standing(member_id, kind, None, day_after(begins, FIRST_WITHIN) + APART * place)


def checked(kind_id: str, answers: Mapping[str, str]) -> dict[str, str]:
    """The answers of a statement, {tick: yes or no}. Raises Refused for a kind that is none, or answers that are none.

    Only ticks: there is no room for words.
    """
    kind = KIND.get(kind_id)
    if kind is None:
        raise Refused(f"That is no statement. There are: {', '.join(KIND)}.", code="NO_SUCH_STATEMENT")
    given = {name: answers.get(name, "") for name in kind.names}
    if answers.keys() - given.keys() or not {YES, NO}.issuperset(given.values()):
        raise Refused(f"Answer yes or no to each of: {', '.join(kind.names)}.", code="NOT_ANSWERED")
    if kind.whole and NO in given.values():
        raise Refused(
            f"Then the statement about {kind.title.casefold()} cannot be given yet: come back when it holds.",
            code="NOT_GIVEN",
        )
    return given


def form_text(kind: Kind, standing_words: str) -> str:
    """The statement as a text to tick and put back: one line a tick."""
    lines = [
        f"# {kind.title} (clause {kind.clause}): {standing_words}.",
        f"# Put an x between the brackets of what is true, and this file back as attest/yearly-{kind.id}.txt.",
        *(f"[ ] {name}: {words}" for name, words in kind.ticks),
    ]
    return "\r\n".join(lines) + "\r\n"


def read_form(text: str) -> dict[str, str]:
    """The answers in such a text. Raises Refused for a line that is none of the form."""
    found: dict[str, str] = {}
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        box, _, rest = line.partition("]")
        if box.replace(" ", "").casefold() not in {"[", "[x"}:
            raise Refused("Only the boxes are filled in: [x] for what is true, [ ] for what is not.", code="NOT_A_FORM")
        found[rest.partition(":")[0].strip().casefold()] = YES if "x" in box.casefold() else NO
    return found
