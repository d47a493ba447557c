"""Certificates at the command line: which there are, their files, and whether one is what the exchange issued."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.errors import Refused

app = typer.Typer(
    help="Certificates: of the end of sealed copies here, and of what recipients attest.", no_args_is_help=True
)
CertificateId = Annotated[str, typer.Argument(metavar="CERTIFICATE", help="Its id, such as S-2026-000001.")]
_LONGEST = 16 * 1024 * 1024
_META = re.compile(r'<meta name="safehand-(certificate|json-sha256|exchange-key)" content="([A-Za-z0-9-]+)">')
_WHATS = frozenset({"safehand certificate of disposal 1", "safehand attestation of destruction 1"})


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a certificate's file says of itself: its id, its exchange's key, and the SHA-256 of its JSON form."""

    certificate: str
    exchange_key: str
    json_sha256: str


@app.command("list")
def list_(
    delivery: Annotated[str | None, typer.Option("--delivery", metavar="D-…", help="Only those about it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """List the certificates, oldest first.

    Example: safehand certificate list --delivery D-2026-000417
    """
    with opened(settings_for(data)) as exchange:
        views = [view for view in exchange.certificates.all() if delivery in {None, view.delivery}]
    if as_json:
        typer.echo(json.dumps([asdict(view) | {"at": view.at.isoformat()} for view in views], indent=1))
        return
    for view in views:
        typer.echo(f"{view.id}  {view.at:%Y-%m-%d %H:%M}Z  {view.delivery}  {view.words}")


@app.command("show")
def show(
    certificate: CertificateId,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write its four files, and the key, into this folder.")
    ] = None,
    data: Data = None,
) -> None:
    """Print a certificate's JSON, or write its files into a folder where anybody can verify them.

    Example: safehand certificate show S-2026-000001 --out proof
    """
    with opened(settings_for(data)) as exchange:
        if out is None:
            typer.echo(exchange.certificates.content(certificate, ".json").decode(), nl=False)
            return
        written = exchange.certificates.complete(certificate)
        key = exchange.ground.key.armored
    out.mkdir(parents=True, exist_ok=True)
    for name, content in {**written, "exchange.asc": key.encode()}.items():
        (out / name).write_bytes(content)
        typer.echo(str(out / name))


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its .json or .html; the .asc lies beside it.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The exchange's public key; else the data folder's, else "
                     "exchange.asc beside FILE."),
    ] = None,
    data: Data = None,
) -> None:  # fmt: skip
    """Say whether a certificate is exactly what the exchange issued: its signature, and the ledger where there is one.

    Works without any exchange too. Exits with 1 and the reason when a byte of it was changed.

    Example: safehand certificate verify S-2026-000001_D-2026-000417.json --key exchange.asc
    """
    file = file.with_suffix("") if file.suffix == ".asc" else file
    settings = settings_for(data)
    if not (settings.data / "secrets").is_dir():
        claimed = _signed_claim(file, _read(key or file.with_name("exchange.asc")))
        typer.echo(f"{claimed.certificate} holds: signed with {claimed.exchange_key}, and not a byte was changed.")
        return
    with opened(settings) as exchange:
        own = exchange.ground.key
        claimed = _signed_claim(file, _read(key) if key else own.armored.encode())
        ours = claimed.exchange_key == own.fingerprint
        told = exchange.certificates.recorded(claimed.certificate) if ours else None
    tail = "the ledger of this data folder is another exchange's"
    if ours:
        tail = f"entry {_require_recorded(claimed, file, told)} of the ledger names it"
    typer.echo(f"{claimed.certificate} holds: signed with {claimed.exchange_key}, and not a byte was changed; {tail}.")


def _signed_claim(file: Path, armored: bytes) -> Claimed:
    """What the file says of itself, when it is signed with this key, and says so. Raises Refused."""
    from server.seal.verification import require_signature

    content, signature = _read(file), _read(file.with_name(f"{file.name}.asc"))
    fingerprint = require_signature(content, signature, armored.decode(errors="replace"))
    claimed = _claimed(file, content)
    if claimed.exchange_key != fingerprint:
        raise Refused(
            f"{claimed.certificate} is a certificate of another exchange: it names the key {claimed.exchange_key}, and "
            f"this one is {fingerprint}."
        )
    return claimed


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError:
        raise Refused(f"{path} cannot be read: keep a certificate, its .asc and exchange.asc together.") from None
    if len(content) > _LONGEST:
        raise Refused(f"{path.name} is too long for a certificate.")
    return content


def _claimed(file: Path, content: bytes) -> Claimed:
    """What it says of itself; of a page, that it belongs to the JSON beside it. Raises Refused for anything else."""
    if file.suffix == ".html":
        found = dict(_META.findall(content.decode("ascii", errors="replace")))
        if set(found) != {"certificate", "json-sha256", "exchange-key"}:
            raise Refused(f"{file.name} is no page of a certificate.")
        beside = file.with_suffix(".json")
        if beside.is_file() and hashlib.sha256(_read(beside)).hexdigest() != found["json-sha256"]:
            raise Refused(f"{beside.name} is not the JSON form that this page was made from.")
        return Claimed(found["certificate"], found["exchange-key"], found["json-sha256"])
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("what") not in _WHATS:
        raise Refused(f"{file.name} is no certificate of Safehand.")
    return Claimed(str(told["certificate"]), str(told["exchange_key"]), hashlib.sha256(content).hexdigest())


def _require_recorded(claimed: Claimed, file: Path, told: tuple[int, Mapping[str, object]] | None) -> int:
    """The number of the entry that names these very bytes."""
    if told is None:
        raise Refused(f"The ledger knows of no certificate {claimed.certificate}.")
    number, facts = told
    wanted = facts.get("page_sha256" if file.suffix == ".html" else "json_sha256")
    same_json = facts.get("json_sha256") == claimed.json_sha256
    if wanted != hashlib.sha256(_read(file)).hexdigest() or not same_json:
        raise Refused(f"Entry {number} of the ledger names another {claimed.certificate} than this file.")
    return number
