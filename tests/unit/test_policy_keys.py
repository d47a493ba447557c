"""Only whole, public, strong keys get into a policy set, and only under their own fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
import pytest

from server.policy.edit import PersonKeys, with_keys, with_recovery_keys
from server.policy.load import PolicyInvalid, load_texts, read_texts
from server.policy.public_keys import gpg_objection, ssh_objection
from tests.conftest import MakeGpgPerson

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
