"""Makes a scene: keys for everybody who has one, a folder, a founded exchange."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.year.plan import FIRST, KEYED, LAST
from tests.year.player import Scene


def make_scene(
    folder: Path, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey, *, seed: int, first: date = FIRST, last: date = LAST,
    files: float = 0.22, url: str = "",
) -> Scene:  # fmt: skip
    """A founded exchange in `folder/data`, and `folder/scene.json` for the player."""
    gpg = {person: gpg_person(person) for person in KEYED}
    scene = Scene(
        seed, f"{first}", f"{last}", files,
        {person: ssh_key(person).public for person in KEYED},
        {person: (key.fingerprint, key.armored) for person, key in gpg.items()}, url,
    )  # fmt: skip
    folder.mkdir(exist_ok=True, mode=0o700)
    scene.play_in(folder)
    return scene
