"""That the figures are of exchanges which are on the disk: commits counted, gateways killed, evidence verified.

A country of its own, so that its logs are short enough to be read whole. Nothing is taken from what a gateway says of
itself, but for the number of its commits, which the kernel's count of ``fdatasync`` must reach.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.country import RunningCountry, running_country
from bench.measure import BenchError, Row, load, measure
from bench.points import SATURATED, Point
from bench.processes import Processes, descendants
from ledger.failpoints import VARIABLE
from tests.support.checker import check, read_journal

_COUNTED: Final = Point(4096, SATURATED)
_JOURNALED: Final = Point(4096, 64, ends="grpcio")
_CALLS: Final = 3_000
_KILL_AFTER: Final = {"provider": 2.0, "consumer": 5.0}
_KILLED_SECONDS: Final = 9.0
_SAMPLE: Final = 5
SLOW_DISK_MS: Final = 5
SLOW_DISK: Final = f"passerelle, disk {SLOW_DISK_MS} ms"
_OF_SLOW_DISK: Final = (Point(4096, SATURATED), Point(4096, 1))
_STRACE_LINE: Final = re.compile(
    r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(fdatasync|fsync)\s*$", re.MULTILINE
)
_COMMITS: Final = re.compile(
    r'^passerelle_events_total\{event="commits",worker="\d+"\} ([\d.e+]+)$', re.MULTILINE
)

_IN_DOUBT: Final = re.compile(r'^passerelle_exchanges_in_doubt\{worker="\d+"\} ([\d.e+]+)$', re.MULTILINE)
_SETTLE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Proof:
    """One thing that was checked: what, what was found, and whether that is as it must be (``None``: not tried)."""

    what: str
    found: str
    is_good: bool | None


def prove(processes: Processes, directory: Path) -> list[Proof]:
    """Found a country and check it.

    Raises:
        BenchError: It could not be loaded.
    """
    with running_country(processes, directory / "country", name="proofs") as country:
        proofs = [_disk(directory), *_commits(processes, country, directory)]
        journal = directory / "program.journal"
        proofs.append(_kills(processes, country, journal))
    # Its processes have ended: what is read now is what they left on the disk.
    return [*proofs, *_after(country, journal, directory)]


# --- commits ---


def _disk(directory: Path) -> Proof:
    """What one ``fdatasync`` of 4 KiB takes on this disk: many figures above hang on it."""
    took = []
    with (directory / "disk").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begun) * 1e3)
    took.sort()
    found = f"p50 {statistics.median(took):.2f} ms, p99 {took[len(took) * 99 // 100]:.2f} ms"
    return Proof("fdatasync of 4 KiB on this disk", found, None)


def commits_of(metrics: str) -> int:
    """Commits of all workers, from a page of metrics."""
    return int(sum(float(one) for one in _COMMITS.findall(metrics)))


def syncs_of(summary: str) -> int:
    """Calls of ``fdatasync`` and ``fsync``, from the summary of ``strace -c``."""
    return sum(int(calls) for calls, _ in _STRACE_LINE.findall(summary))


def _scrape(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode("utf-8")
    finally:
        connection.close()


@contextlib.contextmanager
def _counting(pids: Mapping[str, Sequence[int]], directory: Path) -> Iterator[Mapping[str, Path]]:
    """The kernel's count of syncs by each worker while this lasts; ``strace`` writes it when it ends."""
    tracers, files = [], {}
    for role, (pid, *_) in pids.items():
        files[role] = directory / f"strace-{role}"
        command = [
            "strace",
            "-f",
            "-c",
            "-e",
            "trace=fdatasync,fsync",
            "-o",
            str(files[role]),
            "-p",
            str(pid),
        ]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        tracers.append(tracer)
        said = tracer.stderr.readline() if tracer.stderr is not None else ""
        if "attached" not in said:
            raise BenchError(f"strace: {said.strip()}")
    try:
        yield files
    finally:
        for tracer in tracers:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)


def _commits(processes: Processes, country: RunningCountry, directory: Path) -> list[Proof]:
    what = "fdatasync by the kernel's count, for each commit"
    if shutil.which("strace") is None:
        return [Proof(what, "strace is not installed", None)]
    before = {role: commits_of(_settled(page)) for role, page in country.pages.items()}
    try:
        with (
            _counting(country.variant.workers, directory) as files,
            load(processes, country.variant, _COUNTED, calls=_CALLS) as run,
        ):
            result = run()
            after = {role: commits_of(_settled(page)) for role, page in country.pages.items()}
    except BenchError as error:
        return [Proof(what, str(error), None)]
    proofs = []
    for role, file in files.items():
        syncs, commits = syncs_of(file.read_text()), after[role] - before[role]
        found = f"{syncs} for {commits} commits and {result['calls']} exchanges and their warm-up"
        # One that the first report before the count had not told yet is no lie.
        proofs.append(Proof(f"{role}: {what}", found, syncs >= commits - 1 and commits > 0))
    return proofs


