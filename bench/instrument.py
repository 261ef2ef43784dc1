"""Compares checkouts on a busy machine: ``python -m bench.instrument [--against DIR] [--instructions]``.

Without ``--instructions`` each checkout runs a country of its own at the same time; short loads of a fixed number of
calls alternate between them. What disturbs a load only adds to it: the ratio of the least CPU of each holds within 2 %
where the figures themselves move by half; the median of the ratios of rounds, within 5 %.

With ``--instructions`` the two workers run under valgrind's callgrind, about fifty times slower, which counts the
instructions that they execute outside the kernel: hardly any noise, but system calls cost nothing in it, and batches
form as slow processes form them. valgrind offers no SHA instructions: a hash counts about five times what it costs.
Profiles for ``callgrind_annotate`` stay in the directory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.measure import BenchError, Variant, load
from bench.points import Point
from bench.processes import Processes, cpu_of

_HERE: Final = Path(__file__).parent.parent
# `python -m` must find this bench and the other checkout's everything else; what `cli` starts takes `sys.executable`.
# Lines of callgrind's format: of which object the next costs are (``cob``: the callee's), and a cost.
_OBJECT: Final = re.compile(r"(c?)ob=\((\d+)\)(?: (.*))?")
_COST: Final = re.compile(r"[+\-*\d]\S* (\d+)")
_SITE: Final = "import os, sys\nsys.executable = os.environ['BENCH_PYTHON']\n"
_SHIM: Final = """#!/bin/sh
case " $* " in
*" gateway.worker "*)
  exec valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file={out}/callgrind.%p {python} "$@" ;;
esac
exec {python} "$@"
"""


@dataclass(frozen=True)
class Checkout:
    """A checkout that is measured, and where its country lies."""

    name: str
    root: Path
    directory: Path

    @property
    def python(self) -> Path:
        """The interpreter of its own environment."""
        return self.root / ".venv/bin/python"


def environment_of(checkout: Checkout, *, instructions: bool = False, site: str = "") -> dict[str, str]:
    """The environment of a country: this ``bench``, the checkout's packages, workers under callgrind if asked for.

    Args:
        checkout: Whose packages.
        instructions: Under callgrind.
        site: What each process runs before anything else.
    """
    overlay = checkout.directory.absolute() / "path"
    overlay.mkdir(parents=True)
    (overlay / "bench").symlink_to(_HERE / "bench")
    found = {**os.environ, "PYTHONPATH": str(overlay), "PYTHONHASHSEED": "0"}
    if instructions:
        shim = overlay / "python"
        shim.write_text(_SHIM.format(out=checkout.directory.absolute(), python=checkout.python.absolute()))
        shim.chmod(0o700)
        site += _SITE
        found["BENCH_PYTHON"] = str(shim)
    if site:
        (overlay / "sitecustomize.py").write_text(site)
    return found


@contextlib.contextmanager
def standing(checkout: Checkout, *, instructions: bool = False, site: str = "") -> Iterator[Variant]:
    """A country of this checkout, running.

    Raises:
        BenchError: It did not come up.
    """
    environment = environment_of(checkout, instructions=instructions, site=site)
    with (checkout.directory / "stand.log").open("wb") as log:
        process = subprocess.Popen(
            [checkout.python, "-m", "bench.stand", checkout.directory.absolute(), "--name", checkout.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            cwd=checkout.directory / "path",
        )
    try:
        line = process.stdout.readline() if process.stdout is not None else b""
        if not line:
            raise BenchError(f"no country of {checkout.root}; see {checkout.directory / 'stand.log'}")
        yield Variant.from_json(line)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def _cpu_per_call(processes: Processes, variant: Variant, point: Point, calls: int) -> dict[str, float]:
    """CPU in us per exchange, of each worker and of control."""
    groups = {**variant.workers, "control": tuple(variant.control)}
    with load(processes, variant, point, calls=calls) as run:
        before = {name: cpu_of(pids) for name, pids in groups.items()}
        _require_good(run(), variant)
        time.sleep(0.5)
        return {name: (cpu_of(pids) - before[name]) / 1e3 / calls for name, pids in groups.items()}


def _instructions_per_call(
    processes: Processes, variant: Variant, point: Point, calls: int, directory: Path
) -> dict[str, float]:
    """Instructions outside the kernel per exchange, of each worker."""
    pids = {name: pid for name, (pid,) in variant.workers.items()}
    with load(processes, variant, point, calls=calls) as run:
        for pid in pids.values():
            _callgrind_control("-i", "on", pid)
        _require_good(run(), variant)
        _until_idle(pids.values())
        for pid in pids.values():
            _callgrind_control("-i", "off", pid)
    found = {}
    for name, pid in pids.items():
        _callgrind_control("-d", f"{point}", pid)
        newest = max(directory.glob(f"callgrind.{pid}*"), key=lambda path: path.stat().st_mtime)
        profile = newest.read_text()
        found[name] = instructions_of(profile) / calls
        most = [f"{library} {count / calls:,.0f}" for library, count in libraries_of(profile).most_common(6)]
        print(f"{point}, {name}: {', '.join(most)}")
        newest.rename(directory / f"profile-{name}-{point.size}-{point.in_flight}.callgrind")
    return found


def instructions_of(profile: str) -> int:
    """All instructions that a profile of callgrind counts.

    Raises:
        BenchError: It has no such line.
    """
    total = re.findall(r"^(?:totals|summary): (\d+)", profile, re.MULTILINE)
    if not total:
        raise BenchError("the profile has no totals")
    return int(total[-1])


def libraries_of(profile: str) -> Counter[str]:
    """Instructions of each library's own functions, by the file name of the library."""
    names: dict[str, str] = {}
    found: Counter[str] = Counter()
    library, is_callee = "", False
    for line in profile.splitlines():
        if named := _OBJECT.fullmatch(line):
            called, number, path = named.groups()
            names.setdefault(number, path.rpartition("/")[2] if path else "")
            library = library if called else names[number]
        elif line.startswith("calls="):
            is_callee = True  # the next line is what the callee took in all
        elif cost := _COST.fullmatch(line):
            found[library] += 0 if is_callee else int(cost[1])
            is_callee = False
    return found


