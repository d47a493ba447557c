"""Safehand beside OpenSSH's own sftp-server: the same acts by the same clients on one machine, in turn, in one run.

Prints medians and their ratios; a ratio above 1 means that Safehand is the better one. OpenSSH stores the bytes as they
come; Safehand checks, hashes, signs, seals, syncs to disk and records them meanwhile. A broadcast stands beside two
ways of sealing by hand: gpg as quick as it can be, and gpg as it comes. Exit status 3: it cannot be measured here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from measures import (
    AS_IT_COMES,
    MIB,
    QUICK,
    Keyring,
    Memory,
    Payload,
    Records,
    get,
    logins,
    memory_per_upload,
    put,
    put_then_seal,
    put_until_visible,
)
from servers import ALGORITHMS, BenchError, OpenSsh, Safehand

SLOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    size: int
    """Bytes of one file."""
    rounds: int
    partners: int
    logins: int
    at_once: int
    uploads: int
    client_defaults: bool
    """The client negotiates its algorithms by itself; else both servers get the same."""


@dataclass(slots=True)
class Samples:
    """What was measured of one act on both servers."""

    openssh: list[float] = field(default_factory=list)
    safehand: list[float] = field(default_factory=list)


def in_turn(place: int, openssh: Callable[[], None], safehand: Callable[[], None]) -> None:
    """Both acts, the other one first in every second round: whatever drifts, drifts for both."""
    for act in (openssh, safehand) if place % 2 == 0 else (safehand, openssh):
        os.sync()  # nobody pays for what another left to be written
        act()


class Bench:
    """One run over both servers."""

    def __init__(self, plan: Plan, folder: Path, openssh: OpenSsh, safehand: Safehand) -> None:
        """`folder` takes the files that are sent and fetched."""
        self.plan, self.folder, self.openssh, self.safehand = plan, folder, openssh, safehand
        self.partners = safehand.partners[: plan.partners]
        self.payload = Payload(folder / "payload.bin", plan.size)
        self.keyring = Keyring(folder / "k", self.partners)
        self.record_bytes = plan.size

    def transfers(self) -> tuple[Samples, Samples]:
        """Seconds of put and of get."""
        puts, gets = Samples(), Samples()
        for place in range(self.plan.rounds):
            name, fetched = f"bench-{place}.bin", self.folder / "fetched"

            def openssh(name: str = name, fetched: Path = fetched) -> None:
                target = self.openssh.target(name)
                puts.openssh.append(put(self.openssh.account, self.payload.renewed(), target))
                gets.openssh.append(get(self.openssh.account, target, fetched))
                Path(target).unlink()

            def safehand(name: str = name, fetched: Path = fetched) -> None:
                first, target = self.safehand.first, self.safehand.target(name)
                arrival = put_until_visible(self.safehand, [first], self.payload.renewed(), target)
                puts.safehand.append(arrival.put_seconds)
                gets.safehand.append(get(first.account, arrival.path, fetched))

            in_turn(place, openssh, safehand)
            say(f"put and get, round {place + 1} of {self.plan.rounds}")
        return puts, gets

    def broadcasts(self) -> tuple[Samples, Samples]:
        """Seconds until every partner can collect: beside gpg at its quickest, and beside gpg as it comes."""
        quick, usual = Samples(), Samples()
        for place in range(self.plan.rounds):
            name = f"everyone-{place}.bin"

            def openssh(name: str = name) -> None:
                for samples, options in ((quick, QUICK), (usual, AS_IT_COMES)):
                    seconds = put_then_seal(self.openssh, self.keyring, self.payload.renewed(), name, options)
                    samples.openssh.append(seconds)
                    os.sync()

            def safehand(name: str = name) -> None:
                there = self.safehand
                arrival = put_until_visible(there, self.partners, self.payload.renewed(), there.everyone(name))
                quick.safehand.append(arrival.visible_seconds)
                usual.safehand.append(arrival.visible_seconds)

            in_turn(place, openssh, safehand)
            say(f"put until {len(self.partners)} partners can collect, round {place + 1} of {self.plan.rounds}")
        return quick, usual

    def records(self) -> Samples:
        """Seconds of a put of records: without a check (in place of OpenSSH), and with the record check."""
        found, file = Samples(), Records(self.folder / "records.csv", self.plan.size)
        self.record_bytes = file.size
        for place in range(self.plan.rounds):

            def unchecked(place: int = place) -> None:
                target = self.safehand.target(f"records-{place}.csv")
                found.openssh.append(put(self.safehand.account, file.renewed(), target))

            def checked(place: int = place) -> None:
                target = self.safehand.records(f"records-{place}.csv")
                found.safehand.append(put(self.safehand.account, file.renewed(), target))

            in_turn(place, unchecked, checked)
            say(f"put of records without and with the check, round {place + 1} of {self.plan.rounds}")
        return found

    def logins(self) -> tuple[Samples, Samples]:
        """Log-ins a second, and the server's processor seconds for each."""
        rates, costs = Samples(), Samples()
        for place in range(self.plan.rounds):

            def openssh() -> None:
                rate, cost = logins(self.openssh, self.plan.logins, self.plan.at_once)
                rates.openssh.append(rate)
                costs.openssh.append(cost)

            def safehand() -> None:
                rate, cost = logins(self.safehand, self.plan.logins, self.plan.at_once)
                rates.safehand.append(rate)
                costs.safehand.append(cost)

            in_turn(place, openssh, safehand)
        say("log-ins")
        return rates, costs

    def memory(self) -> tuple[Memory, Memory]:
        """Memory of one upload among several, OpenSSH's and Safehand's."""
        number, size = self.plan.uploads, min(self.plan.size, 32 * MIB)
        openssh = memory_per_upload(self.openssh, number, size, SLOW_SECONDS)
        safehand = memory_per_upload(self.safehand, number, size, SLOW_SECONDS)
        say("memory")
        return openssh, safehand


