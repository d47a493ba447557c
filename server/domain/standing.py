"""Whether a member counts, and whether one of its people may do what they want to. Pure, like the decision itself."""

from __future__ import annotations

from datetime import datetime

from server.domain.agreement import Member, Person, PolicySet, Verb
from server.domain.ruling import Act, Deed, Facts, Path, Rule
from server.domain.schedule import london_day

MAILBOX: tuple[Verb, ...] = (
    "outbox.write", "inbox.read", "receipts.read", "keys.propose", "acknowledge", "attest", "recall",
    "policy.approve", "agreement.sign", "exchange.approve",
)  # fmt: skip
"""What a mailbox is for: by hand over a file, or by a one-word file in /attest/."""
DATA: tuple[Verb, ...] = ("outbox.write", "inbox.read")
"""What brings somebody to personal data, and needs training (clause 6)."""
NEEDS: dict[Act, tuple[Verb, str]] = {
    Act.LOOK: ("status.read", "see how deliveries stand"),
    Act.READ: ("inbox.read", "read deliveries"),
    Act.ACKNOWLEDGE: ("acknowledge", "acknowledge deliveries"),
    Act.PROPOSE: ("policy.propose", "propose a change of the agreement"),
    Act.APPROVE: ("policy.approve", "approve a change of the agreement"),
    Act.SIGN: ("agreement.sign", "sign the agreement"),
    Act.APPROVE_AD_HOC: ("exchange.approve", "approve a file outside the schedule"),
    Act.ATTEST: ("attest", "say what became of deliveries"),
    Act.COUNTERSIGN: ("countersign", "countersign what was said of deliveries"),
}


def of_member(member: Member, facts: Facts, now: datetime) -> list[Rule]:
    """Admitted and not left (R-014; clause 8)."""
    since, place = member.member_since, ("members", member.id, "member_since")
    when = f" before {since}" if since else ": no member_since says since when"
    return [
        Rule("MEMBER_NOT_ADMITTED", since is not None and since <= london_day(now),
             f"{member.called} is not a member{when}.", "1", place),
        Rule("MEMBER_LEFT", member.id not in facts.left, f"{member.called} has left the agreement.", "8",
             ("members", member.id)),
    ]  # fmt: skip


def of_signature(policy: PolicySet, member: Member, facts: Facts) -> list[Rule]:
    """Signed, and this very text: in the policy set, in chat or on the desk (R-108, R-109)."""
    found = [(at, row) for at, row in enumerate(policy.agreement.signatures) if row.member == member.id]
    rows = [row for _, row in found]
    desk = facts.signed.get(member.id, frozenset())
    written = bool(rows) and all(row.state == "signed" for row in rows)
    signed = (written or bool(desk)) and all(row.state != "withdrawn" for row in rows)
    place: Path = ("agreement", "signatures", found[0][0]) if found else ("agreement", "signatures")
    gone = any(row.state == "withdrawn" for row in rows)
    words = "has withdrawn its signature of" if gone else "has not signed"
    rule = Rule("PARTY_NOT_SIGNED", signed, f"{member.called} {words} the agreement.", "12", place)
    if not signed:
        return [rule]
    text = policy.document_sha256
    fresh = text in desk or (written and all(row.document_sha256 == text for row in rows))
    sentence = f"{member.called} signed another text than this one ({text[:12]}); its governance lead signs again."
    return [rule, Rule("SIGNATURE_STALE", fresh, sentence, "12", place)]


def of_training(policy: PolicySet, person: Person, now: datetime) -> Rule:
    """Training in date, unless the agreement says that it only warns (R-065). No date is no training."""
    until = person.training_valid_until
    trained = policy.access.training_gate == "warn" or (until is not None and london_day(now) <= until)
    ended = f" (it ended on {until})" if until else ""
    sentence = f"{person.id} has no training in date{ended}; renew it and tell your administrator."
    return Rule("TRAINING_EXPIRED", trained, sentence, "6", ("people", person.id, "training_valid_until"))


