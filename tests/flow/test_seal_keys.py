"""Which keys may be sealed to, and the exchange's own: judged on real keys by the real gpg."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.seal import ExchangeKey, Keyring, PublicKey, SealError, SealingKey, UnusableKey, socket_redirect
from tests.conftest import GpgPerson, MakeGpgPerson

NOW = datetime.now(UTC)


def public(person: GpgPerson, member: str = "kent") -> PublicKey:
    """The person's key as it is now."""
    armored = person.gpg("--armor", "--export", person.fingerprint).stdout.decode()
    return PublicKey(f"p-{person.name}", member, person.fingerprint, armored)


def judged(home: Path, key: PublicKey, at: datetime = NOW) -> SealingKey | UnusableKey:
    return Keyring.open(home, "r1", [key]).sealing_key(key, at)


def why(home: Path, key: PublicKey, at: datetime = NOW) -> str:
    answer = judged(home, key, at)
    assert isinstance(answer, UnusableKey), answer
    return answer.why


def subkeys_of(person: GpgPerson) -> list[str]:
    lines = person.gpg("--with-colons", "--list-keys").stdout.decode().splitlines()
    return [line.split(":")[9] for line in lines if line.startswith("fpr")][1:]


def test_a_good_key_is_named_by_its_encryption_subkey(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """The full fingerprint of the subkey, not the primary's, and not a short id."""
    kent = gpg_person("kent")
    assert judged(short_tmp, public(kent)) == SealingKey("p-kent", "kent", kent.fingerprint, tuple(subkeys_of(kent)))


def test_every_usable_subkey_is_named_and_an_expired_one_is_not(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """Expiry is judged on subkeys too, at the time that is given."""
    two = gpg_person("two-subkeys")
    two.gpg(
        "--passphrase", "", "--pinentry-mode", "loopback", "--quick-add-key", two.fingerprint, "cv25519", "encr", "2d"
    )
    first, second = subkeys_of(two)
    today = judged(short_tmp, public(two))
    later = judged(short_tmp, public(two), NOW + timedelta(days=3))
    assert isinstance(today, SealingKey)
    assert set(today.subkeys) == {first, second}
    assert isinstance(later, SealingKey)
    assert later.subkeys == (first,)


def test_an_expired_key_is_refused_by_our_own_clock(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """The same keyring says yes today and no tomorrow, without another gpg run."""
    key = public(gpg_person("expiring", expires="1d"))
    keyring = Keyring.open(short_tmp, "r1", [key])
    assert isinstance(keyring.sealing_key(key, NOW), SealingKey)
    answer = keyring.sealing_key(key, NOW + timedelta(days=2))
    assert isinstance(answer, UnusableKey)
    assert answer.why == "expired"
    assert answer.sentence == "The GPG key of p-expiring of kent has expired: extend it or add a new one."


def test_a_key_whose_only_encryption_subkey_has_expired_is_expired(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """A primary key without end does not lend its life to the subkey."""
    person = gpg_person("old-subkey", algorithm="ed25519")
    with_passphrase = ("--passphrase", "", "--pinentry-mode", "loopback")
    person.gpg(*with_passphrase, "--quick-add-key", person.fingerprint, "cv25519", "encr", "1d")
    assert why(short_tmp, public(person), NOW + timedelta(days=2)) == "expired"


def test_a_revoked_key_is_refused(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """The revocation travels inside the armoured block."""
    person = gpg_person("revoked")
    certificate = (person.home / "openpgp-revocs.d" / f"{person.fingerprint}.rev").read_bytes()
    assert person.gpg("--import", stdin=certificate.replace(b":-----BEGIN", b"-----BEGIN")).returncode == 0
    assert why(short_tmp, public(person)) == "revoked"


@pytest.mark.parametrize("algorithm", ["rsa2048/rsa2048", "ed25519/rsa2048", "rsa2048/cv25519"])
def test_short_rsa_is_weak_wherever_it_stands(short_tmp: Path, gpg_person: MakeGpgPerson, algorithm: str) -> None:
    """A weak primary makes its subkeys weak, because it vouches for them."""
    assert why(short_tmp, public(gpg_person("weak", algorithm=algorithm))) == "weak"


def test_rsa_of_3072_bits_is_taken(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """Councils have such keys."""
    assert isinstance(judged(short_tmp, public(gpg_person("rsa", algorithm="rsa3072/rsa3072"))), SealingKey)


def test_a_key_that_only_signs_cannot_encrypt(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """No subkey, no sealing."""
    assert why(short_tmp, public(gpg_person("signer", algorithm="ed25519"))) == "cannot encrypt"


def test_absent_and_unreadable_keys_are_told_apart(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """Nothing there; not a key; another key than the fingerprint says; two keys in one block; a secret key."""
    kent, medway = gpg_person("kent"), gpg_person("medway")
    secret = kent.gpg(
        "--passphrase", "", "--pinentry-mode", "loopback", "--armor", "--export-secret-keys"
    ).stdout.decode()
    both = gpg_person("both")
    both.trusts(kent.armored)
    block = both.gpg("--armor", "--export").stdout.decode()
    cases = {
        "absent": "",
        "garbage": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nnot a key\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "other": medway.armored,
        "two": block,
        "flooded": kent.armored + "x" * 300_000,
        "secret": secret,
    }
    assert "PRIVATE" in secret
    found = {
        name: why(short_tmp, PublicKey("p-kent-1", "kent", kent.fingerprint, text)) for name, text in cases.items()
    }
    assert found == {name: "absent" if name == "absent" else "unreadable" for name in cases}
    assert not list((short_tmp / "private-keys-v1.d").glob("*"))


def test_one_bad_key_does_not_keep_the_others_out(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """In a broadcast the other recipients still receive."""
    good = public(gpg_person("kent"))
    bad = PublicKey("p-medway-1", "medway", gpg_person("medway").fingerprint, "not a key")
    keyring = Keyring.open(short_tmp, "r1", [bad, good])
    assert isinstance(keyring.sealing_key(good, NOW), SealingKey)
    assert isinstance(keyring.sealing_key(bad, NOW), UnusableKey)


def test_a_keyring_is_built_once_and_mended_when_broken(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """Opened again, the file is the same; a torn one is built anew; nothing else is left in the folder."""
    keys = [public(gpg_person("kent")), public(gpg_person("medway"), "medway")]
    path = Keyring.open(short_tmp, "r1", keys).path
    first = (path.stat().st_ino, path.stat().st_mtime_ns)
    whole = path.read_bytes()
    again = Keyring.open(short_tmp, "r1", keys).path
    assert (again.stat().st_ino, again.stat().st_mtime_ns) == first
    path.write_bytes(whole[: len(whole) // 2])
    mended = Keyring.open(short_tmp, "r1", keys)
    assert all(isinstance(mended.sealing_key(key, NOW), SealingKey) for key in keys)
    assert [found.name for found in path.parent.iterdir()] == ["r1.kbx"]


def test_two_revisions_live_side_by_side(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """A new revision never touches the keyring that uploads of the old one are using."""
    kent, medway = public(gpg_person("kent")), public(gpg_person("medway"), "medway")
    old = Keyring.open(short_tmp, "r1", [kent])
    before = old.path.read_bytes()
    new = Keyring.open(short_tmp, "r2", [medway])
    assert old.path.read_bytes() == before
    assert isinstance(old.sealing_key(medway, NOW), UnusableKey)
    assert isinstance(new.sealing_key(medway, NOW), SealingKey)


def test_a_revision_is_never_a_path(short_tmp: Path) -> None:
    """Whatever a revision is called, its keyring stays in its folder."""
    with pytest.raises(SealError):
        Keyring.open(short_tmp, "../r1", [])


# ---------------------------------------------------------------- the exchange's own key


def test_the_exchange_signs_and_anyone_can_verify(short_tmp: Path, gpg_person: MakeGpgPerson) -> None:
    """A manifest's signature is good, by the full fingerprint, and bad when one byte of the manifest differs."""
    key = ExchangeKey.create(short_tmp / "gpg", short_tmp / "passphrase", "Essex and partners")
    signature = short_tmp / "manifest.asc"
    signature.write_bytes(key.sign_detached(b'{"delivery": 1}'))
    key.close()
    kent = gpg_person("kent-verifies")
    kent.trusts(key.armored)
    good = kent.gpg("--status-fd", "1", "--verify", str(signature), "-", stdin=b'{"delivery": 1}')
    assert good.returncode == 0
    assert f"VALIDSIG {key.fingerprint}" in good.stdout.decode()
    assert kent.gpg("--verify", str(signature), "-", stdin=b'{"delivery": 2}').returncode != 0


def test_the_exchange_key_can_only_sign_and_is_private(short_tmp: Path) -> None:
    """No encryption subkey, no end; the passphrase has 256 bits and mode 0600, its folder 0700."""
    key = ExchangeKey.create(short_tmp / "gpg", short_tmp / "passphrase", "Trial")
    key.close()
    command = ["gpg", "--homedir", str(short_tmp / "gpg"), "--with-colons", "--list-keys"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    primary = next(line.split(":") for line in lines if line.startswith("pub"))
    assert (primary[3], primary[6], primary[11]) == ("22", "", "scSC")
    assert not [line for line in lines if line.startswith("sub")]
    assert len(bytes.fromhex((short_tmp / "passphrase").read_text())) == 32
    assert stat.S_IMODE((short_tmp / "passphrase").stat().st_mode) == 0o600
    assert stat.S_IMODE((short_tmp / "gpg").stat().st_mode) == 0o700


def test_the_exchange_key_opens_again_and_is_made_only_once(short_tmp: Path) -> None:
    """The same fingerprint after a restart of its agent; a second `create` is refused."""
    home, passphrase = short_tmp / "gpg", short_tmp / "passphrase"
    made = ExchangeKey.create(home, passphrase, "Trial")
    made.close()
    opened = ExchangeKey.open(home, passphrase)
    assert (opened.fingerprint, opened.armored) == (made.fingerprint, made.armored)
    with pytest.raises(SealError) as refused:
        ExchangeKey.create(home, passphrase, "Trial")
    assert refused.value.code == "KEY_EXISTS"
    opened.close()


def test_create_goes_on_after_an_interruption(short_tmp: Path) -> None:
    """A passphrase that was written before the key was made is used."""
    (short_tmp / "passphrase").write_text("ab" * 32 + "\n")
    (short_tmp / "passphrase").chmod(0o600)
    key = ExchangeKey.create(short_tmp / "gpg", short_tmp / "passphrase", "Trial")
    key.close()
    assert (short_tmp / "passphrase").read_text() == "ab" * 32 + "\n"


@pytest.mark.parametrize("exposed", ["gpg", "passphrase"])
def test_what_others_can_read_is_refused(short_tmp: Path, exposed: str) -> None:
    """The server does not start with a key that the whole machine knows."""
    ExchangeKey.create(short_tmp / "gpg", short_tmp / "passphrase", "Trial").close()
    path = short_tmp / exposed
    path.chmod(path.stat().st_mode | 0o044)
    with pytest.raises(SealError) as refused:
        ExchangeKey.open(short_tmp / "gpg", short_tmp / "passphrase")
    assert refused.value.code == "KEY_EXPOSED"


def test_a_wrong_passphrase_is_found_at_open(short_tmp: Path) -> None:
    """Not at the first upload, days later."""
    ExchangeKey.create(short_tmp / "gpg", short_tmp / "passphrase", "Trial").close()
    (short_tmp / "passphrase").write_text("00" * 32 + "\n")
    with pytest.raises(SealError) as refused:
        ExchangeKey.open(short_tmp / "gpg", short_tmp / "passphrase")
    assert refused.value.code == "KEY_NOT_SIGNING"


@pytest.mark.parametrize("name", ["", "two\nlines", "A <a@example.org>", "50%"])
def test_a_name_cannot_carry_instructions_to_gpg(short_tmp: Path, name: str) -> None:
    """It is written into gpg's batch language."""
    with pytest.raises(SealError) as refused:
        ExchangeKey.create(short_tmp / "gpg", short_tmp / "passphrase", name)
    assert refused.value.code == "KEY_NAME"


# ---------------------------------------------------------------- deep folders


def deep(folder: Path) -> Path:
    home = folder / ("d" * 90) / ("e" * 90)
    home.mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    return home


def test_the_exchange_key_works_in_a_deep_folder(short_tmp: Path) -> None:
    """Made, opened again after its short folder was swept away, and nothing left in /tmp when it is closed."""
    home = deep(short_tmp)
    ExchangeKey.create(home, short_tmp / "passphrase", "Trial").close()
    key = ExchangeKey.open(home, short_tmp / "passphrase")
    socket = Path((home / "S.gpg-agent").read_text().splitlines()[1].removeprefix("socket="))
    assert socket.is_socket()
    assert key.sign_detached(b"deep")
    key.close()
    assert not socket.parent.exists()


def test_unmodified_gpg_works_in_a_redirected_deep_folder(short_tmp: Path) -> None:
    """What a fictional person of the demo types: `gpg --homedir DEEP --decrypt`."""
    home = deep(short_tmp)
    socket_redirect(home)
    socket_redirect(home)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    unlocked = [*gpg, "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*unlocked, "--quick-generate-key", "x", "ed25519", "default", "never"], check=True, timeout=60)
    subprocess.run([*unlocked, "--quick-add-key", fingerprint_in(home), "cv25519", "encr"], check=True, timeout=60)
    sealed = subprocess.run([*gpg, "-r", "x", "--encrypt"], input=b"deep", capture_output=True, check=True).stdout
    assert subprocess.run([*gpg, "--decrypt"], input=sealed, capture_output=True, check=True).stdout == b"deep"
    agent = (home / "S.gpg-agent").read_text()
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True)
    assert len(agent.splitlines()[1]) < 100
    Path(agent.splitlines()[1].removeprefix("socket=")).parent.rmdir()


def fingerprint_in(home: Path) -> str:
    command = ["gpg", "--homedir", str(home), "--with-colons", "--list-keys"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(line.split(":")[9] for line in lines if line.startswith("fpr"))


def test_a_copied_home_gets_a_short_folder_of_its_own(short_tmp: Path) -> None:
    """Two homes never share an agent, and a home that moved to a short path needs no redirect."""
    home = deep(short_tmp)
    socket_redirect(home)
    twin = home.parent / ("f" * 90)
    shallow = short_tmp / "shallow"
    for place in (twin, shallow):
        place.mkdir(mode=0o700)
        (place / "S.gpg-agent").write_text((home / "S.gpg-agent").read_text())
        socket_redirect(place)
    assert (twin / "S.gpg-agent").read_text() != (home / "S.gpg-agent").read_text()
    assert not (shallow / "S.gpg-agent").exists()
    for place in (home, twin):
        Path((place / "S.gpg-agent").read_text().splitlines()[1].removeprefix("socket=")).parent.rmdir()
