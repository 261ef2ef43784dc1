"""A soak: exchanges at full speed through two gateways, a fault each minute, then the checker's verdict.

``python -m tests.support.soak.run DIRECTORY --exchanges 50000`` runs one and prints what came of it, the last line being
a row of the table in docs/soak.md. ``SOAK_EXCHANGES``, ``SOAK_SEED`` and ``SOAK_FAULT_S`` are what its options are by
default.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checker import Checker, Verdict, read_journal
from tests.support.soak.country import CONSUMER_GATEWAY, PROVIDER_GATEWAY, Program, SoakCountry
from tests.support.soak.faults import Break, fault, weather
from tests.support.soak.watch import (
    Flatness,
    Sample,
    Storm,
    memory_and_files,
    now,
    p99_of_tenths,
    read_latencies,
    sample,
)
from tests.support.waiting import until

EXCHANGES = int(os.environ.get("SOAK_EXCHANGES", "864000"))
SEED = int(os.environ.get("SOAK_SEED", "20261128"))
FAULT_S = float(os.environ.get("SOAK_FAULT_S", "60"))
# How long something is broken: some of it ends before anybody notices, some after everybody did.
HOLD_S = (0.5, 12.0)
_TICK_S = 0.2
_SAMPLES = 2_000
_RECOVERED = 50
# The bound tells a hang: a start reads a log of millions of leaves, and the gateways resolve what is in doubt.
_HANG_S = 1_800.0


@dataclass(frozen=True)
class Result:
    """What came of a soak.

    Attributes:
        exchanges: Calls that ended as planned.
        seconds: How long they took, faults included.
        kinds: How many of each kind.
        ends: How calls ended, those that were not planned, too.
        storms: The faults.
        verdict: What the checker found.
        wrong: Bytes that were not those that were sent, at either end, and calls that never ended.
        memory: By role, in KiB.
        files: By role, open descriptors.
        p99_ms: Of unary calls that no fault met, by tenth of the run.
    """

    exchanges: int
    seconds: float
    kinds: dict[str, int]
    ends: dict[str, int]
    storms: list[Storm]
    verdict: Verdict
    wrong: list[str]
    memory: list[Flatness]
    files: list[Flatness]
    p99_ms: list[float]

    @property
    def p99_ratio(self) -> float:
        """Last tenth to first; 0.0 where a tenth had no calm call."""
        return self.p99_ms[-1] / self.p99_ms[0] if self.p99_ms[0] else 0.0

    def __str__(self) -> str:
        unplanned = sum(self.ends.values()) - self.exchanges
        return "\n".join(
            [
                f"{self.exchanges} exchanges in {self.seconds:.0f} s, {self.exchanges / self.seconds:.0f}/s;"
                f" {unplanned} more ended by a fault",
                f"kinds: {self.kinds}",
                f"ends: {self.ends}",
                *(f"fault: {one}" for one in self.storms),
                *(f"memory, KiB: {one}" for one in self.memory),
                *(f"files: {one}" for one in self.files),
                f"p99 by tenth, ms: {', '.join(f'{one:.1f}' for one in self.p99_ms)}",
                f"p99 of the last tenth {self.p99_ratio:.2f}x the first's: {_met(self.p99_ratio)}",
                f"wrong: {self.wrong[:5] or 'nothing'}",
                f"checker: {self.verdict}",
            ]
        )

    def row(self) -> str:
        """A row of the table in docs/soak.md."""
        faults = len(self.storms)
        memory = "; ".join(
            f"{one.role} {one.most // 1024} MiB, {'?' if one.slope is None else f'{one.slope:+.1f}'}"
            for one in self.memory
        )
        files = max((one.most for one in self.files), default=0)
        lost = "nothing" if self.verdict.is_clean and not self.wrong else f"{self.verdict} {self.wrong[:3]}"
        cells = [
            time.strftime("%Y-%m-%d", time.gmtime()),
            f"{self.exchanges:,}",
            f"{self.exchanges / self.seconds:,.0f}",
            str(faults),
            lost,
            memory,
            str(files),
            f"{self.p99_ms[0]:.0f}, {self.p99_ms[-1]:.0f} ms: {self.p99_ratio:.2f}, {_met(self.p99_ratio)}",
        ]
        return "| " + " | ".join(cells) + " |"


def _met(ratio: float) -> str:
    """The aim of issue "soak": at most 1.1 times."""
    if not ratio:
        return "too short to tell"
    return "met" if ratio <= 1.1 else "not met"


class _Watch:
    """Samples now and then, never more than are needed for a line."""

    def __init__(self, country: SoakCountry, program: Program, exchanges: int) -> None:
        self._country, self._program = country, program
        self._step = max(exchanges // _SAMPLES, 50)
        self._next = 0
        self.samples: list[Sample] = []

    def tick(self) -> None:
        planned = self._program.planned
        if planned >= self._next:
            self._next = planned + self._step
            self.samples += sample(self._country.processes(), planned)
        time.sleep(_TICK_S)


def soak(
    root: Path,
    *,
    exchanges: int = EXCHANGES,
    seed: int = SEED,
    fault_s: float = FAULT_S,
    hold_s: tuple[float, float] = HOLD_S,
    coming: Iterable[Break] | None = None,
) -> Result:
    """Run one soak in a new country below ``root``.

    Args:
        root: Where everything lies; with 864,000 exchanges some 20 GB.
        exchanges: Calls that end as planned.
        seed: Of the calls and of the weather.
        fault_s: From the begin of one fault to that of the next, or longer, until calls are answered again.
        hold_s: How long something is broken, at least and at most.
        coming: What breaks, one after the other; ``weather`` if left out.

    Raises:
        AssertionError: Something did not come back.
    """
    chance = random.Random(seed)
    storms: list[Storm] = []
    breaks = iter(weather(chance) if coming is None else coming)
    broken = next(breaks, None)
    with SoakCountry(root) as country:
        program = Program(country, exchanges, seed)
        try:
            program.start()
            until(lambda: program.acknowledged > 0 or not program.is_alive())
            watch, begun = _Watch(country, program, exchanges), now()
            due = begun + fault_s / 2
            while program.is_alive():
                watch.tick()
                if now() < due or broken is None:
                    continue
                began = now()
                with fault(country, chance, broken):
                    end = now() + chance.uniform(*hold_s)
                    while now() < end and program.is_alive():
                        watch.tick()
                mended = now()
                country.until_ready()
                before = program.acknowledged
                until(lambda before=before: _goes_on(program, before), _HANG_S)  # type: ignore[misc]
                storms.append(Storm(broken.__name__.replace("_", " "), began, mended, now()))
                print(storms[-1], f"({program.planned} exchanges)", flush=True)
                broken = next(breaks, None)
                due = max(began + fault_s, now() + min(fault_s / 2, 5))
            seconds = now() - begun
            code = program.end()
            assert code == 0, f"the program ended with {code}"
            checker = Checker([country.log(CONSUMER_GATEWAY)], [country.log(PROVIDER_GATEWAY)])
            _settle(checker)
        finally:
            program.stop()
    told, delivered = read_journal(country.told), read_journal(country.delivered)
    wrong = [str(one["why"]) for one in (*told, *delivered) if one["event"] == "wrong"]
    overdue = program.state["counts"].get("overdue", 0)
    wrong += [f"{overdue} calls never ended"] if overdue else []
    memory, files = memory_and_files(watch.samples)
    ends: dict[str, Any] = program.state["counts"]
    return Result(
        exchanges=program.planned,
        seconds=seconds,
        kinds=dict(Counter(program.state["kinds"]).most_common()),
        ends=dict(Counter(ends).most_common()),
        storms=storms,
        verdict=checker.verdict(told, delivered),
        wrong=wrong,
        memory=memory,
        files=files,
        p99_ms=p99_of_tenths(read_latencies(program.latencies), storms),
    )


def _goes_on(program: Program, before: int) -> bool:
    return program.acknowledged >= before + _RECOVERED or not program.is_alive()


def _settle(checker: Checker) -> None:
    """Let both gateways run undisturbed until nothing is in doubt, or nothing more is resolved."""
    left, since = checker.open_ends(), now()
    while left and now() - since < 60:
        time.sleep(1)
        found = checker.open_ends()
        if found < left:
            left, since = found, now()


def verify_logs(root: Path) -> list[str]:
    """What ``audit verify-log`` has against either log, with every process dead; empty is good."""
    country = root / "bj"
    found = []
    for gateway in sorted((country / "members").glob("*/gw1")):
        command = [sys.executable, "-m", "cli", "audit", "verify-log", str(gateway)]
        command += ["--anchor", str(country / "anchor.pem"), "--lang", "en"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            found.append(f"{gateway.parent.name}: {(done.stdout + done.stderr)[-500:]}")
    return found


def main() -> None:
    """Run one soak and print its result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--exchanges", type=int, default=EXCHANGES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--fault-s", type=float, default=FAULT_S)
    options = parser.parse_args()
    result = soak(options.directory, exchanges=options.exchanges, seed=options.seed, fault_s=options.fault_s)
    print(result)
    print(result.row())
    sys.exit(0 if result.verdict.is_clean and not result.wrong else 1)


if __name__ == "__main__":
    main()
