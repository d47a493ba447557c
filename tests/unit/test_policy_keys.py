"""Only whole, public, strong keys get into a policy set, and only under their own fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
import pytest

from server.policy.changes import changes, judged
from server.policy.edit import PersonKeys, with_keys, with_new_key, with_recovery_keys, with_version
from server.policy.load import PolicyInvalid, load_texts, read_texts
from server.policy.public_keys import gpg_objection, is_refresh, ssh_objection
from tests.conftest import GpgPerson, MakeGpgPerson

TEXTS = read_texts(Path(__file__).parents[2] / "policies" / "ccis-v2")


def a_line(algorithm: str, key_size: int = 0) -> str:
    options: dict[str, Any] = {"key_size": key_size} if key_size else {}
    return asyncssh.generate_private_key(algorithm, **options).export_public_key().decode().strip()


@pytest.mark.parametrize(
    "line",
    [
        a_line("ssh-ed25519"),
        a_line("ecdsa-sha2-nistp256"),
        a_line("ecdsa-sha2-nistp384"),
        a_line("ecdsa-sha2-nistp521"),
        a_line("ssh-rsa", key_size=3072),
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAI"
        "AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gAAAABHNzaDo= stick",
    ],
)
def test_strong_ssh_keys_are_accepted(line: str) -> None:
    """Ed25519, Ed25519 on a stick, the three NIST curves and RSA from 3072 bits log in."""
    assert ssh_objection(line) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (a_line("ssh-rsa", key_size=2048), "too short"),
        (a_line("ssh-dss"), "not accepted"),
        (a_line("ssh-ed25519").replace(" AAAA", " BAAA"), "no SSH public key"),
        ("ssh-ed25519", "no SSH public key"),
        (a_line("ssh-ed25519") + "\n" + a_line("ssh-ed25519"), "one line"),
        (asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode(), "private key"),
        ('command="sh" ' + a_line("ssh-ed25519"), "no SSH public key"),
    ],
)
def test_other_ssh_keys_are_refused_with_the_way_out(line: str, words: str) -> None:
    """Short, old, damaged, several, private and decorated keys are each told by what they are."""
    assert words in (ssh_objection(line) or "")


def test_a_gpg_key_belongs_to_its_fingerprint(gpg_person: MakeGpgPerson) -> None:
    """Somebody else's key under a fingerprint, a damaged key and a private key are refused; the right one is not."""
    kent, essex = gpg_person("kent"), gpg_person("essex")
    assert gpg_objection(kent.fingerprint, kent.armored) is None
    assert "another fingerprint" in (gpg_objection(kent.fingerprint, essex.armored) or "")
    assert "damaged" in (gpg_objection(kent.fingerprint, kent.armored[:150]) or "")
    assert "damaged" in (gpg_objection(kent.fingerprint, kent.armored.replace("\n\n", "\n", 1)) or "")
    assert "private key" in (gpg_objection(kent.fingerprint, kent.armored.replace("PUBLIC", "PRIVATE")) or "")
    assert "no public key" in (gpg_objection(kent.fingerprint, "hello") or "")


def test_an_rsa_gpg_key_is_read_too(gpg_person: MakeGpgPerson) -> None:
    """Packets with two-byte lengths carry their fingerprint as well."""
    medway = gpg_person("medway", algorithm="rsa3072")
    assert gpg_objection(medway.fingerprint, medway.armored) is None


def test_filled_in_keys_load_and_the_comments_stay(gpg_person: MakeGpgPerson) -> None:
    """Filling in keys changes nothing else: same comments, same order, and the set loads with these keys."""
    kent, line = gpg_person("kent"), a_line("ssh-ed25519")
    keys = {
        person: PersonKeys([line], [(kent.fingerprint, kent.armored)]) for person in ("p-kent-1", "g-south-london-2")
    }
    people = with_keys(TEXTS["people.yaml"], keys)
    members = with_recovery_keys(TEXTS["members.yaml"], {"kent": (kent.fingerprint, kent.armored)})
    policy = load_texts(TEXTS | {"people.yaml": people, "members.yaml": members})
    person = policy.person_by_id["p-kent-1"]
    assert (person.ssh_keys[0].public, person.gpg_keys[0].fingerprint) == (line, kent.fingerprint)
    assert policy.sealed_to("kent")[-1] == ("recovery-kent", person.gpg_keys[0])
    for before, after in ((TEXTS["people.yaml"], people), (TEXTS["members.yaml"], members)):
        kept = iter(after.splitlines())
        assert all(old in kept for old in before.splitlines())


def test_filling_in_keys_again_replaces_them() -> None:
    """A second round leaves only the second key."""
    first = with_keys(TEXTS["people.yaml"], {"p-kent-1": PersonKeys([a_line("ssh-ed25519")])})
    line = a_line("ssh-ed25519")
    policy = load_texts(TEXTS | {"people.yaml": with_keys(first, {"p-kent-1": PersonKeys([line])})})
    assert [key.public for key in policy.person_by_id["p-kent-1"].ssh_keys] == [line]


