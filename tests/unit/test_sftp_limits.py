"""The counts at the door, and the pure parts of paths and packets."""

from __future__ import annotations

import os
from pathlib import Path as FilePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import Misconfigured, Missing, Refused
from server.sftp import limits
from server.sftp.limits import Gate, Throttle
from server.sftp.listener import ensure_host_key
from server.sftp.tree import Path
from server.sftp.wire import Malformed, Request


def test_one_address_cannot_fill_the_door() -> None:
    """At its limit each newcomer takes the place of the address's own oldest, who is told to go; others stay."""
    gate: Gate[int] = Gate()
    assert gate.arrive("10.0.0.2", -1) is None
    assert [gate.arrive("10.0.0.1", n) for n in range(limits.UNKNOWN_PER_ADDRESS)] == [None] * 64
    assert [gate.arrive("10.0.0.1", n) for n in (100, 101)] == [0, 1]
    gate.leave_door("10.0.0.1", 0)
    assert gate.arrive("10.0.0.1", 102) == 2
    gate.leave_door("10.0.0.1", 50)
    assert gate.arrive("10.0.0.1", 103) is None


def test_all_addresses_together_cannot_overfill_the_door() -> None:
    """At the limit of all, the oldest of the address with the most goes: few cannot keep out many."""
    gate: Gate[int] = Gate()
    crowd = [gate.arrive(f"10.0.0.{n % 4}", n) for n in range(limits.UNKNOWN_IN_ALL)]
    assert crowd == [None] * limits.UNKNOWN_IN_ALL
    assert gate.arrive("10.0.1.1", 1000) == 0
    assert gate.arrive("10.0.1.2", 1001) == 1


def test_a_person_has_twenty_connections_and_a_place_is_free_again_after_one_ends() -> None:
    gate: Gate[int] = Gate()
    assert [gate.enter("p-essex-1") for _ in range(limits.PER_PERSON + 1)].count(True) == limits.PER_PERSON
    assert gate.enter("p-kent-1")
    gate.leave("p-essex-1")
    assert gate.enter("p-essex-1")


def test_failures_slow_down_their_own_user_and_address_only() -> None:
    """A colleague behind the same address, and the same user elsewhere, do not wait."""
    throttle = Throttle()
    for _ in range(30):
        throttle.failed("10.0.0.1", "p-essex-1", 1000.0)
    assert throttle.wait("10.0.0.1", "p-essex-1", 1001.0) == limits.LONGEST_WAIT
    assert throttle.wait("10.0.0.1", "p-essex-2", 1001.0) == 0
    assert throttle.wait("10.0.0.2", "p-essex-1", 1001.0) == 0
    assert throttle.wait("10.0.0.1", "p-essex-1", 1001.0 + limits.FORGET_SECONDS) == 0
    throttle.succeeded("10.0.0.1", "p-essex-1")
    assert throttle.wait("10.0.0.1", "p-essex-1", 1001.0) == 0


def test_an_agent_with_five_other_keys_does_not_wait() -> None:
    throttle = Throttle()
    for _ in range(5):
        throttle.failed("10.0.0.1", "p-essex-1", 0.0)
    assert throttle.wait("10.0.0.1", "p-essex-1", 0.0) == 0


@given(st.binary(max_size=5000))
def test_any_bytes_are_a_path_inside_the_tree_or_a_refusal(raw: bytes) -> None:
    """No path has `..`, an empty part or a slash in a part; what cannot be a name says Missing, and nothing else."""
    try:
        path = Path.parse(raw)
    except Refused:
        assert len(raw) > 60
        return
    assert all(part not in (b"", b".", b"..") and b"/" not in part for part in path.parts)
    assert path.canonical.startswith(b"/")
    assert Path.parse(path.canonical) == path
    try:
        words = path.words
    except Missing:
        return
    assert all("\\" not in word and "\0" not in word for word in words)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_malformed(raw: bytes) -> None:
    try:
        request = Request(raw, 0, len(raw))
        request.string(64)
        request.u64()
        request.string(64)
    except Malformed:
        pass


def test_a_host_key_is_made_once_and_for_its_owner_alone(tmp_path: FilePath) -> None:
    path = ensure_host_key(tmp_path / "ssh" / "host_ed25519")
    text = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert FilePath(f"{path}.pub").read_text().startswith("ssh-ed25519 ")
    assert ensure_host_key(path).read_bytes() == text


def test_a_host_key_that_everybody_can_read_is_refused(tmp_path: FilePath) -> None:
    path = ensure_host_key(tmp_path / "host_ed25519")
    os.chmod(path, 0o644)
    with pytest.raises(Misconfigured, match="read by everybody"):
        ensure_host_key(path)
