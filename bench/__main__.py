"""``make bench``: what a signed, durably logged exchange costs, beside proxies that pass it on unsigned.

All pairs stand on the same machine at the same time, with mutual TLS 1.3 on all three legs, the same echo and the same
load generator, in interleaved rounds of shuffled order. CPU is read from outside, per process, and divided by the
exchanges. A shared machine moves by a quarter from minute to minute: only ratios within one run are firm.
``--registry`` measures ANIP's adapter instead (``bench.registry``).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from bench import peers, registry
from bench.aims import OURS, judge
from bench.country import running_country
from bench.measure import BenchError, Rows, Variant, measure
from bench.plot import svg
from bench.points import LONG_MESSAGES, LONGEST_OF_GRPCIO, MATRICES, OF_TWO_WORKERS, Ends, Point, select
from bench.processes import Processes, pss_kib, wait_for_port
from bench.proofs import Proof, prove, slow_disk
from bench.report import (
    RESULTS,
    Results,
    aims_table,
    markdown,
    proofs_table,
    put_into,
    ratios,
    read_results,
    table,
    write_results,
)
from cli.processes import PartFailedError
from core.reasons import ExchangeError

TWO_WORKERS: Final = "passerelle, 2 workers"
# A run is short of everything when it ends; what started it has let go by then.
_REST_SECONDS: Final = 3.0
_MIDDLES: Final = (OURS, TWO_WORKERS, "envoy", "nginx", "grpc.aio")


@dataclass
class Run:
    """One run: what is loaded how, and what was found."""

    processes: Processes
    points: Sequence[Point]
    rounds: int
    seconds: float
    order: random.Random
    variants: list[Variant]
    rows: Rows = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def measure_all(self, progress: Progress) -> None:
        """Lean ends first, then the stock ones: between them the backends change."""
        for ends in ("lean", "grpcio"):
            points = [point for point in self.points if point.ends == ends]
            if points:
                self._put_behind(ends)
                self._measure(points, progress)

    def _put_behind(self, ends: Ends) -> None:
        """End every backend, start the one of these ends at its place."""
        if ends == "lean":
            return
        for number, variant in enumerate(self.variants):
            self.processes.end(variant.backend)
            command = peers.backend_command(ends, variant.backend_port, variant.backend_identity)
            started = self.processes.start(f"backend-{variant.name}-{ends}", command)
            wait_for_port(variant.backend_port)
            self.variants[number] = replace(variant, backend=started.pid)
        # Those that lost their backend dial again after a pause of their own.
        time.sleep(_REST_SECONDS)

    def _measure(self, points: Sequence[Point], progress: Progress) -> None:
        task = progress.add_task("", total=self.rounds * len(points) * len(self.variants))
        for number in range(self.rounds):
            begun = time.monotonic()
            for point in points:
                if number and point.messages >= LONG_MESSAGES:
                    continue
                mine = [variant for variant in self.variants if _takes(variant, point)]
                for variant in self.order.sample(mine, len(mine)):
                    progress.update(task, description=f"{variant.name}, {point}")
                    self._measure_one(variant, point, number)
                    progress.advance(task)
            progress.console.print(f"round {number + 1} of {self.rounds}: {time.monotonic() - begun:.0f} s")

    def _measure_one(self, variant: Variant, point: Point, number: int) -> None:
        """One row more; one that cannot be had is told at the end, and costs the others nothing."""
        try:
            row = measure(self.processes, variant, _shortened(variant, point), self.seconds)
        except BenchError as error:
            self.faults.append(f"{variant.name}, {point}: {error}")
            return
        self.rows.setdefault((variant.name, point), []).append(replace(row, point=point, round=number))


def _takes(variant: Variant, point: Point) -> bool:
    """Whether this point says something of this variant."""
    if variant.gateways > 1:
        return point.ends == "lean" and (point.size, point.in_flight) in OF_TWO_WORKERS
    return True


def _shortened(variant: Variant, point: Point) -> Point:
    if variant.name == "grpc.aio" and point.messages > LONGEST_OF_GRPCIO:
        return replace(point, messages=LONGEST_OF_GRPCIO)
    return point


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--matrix", choices=MATRICES, default="default")
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="PATTERN", help="4096x128, grpcio-*, stream-* …"
    )
    parser.add_argument("--only", nargs="+", choices=_MIDDLES, help="these pairs; ratios need envoy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--seed", type=int, default=1, help="of the order in a round")
    parser.add_argument("--no-proofs", action="store_true", help="no kills, no evidence, no slow disk")
    parser.add_argument("--only-proofs", action="store_true", help="nothing but these")
    parser.add_argument(
        "--show", type=Path, metavar="JSON", help="measure nothing; the tables of an earlier run"
    )
    parser.add_argument(
        "--document", type=Path, metavar="PAGE", help="put the tables there, between <!-- bench -->"
    )
    parser.add_argument("--plot", type=Path, metavar="SVG", help="where the picture goes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="one file a run, named by its time")
    parser.add_argument(
        "--keep", action="store_true", help="leave the countries on the disk after a good run, too"
    )
    # Not the system's temporary directory: where that is memory, fdatasync costs nothing and the figures lie.
    parser.add_argument("--directory", type=Path, default=Path("var/bench"), help="emptied first")
    return parser.parse_args()


@contextlib.contextmanager
def _standing(
    options: argparse.Namespace, points: Sequence[Point], console: Console
) -> Iterator[tuple[Processes, list[Variant], dict[str, float]]]:
    """Everything that is to be loaded, running, with the memory that gateways take before the first call."""
    directory: Path = options.directory
    processes = Processes(directory / "logs")
    wanted = options.only or _MIDDLES
    found: list[Variant] = []
    at_rest: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(processes.stop)
        for name, workers in ((OURS, 1), (TWO_WORKERS, 2)):
            if name in wanted and any(_is_loaded(workers, point) for point in points):
                console.print(f"founding a country: {name}")
                place = directory / f"country-{workers}"
                country = running_country(processes, place, name=name, workers=workers)
                found.append(stack.enter_context(country).variant)
        for name, command in peers.commands().items():
            if name not in wanted:
                continue
            if command is None:
                console.print(
                    f"{name} is not installed (make setup-system, make bench): its rows are left out"
                )
            else:
                found.append(peers.start_pair(processes, directory / name, name, command))
        time.sleep(_REST_SECONDS)
        ours = [variant for variant in found if variant.name == OURS]
        if ours:
            workers_pids = [pid for pids in ours[0].workers.values() for pid in pids]
            at_rest["worker"] = max(map(pss_kib, workers_pids)) / 1024
            at_rest["control"] = max(map(pss_kib, ours[0].control)) / 1024
        yield processes, found, at_rest


def _is_loaded(workers: int, point: Point) -> bool:
    return workers == 1 or (point.ends == "lean" and (point.size, point.in_flight) in OF_TWO_WORKERS)


def _measured(
    options: argparse.Namespace, points: Sequence[Point], console: Console
) -> tuple[Rows, dict[str, float], list[str]]:
    if options.only_proofs:
        return {}, {}, []
    with _standing(options, points, console) as (processes, variants, at_rest):
        run = Run(processes, points, options.rounds, options.seconds, random.Random(options.seed), variants)
        with Progress(console=console, transient=True) as progress:
            run.measure_all(progress)
    return run.rows, at_rest, run.faults


def _proved(options: argparse.Namespace, console: Console) -> tuple[Rows, list[Proof]]:
    if options.no_proofs:
        return {}, []
    processes = Processes(options.directory / "logs")
    try:
        console.print("counting commits, killing workers, verifying evidence")
        proofs = prove(processes, options.directory / "proofs")
        console.print("a country on a slow disk")
        slow = slow_disk(processes, options.directory / "slow", options.seconds)
    finally:
        processes.stop()
    return {(row.variant, row.point): [row] for row in slow}, proofs


def _show(options: argparse.Namespace, console: Console) -> Results:
    """The tables of a run, from its file."""
    found = read_results(options.show)
    rows = found.rows
    console.print(table(rows), ratios(rows), aims_table(found.verdicts), proofs_table(found.proofs))
    if options.document:
        put_into(options.document, "bench", markdown(found))
    if options.plot:
        options.plot.write_text(svg(rows), encoding="utf-8")
    return found


def main() -> int:
    """Run the benchmark; 1 if an exchange failed or a proof did, so that no figure of a broken run is believed."""
    if sys.argv[1:2] == ["--registry"]:
        return registry.main(sys.argv[2:])
    options = _options()
    console = Console()
    if not console.is_terminal:
        console.width = 170
    if options.show:
        _show(options, console)
        return 0
    shutil.rmtree(options.directory, ignore_errors=True)
    begun = time.monotonic()
    try:
        points = select(MATRICES[options.matrix], options.rows)
        rows, at_rest, faults = _measured(options, points, console)
        slow, proofs = _proved(options, console)
    except (BenchError, PartFailedError, TimeoutError, ExchangeError, ValueError) as error:
        console.print(f"bench: {error} (logs in {options.directory})")
        return 1
    verdicts = judge(rows, at_rest)
    rows.update(slow)
    described = {name: str(value) for name, value in vars(options).items()} | {"at_rest_mib": at_rest}
    options.show = write_results(options.results, rows, described, verdicts, proofs)
    _show(options, console)
    console.print(f"{time.monotonic() - begun:.0f} s; written to {options.show}")
    faults += [
        f"{row.variant}, {row.point}: {row.bad} of {row.calls} failed, first: {row.first_failure}"
        for some in rows.values()
        for row in some
        if row.bad
    ]
    for fault in faults:
        console.print(fault)
    if faults or any(proof.is_good is False for proof in proofs):
        console.print(f"bench: not good; its logs stay in {options.directory}")
        return 1
    # Logs and bodies of all that was exchanged: gigabytes.
    if not options.keep:
        shutil.rmtree(options.directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
