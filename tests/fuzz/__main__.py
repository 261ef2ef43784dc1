"""``make fuzz``: every target under atheris, one after the other on each core, within ``FUZZ_SECONDS`` in all.

``python -m tests.fuzz [--seconds N] [NAME…]`` runs them; ``python -m tests.fuzz --one NAME [libFuzzer's options]`` is one
target in this process, as the former starts it. Working corpora and findings lie in ``var/fuzz/NAME``; what a run found
something with belongs into ``tests/fuzz/corpus/NAME``, beside the correction. Exit 1 if anything was found.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
WORK: Final = ROOT / "var" / "fuzz"
PARALLEL: Final = 2
# What instrumenting our modules and loading the rest takes each time, about.
STARTUP_S: Final = 4
# What a target may take, inputs included: beyond it libFuzzer reports the input.
MEMORY_MIB: Final = 2048
SECONDS_PER_INPUT: Final = 20
MAX_INPUT_BYTES: Final = 16 * 1024
_EXECUTIONS = re.compile(rb"stat::number_of_executed_units:\s+([0-9]+)")
_COVERAGE = re.compile(rb"cov: ([0-9]+) ft: ([0-9]+) corp: ([0-9]+)")


@dataclass(frozen=True)
class Outcome:
    """How one target went."""

    name: str
    executions: int
    features: int
    inputs: int
    seconds: float
    findings: tuple[str, ...]
    failure: str


def run_one(name: str, options: list[str]) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(
        include=["core", "ledger", "pki", "rpc", "gateway", "audit", "adapters", "cli", "registry"]
    ):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    atheris.Setup([sys.argv[0], *options], lambda data: target(data) and None)
    atheris.Fuzz()


def run(name: str, seconds: int) -> Outcome:
    """Fuzz one target in a process of its own."""
    directory = WORK / name
    found, working = directory / "found", directory / "corpus"
    for path in (found, working):
        path.mkdir(parents=True, exist_ok=True)
    before = {path.name for path in found.iterdir()}
    _write_corpus(name, working)
    command = [sys.executable, "-m", "tests.fuzz", "--one", name]
    command += [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MIB}", f"-timeout={SECONDS_PER_INPUT}"]
    command += [
        f"-max_len={MAX_INPUT_BYTES}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        str(working),
    ]
    began = time.monotonic()
    ended = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        timeout=10 * seconds + 300,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}"},
    )
    (directory / "output.txt").write_bytes(ended.stdout + ended.stderr)
    executions = _EXECUTIONS.search(ended.stderr)
    coverage = _COVERAGE.findall(ended.stderr)
    return Outcome(
        name,
        int(executions[1]) if executions else 0,
        int(coverage[-1][1]) if coverage else 0,
        int(coverage[-1][2]) if coverage else 0,
        time.monotonic() - began,
        tuple(sorted({path.name for path in found.iterdir()} - before)),
        "" if ended.returncode == 0 else ended.stderr.decode("utf-8", "replace")[-600:],
    )


def _write_corpus(name: str, directory: Path) -> None:
    from tests.fuzz.targets import corpus

    for data in corpus(name):
        if len(data) <= MAX_INPUT_BYTES:
            (directory / sha256(data).hexdigest()[:40]).write_bytes(data)


def main() -> int:
    """Run the targets; prints a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("FUZZ_SECONDS") or 600))
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    from tests.fuzz.targets import TARGETS

    names = arguments.names or list(TARGETS)
    if unknown := sorted(set(names) - TARGETS.keys()):
        parser.error(f"no such target: {', '.join(unknown)}")
    share = max(1, arguments.seconds * PARALLEL // len(names) - STARTUP_S)
    print(f"{len(names)} targets, {share} s each, {PARALLEL} at a time")
    print(f"{'target':<24} {'executions':>12} {'features':>9} {'inputs':>7} {'s':>5}  found")
    with ThreadPoolExecutor(PARALLEL) as pool:
        outcomes = []
        for one in pool.map(lambda name: run(name, share), names):
            outcomes.append(one)
            told = ", ".join(one.findings) or ("-" if not one.failure else "see below")
            print(
                f"{one.name:<24} {one.executions:>12,} {one.features:>9,} {one.inputs:>7,} {one.seconds:>5.0f}  {told}",
                flush=True,
            )
    for one in outcomes:
        if one.failure:
            print(f"\n--- {one.name} (var/fuzz/{one.name}/output.txt)\n{one.failure}")
    print(f"\n{sum(one.executions for one in outcomes):,} executions")
    return 1 if any(one.failure or one.findings for one in outcomes) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2], sys.argv[3:])
    sys.exit(main())
