"""Keys are filled into a policy file without touching anything else in it: comments and order stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import LiteralScalarString

from server.domain.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class PersonKeys:
    """The public keys of one person: SSH lines, and (40-hex fingerprint, armoured key) of GPG."""

    ssh: Sequence[str] = ()
    gpg: Sequence[tuple[str, str]] = ()
    label: str = "key"


def with_keys(people_yaml: str, keys: Mapping[str, PersonKeys]) -> str:
    """The text of people.yaml with the keys of these people in place of the ones it has; comments stay.

    Raises Misconfigured if somebody in `keys` is not in the file.
    """
    yaml, people = _opened(people_yaml)
    for person_id, mine in keys.items():
        person = _item(people, person_id)
        _put(person, "ssh_keys", [CommentedMap(public=line.strip(), label=mine.label) for line in mine.ssh])
        _put(person, "gpg_keys", [_gpg(fingerprint, armored) for fingerprint, armored in mine.gpg])
    return _written(yaml, people)


def with_new_key(people_yaml: str, person_id: str, key: PersonKeys) -> str:
    """The text of people.yaml with this one key more; a GPG key takes the place of one of the same fingerprint.

    Raises Misconfigured if the person is not in the file.
    """
    yaml, people = _opened(people_yaml)
    person = _item(people, person_id)
    for line in key.ssh:
        _append(person, "ssh_keys", CommentedMap(public=line.strip(), label=key.label))
    for fingerprint, armored in key.gpg:
        same = next((own for own in person.get("gpg_keys") or () if own.get("fingerprint") == fingerprint), None)
        if same is None:
            _append(person, "gpg_keys", _gpg(fingerprint, armored))
        else:
            same["armored"] = _gpg(fingerprint, armored)["armored"]
    return _written(yaml, people)


def with_version(policy_yaml: str, version: str) -> str:
    """The text of policy.yaml with this version; everything else stays."""
    yaml, policy = _opened(policy_yaml)
    policy["version"] = version
    return _written(yaml, policy)


def with_recovery_keys(members_yaml: str, keys: Mapping[str, tuple[str, str]]) -> str:
    """The text of members.yaml with (fingerprint, armoured key) as the recovery key of these members; comments stay.

    Raises Misconfigured if a member in `keys` is not in the file.
    """
    yaml, members = _opened(members_yaml)
    for member_id, (fingerprint, armored) in keys.items():
        _put(_item(members, member_id), "recovery_key", _gpg(fingerprint, armored))
    return _written(yaml, members)


def _opened(text: str) -> tuple[Any, Any]:
    yaml: Any = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=2, offset=0)
    return yaml, yaml.load(text)


def _item(items: list[CommentedMap], wanted: str) -> CommentedMap:
    for item in items:
        if item.get("id") == wanted:
            return item
    raise Misconfigured(f"The policy file has nobody with the id {wanted}: add them first.")


def _append(item: CommentedMap, key: str, value: CommentedMap) -> None:
    _put(item, key, [*(item.get(key) or ()), value])


def _put(item: CommentedMap, key: str, value: Any) -> None:
    """Set a key; a new one goes before the item's last, which holds the comments that follow the item."""
    if key in item:
        item[key] = value
    else:
        item.insert(max(len(item) - 1, 1), key, value)


def _gpg(fingerprint: str, armored: str) -> CommentedMap:
    return CommentedMap(fingerprint=fingerprint, armored=LiteralScalarString(armored.strip() + "\n"))


def _written(yaml: Any, content: Any) -> str:
    out = StringIO()
    yaml.dump(content, out)
    return out.getvalue()
