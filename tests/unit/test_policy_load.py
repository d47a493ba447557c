"""A policy set loads whole, or every mistake is told by file, line, column and path with what to write instead."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.agreement import Place, PolicySet
from server.policy.load import PolicyInvalid, load, load_texts, read_texts
from server.policy.shape import PATTERNS

A1 = "exchanges/a1-post16-destinations.yaml"
SHIPPED = Path(__file__).parents[2] / "policies" / "ccis-v2"
TEXTS = read_texts(SHIPPED)


def problems(texts: dict[str, str]) -> list[str]:
    with pytest.raises(PolicyInvalid) as refused:
        load_texts(texts)
    return [str(error) for error in refused.value.errors]


def changed(file: str, old: str, new: str) -> dict[str, str]:
    assert old in TEXTS[file]
    return TEXTS | {file: TEXTS[file].replace(old, new, 1)}


def test_the_shipped_set_loads_with_nine_members_and_21_authorities() -> None:
    """Nine members stand for 21 authorities; Kent has two data managers, Brighton and Hove has nobody."""
    policy = load(SHIPPED)
    assert len(policy.members) == 9
    assert len({authority.la for member in policy.members for authority in member.represents}) == 21
    assert [person.id for person in policy.people_of("kent", "data_manager")] == ["p-kent-1", "p-kent-2"]
    assert policy.people_of("brighton-hove") == ()
    assert all(person.email.endswith(".example.org") for person in policy.people)


def test_a_directory_and_its_texts_are_the_same_set() -> None:
    """What the database keeps loads to exactly what the directory loads to."""
    assert load(SHIPPED) == load_texts(read_texts(SHIPPED))


def test_everything_in_the_set_knows_its_place() -> None:
    """A path leads to its line; a path that is not in the files leads to the nearest thing around it."""
    policy = load(SHIPPED)
    line = 1 + TEXTS["exchanges/trial.yaml"].splitlines().index("broadcast: true")
    assert policy.place("exchanges", "trial", "broadcast") == Place("exchanges/trial.yaml", line, 12)
    assert policy.place("members", "kent", "cover") == policy.place("members", "kent")


# old text, new text, and the line (counted from the old text's first line), column, path and words of the one problem
ONE_MISTAKE = [
    ("people.yaml", "  member: kent\n", "  member: knet\n", (0, 11), "people.p-kent-1.member", "did you mean kent?"),
    ("people.yaml", "  email: dm@kent", "  email: a@b\n  email: dm@kent",
     (1, 3), "people.p-kent-1.email", "already there in line"),
    ("people.yaml", "[designated_person, data_manager]", "[designated_person, dm]",
     (0, 30), "people.p-essex-1.roles.1", "write one of administrator"),
    ("people.yaml", "[designated_person, data_manager]", "data_manager",
     (0, 10), "people.p-essex-1.roles", "a list is wanted"),
    ("people.yaml", "[designated_person, data_manager]", "[]", (0, 10), "people.p-essex-1.roles", "at least one"),
    ("people.yaml", "valid_until: 2027-03-31", "valid_until: 31/03/2027",
     (0, 25), "people.p-essex-1.training_valid_until", "write it as 2027-03-31"),
    ("people.yaml", "valid_until: 2027-03-31", "valid_until: 1805241600",
     (0, 25), "people.p-essex-1.training_valid_until", "this is no date"),
    ("people.yaml", "valid_until: 2027-03-31", "valid_until: 2027-02-30",
     (0, 25), "people.p-essex-1.training_valid_until", "this is no date"),
    ("people.yaml", "valid_until: 2027-03-31", "valid_until:",
     (0, 3), "people.p-essex-1.training_valid_until", "nothing is written here"),
    ("people.yaml", "  phone: 01632 960011", "\tphone: 01632 960011", (0, 1), "people.0", "use spaces"),
    ("people.yaml", "  phone: 01632 960011", "  phone: true",
     (0, 10), "people.p-essex-1.phone", "put the value in quotes"),
    ("people.yaml", "  phone: 01632 960011", "  chat: {slack: yes}",
     (0, 17), "people.p-essex-1.chat.slack", "write true or false"),
    ("people.yaml", "  phone: 01632 960011", "  chat: &it {slack: true}", (0, 9), "people.p-essex-1.chat", "an anchor"),
    ("people.yaml", "  phone: 01632 960011", "  phone: *it", (0, 10), "people.p-essex-1.phone", "an alias"),
    ("people.yaml", "id: p-essex-2", "id: P_essex", (0, 7), "people.1.id", "this is no id"),
    ("people.yaml", "id: p-essex-2", "id: p-essex-1",
     (0, 7), "people.p-essex-1.id", "already used in people.yaml line 12"),
    ("people.yaml", "deputy: g-essex-2", "deputy: g-esex-2",
     (0, 11), "people.g-essex.deputy", "did you mean g-essex-2?"),
    ("people.yaml", "deputy: g-essex-2", "deputy: g-kent", (0, 11), "people.g-essex.deputy", "of the same member"),
    (A1, "release_after: PT2M", "release_after: 120",
     (0, 16), "exchanges.post16-destinations.release_after", "write it as PT2M"),
    (A1, "release_after: PT2M", "release_after: -PT2M",
     (0, 16), "exchanges.post16-destinations.release_after", "write it as PT2M"),
    (A1, "release_after: PT2M", "release_after: 00:02:00",
     (0, 16), "exchanges.post16-destinations.release_after", "write it as PT2M"),
    (A1, "release_after: PT2M", "max_bytes: 0",
     (0, 12), "exchanges.post16-destinations.max_bytes", "at least 1"),
    (A1, "release_after: PT2M", 'max_bytes: "5000"',
     (0, 12), "exchanges.post16-destinations.max_bytes", "without quotes"),
    ("retention.yaml", "length: P2M", "length: two months",
     (0, 37), "retention.rules.two-months.use_by.length", "write it as P2M"),
    (A1, "members: all", "members: al",
     (0, 10), "exchanges.post16-destinations.members", "did you mean all?"),
    (A1, "members: all", "members: [kent, essx]",
     (0, 17), "exchanges.post16-destinations.members.1", "did you mean essex?"),
    (A1, "broadcast: false", "broadcast: no",
     (0, 12), "exchanges.post16-destinations.broadcast", "write true or false"),
    ("schemas/post16-destinations.yaml", "required: true", "requird: true",
     (0, 41), "schemas.post16-destinations.columns.0.requird", "did you mean required?"),
    (A1, "[promote-participation,", "[promote-paticipation,",
     (0, 12), "exchanges.post16-destinations.purposes.0", "did you mean promote-participation?"),
    ("exchanges/trial.yaml", "id: trial", "id: nil", (0, 5), "exchanges.nil.id", "choose another"),
    ("members.yaml", '"881"', "88", (0, 10), "members.essex.represents.0.la", "three digits"),
    ("members.yaml", "id: medway", "id: everyone", (0, 7), "members.everyone.id", "choose another"),
    (A1, "months: all", "months: [4, 13]",
     (0, 15), "exchanges.post16-destinations.recurrence.months.1", "at most 12"),
    ("exchanges/a4-year11-residents.yaml", "event: nccis-download", "event: ncis-download",
     (0, 24), "exchanges.year11-residents.recurrence.after_event.event", "did you mean nccis-download-published?"),
    (A1, "months: all", "months: [4, May]",
     (0, 15), "exchanges.post16-destinations.recurrence.months.1", "a whole number"),
    ("agreement.yaml", "until: 2029-08-31", "until: 2026-08-31",
     (0, 37), "agreement.in_force.until", "before the first"),
    ("agreement.yaml", "owner: essex", "owner: east-essex", (0, 8), "agreement.owner", "did you mean east-sussex?"),
    ("access.yaml", "auditor:", "auditr:", (0, 3), "access.roles.auditr", "did you mean auditor?"),
    ("access.yaml", "auditor: [status.read]", "auditor: [status.red]",
     (0, 13), "access.roles.auditor.0", "did you mean status.read?"),
    ("policy.yaml", "version: 2.1.0", "version: !!str 2", (0, 10), "policy.version", "a tag"),
    ("policy.yaml", "version: 2.1.0", "version: a: b", (0, 11), "policy", "put the value in quotes"),
    ("policy.yaml", "version: 2.1.0", "version: \x07", (0, 10), "policy", "not allowed in a policy file"),
    ("policy.yaml", "version: 2.1.0", "version: a\n---\nid: b", (1, 1), "policy", "a second document"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "where", "path", "words"), ONE_MISTAKE)
def test_a_mistake_is_told_at_its_place(
    file: str, old: str, new: str, where: tuple[int, int], path: str, words: str
) -> None:
    """One mistake gives a problem at exactly its line, column and path, which says what to write instead."""
    line = TEXTS[file][: TEXTS[file].index(old)].count("\n") + 1 + where[0]
    told = [p for p in problems(changed(file, old, new)) if p.startswith(f"{file}:{line}:{where[1]}: {path}: ")]
    assert len(told) == 1
    assert words in told[0]


def test_a_mistake_inside_a_list_is_no_mistake_of_the_list() -> None:
    """A wrong length in the only retention rule is told once, not with "this list is empty" before it."""
    assert len(problems(changed("retention.yaml", "length: P2M", "length: two months"))) == 1
    assert len(problems(changed(A1, "months: all", "months: [4, May]"))) == 1


def test_all_problems_of_all_files_are_told_at_once() -> None:
    """A missing key, an unknown key and an unknown id in three files are three problems, in the order of the files."""
    texts = (
        changed("people.yaml", "  member: kent\n", "  member: knet\n")
        | {"access.yaml": TEXTS["access.yaml"].replace("training_gate", "trainig_gate")}
        | {A1: TEXTS[A1].replace("clause: appendix 1, row A1\n", "")}
    )
    told = problems(texts)
    assert [t.split(":")[0] for t in told] == ["access.yaml", A1, "people.yaml"]
    assert "clause is missing: add a line clause: …" in told[1]


def test_a_file_that_cannot_be_read_hides_no_problem_of_the_others() -> None:
    """With members.yaml broken, people.yaml is still checked, and its members are not called unknown."""
    texts = changed("people.yaml", "roles: [auditor]", "roles: [auditer]") | {"members.yaml": "- id: [\n"}
    told = problems(texts)
    assert [t.split(":")[0] for t in told] == ["members.yaml", "people.yaml"]
    assert "people.u-auditor-1.roles.0" in told[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("[" * 50_000, "nested more than 12 deep"),
        ("- id: x\n", 'must be "key: value" lines'),
        ("%YAML 1.1\n---\nid: a\n", "directive"),
        ("? [a]\n: b\n", "a key must be one word"),
        ("id: 'a\n", "ends inside a quote or a bracket"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "an alias"),
        ("x" * (2 * 1024 * 1024 + 1), "over 2 MiB"),
        ('id: "a\\u202e"\n', "a character that nobody can see"),
        ('id: "a\\e[31m"\n', "a character that nobody can see"),
        ('id: "a\\ud800"\n', "a character that nobody can see"),
        ("id: a\u200bb\n", "a character that nobody can see"),
    ],
)
def test_text_that_is_no_policy_file_is_refused(text: str, words: str) -> None:
    """Empty, huge, deep, cyclic and half-written text is a problem of that file, never anything worse."""
    assert any(words in told for told in problems(TEXTS | {"policy.yaml": text}))


def test_codes_and_times_stay_the_text_they_are_written_as() -> None:
    """A plain 881, 2.0, yes, 17:00, 0123 and 1e3 lose nothing on their way in."""
    texts = changed("members.yaml", '"881"', "881")
    texts["policy.yaml"] = "id: ccis-sharing\nversion: 2.0\n"
    texts["members.yaml"] = texts["members.yaml"].replace("aliases: [ECC]", "aliases: [yes, 17:00, 0123, 1e3, No]")
    policy = load_texts(texts)
    assert policy.policy.version == "2.0"
    assert policy.members[0].represents[0].la == "881"
    assert policy.members[0].aliases == ("yes", "17:00", "0123", "1e3", "No")


def test_a_whole_number_is_read_where_one_is_wanted() -> None:
    """`max_bytes: 5000` is five thousand, and the months of a schedule are numbers though `all` is a word."""
    texts = changed(A1, "release_after: PT2M", "max_bytes: 5000")
    policy = load_texts(texts | {A1: texts[A1].replace("months: all", "months: [4, 12]")})
    exchange = policy.exchange("post16-destinations")
    assert exchange is not None
    assert exchange.recurrence is not None
    assert (exchange.max_bytes, exchange.recurrence.months) == (5000, (4, 12))


def test_exchanges_may_stand_in_one_file() -> None:
    """A file with a list of exchanges is the same set as a folder with one a file; a mistake names its own file."""
    rows = {name: text for name, text in TEXTS.items() if name.startswith("exchanges/")}
    texts = {name: text for name, text in TEXTS.items() if name not in rows}
    texts["exchanges.yaml"] = "".join(_as_item(text) for _, text in sorted(rows.items()))
    assert load_texts(texts).exchanges == load(SHIPPED).exchanges
    spoilt = TEXTS | {"exchanges/trial.yaml": TEXTS["exchanges/trial.yaml"].replace("members: all", "members: [kemt]")}
    assert [told.split(":")[0] for told in problems(spoilt)] == ["exchanges/trial.yaml"]


def _as_item(text: str) -> str:
    return "- " + "  ".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


@pytest.mark.parametrize("name", ["acess.yaml", "people.yml", "case/one.yaml", "exchanges/deep/a.yaml"])
def test_a_file_of_another_name_is_told_and_not_ignored(name: str) -> None:
    """A misspelt file name is a problem: a rule that nobody reads would be worse."""
    assert [told for told in problems(TEXTS | {name: "a: b"}) if told.startswith(f"{name}:1:1: (file): no file of")]


def test_a_missing_file_is_told() -> None:
    """Every file of the set must be there."""
    told = problems({name: text for name, text in TEXTS.items() if name != "access.yaml"})
    assert told == ["access.yaml:1:1: access: the file access.yaml is missing: write it"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A directory with the shipped set."""
    for name, text in TEXTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _latin(directory: Path) -> None:
    (directory / "people.yaml").write_bytes(b"# fine\n- id: caf\xe9\n")


