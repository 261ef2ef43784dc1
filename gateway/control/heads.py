"""The registry as a witness of our logs: it is told their newest heads, and asked for them before a first signature.

One thread, beside all else: a registry that is away delays nothing. What it answers is handed to the workers, who
believe only what their own seal certificates signed (PROTOCOL M5).
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from core.reasons import ExchangeError
from gateway.channel import RegistryHeads, WorkerReport

_log = structlog.get_logger("gateway.control.heads")

# A worker waits 2 s for the answer before its first signature.
QUESTION_S: Final = 1.5
REPORT_S: Final = 10.0
LAST_REPORT_S: Final = 2.0


class HeadsSource(Protocol):
    """The registry, as far as heads are concerned; both raise ``RegistryAwayError``."""

    def report_heads(self, heads: Sequence[bytes], timeout_s: float) -> list[tuple[bytes, str]]:
        """Report newest heads; returns of each what is held of its log, or why it was refused."""
        ...

    def newest_heads(self, timeout_s: float) -> list[bytes]:
        """What is held of this gateway's logs."""
        ...


class HeadReporter:
    """Reports heads at least each ``interval_s`` when they changed, and asks when a worker starts.

    Args:
        registry: The registry.
        tell: Tells one worker.
        interval_s: Seconds between two reports.
    """

    def __init__(
        self, registry: HeadsSource, tell: Callable[[int, RegistryHeads], None], interval_s: float
    ) -> None:
        self._registry = registry
        self._tell = tell
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._newest: dict[int, str] = {}
        self._reported: dict[int, str] = {}
        self._questions: set[int] = set()
        self._unanswered: set[int] = set()
        self._not_before = 0.0
        self._wake = threading.Event()
        self._stopping = False
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="heads", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Report once more what the workers signed last, and end."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(LAST_REPORT_S + QUESTION_S)

    def on_start(self, worker: int) -> None:
        """A worker was started: ask for it what the registry holds."""
        with self._lock:
            self._questions.add(worker)
        self._wake.set()

    def on_report(self, worker: int, report: WorkerReport) -> None:
        """Take note of the newest head of a worker.

        One from before its start is not shown: after a crash it may be older than one that was, and nothing is wrong.
        """
        if report.head_is_new and report.stopped is None and self._newest.get(worker) != report.head:
            with self._lock:
                self._newest[worker] = report.head
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._wait_s())
            self._wake.clear()
            self._answer_questions()
            if time.monotonic() >= self._not_before:
                self._report(REPORT_S)
        self._report(LAST_REPORT_S)

    def _wait_s(self) -> float | None:
        """Until the next report is due; a change and a question wake at once."""
        with self._lock:
            if self._newest == self._reported:
                return None
        left = self._not_before - time.monotonic()
        return left if left > 0 else 0.0

    def _answer_questions(self) -> None:
        with self._lock:
            asking, self._questions = self._questions, set()
        if not asking:
            return
        try:
            heads = self._registry.newest_heads(QUESTION_S)
            answer = RegistryHeads(answered=True, heads=tuple(one.decode("ascii") for one in heads))
        except (ExchangeError, ValueError) as error:
            self._note(error)
            answer = RegistryHeads(answered=False)
        self._unanswered = self._unanswered - asking if answer.answered else self._unanswered | asking
        for worker in asking:
            self._tell(worker, answer)

    def _report(self, timeout_s: float) -> None:
        with self._lock:
            changed = {
                number: one for number, one in self._newest.items() if self._reported.get(number) != one
            }
        if not changed:
            return
        self._not_before = time.monotonic() + self._interval_s
        try:
            reported = [one.encode("ascii") for one in changed.values()]
            answers = self._registry.report_heads(reported, timeout_s)
        except (ExchangeError, ValueError) as error:
            self._note(error)
            return
        if self._is_away:
            self._is_away = False
            _log.info("heads_reported_again")
        for (number, head), (held, refused) in zip(changed.items(), answers, strict=False):
            if refused:
                # A successor before its registration: it is reported again until it is taken.
                _log.warning("head_refused", worker=number, reason=refused)
                continue
            with self._lock:
                self._reported[number] = head
            if held != head.encode("ascii") or number in self._unanswered:
                # It holds another head than the one that was just signed; or it is back, and a witness again.
                self._unanswered.discard(number)
                self._tell(number, RegistryHeads(answered=True, heads=(held.decode("ascii"),)))

    def _note(self, error: Exception) -> None:
        if not self._is_away:
            _log.warning("heads_not_reported", error=str(error))
        self._is_away = True
