"""Lint says what a set will make its members regret: code, severity, target, file and line, and what to change."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.domain.agreement import Agreement, InForce, LawfulBasis, PolicySet, Review
from server.policy.edit import PersonKeys, with_keys
from server.policy.lint import LintFinding, lint
from server.policy.load import PolicyInvalid, load, load_texts
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.policy_edits import GONE, ROOT, SHIPPED, edited

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
A1 = "exchanges.post16-destinations"
KENT = "members.kent"
COLUMNS = "schemas.post16-destinations.columns"
CONTACT = {
    "row": 1,
    "name": "A. Alder",
    "authority": "Kent",
    "role": "lead",
    "email": "alder@example.org",
    "phone": "1",
}
Edits = dict[str, Any]


def findings(edits: Edits | None = None, now: datetime = NOW) -> list[LintFinding]:
    return lint(load_texts(edited(edits or {})), now)


@cache
def shipped() -> PolicySet:
    return load_texts(SHIPPED)


@cache
def known(now: datetime) -> frozenset[tuple[str, str, str]]:
    """(code, target, severity) of everything that is said of the shipped set."""
    return frozenset((f.code, f.target, f.severity) for f in findings(now=now))


def found(code: str, edits: Edits, now: datetime = NOW) -> list[LintFinding]:
    """The findings of this code that the edits bring."""
    return brought_by(edited(edits), code, now)


def brought_by(texts: dict[str, str], code: str, now: datetime = NOW) -> list[LintFinding]:
    after = lint(load_texts(texts), now)
    return [f for f in after if f.code == code and (f.code, f.target, f.severity) not in known(now)]


def contact(**changes: object) -> Edits:
    row = {key: value for key, value in (CONTACT | changes).items() if value is not None}
    return {"source": {"contacts": [row]}}


def reference(kind: str) -> Edits:
    return {"source": {"references": [{"kind": kind, "clause": "4", "text": "8.3", "note": "it leads nowhere"}]}}


def table_row(kind: str) -> Edits:
    return {"source": {"rows": [{"kind": kind, "row": "A4", "note": "cells are missing"}]}}


# ---------------------------------------------------------------- what ships


def test_the_shipped_set_has_no_error() -> None:
    """What ships can be put in force; that nobody has keys yet is said of every data manager."""
    told = findings()
    assert [str(f) for f in told if f.is_error] == []
    assert len([f for f in told if f.code == "DATA_MANAGER_WITHOUT_GPG_KEY"]) >= 12
    assert all(f.file and f.line and f.column for f in told)
    assert all(f.sentence.endswith(".") and f.remedy.endswith(".") for f in told)


def test_brighton_and_hove_is_waived_and_still_printed() -> None:
    """A member that has not joined has three errors, and somebody answers for each until a day."""
    about = [f for f in findings() if f.target == "members/brighton-hove"]
    assert len(about) == 3
    assert all(f.severity == "error" and f.waived and "2027-08-31" in f.waived for f in about)


def test_no_waiver_of_the_shipped_set_is_unused() -> None:
    """Every waiver answers for something that is there."""
    assert not [f for f in findings() if f.code.startswith("WAIVER")]


# ---------------------------------------------------------------- one edit, one finding
# code, severity, target, the edits, and what stands in the line that the finding names

DOCUMENT: list[tuple[str, str, str, Edits, str]] = [
    ("STATUS_NOT_IN_ENUM", "error", "agreement", {"agreement.status": "APPROVAL"}, "status: APPROVAL"),
    ("AGREEMENT_NOT_APPROVED", "warn", "agreement", {"agreement.status": "WITHDRAWN"}, "status: WITHDRAWN"),
    ("AGREEMENT_REVIEW_OVERDUE", "error", "agreement", {"agreement.review.due": "2026-11-30"}, "due: 2026-11-30"),
    ("AGREEMENT_REVIEW_OVERDUE", "warn", "agreement",
     {"agreement.review.due": "2026-11-30", "agreement.review.on_overdue": "warn"}, "due: 2026-11-30"),
    ("AGREEMENT_REVIEW_DUE", "info", "agreement", {"agreement.review.due": "2027-01-31"}, "due: 2027-01-31"),
    ("AGREEMENT_NOT_IN_FORCE", "warn", "agreement",
     {"agreement.in_force": {"from": "2026-12-02", "until": "2029-08-31"}}, "from: 2026-12-02"),
    ("AGREEMENT_NOT_IN_FORCE", "warn", "agreement", {"agreement.in_force.until": "2026-11-30"}, "until: 2026-11-30"),
    ("AGREEMENT_WITHOUT_END", "warn", "agreement", {"agreement.in_force": {"from": "2026-09-01"}}, "from: 2026-09-01"),
    ("TERM_REVIEW_MISMATCH", "warn", "agreement",
     {"agreement.in_force.term": "P2Y", "agreement.in_force.until": "2028-08-31"}, "due: 2029-08-31"),
    ("CHANNEL_NOT_AUTHORISED", "error", "agreement",
     {"agreement.approved_channels": [{"id": "nccis", "kind": "external"}]}, "id: nccis"),
    ("HOST_WITHOUT_PROCESSOR_INSTRUMENT", "warn", "agreement",
     {"agreement.host.processor_instrument": GONE}, "member: essex"),
    ("HOST_WITHOUT_PROCESSOR_INSTRUMENT", "warn", "agreement", {"agreement.host": GONE}, "id: ccis-sharing"),
    ("LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY", "warn", "agreement",
     {"agreement.lawful_basis.article6": ["6(1)(f)"]}, "6(1)(f)"),
    ("CONSENT_OVERRIDDEN_BASIS", "warn", "agreement",
     {"agreement.lawful_basis.consent": "overridden_if_refused"}, "overridden_if_refused"),
    ("CONTROLLERSHIP_TERM_RETIRED", "warn", "agreement", {"agreement.controllership.treated_as": GONE}, "in common"),
    ("JOINT_WITHOUT_ARRANGEMENT", "error", "agreement",
     {"agreement.controllership.treated_as": "joint"}, "treated_as: joint"),
    ("OWNER_ADDRESS_DIFFERS", "warn", "agreement", {"agreement.owner_details": {"address": ["2 Road"]}}, "2 Road"),
    ("AUTHOR_NOT_RECORDED", "info", "agreement", {"agreement.drawn_up_by": GONE}, "id: ccis-sharing"),
    ("MI_REQUIREMENT_STALE", "warn", "agreement", {"agreement.mi_requirement": "2025-26"}, "2025-26"),
    ("CITATION_UNVERIFIED", "warn", "agreement/esa2008-s10",
     {"agreement.gateways.esa2008-s10.verified": False}, "id: esa2008-s10"),
    ("MEMBER_WITHOUT_SIGNATURE_BLOCK", "error", "members/kent", {"agreement.signatures.kent": GONE}, "member: essex"),
    ("SIGNATURE_BLANK", "error", "members/kent", {"agreement.signatures.kent.state": "blank"}, "member: kent"),
    ("SIGNATURE_BLANK", "error", "members/kent", {"agreement.signatures.kent.state": "named"}, "member: kent"),
    ("SIGNATURE_WITHDRAWN", "warn", "members/kent", {"agreement.signatures.kent.state": "withdrawn"}, "member: kent"),
    ("SIGNATURE_STALE", "warn", "members/kent",
     {"agreement.signatures.kent.document_sha256": "0" * 64}, "member: kent"),
]  # fmt: skip
MEMBERS: list[tuple[str, str, str, Edits, str]] = [
    ("MEMBER_WITHOUT_SUMMARY_ROW", "error", "members/kent",
     {f"{KENT}.{key}": GONE for key in ("address", "phone", "ig_team", "ico")}, "id: kent"),
    ("MEMBER_NOT_ADMITTED", "warn", "members/kent", {f"{KENT}.member_since": GONE}, "id: kent"),
    ("MEMBER_NOT_ADMITTED", "warn", "members/kent", {f"{KENT}.member_since": "2026-12-02"}, "2026-12-02"),
    ("PARTY_IG_EMAIL_MISSING", "error", "members/kent", {f"{KENT}.ig_team": GONE}, "id: kent"),
    ("PARTY_ICO_MISSING", "error", "members/kent", {f"{KENT}.ico": GONE}, "id: kent"),
    ("PARTY_ADDRESS_MISSING", "info", "members/kent", {f"{KENT}.address": GONE}, "id: kent"),
    ("PARTY_PHONE_MISSING", "warn", "members/kent",
     {f"{KENT}.phone": GONE, f"{KENT}.ig_team.phone": GONE}, "id: kent"),
    ("IG_CONTACT_LOOKS_PERSONAL", "warn", "members/kent",
     {f"{KENT}.ig_team.email": "first.last@kent.example.org"}, "first.last@"),
    ("IG_CONTACT_GENERIC_SWITCHBOARD", "warn", "members/kent",
     {f"{KENT}.ig_team.email": "council@kent.example.org"}, "council@"),
    ("ICO_REGISTRATION_EXPIRED", "warn", "members/kent", {f"{KENT}.ico_valid_until": "2026-11-30"}, "2026-11-30"),
    ("ICO_REGISTRATION_EXPIRES", "info", "members/kent", {f"{KENT}.ico_valid_until": "2026-12-30"}, "2026-12-30"),
    ("EMAIL_SYNTAX", "error", "members/kent", {f"{KENT}.ig_team.email": "ig@kent.example.o rg"}, "ig@kent"),
    ("EMAIL_SYNTAX", "error", "members/kent", {f"{KENT}.dpo": "dpo@@kent.example.org"}, "dpo@@kent"),
    ("EMAIL_DOMAIN_UNEXPECTED", "warn", "people/p-kent-1",
     {f"{KENT}.domains": ["kent.example.org"], "people.p-kent-1.email": "dm@trust.example.org"}, "dm@trust"),
    ("EMAIL_DOMAIN_OF_ANOTHER_MEMBER", "error", "people/p-kent-1", {"people.p-kent-1.member": "essex"}, "dm@kent"),
    ("LA_REPRESENTED_TWICE", "error", "members/london-east/316", {f"{KENT}.represents.0.la": "316"}, '"316"'),
    ("REPRESENTATION_WITHOUT_INSTRUMENT", "warn", "members/medway/887",
     {"members.medway.represents.0.instrument": GONE}, '"887"'),
    ("REPRESENTATION_WITHOUT_INSTRUMENT", "warn", "people/p-kent-1",
     {"people.p-kent-1.acts_for": ["medway"]}, "medway"),
    ("REPRESENTED_AUTHORITY_WITHOUT_GOVERNANCE_CONTACT", "warn", "members/medway/887",
     {"members.medway.represents.0.governance": GONE}, '"887"'),
    ("MEMBER_WITHOUT_DATA_MANAGER", "error", "members/southend",
     {"people.p-southend-1.roles": ["designated_person"]}, "id: southend"),
    ("MEMBER_WITHOUT_DESIGNATED_PERSON", "warn", "members/southend",
     {"people.p-southend-1.roles": ["data_manager"]}, "id: southend"),
    ("MEMBER_WITH_ONE_DATA_MANAGER", "warn", "members/kent", {"people.p-kent-2.roles": ["auditor"]}, "id: kent"),
    ("MEMBER_WITH_ONE_GOVERNANCE_LEAD", "warn", "members/kent", {"people.g-kent-2.roles": ["auditor"]}, "id: kent"),
    ("MEMBER_WITHOUT_GOVERNANCE_LEAD", "warn", "members/kent",
     {"people.g-kent.roles": ["auditor"], "people.g-kent-2.roles": ["auditor"]}, "id: kent"),
    ("COVER_OF_ANOTHER_MEMBER", "warn", "members/kent", {f"{KENT}.cover": "p-essex-2"}, "cover: p-essex-2"),
    ("NAME_SHARED", "error", "members/kent", {f"{KENT}.aliases": ["southend"]}, "id: kent"),
    ("SUBCONTRACTOR_REVIEW_DUE", "warn", "members/kent",
     {f"{KENT}.subcontractors": [{"name": "Hosts", "contract": "C-1", "review": "2026-11-30"}]}, "2026-11-30"),
    ("TRAINING_NOT_IN_DATE", "warn", "people/p-kent-1",
     {"people.p-kent-1.training_valid_until": "2026-11-30"}, "2026-11-30"),
    ("ADMINISTRATOR_SEES_CONTENT", "error", "access", {"access.roles.administrator": ["inbox.read"]}, "inbox.read"),
    ("ROLE_WITHOUT_ACCESS", "warn", "access", {"access.roles.auditor": GONE}, "designated_person"),
]  # fmt: skip
SCHEDULE: list[tuple[str, str, str, Edits, str]] = [
    ("SCHEDULE_MONTHS_BLANK", "warn", "exchanges/post16-destinations", {f"{A1}.recurrence.months": GONE}, "year"),
    ("SCHEDULE_FREQ_BLANK", "error", "exchanges/post16-destinations",
     {f"{A1}.obligation": GONE}, "id: post16-destinations"),
    ("SCHEDULE_FREQ_BLANK", "error", "exchanges/post16-destinations",
     {f"{A1}.recurrence": GONE}, "id: post16-destinations"),
    ("SCHEDULE_FREQ_EXTERNAL", "info", "exchanges/post16-destinations",
     {f"{A1}.obligation": "external"}, "obligation: external"),
    ("WEEK_CONTAINING_FIRST", "error", "exchanges/post16-destinations",
     {f"{A1}.recurrence.window": {"kind": "week", "n": 1, "first": "containing_1st"}}, "first: containing_1st"),
    ("WINDOW_INCOMPLETE", "error", "exchanges/post16-destinations",
     {f"{A1}.recurrence.window": {"kind": "week", "n": 1}}, "kind: week"),
    ("WINDOW_INCOMPLETE", "error", "exchanges/post16-destinations",
     {f"{A1}.recurrence.window": {"kind": "working_days", "from": 5, "to": 1}}, "kind: working_days"),
    ("WINDOW_INCOMPLETE", "error", "exchanges/post16-destinations",
     {f"{A1}.recurrence.window": {"kind": "dates"}}, "kind: dates"),
    ("WINDOW_INCOMPLETE", "error", "exchanges/post16-destinations",
     {f"{A1}.recurrence.due": {"at": "nth_working_day"}}, "kind: working_days"),
    ("SCHEDULE_MONTHS_BLANK", "warn", "exchanges/post16-destinations", {f"{A1}.recurrence.months": []}, "year"),
    ("CALENDAR_NOT_NAMED", "error", "exchanges/post16-destinations", {f"{A1}.recurrence.calendar": GONE}, "year"),
    ("CALENDAR_HORIZON_SHORT", "warn", "calendars/england-and-wales",
     {"calendars.england-and-wales.covers_until": "2027-05-31"}, "covers_until: 2027-05-31"),
    ("CALENDAR_HORIZON_SHORT", "error", "calendars/england-and-wales",
     {"calendars.england-and-wales.covers_until": "2026-11-30"}, "covers_until: 2026-11-30"),
    ("TYPE_WITHOUT_SCHEDULE", "warn", "agreement/joiners",
     {"agreement.information_types": [{"id": "joiners", "text": "joiners and leavers"}]}, "id: joiners"),
    ("SCHEDULE_WITHOUT_TYPE", "warn", "exchanges/post16-destinations",
     {"agreement.information_types": [{"id": "joiners", "text": "joiners and leavers"}]}, "id: post16-destinations"),
]  # fmt: skip
FIELDS: list[tuple[str, str, str, Edits, str]] = [
    ("EXCHANGE_WITHOUT_PURPOSE", "error", "exchanges/post16-destinations", {f"{A1}.purposes": []}, "purposes: []"),
    ("LAWFUL_BASIS_MISSING", "error", "exchanges/post16-destinations",
     {f"{A1}.lawful_basis": {"article6": []}}, "article6: []"),
    ("LAWFUL_BASIS_MISSING", "error", "exchanges/post16-destinations",
     {f"{A1}.lawful_basis": GONE, "agreement.lawful_basis.article6": []}, "id: post16-destinations"),
    ("LAWFUL_BASIS_MISSING", "error", "exchanges/post16-destinations",
     {f"{A1}.lawful_basis": GONE}, "id: post16-destinations"),
    ("LAWFUL_BASIS_NOT_AVAILABLE", "error", "exchanges/post16-destinations",
     {f"{A1}.lawful_basis": {"article6": ["6(1)(a)"]}}, "6(1)(a)"),
    ("LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY", "error", "exchanges/post16-destinations",
     {f"{A1}.lawful_basis": {"article6": ["legitimate_interests"]}}, "legitimate_interests"),
    ("CONTENT_NOT_INSPECTED", "warn", "exchanges/post16-destinations",
     {f"{A1}.content_inspection": "none"}, "content_inspection: none"),
    ("RELEASED_AT_ONCE", "warn", "exchanges/post16-destinations",
     {f"{A1}.release_after": "PT0S"}, "release_after: PT0S"),
    ("EXCHANGE_WITHOUT_PARTNERS", "error", "exchanges/post16-destinations", {f"{A1}.members": ["kent"]}, "kent"),
    ("SCHEDULE_FIELDS_BLANK", "error", "exchanges/post16-destinations",
     {f"{A1}.record_schema": GONE}, "id: post16-destinations"),
    ("SPECIAL_CATEGORY_WITHOUT_CONDITION", "error", "exchanges/post16-destinations",
     {f"{A1}.special_category": GONE}, "id: post16-destinations"),
    ("SPECIAL_CATEGORY_WITHOUT_CONDITION", "error", "exchanges/post16-destinations",
     {f"{COLUMNS}.postcode.special_category": True}, "fields:"),
    ("SPECIAL_CATEGORY_WITHOUT_CONDITION", "error", "exchanges/safeguarding",
     {"exchanges.safeguarding.special_category": GONE}, "id: safeguarding"),
    ("ROUTING_FIELD_NOT_IN_AGREEMENT", "warn", "exchanges/post16-destinations",
     {f"{COLUMNS}.residence_la": GONE, f"{COLUMNS}.study_la": GONE}, "record_schema: post16-destinations"),
    ("POPULATION_NOT_STATED", "error", "exchanges/post16-destinations",
     {f"{A1}.population": GONE, "agreement.population": GONE}, "id: post16-destinations"),
    ("AGE_RANGE_INCONSISTENT", "warn", "exchanges/post16-destinations",
     {f"{A1}.population": {"min_age": 12, "max_age": 24}}, "min_age: 12"),
    ("AGE_RANGE_INCONSISTENT", "warn", "exchanges/post16-destinations",
     {f"{A1}.population": {"min_age": 19, "max_age": 16}}, "min_age: 19"),
    ("FIELD_NEEDED_NOT_AGREED", "warn", "exchanges/post16-destinations",
     {f"{COLUMNS}.lddd_flag": GONE}, "record_schema: post16-destinations"),
]  # fmt: skip
SOURCE: list[tuple[str, str, str, Edits, str]] = [
    ("HEADING_MISNUMBERED", "info", "source/8.3", reference("heading"), "kind: heading"),
    ("DANGLING_REFERENCE", "warn", "source/8.3", reference("reference"), "kind: reference"),
    ("FOOTNOTE_MISMATCH", "info", "source/8.3", reference("footnote_mark"), "kind: footnote_mark"),
    ("FOOTNOTE_TARGET_MISSING", "warn", "source/8.3", reference("footnote_target"), "kind: footnote_target"),
    ("CITATION_UNVERIFIED", "warn", "source/An Act of 2004",
     {"source": {"citations": [{"as_written": "An Act of 2004", "clause": "4", "note": "there is none"}]}}, "2004"),
    ("NAME_VARIES", "info", "members/kent",
     {"source": {"member_names": [{"id": "kent", "names": ["Kent", "KCC"]}]}}, "id: kent"),
    ("ROLE_NAME_AMBIGUOUS", "warn", "source/lead",
     {"source": {"role_names": [{"id": "lead", "names": ["Lead", "Officer"]}]}}, "id: lead"),
    ("AGE_RANGE_INCONSISTENT", "warn", "source/age_ranges",
     {"source": {"age_ranges": [{"clause": "2", "text": "13 to 19"}, {"clause": "3", "text": "16 to 24"}]}}, "clause"),
    ("TABLE_WIDTH_MISMATCH", "info", "source/A4", table_row("width"), "kind: width"),
    ("ROW_SPLIT_REPAIRED", "info", "source/A4", table_row("split"), "kind: split"),
    ("FIELD_TEXT_GARBLED", "warn", "source/A4", table_row("garbled"), "kind: garbled"),
    ("CONTACT_ROW_EMPTY", "error", "source/contacts/1",
     contact(authority=None, role=None, email=None, phone=None), "A. Alder"),
    ("CONTACT_AUTHORITY_BLANK", "error", "source/contacts/1", contact(authority=None), "row: 1"),
    ("CONTACT_ROLE_BLANK", "warn", "source/contacts/1", contact(role=None), "row: 1"),
    ("CONTACT_PHONE_MISSING", "warn", "source/contacts/1", contact(phone=None), "row: 1"),
    ("CONTACT_EMAIL_MISSING", "error", "source/contacts/1", contact(email=None), "row: 1"),
    ("CONTACT_ACTS_FOR", "info", "source/contacts/1", contact(acts_for="on behalf of Thurrock"), "on behalf"),
    ("CONTACT_EMAIL_NAME_MISMATCH", "error", "source/contacts/1",
     {"source": {"contacts": [CONTACT | {"email": "birch@example.org"}, CONTACT | {"row": 2, "name": "B. Birch"}]}},
     "birch@"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "severity", "target", "edits", "line"), [*DOCUMENT, *MEMBERS, *SCHEDULE, *FIELDS, *SOURCE]
)
def test_a_change_for_the_worse_is_found(code: str, severity: str, target: str, edits: Edits, line: str) -> None:
    """One edit brings one finding of its code, with its severity and target, at the line where the fault is."""
    texts = edited(edits)
    brought = [f for f in brought_by(texts, code) if f.target == target]
    assert [f.severity for f in brought] == [severity]
    assert line in texts[brought[0].file].splitlines()[brought[0].line - 1]
    assert brought[0].sentence.endswith(".") and brought[0].remedy.endswith(".")


def test_every_code_of_lint_has_its_test() -> None:
    """A code that no edit, no waiver and no key brings about would be a promise that nobody checked."""
    written = {text for path in Path("server/policy/lint").glob("*.py") for text in _codes(path)}
    told = {row[0] for row in (*DOCUMENT, *MEMBERS, *SCHEDULE, *FIELDS, *SOURCE)}
    elsewhere = {
        "SSH_KEY_SHARED", "GPG_KEY_SHARED", "PERSON_WITHOUT_SSH_KEY", "DATA_MANAGER_WITHOUT_GPG_KEY",
        "MEMBER_WITHOUT_COVER", "WAIVER_EXPIRED", "WAIVER_UNUSED", "WAIVER_TOO_LONG", "WAIVER_APPROVER_UNKNOWN",
        "WAIVER_NOT_POSSIBLE", "POLICY_INVALID", "POLICY_REFUSED",
    }  # fmt: skip
    assert written == told | elsewhere


def _codes(path: Path) -> list[str]:
    return re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', path.read_text(encoding="utf-8"))


def test_a_member_without_cover_is_told_until_it_has_one() -> None:
    """Neither cover nor recovery key: its files are lost with its data managers' keys."""
    bare = {f"{KENT}.cover": "p-kent-2"}
    assert "members/kent" not in {f.target for f in findings(bare) if f.code == "MEMBER_WITHOUT_COVER"}
    without = edited({f"{KENT}.cover": GONE}, edited(bare))
    codes = {f.code for f in lint(load_texts(without), NOW) if f.target == "members/kent"}
    assert "MEMBER_WITHOUT_COVER" in codes