def test_a_bad_key_in_the_file_is_told_at_its_place() -> None:
    """A key problem has a line and a path like every other."""
    people = with_keys(TEXTS["people.yaml"], {"p-kent-1": PersonKeys(["ssh-ed25519 AAAA"], [("A" * 40, "no key")])})
    with pytest.raises(PolicyInvalid) as refused:
        load_texts(TEXTS | {"people.yaml": people})
    lines = people.splitlines()
    assert [(e.path, lines[e.line - 1].split(":")[0].strip(" -")) for e in refused.value.errors] == [
        ("people.p-kent-1.ssh_keys.0.public", "public"),
        ("people.p-kent-1.gpg_keys.0.armored", "armored"),
    ]


# ---------------------------------------------------------------- one key more, and the same key for longer


def exported(key: GpgPerson, *edit: str) -> str:
    """The key's armour after an edit by its owner."""
    if edit:
        done = key.gpg("--passphrase", "", "--pinentry-mode", "loopback", *edit)
        assert done.returncode == 0, done.stderr.decode()
    return key.gpg("--armor", "--export", key.fingerprint).stdout.decode()


def test_the_same_key_with_another_end_is_a_refresh(gpg_person: MakeGpgPerson) -> None:
    """The same primary key and subkeys, signed anew or only written anew; another key is none."""
    key = gpg_person("refresh-one", expires="30d")
    longer = exported(key, "--quick-set-expire", key.fingerprint, "90d", "*")
    assert is_refresh(key.armored, longer)
    assert is_refresh(key.armored, key.armored.replace("\n", "\r\n"))
    assert not is_refresh(key.armored, gpg_person("refresh-two").armored)
    for cut in (longer[:200], "", "hello"):
        assert not is_refresh(key.armored, cut) and not is_refresh(cut, key.armored)


def test_a_subkey_more_is_a_new_key(gpg_person: MakeGpgPerson) -> None:
    """Files would be sealed to something that nobody checked."""
    key = gpg_person("refresh-three", expires="30d")
    more = exported(key, "--quick-add-key", key.fingerprint, "cv25519", "encr", "90d")
    assert not is_refresh(key.armored, more) and not is_refresh(more, key.armored)


def test_a_revocation_is_not_undone_by_an_older_armour(gpg_person: MakeGpgPerson) -> None:
    """What was revoked stays so: an export from before it is no refresh of it, the other way round it is one."""
    key = gpg_person("refresh-four", expires="30d")
    certificate = (key.home / "openpgp-revocs.d" / f"{key.fingerprint}.rev").read_text().replace(":-----", "-----")
    assert key.gpg("--import", stdin=certificate[certificate.index("-----BEGIN") :].encode()).returncode == 0
    revoked = exported(key)
    assert is_refresh(key.armored, revoked) and not is_refresh(revoked, key.armored)


def test_a_refresh_is_a_class_of_its_own_where_the_policy_takes_it_for_the_same_key(gpg_person: MakeGpgPerson) -> None:
    """Else it is a member's own key, as a new one is."""
    key = gpg_person("refresh-five", expires="30d")
    longer = exported(key, "--quick-set-expire", key.fingerprint, "90d", "*")
    classes = {}
    for setting in ("true", "false"):
        texts = dict(TEXTS)
        texts["keys.yaml"] = texts["keys.yaml"].replace("fingerprint: true", f"fingerprint: {setting}")
        texts["people.yaml"] = with_new_key(
            texts["people.yaml"], "p-kent-1", PersonKeys(gpg=((key.fingerprint, key.armored),))
        )
        before = load_texts(texts)
        texts["people.yaml"] = with_new_key(
            texts["people.yaml"], "p-kent-1", PersonKeys(gpg=((key.fingerprint, longer),))
        )
        classes[setting] = [kind.value for kind in judged(before, load_texts(texts))]
    assert classes == {"true": ["key_refresh"], "false": ["own_people"]}


@pytest.mark.parametrize("person", ["p-essex-1", "u-auditor-1", "p-kent-1", "g-south-london-2"])
def test_one_key_more_changes_nothing_else(gpg_person: MakeGpgPerson, person: str) -> None:
    """Other keys, comments and order stay; the set loads, and differs by that key and its version alone."""
    key, line = gpg_person("kent"), a_line("ssh-ed25519")
    before = load_texts(TEXTS)
    texts = dict(TEXTS)
    for number in range(3):
        more = PersonKeys(ssh=(line,)) if number == 1 else PersonKeys(gpg=((key.fingerprint, key.armored),))
        if number == 2:
            more = PersonKeys(ssh=(a_line("ssh-ed25519"),))
        texts["people.yaml"] = with_new_key(texts["people.yaml"], person, more)
    texts["policy.yaml"] = with_version(texts["policy.yaml"], "2.9.0")
    after = load_texts(texts)
    places = sorted(change.path[:3] for change in changes(before, after))
    keys = [("people", person, "gpg_keys")] + [("people", person, "ssh_keys")] * 2
    assert places == [*keys, ("policy", "version")]
    comments = [line for line in TEXTS["people.yaml"].splitlines() if line.strip().startswith("#")]
    assert [line for line in texts["people.yaml"].splitlines() if line.strip().startswith("#")] == comments
