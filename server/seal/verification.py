"""Whether a detached signature over some bytes is of one given key: gpg, in a home that is thrown away afterwards."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

from server.domain.errors import Refused
from server.seal.gpg import Gpg

_SECONDS = 30.0


def require_signature(content: bytes, signature: bytes, armored: str) -> str:
    """The fingerprint of the key that signed exactly these bytes. Raises Refused, with the reason, for anything else.

    A signature that carries its own text, several signatures, and one of a subkey of another key are refused too.
    """
    with tempfile.TemporaryDirectory(prefix="sh-v-") as home:
        gpg = Gpg(Path(home))
        wanted = _imported(gpg, armored)
        signed = Path(home) / "signed"  # by its path: a gpg that ends early would break a pipe
        signed.write_bytes(content)
        run = gpg.one_run()
        with run.within(_SECONDS):
            found = run.verify_file(BytesIO(signature), data_filename=str(signed))
    if found.valid and found.returncode == 0 and found.pubkey_fingerprint == wanted and len(found.sig_info) == 1:
        return wanted
    raise Refused(_why(str(found.status or ""), str(found.key_id or "")), code="SIGNATURE")


def _imported(gpg: Gpg, armored: str) -> str:
    run = gpg.one_run()
    with run.within(_SECONDS):
        found = run.import_keys(armored)
    fingerprints = set(found.fingerprints)
    if len(fingerprints) != 1:
        raise Refused("The key file does not hold exactly one public key: take keys/exchange.asc.", code="NO_KEY")
    return str(fingerprints.pop())


def _why(status: str, key: str) -> str:
    match status:
        case "signature bad":
            return "Its bytes are not those that were signed: it was changed, or the signature is of another file."
        case "no public key" | "signature error":
            return f"It is not signed with this exchange's key{f', but with {key}' if key else ''}."
        case _:
            return "The file beside it is no detached signature of it: it was changed, or is not the right one."