def _outside(directory: Path) -> None:
    other = directory.parent / f"{directory.name}-outside.yaml"
    other.write_text("id: x\nversion: y\n")
    (directory / "policy.yaml").unlink()
    (directory / "policy.yaml").symlink_to(other)


def _pipe(directory: Path) -> None:
    (directory / "policy.yaml").unlink()
    os.mkfifo(directory / "policy.yaml")


def _circle(directory: Path) -> None:
    (directory / "policy.yaml").unlink()
    (directory / "policy.yaml").symlink_to("policy.yaml")


def _huge(directory: Path) -> None:
    (directory / "policy.yaml").write_bytes(b"#" * (2 * 1024 * 1024 + 1))


def _in_a_wrong_folder(directory: Path) -> None:
    (directory / "exchange").mkdir()
    (directory / "exchange" / "a.yaml").write_text("id: a\n")


@pytest.mark.parametrize(
    ("spoil", "file", "words"),
    [
        (_latin, "people.yaml:2:10", "save the file as UTF-8"),
        (_outside, "policy.yaml:1:1", "a link to a file outside"),
        (_pipe, "policy.yaml:1:1", "not a plain file"),
        (_circle, "policy.yaml:1:1", "this link leads nowhere"),
        (_huge, "policy.yaml:1:1", "over 2 MiB"),
        (_in_a_wrong_folder, "exchange/a.yaml:1:1", "no file of a policy set has this name"),
    ],
)
def test_a_directory_is_read_strictly(copy: Path, spoil: Callable[[Path], None], file: str, words: str) -> None:
    """Bytes that are not UTF-8, links that lead out, pipes, huge and unknown files are told with their full names."""
    spoil(copy)
    with pytest.raises(PolicyInvalid) as refused:
        load(copy)
    assert [words in str(e) for e in refused.value.errors if str(e).startswith(f"{copy}/{file}: ")] == [True]