def _settled(page: str) -> str:
    """The metrics once what was in flight has been reported; workers report once a second."""
    time.sleep(2.2)
    return _scrape(page)


# --- deaths ---


def _kills(processes: Processes, country: RunningCountry, journal: Path) -> Proof:
    """Load with stock programs, kill the provider's worker, then the consumer's; control starts them again."""

    def kill(control: int) -> None:
        for pid in descendants(control)[1:]:
            os.kill(pid, signal.SIGKILL)

    control = dict(zip(country.variant.workers, country.variant.control, strict=True))
    timers = [threading.Timer(after, kill, [control[role]]) for role, after in _KILL_AFTER.items()]
    options = ["--journal", str(journal)]
    with load(processes, country.variant, _JOURNALED, seconds=_KILLED_SECONDS, options=options) as run:
        for timer in timers:
            timer.start()
        result = run()
        for timer in timers:
            timer.join()
        # What was left in doubt is asked for as soon as both are back.
        for page in country.pages.values():
            _until_nothing_in_doubt(page)
    good = result["calls"] - result["bad"]
    found = f"{good} calls acknowledged, {result['bad']} told as failed; each worker died once"
    return Proof("kill -9 of both workers in mid-run", found, good > 0 and result["bad"] > 0)


def in_doubt_of(metrics: str) -> int | None:
    """Exchanges that wait for a peer's word, of all workers; ``None`` while none has reported."""
    found = _IN_DOUBT.findall(metrics)
    return int(sum(float(one) for one in found)) if found else None


def _until_nothing_in_doubt(page: str) -> None:
    end = time.monotonic() + _SETTLE_SECONDS
    while in_doubt_of(_settled(page)) != 0 and time.monotonic() < end:
        pass


def _after(country: RunningCountry, journal: Path, directory: Path) -> list[Proof]:
    """What the logs say, with every process dead."""
    gateways = [country.layout.gateway(member) for member in country.plan.member]
    told = read_journal(journal)
    verdict = check(gateways[0] / "log/0", gateways[1] / "log/0", told, [])
    acknowledged = [one["request"] for one in told if one["event"] == "acknowledged"]
    missing = len(verdict.acknowledged_and_unlogged) + len(verdict.acknowledged_with_another_answer)
    proofs = [
        Proof(
            "acknowledged, and on record in both logs",
            f"{len(acknowledged) - missing} of {len(acknowledged)} (with the warm-up); in doubt"
            f" {len(verdict.unresolved)}, taken and unanswered {len(verdict.taken_and_never_answered)}, heads that went"
            f" back {len(verdict.heads_that_do_not_extend)}",
            bool(acknowledged) and verdict.is_clean,
        )
    ]
    anchor = ["--anchor", str(country.layout.anchor)]
    for name, gateway in zip(("consumer", "provider"), gateways, strict=True):
        done = _passerelle(["audit", "verify-log", str(gateway), *anchor])
        proofs.append(Proof(f"{name}'s whole log verified", _last_line(done), done.returncode == 0))
    step = max(len(acknowledged) // _SAMPLE, 1)
    sample = [one["exchange"] for one in told if one["event"] == "acknowledged"][::step][:_SAMPLE]
    good = 0
    for exchange in sample:
        evidence = directory / f"{exchange}.asice"
        source = ["--log", str(gateways[0]), "--out", str(evidence)]
        exported = _passerelle(["audit", "export", exchange, *source])
        if exported.returncode == 0:
            good += _passerelle(["audit", "verify", str(evidence), *anchor]).returncode == 0
    found = f"{good} of {len(sample)} exchanges"
    return [*proofs, Proof("evidence exported and verified", found, bool(sample) and good == len(sample))]


def _passerelle(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit {done.returncode}"


# --- a slow disk ---


def slow_disk(processes: Processes, directory: Path, seconds: float) -> list[Row]:
    """One country whose every commit takes 5 ms longer, under load."""
    os.environ[VARIABLE] = f"commit.sync:delay={SLOW_DISK_MS}"
    try:
        with running_country(processes, directory, name=SLOW_DISK) as country:
            return [measure(processes, country.variant, point, seconds) for point in _OF_SLOW_DISK]
    finally:
        del os.environ[VARIABLE]