def test_people_without_keys_are_told() -> None:
    """Who has a mailbox needs an SSH key, a data manager a GPG key; who has neither role needs none."""
    bare = {f.target for f in findings() if f.code == "PERSON_WITHOUT_SSH_KEY"}
    assert "people/p-kent-1" in bare and "people/g-kent" not in bare


def test_a_key_that_two_share_is_an_error(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> None:
    """One SSH key for two people, and one GPG key for two members, are errors that name both."""
    kent = gpg_person("kent")
    keys = PersonKeys([ssh_key("shared").public], [(kent.fingerprint, kent.armored)])
    people = with_keys(SHIPPED["people.yaml"], {"p-kent-1": keys, "p-medway-1": keys})
    shared = [f for f in lint(load_texts(SHIPPED | {"people.yaml": people}), NOW) if f.is_error]
    assert {f.code for f in shared} == {"SSH_KEY_SHARED", "GPG_KEY_SHARED"}
    assert all("kent" in f.sentence and "medway" in f.sentence and f.file == "people.yaml" for f in shared)


def test_what_only_a_working_member_needs_is_not_asked_of_one_that_has_not_signed() -> None:
    """Keys, training, cover and a second person: nothing goes to it, and three sentences say why."""
    codes = {f.code for f in findings() if f.target == "members/brighton-hove"}
    assert not codes & {"MEMBER_WITHOUT_COVER", "MEMBER_WITHOUT_GOVERNANCE_LEAD", "MEMBER_WITHOUT_DESIGNATED_PERSON"}


# ---------------------------------------------------------------- requirements


def line_of(texts: dict[str, str], file: str, words: str) -> int:
    return 1 + next(number for number, line in enumerate(texts[file].splitlines()) if words in line)


def test_r001_a_member_without_its_team_s_address_is_an_error_at_its_line() -> None:
    """Deleting `ig_team.email` of one member gives PARTY_IG_EMAIL_MISSING with file and line."""
    edits = {f"{KENT}.ig_team.email": GONE}
    (finding,) = found("PARTY_IG_EMAIL_MISSING", edits)
    kent = line_of(edited(edits), "members.yaml", "id: kent")
    team = 1 + next(
        n for n, line in enumerate(edited(edits)["members.yaml"].splitlines()) if n > kent - 1 and "ig_team" in line
    )
    assert (finding.file, finding.line, finding.target) == ("members.yaml", team, "members/kent")
    assert finding.is_error


def test_r003_a_personal_team_address_is_a_warning_and_no_error() -> None:
    """first.last@ does not survive its owner; a team's name in it does."""
    for address, personal in [
        ("first.last@kent.example.org", True), ("f.last@kent.example.org", True), ("ig@kent.example.org", False),
        ("First_Last2@kent.example.org", True), ("ig.team@kent.example.org", False),
        ("data-protection@kent.example.org", False),
    ]:  # fmt: skip
        brought = found("IG_CONTACT_LOOKS_PERSONAL", {f"{KENT}.ig_team.email": address})
        assert [f.severity for f in brought] == ["warn"] * personal


def test_r007_the_author_is_recorded() -> None:
    """Both shipped sets name who drew the text up, by role; a set that does not is told."""
    for name in ("ccis-v2", "seed-v1"):
        author = load(ROOT / name).agreement.drawn_up_by
        assert author is not None and author.role
    assert found("AUTHOR_NOT_RECORDED", {"agreement.drawn_up_by": GONE})


def test_r008_a_status_of_no_known_word_is_an_error() -> None:
    """APPROVAL is not APPROVED; each of the four words is known."""
    assert [f.severity for f in found("STATUS_NOT_IN_ENUM", {"agreement.status": "APPROVAL"})] == ["error"]
    for status in ("DRAFT", "FOR_APPROVAL", "APPROVED", "WITHDRAWN"):
        assert not found("STATUS_NOT_IN_ENUM", {"agreement.status": status})


def test_r010_each_authority_has_one_mailbox() -> None:
    """Newham's records go to the London East service; an authority that two claim is an error, and goes to nobody."""
    policy = load_texts(SHIPPED)
    newham = policy.receives_for("316")
    assert newham is not None and newham.id == "london-east"
    twice = {f"{KENT}.represents.0.la": "316"}
    (finding,) = found("LA_REPRESENTED_TWICE", twice)
    assert finding.is_error and "Newham (316)" in finding.sentence and "Kent" in finding.sentence
    assert load_texts(edited(twice)).receives_for("316") is None
    assert policy.receives_for("999") is None


def test_r011_a_representation_without_a_contract_names_the_authority() -> None:
    """Without instrument the borough is named; the shipped set waives those that are being collected."""
    edits = {"members.medway.represents.0.instrument": GONE}
    (finding,) = found("REPRESENTATION_WITHOUT_INSTRUMENT", edits)
    assert finding.severity == "warn" and "Medway Council (887)" in finding.sentence
    (newham,) = [f for f in findings() if f.target == "members/london-east/316" and f.code == finding.code]
    assert "Newham (316)" in newham.sentence and newham.waived


@pytest.mark.parametrize(
    ("start", "term", "until", "due", "differs"),
    [
        ("2016-08-01", "P3Y", None, "2019-08-31", False),
        ("2016-08-01", "P3Y", None, "2019-07-31", False),
        ("2016-08-01", "P3Y", None, "2020-08-01", True),
        ("2026-09-01", "P3Y", "2029-08-31", "2029-08-31", False),
        ("2026-09-01", "P3Y", "2030-08-31", "2029-08-31", True),
        ("2026-09-01", "P36M", "2029-08-31", "2029-09-01", False),
        ("2026-09-01", None, "2029-08-31", "2040-01-01", False),
    ],
)
def test_r012_the_review_ends_the_term(
    start: str, term: str | None, until: str | None, due: str, differs: bool
) -> None:
    """A term of three years and a review after four do not fit together; the text is precise to the month."""
    force = {k: v for k, v in {"from": start, "term": term, "until": until}.items() if v is not None}
    edits = {"agreement.in_force": force, "agreement.review.due": due}
    assert bool(found("TERM_REVIEW_MISMATCH", edits)) == differs


def test_r012_the_last_day_follows_from_the_term_unless_it_is_written() -> None:
    """August 2016 and three years end on 31 July 2019; an end that is written holds; the calendar's end is an end."""
    assert str(InForce.model_validate({"from": "2016-08-01", "term": "P3Y"}).last_day) == "2019-07-31"
    both = {"from": "2016-08-01", "term": "P3Y", "until": "2018-01-01"}
    assert str(InForce.model_validate(both).last_day) == "2018-01-01"
    assert str(InForce.model_validate({"from": "9990-08-01", "term": "P9999Y"}).last_day) == "9999-12-30"
    assert InForce.model_validate({"from": "2016-08-01"}).last_day is None


def test_r020_an_exchange_without_a_purpose_is_an_error() -> None:
    """Every exchange of personal data states at least one purpose of the agreement."""
    (finding,) = found("EXCHANGE_WITHOUT_PURPOSE", {f"{A1}.purposes": []})
    assert finding.is_error and finding.target == "exchanges/post16-destinations"
    assert not [f for f in findings() if f.code == finding.code]


@pytest.mark.parametrize("condition", ["legitimate_interests", "6(1)(f)", "6(1)(ea)", "Legitimate interests"])
def test_r031_an_exchange_of_authorities_cannot_rest_on_legitimate_interests(condition: str) -> None:
    """An error for an exchange that an authority takes part in, whatever the condition is called."""
    (finding,) = found("LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY", {f"{A1}.lawful_basis": {"article6": [condition]}})
    assert finding.is_error
    representatives = {f"{A1}.lawful_basis": {"article6": [condition]}, f"{A1}.members": ["medway", "london-east"]}
    assert not found("LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY", representatives)


def test_r032_a_field_of_a_special_category_needs_its_condition() -> None:
    """Activity codes tell illness and custody: without a condition that names the field it is an error."""
    (finding,) = found("SPECIAL_CATEGORY_WITHOUT_CONDITION", {f"{A1}.special_category": GONE})
    assert finding.is_error and "activity_code" in finding.sentence


def test_r069_a_contract_whose_review_is_over_is_told() -> None:
    """On the day itself it is not yet late; the day after it is."""
    contractor = {"name": "Hosts", "contract": "C-1", "review": "2026-12-01"}
    edits = {f"{KENT}.subcontractors": [contractor]}
    assert not found("SUBCONTRACTOR_REVIEW_DUE", edits)
    (finding,) = found("SUBCONTRACTOR_REVIEW_DUE", edits, datetime(2026, 12, 2, 9, tzinfo=UTC))
    assert "Hosts" in finding.sentence and finding.severity == "warn"


# ---------------------------------------------------------------- whatever is loaded


def test_a_set_that_came_from_no_file_has_no_place() -> None:
    """Findings of a set that was made in memory have no file and line, and nothing fails."""
    policy = load_texts(SHIPPED).model_copy(update={"written": {}})
    assert {(f.file, f.line, f.column) for f in lint(policy, NOW)} == {("", 0, 0)}


@example(day=date.min, term="P0Y", due=date.min)
@example(day=date.max, term="P9999Y", due=date.max)
@given(day=st.dates(), term=st.sampled_from(["P9999Y", "P9999M", "P9999D", "PT9999H", "P0Y", "P3Y"]), due=st.dates())
def test_lint_never_raises_for_any_dates(day: object, term: str, due: object) -> None:
    """The first and the last day that there are, and terms that lead beyond them."""
    policy = shipped()
    agreement = policy.agreement.model_copy(
        update={
            "in_force": InForce.model_validate({"from": day, "term": term}),
            "review": Review.model_validate({"due": due}),
        }
    )
    for now in (NOW, datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
        lint(policy.model_copy(update={"agreement": agreement}), now)


def test_an_empty_set_is_linted() -> None:
    """No member, no person, no exchange, nothing signed: findings, and no exception."""
    policy = load_texts(SHIPPED)
    agreement = Agreement(
        id="a", title="a", version="V0", status="none", owner="nobody",
        in_force=InForce.model_validate({"from": "2026-01-01"}),
        review=Review.model_validate({"due": "2027-01-01"}), lawful_basis=LawfulBasis(article6=()),
    )  # fmt: skip
    empty = PolicySet(
        policy=policy.policy, agreement=agreement, members=(), people=(), exchanges=(),
        access=policy.access, retention=policy.retention,
    )  # fmt: skip
    assert {f.code for f in lint(empty, NOW)} >= {"STATUS_NOT_IN_ENUM", "CHANNEL_NOT_AUTHORISED"}


def test_removing_any_line_of_the_shipped_set_never_makes_lint_fail() -> None:
    """Whatever still loads can be linted."""
    for name in ("agreement.yaml", "members.yaml"):
        lines = SHIPPED[name].splitlines(keepends=True)
        for index in range(0, len(lines), 9):
            try:
                policy = load_texts(SHIPPED | {name: "".join([*lines[:index], *lines[index + 1 :]])})
            except PolicyInvalid:
                continue
            lint(policy, NOW)