def _callgrind_control(option: str, value: str, pid: int) -> None:
    command = ["callgrind_control", *([f"{option}={value}"] if option == "-d" else [option, value]), str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or "Error" in done.stdout + done.stderr:
        raise BenchError(f"callgrind_control: {done.stdout}{done.stderr}")


def _until_idle(pids: Iterable[int], seconds: float = 60.0) -> None:
    """Wait until what follows the last answer (receipts, reports) is done too."""
    pids = list(pids)
    end = time.monotonic() + seconds
    before = cpu_of(pids)
    while time.monotonic() < end:
        time.sleep(1.0)
        now = cpu_of(pids)
        if now - before < 0.3e9:
            return
        before = now


def _require_good(result: dict[str, object], variant: Variant) -> None:
    if result["bad"]:
        raise BenchError(f"{variant.name}: {result['bad']} failed, first: {result['first_failure']}")


def _summary(name: str, unit: str, costs: Sequence[dict[str, float]]) -> str:
    middle = {role: statistics.median(one[role] for one in costs) for role in costs[0]}
    pair = [sum(one[role] for role in one if role != "control") for one in costs]
    parts = ", ".join(f"{role} {value:,.1f}" for role, value in middle.items())
    return f"{name:>12}  pair {statistics.median(pair):,.1f} {unit} ({min(pair):,.1f} to {max(pair):,.1f}): {parts}"


def ratios_of(ours: Sequence[dict[str, float]], base: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Per role, and for the pair and all together, one ratio a round."""
    found: dict[str, list[float]] = {}
    for mine, other in zip(ours, base, strict=True):
        theirs = _with_sums(other)
        for role, value in _with_sums(mine).items():
            found.setdefault(role, []).append(value / theirs[role] if theirs[role] else 1.0)
    return found


def _with_sums(cost: dict[str, float]) -> dict[str, float]:
    return {**cost, "pair": sum(cost[role] for role in cost if role != "control"), "all": sum(cost.values())}


def ratio_of_minima(ours: Sequence[dict[str, float]], base: Sequence[dict[str, float]]) -> dict[str, float]:
    """Per role, and for the pair and all together: the least that was seen, divided by the other's least.

    What disturbs a load only ever adds to it, so the least of several is the nearest to the truth.
    """
    mine, others = [_with_sums(one) for one in ours], [_with_sums(one) for one in base]
    least = {role: (min(one[role] for one in mine), min(one[role] for one in others)) for role in mine[0]}
    return {role: value / other for role, (value, other) in least.items() if other}


def _print_ratios(
    name: str, base: str, ours: Sequence[dict[str, float]], others: Sequence[dict[str, float]]
) -> None:
    least = ratio_of_minima(ours, others)
    for role, found in ratios_of(ours, others).items():
        middle, low, high = statistics.median(found), min(found), max(found)
        print(
            f"{name:>12} / {base}: {role:8} {least.get(role, 1.0):.3f} of the minima;"
            f" median {middle:.3f} ({low:.3f} to {high:.3f})"
        )


def _run(checkouts: Sequence[Checkout], points: Sequence[Point], options: argparse.Namespace) -> None:
    processes = Processes(options.directory / "logs")
    with contextlib.ExitStack() as stack:
        stack.callback(processes.stop)
        variants = [
            stack.enter_context(standing(one, instructions=options.instructions)) for one in checkouts
        ]
        for point in points:
            costs: dict[str, list[dict[str, float]]] = {one.name: [] for one in checkouts}
            for number in range(options.rounds):
                pairs = list(zip(checkouts, variants, strict=True))
                for checkout, variant in pairs if number % 2 else reversed(pairs):
                    costs[checkout.name].append(
                        _instructions_per_call(processes, variant, point, options.calls, checkout.directory)
                        if options.instructions
                        else _cpu_per_call(processes, variant, point, options.calls)
                    )
            print(f"{point}, {options.calls} calls, {options.rounds} rounds")
            for checkout in checkouts:
                unit = "instructions" if options.instructions else "us"
                print(_summary(checkout.name, unit, costs[checkout.name]))
            for other in checkouts[1:]:
                _print_ratios("here", other.name, costs["here"], costs[other.name])


def main() -> int:
    """Measure; 1 if that could not be done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--instructions", action="store_true", help="count them with callgrind")
    parser.add_argument(
        "--sizes", type=lambda text: [int(one) for one in text.split(",")], default=[4096, 256]
    )
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--calls", type=int, help="in one load; 4,000, or 1,000 under callgrind")
    parser.add_argument("--rounds", type=int, help="8, or 1 under callgrind")
    parser.add_argument("--directory", type=Path, default=Path("var/instrument"), help="emptied first")
    options = parser.parse_args()
    options.calls = options.calls or (1000 if options.instructions else 4000)
    options.rounds = options.rounds or (1 if options.instructions else 8)
    shutil.rmtree(options.directory, ignore_errors=True)
    checkouts = [Checkout("here", _HERE, options.directory / "here")]
    if options.against is not None:
        checkouts.append(Checkout("there", options.against.absolute(), options.directory / "there"))
    try:
        _run(checkouts, [Point(size, options.in_flight) for size in options.sizes], options)
    except (BenchError, TimeoutError) as error:
        print(f"instrument: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
