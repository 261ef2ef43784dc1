"""``make bench``: what a signed, durably logged exchange costs, beside two nginx that pass it on unsigned.

Both pairs stand on the same machine at the same time, with mutual TLS 1.3 on all three legs, the same echo
backend and the same load generator, in interleaved rounds. CPU is read from outside, per process, and divided by the
exchanges. A shared machine moves by a quarter from minute to minute: only ratios within one run are firm.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.measure import BenchError, Point, Row, Variant, measure, median_ratio, median_row
from bench.peers import find_nginx, nginx_command
from bench.processes import Processes, free_port, wait_for_port
from bench.tls import make_identity
from core.reasons import ExchangeError

SIZES: Final = (256, 4096, 65536)
SATURATED: Final = 128
_COLUMNS: Final = (
    "pair",
    "size",
    "calls",
    "cons.",
    "prov.",
    "sum",
    "control",
    "ratio",
    "+control",
    "per s",
    "p50 ms",
    "p99 ms",
    "backend",
    "gen.",
    "bad",
)
RESULTS: Final = Path(__file__).parent / "results"


def start_nginx(processes: Processes, directory: Path) -> Variant | None:
    """Two nginx and a backend of their own; ``None`` if nginx is not installed."""
    nginx = find_nginx()
    if nginx is None:
        return None
    identity = make_identity(directory / "pki")
    first, second, backend = free_port(), free_port(), free_port()
    command = [sys.executable, "-m", "bench.backend", str(backend), *identity.arguments()]
    echo = processes.start("backend-nginx", command)
    wait_for_port(backend)
    far = processes.start("nginx-b", nginx_command(nginx, directory / "b", second, backend, identity))
    wait_for_port(second)
    near = processes.start("nginx-a", nginx_command(nginx, directory / "a", first, second, identity))
    wait_for_port(first)
    return Variant(
        name="nginx",
        port=first,
        identity=identity,
        workers={"consumer": (near.pid,), "provider": (far.pid,)},
        backend=echo.pid,
        metadata=("x-road-client=BJ/GOV/PNS/PORTAIL", "x-road-purpose=P01", "x-road-issue=ACT-202611-0001"),
    )


def run(
    variants: list[Variant],
    points: list[Point],
    rounds: int,
    seconds: float,
    logs: Path,
    console: Console,
) -> dict[tuple[str, Point], list[Row]]:
    """All points on all variants, round by round, the order of variants shuffled."""
    processes = Processes(logs)
    rows: dict[tuple[str, Point], list[Row]] = {}
    order = random.Random(1)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("bench", total=rounds * len(points) * len(variants))
        for _ in range(rounds):
            for point in points:
                for variant in order.sample(variants, len(variants)):
                    progress.update(task, description=f"{variant.name}, {point}")
                    rows.setdefault((variant.name, point), []).append(
                        measure(processes, variant, point, seconds)
                    )
                    progress.advance(task)
    return rows


def table(rows: dict[tuple[str, Point], list[Row]], points: list[Point], base: str | None) -> Table:
    """Medians, and ratios to ``base`` of the same round."""
    out = Table(
        title="CPU us per exchange; ratio: CPU of the pair / nginx's in the same round", box=box.SIMPLE
    )
    for name in _COLUMNS:
        out.add_column(name, justify="left" if name == "pair" else "right", no_wrap=True)
    for point in points:
        for name in dict.fromkeys(one for one, _ in rows):
            here = rows.get((name, point))
            if here is None:
                continue
            middle = median_row(here)
            ratios = ["", ""]
            if base is not None and name != base and (base, point) in rows:
                found = [median_ratio(here, rows[base, point], with_control=flag) for flag in (False, True)]
                ratios = [f"{one:.2f}" if one is not None else "" for one in found]
            size = str(point).split(" x")[0]
            out.add_row(
                name,
                size,
                str(point.in_flight),
                *(f"{us:.0f}" for us in middle.worker_us.values()),
                f"{middle.pair_us:.0f}",
                f"{middle.control_us:.0f}" if middle.control_us else "-",
                *ratios,
                f"{middle.per_second:,.0f}",
                f"{middle.p50_ms:.2f}",
                f"{middle.p99_ms:.2f}",
                f"{middle.backend_us:.0f}",
                f"{middle.generator_us:.0f}",
                str(middle.bad),
            )
    return out


def write_results(rows: dict[tuple[str, Point], list[Row]], rounds: int, seconds: float) -> Path:
    """Every run as JSON under ``bench/results``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "load_average": os.getloadavg(),
        "rounds": rounds,
        "seconds": seconds,
        "rows": [asdict(row) for some in rows.values() for row in some],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument(
        "--sizes", type=lambda text: [int(one) for one in text.split(",")], default=list(SIZES)
    )
    parser.add_argument(
        "--in-flight", type=lambda text: [int(one) for one in text.split(",")], default=[SATURATED, 1]
    )
    parser.add_argument("--only", choices=["passerelle", "nginx"], help="leave the other one out")
    # Not the system's temporary directory: where that is memory, fdatasync costs nothing and the figures lie.
    parser.add_argument("--directory", type=Path, default=Path("var/bench"), help="emptied first")
    return parser.parse_args()


@contextlib.contextmanager
def _variants(options: argparse.Namespace, directory: Path, console: Console) -> Iterator[list[Variant]]:
    """Everything that is to be loaded, running; stopped at the end."""
    processes = Processes(directory / "logs")
    found = []
    with contextlib.ExitStack() as stack:
        stack.callback(processes.stop)
        if options.only != "nginx":
            from bench.country import running_country

            console.print("founding a country with two gateways …")
            found.append(stack.enter_context(running_country(processes, directory / "country")))
        if options.only != "passerelle":
            nginx = start_nginx(processes, directory / "nginx")
            if nginx is None:
                console.print("nginx is not installed (make setup-system): its rows are left out")
            else:
                found.append(nginx)
        yield found


def main() -> int:
    """Run the benchmark; 1 if an exchange failed, so that no figure of a broken run is believed."""
    options = _options()
    console = Console()
    if not console.is_terminal:
        console.width = 140
    directory: Path = options.directory
    shutil.rmtree(directory, ignore_errors=True)
    points = [Point(size, in_flight) for in_flight in options.in_flight for size in options.sizes]
    try:
        with _variants(options, directory, console) as variants:
            rows = run(variants, points, options.rounds, options.seconds, directory / "logs", console)
    except (BenchError, TimeoutError, ExchangeError) as error:
        console.print(f"bench: {error} (logs in {directory})")
        return 1
    console.print(table(rows, points, "nginx" if any(name == "nginx" for name, _ in rows) else None))
    console.print(f"written to {write_results(rows, options.rounds, options.seconds)}")
    failed = [row for some in rows.values() for row in some if row.bad]
    for row in failed:
        console.print(
            f"{row.variant} {row.point}: {row.bad} of {row.calls} failed, first: {row.first_failure}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