def say(step: str) -> None:
    """Progress, apart from the result."""
    print(f"  {step}", file=sys.stderr, flush=True)


def row(act: str, openssh: str, safehand: str, ratio: str, aim: str) -> None:
    """One line of the result."""
    print(f"{act:<44}{openssh:>14}{safehand:>14}{ratio:>9}{aim:>9}", flush=True)


def compare_rates(act: str, samples: Samples, size: int, aim: str) -> None:
    """Seconds for `size` bytes, shown as MiB/s."""
    openssh, safehand = median(samples.openssh), median(samples.safehand)
    mib = size / MIB
    row(act, f"{mib / openssh:.0f} MiB/s", f"{mib / safehand:.0f} MiB/s", f"{openssh / safehand:.2f}", aim)


def compare_seconds(act: str, samples: Samples, aim: str) -> None:
    """Seconds, as they are."""
    openssh, safehand = median(samples.openssh), median(samples.safehand)
    row(act, f"{openssh:.1f} s", f"{safehand:.1f} s", f"{openssh / safehand:.2f}", aim)


def report(bench: Bench) -> None:
    """Measures, and prints each line as soon as it is known."""
    plan, mib = bench.plan, bench.plan.size // MIB
    row("medians of one run", "OpenSSH", "Safehand", "ratio", "aim")
    rates, costs = bench.logins()
    openssh, safehand = median(rates.openssh), median(rates.safehand)
    row(f"log-ins, {plan.at_once} at once", f"{openssh:.0f}/s", f"{safehand:.0f}/s", f"{safehand / openssh:.2f}", "4")
    openssh, safehand = median(costs.openssh) * 1000, median(costs.safehand) * 1000
    row(
        "  the server's processor time for one",
        f"{openssh:.0f} ms",
        f"{safehand:.0f} ms",
        f"{openssh / safehand:.2f}",
        "",
    )
    plain, sealed = bench.memory()
    act = f"memory per upload, {plan.uploads} at once"
    row(act, f"{plain.resident / MIB:.1f} MiB", f"{sealed.resident / MIB:.1f} MiB", "", "12 MiB")
    row("  shared pages divided", f"{plain.proportional / MIB:.1f} MiB", f"{sealed.proportional / MIB:.1f} MiB", "", "")
    puts, gets = bench.transfers()
    compare_rates(f"put {mib} MiB", puts, plan.size, "1.0")
    compare_rates(f"get {mib} MiB", gets, plan.size, "1.0")
    records = bench.records()
    row("", "no check", "record check", "", "")
    compare_rates(f"put {mib} MiB of records, both to Safehand", records, bench.record_bytes, "")
    quick, usual = bench.broadcasts()
    act = f"put {mib} MiB until {len(bench.partners)} partners can collect"
    compare_seconds(act, quick, "6")
    compare_seconds("  beside gpg as it comes", usual, "6")


def run(plan: Plan, folder: Path) -> None:
    """Starts both servers, measures, and stops them whatever happens."""
    algorithms: dict[str, str] = {} if plan.client_defaults else ALGORITHMS
    openssh = OpenSsh(folder / "o", algorithms)
    try:
        safehand = Safehand(folder / "s", algorithms)
        try:
            report(Bench(plan, folder, openssh, safehand))
        finally:
            safehand.end()
    finally:
        openssh.end()


def parse(arguments: list[str]) -> Plan:
    """The plan that the command line asks for."""
    parser = argparse.ArgumentParser(description="Safehand beside OpenSSH's own sftp-server on this machine.")
    parser.add_argument("--size", type=int, default=512, help="MiB of one file (default 512)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each act is done (default 3)")
    parser.add_argument("--partners", type=int, default=8, help="at most so many partners in the broadcast (default 8)")
    parser.add_argument("--logins", type=int, default=60, help="log-ins in a round (default 60)")
    parser.add_argument("--at-once", type=int, default=4, help="log-ins at a time (default 4)")
    parser.add_argument("--uploads", type=int, default=8, help="slow uploads at a time (default 8)")
    parser.add_argument(
        "--client-defaults", action="store_true", help="let the client negotiate what each server offers"
    )
    told = parser.parse_args(arguments)
    if min(told.size, told.rounds, told.partners, told.logins, told.at_once, told.uploads) < 1:
        parser.error("every number is at least 1")
    numbers = (told.rounds, told.partners, told.logins, told.at_once, told.uploads)
    return Plan(told.size * MIB, *numbers, client_defaults=told.client_defaults)


def main(arguments: list[str]) -> int:
    """0 measured, 3 cannot be measured here."""
    plan = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="shb-", dir="/tmp") as name:
        try:
            run(plan, Path(name))
        except BenchError as error:
            print(error, file=sys.stderr)
            return 3
        except KeyboardInterrupt:
            return 130
        finally:
            subprocess.run(["gpgconf", "--homedir", f"{name}/k", "--kill", "all"], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
