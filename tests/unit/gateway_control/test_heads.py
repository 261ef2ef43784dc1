"""Control tells the registry the newest heads, asks it when a worker starts, and hands the answers on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gateway.channel import RegistryHeads, StoppedReport, WorkerReport
from gateway.control.heads import HeadReporter
from gateway.control.repository import RegistryAwayError


class Witness:
    """A registry that holds one head, or is away; and workers that are told."""

    def __init__(self) -> None:
        self.held = b""
        self.is_away = False
        self.refusal = ""
        self.reports: list[list[bytes]] = []
        self.told: list[tuple[int, RegistryHeads]] = []
        self._changed = threading.Condition()

    def report_heads(self, heads: Sequence[bytes], timeout_s: float) -> list[tuple[bytes, str]]:
        with self._changed:
            self.reports.append(list(heads))
            self._changed.notify_all()
        if self.is_away:
            raise RegistryAwayError("away")
        return [(b"", self.refusal) if self.refusal else (self.held or one, "") for one in heads]

    def newest_heads(self, timeout_s: float) -> list[bytes]:
        if self.is_away:
            raise RegistryAwayError("away")
        return [self.held] if self.held else []

    def tell(self, worker: int, message: RegistryHeads) -> None:
        with self._changed:
            self.told.append((worker, message))
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 20)


@contextmanager
def reporting(witness: Witness, interval_s: float = 60) -> Iterator[HeadReporter]:
    reporter = HeadReporter(witness, witness.tell, interval_s)
    reporter.start()
    try:
        yield reporter
    finally:
        reporter.stop()


def report(head: str, **fields: object) -> WorkerReport:
    return WorkerReport(**({"state": "ready", "head": head, "head_is_new": True} | fields))  # type: ignore[arg-type]


def test_a_new_head_is_reported_at_once_and_further_ones_when_they_are_due() -> None:
    """At most one report in an interval; what came last is reported at the end, too."""
    witness = Witness()
    with reporting(witness) as reporter:
        reporter.on_report(0, report("h1"))
        witness.until(lambda: bool(witness.reports))
        reporter.on_report(0, report("h2"))
        reporter.on_report(0, report("h3"))

    assert witness.reports == [[b"h1"], [b"h3"]]


def test_heads_that_did_not_change_are_not_reported_again() -> None:
    """A quiet gateway says nothing."""
    witness = Witness()
    with reporting(witness, 0.01) as reporter:
        for _ in range(5):
            reporter.on_report(0, report("h1"))
        witness.until(lambda: bool(witness.reports))
        reporter.on_report(1, report("other"))
        witness.until(lambda: len(witness.reports) == 2)

    assert witness.reports == [[b"h1"], [b"other"]]


def test_a_head_from_before_the_start_and_one_of_a_stopped_log_are_not_reported() -> None:
    """After a crash it may be older than one that was reported, and that would raise an alarm for nothing."""
    witness = Witness()
    with reporting(witness) as reporter:
        reporter.on_report(0, report("old", head_is_new=False))
        reporter.on_report(1, report("stopped", stopped=StoppedReport(here=1, there=2, witness="registry")))

    assert witness.reports == []


def test_a_registry_that_comes_back_is_told() -> None:
    """Nothing is forgotten while it is away."""
    witness = Witness()
    witness.is_away = True
    with reporting(witness, 0.01) as reporter:
        reporter.on_report(0, report("h1"))
        witness.until(lambda: len(witness.reports) >= 2)
        witness.is_away = False
        count = len(witness.reports)
        witness.until(lambda: len(witness.reports) > count)

    assert witness.reports[-1] == [b"h1"]


def test_a_head_that_is_refused_is_reported_until_it_is_taken() -> None:
    """A successor signs before it is registered."""
    witness = Witness()
    witness.refusal = "LOG_NOT_REGISTERED"
    with reporting(witness, 0.01) as reporter:
        reporter.on_report(0, report("h1"))
        witness.until(lambda: len(witness.reports) >= 2)
        witness.refusal = ""
        count = len(witness.reports)
        witness.until(lambda: len(witness.reports) > count)

    assert witness.told == []


def test_a_worker_is_told_what_the_registry_holds_when_it_starts() -> None:
    """Once, whatever it is; the worker verifies it."""
    witness = Witness()
    witness.held = b"held"
    with reporting(witness) as reporter:
        reporter.on_start(1)
        witness.until(lambda: bool(witness.told))

    assert witness.told == [(1, RegistryHeads(answered=True, heads=("held",)))]


def test_a_worker_is_told_that_the_registry_is_away() -> None:
    """So that it does not wait for nothing: it starts without registry, too."""
    witness = Witness()
    witness.is_away = True
    with reporting(witness) as reporter:
        reporter.on_start(0)
        witness.until(lambda: bool(witness.told))

    assert witness.told == [(0, RegistryHeads(answered=False))]


def test_a_worker_is_told_when_the_registry_is_back() -> None:
    """What it holds then confirms the log, or stops it."""
    witness = Witness()
    witness.is_away = True
    with reporting(witness, 0.01) as reporter:
        reporter.on_start(0)
        witness.until(lambda: bool(witness.told))
        witness.is_away = False
        reporter.on_report(0, report("ours"))
        witness.until(lambda: len(witness.told) == 2)

    assert witness.told[1] == (0, RegistryHeads(answered=True, heads=("ours",)))


def test_a_head_that_the_registry_holds_instead_is_handed_to_the_worker() -> None:
    """Two processes that went on from one copy: the later one learns of the other here."""
    witness = Witness()
    witness.held = b"theirs"
    with reporting(witness) as reporter:
        reporter.on_report(0, report("ours"))
        witness.until(lambda: bool(witness.told))

    assert witness.told == [(0, RegistryHeads(answered=True, heads=("theirs",)))]