def test_a_byte_order_mark_windows_line_ends_and_other_files_do_no_harm(copy: Path) -> None:
    """A set saved by a Windows editor, with a change log beside it, is the same set."""
    text = TEXTS["people.yaml"].replace("\n", "\r\n")
    (copy / "people.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (copy / "CHANGELOG.md").write_text("# changes\n")
    (copy / ".people.yaml.swp").write_bytes(b"\xff\xff")
    assert load(copy).people == load(SHIPPED).people


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A wrong name on the command line is a sentence, not a traceback."""
    with pytest.raises(PolicyInvalid, match="there is no such directory"):
        load(tmp_path / "none")


def test_every_pattern_of_the_models_has_a_sentence() -> None:
    """No field answers a wrong form without saying the right one."""
    patterns = set(re.findall(r"'pattern': '([^']+)'", str(PolicySet.model_json_schema()).replace("\\\\", "\\")))
    assert patterns
    assert patterns <= set(PATTERNS)


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%?,~ \n\t0é\x00"), max_size=60))
def test_no_text_is_worse_than_a_problem(text: str) -> None:
    """Whatever is in a file, the answer is a policy set or problems with a place."""
    with pytest.raises(PolicyInvalid) as refused:
        load_texts({"policy.yaml": text})
    assert all(error.line >= 1 and error.column >= 1 and error.sentence for error in refused.value.errors)


def test_removing_or_spoiling_any_line_never_crashes_and_never_grants() -> None:
    """Each line of access.yaml and the head of agreement.yaml, gone or spoilt: a problem, or no more is granted."""
    few = TEXTS | {"people.yaml": TEXTS["people.yaml"].split("- id: g-essex\n")[0], "waivers.yaml": "[]\n"}
    whole = load_texts(few)
    for file in ("access.yaml", "agreement.yaml"):
        lines = TEXTS[file].splitlines(keepends=True)
        for index, line in enumerate(lines[:16]):
            for other in ("", line.rstrip() + "x\n") if line.strip() else ():
                texts = few | {file: "".join([*lines[:index], other, *lines[index + 1 :]])}
                try:
                    policy = load_texts(texts)
                except PolicyInvalid:
                    continue
                for role, verbs in policy.access.roles.items():
                    assert verbs <= whole.access.roles[role]
                assert policy.agreement.status == "APPROVED" == whole.agreement.status