def of_deed(policy: PolicySet, deed: Deed) -> tuple[Rule, ...]:
    """Every rule for one person's act. Who does not handle data needs no training to log in: it is not theirs to have.

    A delivery that became available is its recipient's: reading it asks about the person and the member, not again
    whether it might be sent today.
    """
    person = policy.person(deed.person)
    known = Rule("PERSON_UNKNOWN", person is not None, f"{deed.person} is not a person of this agreement.", "6",
                 ("people",))  # fmt: skip
    if person is None:
        return (known,)
    place = ("people", person.id)
    free = Rule("PERSON_SUSPENDED", person.id not in deed.facts.suspended,
                f"{person.id} is suspended; two colleagues can lift that.", "6", place)  # fmt: skip
    rules = [known, free, *_membership(policy, person, deed)]
    if deed.act is Act.LOG_IN:
        rules.append(_mailbox(policy, person))
        gated = any(policy.may(person, verb) for verb in DATA)
    else:
        rules.append(_granted(policy, person, deed.act))
        gated = deed.act is Act.READ
    if gated:
        rules.append(of_training(policy, person, deed.now))
    if deed.act in {Act.READ, Act.ACKNOWLEDGE, Act.ATTEST, Act.COUNTERSIGN}:
        rules += _delivery(policy, person, deed)
    return tuple(rules)


def _membership(policy: PolicySet, person: Person, deed: Deed) -> list[Rule]:
    member = policy.member(person.member)
    known = Rule("MEMBER_UNKNOWN", member is not None, f"There is no member called {person.member}.", "",
                 ("people", person.id, "member"))  # fmt: skip
    return [known] if member is None else [known, *of_member(member, deed.facts, deed.now)]


def _mailbox(policy: PolicySet, person: Person) -> Rule:
    holds = any(policy.may(person, verb) for verb in MAILBOX)
    sentence = f"{person.id} has no role that needs a mailbox."
    return Rule("NO_MAILBOX", holds, sentence, "6", ("people", person.id, "roles"))


def _granted(policy: PolicySet, person: Person, act: Act) -> Rule:
    verb, words = NEEDS.get(act, (None, act.value))
    holds = verb is not None and policy.may(person, verb)
    sentence = f"{person.id} has no role that may {words}."
    return Rule("VERB_NOT_GRANTED", holds, sentence, "6", ("people", person.id, "roles"))


def _delivery(policy: PolicySet, person: Person, deed: Deed) -> list[Rule]:
    rules = [
        Rule("DELIVERY_OF_ANOTHER_MEMBER", deed.recipient == person.member,
             "There is no such delivery for your organisation.", "6", ("people", person.id, "member"))
    ]  # fmt: skip
    if deed.act is Act.ACKNOWLEDGE:
        own = deed.sent_by == person.id and not policy.access.sender_may_acknowledge
        sentence = f"{person.id} sent this file; somebody else acknowledges it."
        rules.append(Rule("SENDER_ACKNOWLEDGES", not own, sentence, "6, 9", ("access", "sender_may_acknowledge")))
    if deed.act is Act.ATTEST:
        rules += _attester(policy, person, deed)
    return rules


def _attester(policy: PolicySet, person: Person, deed: Deed) -> list[Rule]:
    """In the role that the agreement names, and never whoever sent it (clause 8)."""
    role = policy.retention.attestation.by
    words = f"{person.id} is no {role.replace('_', ' ')}, who alone says what became of deliveries."
    sent = f"{person.id} sent this file; somebody of its recipient says what became of it."
    return [
        Rule("ATTESTED_IN_ANOTHER_ROLE", role in person.roles, words, "8", ("retention", "attestation", "by")),
        Rule("SENDER_ATTESTS", deed.sent_by != person.id, sent, "8", ("people", person.id)),
    ]
