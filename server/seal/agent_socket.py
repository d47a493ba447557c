"""A GNUPGHOME may lie as deep as its owner likes: the agent's sockets then live in a short private folder.

A socket's path has at most 107 bytes. Where the home's own would be longer, each socket's name in the home is a
redirect file (`%Assuan%`, libassuan manual, "Socket wrappers") that both gpg and its agent follow.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from server.seal.gpg import SealError

SOCKETS = ("S.gpg-agent", "S.gpg-agent.extra", "S.gpg-agent.browser", "S.gpg-agent.ssh")
HOME_MOST = 80
"""Bytes of a home's path that leave room for the longest socket name in 107."""
_MAGIC = b"%Assuan%\n"
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  a private folder with a random name is made in it


def socket_redirect(home: Path) -> None:
    """Make gpg's sockets work for `home`, however long its path. Call it at every start; it may be repeated.

    Raises SealError when no short private folder can be made.
    """
    given, home = home.absolute(), home.resolve()
    if max(len(os.fsencode(given)), len(os.fsencode(home))) <= HOME_MOST:
        _forget(home)
        return
    folder = _folder_in_force(home)
    if folder is None:
        folder = _new_folder(home)
        _redirect(home, folder)


def socket_redirect_ended(home: Path) -> None:
    """Remove the short folder of `home`, when its agent has ended; the next start makes another."""
    folder = _folder_in_force(home.resolve())
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _name_of(home: Path) -> str:
    return f"sh-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}-"


def _folder_in_force(home: Path) -> Path | None:
    """The folder that every redirect of this home names, when it is there, ours alone, and made for this very path."""
    folders = {_target(home / name) for name in SOCKETS}
    folder = folders.pop()
    if folders or folder is None or not folder.name.startswith(_name_of(home)):
        return None
    try:
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700
    return folder if ours else None


def _target(redirect: Path) -> Path | None:
    try:
        with redirect.open("rb") as file:
            text = file.read(512)
    except OSError:  # absent, or a real socket
        return None
    if not text.startswith(_MAGIC + b"socket="):
        return None
    return Path(os.fsdecode(text[len(_MAGIC) + 7 :].rstrip(b"\n"))).parent


def _new_folder(home: Path) -> Path:
    for place in _SHORT_PLACES:
        try:
            return Path(tempfile.mkdtemp(prefix=_name_of(home), dir=place))
        except OSError:
            continue
    raise SealError("gpg needs a short folder for its sockets: make /tmp writable.", code="GPG_SOCKET")


def _redirect(home: Path, folder: Path) -> None:
    for name in SOCKETS:
        draft = home / f".{name}.{folder.name}"
        draft.write_bytes(_MAGIC + b"socket=" + os.fsencode(folder / name) + b"\n")
        draft.replace(home / name)


def _forget(home: Path) -> None:
    for name in SOCKETS:
        if _target(home / name) is not None:
            (home / name).unlink(missing_ok=True)
