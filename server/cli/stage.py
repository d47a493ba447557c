"""A demo's folder, prepared and served: keys for fictional people, their policy set, demo.json, what to paste."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import typer

from server.app import Addresses
from server.cli import serve as serving
from server.cli.examples import write_examples
from server.cli.exits import say
from server.cli.fictional import (
    Holder,
    end_agents,
    filled_policy,
    make_keys,
    people_of,
    ready_sockets,
    recoveries_of,
)
from server.cli.guards import only_server
from server.cli.logs import log_to
from server.cli.opening import DEMO_MARK, is_demo
from server.domain.errors import Misconfigured, Refused
from server.domain.schedule import current_period, in_words
from server.exchange import Exchange
from server.policy.load import load, read_texts
from server.settings import Settings, find_policies, find_templates, read_settings

HOST = "127.0.0.1"
SFTP_PORT, WEB_PORT = 2222, 8080
VOUCHERS = ("g-essex", "g-kent")
"""Who, in the demo, answers for its first revision."""
LINK_HOURS = 24 * 7
"""Of real time: a demo may stand for some days."""


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo folder: its settings and its people."""

    folder: Path
    settings: Settings
    people: tuple[Holder, ...]
    recoveries: tuple[Holder, ...]

    @property
    def holders(self) -> tuple[Holder, ...]:
        return self.people + self.recoveries


def remove(folder: Path) -> None:
    """Remove a demo's folder. Raises Refused when it is something else, Misconfigured while the demo runs."""
    if not folder.exists():
        return
    if not is_demo(folder):
        raise Refused("--fresh removes only a demo's folder, and this is none: choose another DIR.")
    with only_server(folder):
        shutil.rmtree(folder)


def claim(folder: Path) -> None:
    """Mark the folder as a demo's. Raises Refused when it holds something else."""
    if folder.exists() and not folder.is_dir():
        raise Refused("DIR is a file: choose another.")
    if folder.is_dir() and not is_demo(folder) and any(folder.iterdir()):
        raise Refused("DIR is not empty and not a demo's: choose another.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / DEMO_MARK).write_text("A demo of Safehand: fictional people, invented records. It may be removed.\n")


def run(folder: Path, sftp_port: int | None, web_port: int | None, moment: datetime | None) -> None:
    """Prepare what is missing, serve until a signal, end the agents of the fictional people."""
    settings = _settings(folder, sftp_port, web_port)
    with (folder / "server.log").open("a", buffering=1) as lines:
        log_to(lines, level=settings.log_level)
        show = prepare(folder, settings, moment)
        try:
            serving.serve_here(settings, lambda exchange, addresses: _ready(show, exchange, addresses))
        finally:
            end_agents(show.holders)


def prepare(folder: Path, settings: Settings, moment: datetime | None) -> Demo:
    """Exchange, people, policy and clock as a demo needs them; what is there already stays as it is."""
    serving.make(settings, "Safehand demo", at=moment)
    exchange = Exchange.open(folder, database_url=settings.database, templates=find_templates())
    try:
        if moment is not None:
            _start_clock(exchange, moment)
        _replace(folder / "exchange.asc", exchange.ground.key.armored)
        begun = exchange.ground.has_policy
        show = _begun(folder, settings, exchange) if begun else _begin(folder, settings, exchange)
        ready_sockets(show.holders)
        write_examples(exchange.policy, folder / "examples")
    finally:
        exchange.close()
    return show


def _begin(folder: Path, settings: Settings, exchange: Exchange) -> Demo:
    """The first start, or one that an earlier one did not reach the end of: keys for everybody, then the policy."""
    source, target = settings.policies or find_policies(), folder / "policies"
    policy = load(target if target.is_dir() else source)
    show = Demo(folder, settings, tuple(people_of(policy, folder)), tuple(recoveries_of(policy, folder)))
    typer.echo(f"Making keys for {len(show.people)} fictional people ...", err=True)
    key = exchange.ground.key
    make_keys(show.holders, key.armored, key.fingerprint)
    if not target.is_dir():
        filled_policy(source, target, show.people, show.recoveries)
    exchange.revisions.found(read_texts(target), vouched_by=VOUCHERS)
    return show


def _begun(folder: Path, settings: Settings, exchange: Exchange) -> Demo:
    """A later start: the policy in force counts, whatever its files say now; whoever was added since has own keys."""
    policy = exchange.policy
    people = [holder for holder in people_of(policy, folder) if holder.folder.is_dir()]
    recoveries = [holder for holder in recoveries_of(policy, folder) if holder.folder.is_dir()]
    return Demo(folder, settings, tuple(people), tuple(recoveries))


def _start_clock(exchange: Exchange, moment: datetime) -> None:
    """A demo that goes on keeps its time when it is past `moment` already."""
    if exchange.now() < moment:
        exchange.clock.set(moment)
    elif exchange.ground.has_policy:
        say(f"The clock stays at {in_words(exchange.now())}: it only moves forward (--fresh begins again).")


def _settings(folder: Path, sftp_port: int | None, web_port: int | None) -> Settings:
    before = _ports_before(folder)
    return read_settings(
        data=folder,
        sftp_host=HOST,
        sftp_port=_port(sftp_port, before[0], SFTP_PORT),
        web_host=HOST,
        web_port=_port(web_port, before[1], WEB_PORT),
        web_url="",
    )


def _ports_before(folder: Path) -> tuple[int, int]:
    try:
        found = json.loads((folder / "demo.json").read_text())
        return int(found["sftp"]["port"]), int(str(found["web"]).rpartition(":")[2])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0


def _port(asked: int | None, before: int, usual: int) -> int:
    if asked is not None:
        return asked
    return next((port for port in (before, usual) if port and _free(port)), 0)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _ready(show: Demo, exchange: Exchange, addresses: Addresses) -> None:
    """Write known_hosts and demo.json, say `ready`, and print what to paste."""
    known = show.folder / "known_hosts"
    where = HOST if addresses.sftp_port == 22 else f"[{HOST}]:{addresses.sftp_port}"
    _replace(known, f"{where} {addresses.host_key}\n")
    desk = {
        person.id: f"{addresses.web_url}/desk/in/{exchange.people.invite(person.id, by='operator', hours=LINK_HOURS)}"
        for person in show.people
        if exchange.views.person(person.id) is not None
    }
    people = [_person(exchange, holder, desk.get(holder.id)) for holder in show.people]
    content = {
        "sftp": {"host": HOST, "port": addresses.sftp_port, "known_hosts": str(known)},
        "web": addresses.web_url,
        "exchange_key": exchange.ground.key.fingerprint,
        "exchange_public_key": str(show.folder / "exchange.asc"),
        "people": people,
    }
    _replace(show.folder / "demo.json", json.dumps(content, indent=1) + "\n")
    typer.echo("ready")
    typer.echo(paste(show, exchange, addresses, desk))


def _person(exchange: Exchange, holder: Holder, link: str | None) -> dict[str, object]:
    person = exchange.policy.person(holder.id)
    if person is None:
        raise Misconfigured("The demo's policy changed while it started: start it again.")
    return {
        "id": holder.id,
        "member": person.member,
        "roles": sorted(person.roles),
        "ssh_key": str(holder.ssh_key),
        "gnupg_home": str(holder.gnupg),
        "desk": link,
    }


def paste(show: Demo, exchange: Exchange, addresses: Addresses, desk: dict[str, str]) -> str:
    """What a newcomer pastes: log in, put, fetch, open, the desk."""
    if not {"p-essex-1", "p-kent-1"} <= desk.keys():
        return "demo.json says where everything is and who may log in."
    period = current_period(exchange.now())
    examples = show.folder / "examples"
    data = f"--data {shlex.quote(str(show.folder))}"
    policies = shlex.quote(str(show.folder / "policies"))
    lines = [
        "",
        f"The exchange's clock says {in_words(exchange.now())}; the period to send is {period}.",
        "Log in as Essex, with any SFTP client:",
        f"  {sftp_line(show, addresses.sftp_port, 'p-essex-1')}",
        "and there:",
        f'  put "{examples / "hello.txt"}" outbox/trial/{period}/kent/',
        f'  put "{examples / "post16-destinations.csv"}" outbox/post16-destinations/{period}/kent/',
        "Kent looks, fetches, and opens it with its own key (the second file is released after two minutes):",
        f"  {sftp_line(show, addresses.sftp_port, 'p-kent-1')}",
        f"  get inbox/trial/{period}/essex/*.gpg",
        f"  gpg --homedir {shlex.quote(str(_holder(show.people, 'p-kent-1').gnupg))} --decrypt D-*.gpg",
        "and acknowledges it on the desk (each link signs in once):",
        *(f"  {person:<12} {link}" for person, link in desk.items() if person in SHOWN),
        "or by an empty file: put it as attest/D-....acknowledged. The proof of it all:",
        f"  safehand ledger verify --data {shlex.quote(str(show.folder))}",
        "",
        "To change the policy, edit its files, see what that would do, and ask for approval:",
        f"  safehand policy plan {policies} {data}",
        f"  safehand policy propose {policies} --by a-essex-1 {data}",
        f"then approve it on the desks of two members, and: safehand policy apply P-.... {data}",
        "",
        "Ctrl-C ends the demo; the same command goes on where it was.",
    ]
    return "\n".join(lines)


SHOWN = ("p-essex-1", "p-kent-1", "p-kent-2", "p-medway-1", "g-essex", "g-kent")


def sftp_line(show: Demo, port: int, person: str) -> str:
    """An sftp command that works as it stands, wherever the folder lies."""
    known = show.folder / "known_hosts"
    option = f'UserKnownHostsFile="{known}"' if " " in str(known) else f"UserKnownHostsFile={known}"
    key = _holder(show.people, person).ssh_key
    return shlex.join(["sftp", "-i", str(key), "-P", str(port), "-o", option, f"{person}@{HOST}"])


def _holder(people: Sequence[Holder], person: str) -> Holder:
    return next(holder for holder in people if holder.id == person)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
