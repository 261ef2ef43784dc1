"""Builds the SQL index behind the traffic: one thread, in batches, no further than what is durable.

The index can be rebuilt from the segments at any time, and is when SQLite calls it malformed. When it cannot be
written, a segment cannot be read, or whatever else goes wrong, the exchanges go on; the fault is an event, and the
index tries again. Damage in one log ends what is known of that log, and of no other.
"""

import errno
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, dropwhile, islice

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.reasons import ExchangeError, MalformedError, Reason
from gateway.channel import WorkerReport
from gateway.control.logbook import LogBook, WorkerLog
from ledger.index import ExchangeIndex
from ledger.reader import StoredLeaf

_log = structlog.get_logger("gateway.control.index")

_BATCH = 4096
# Under load a worker reports many times a second. What came since goes in together: a transaction costs the same for many
# rows as for few, and of an exchange that began and ended in between one row is written, once. Not for longer: what lies
# more than ``ledger.log.KEPT_CACHED_BYTES`` behind is read from the disk again, which begins above 40 MB a second.
_GATHER_S = 0.2
_RETRY_S = 5.0
# Of a damaged log, each time after twice as long: all of the segment that is left is read for it.
_DAMAGED_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class _Damage:
    """Why a log cannot be read on, and when that is tried again: somebody may put the file back."""

    why: str
    retry_at: float
    waited_s: float


class Indexer:
    """Follows the logs as the workers report them.

    Args:
        book: The logs.
        index: The index they go into.
    """

    def __init__(self, book: LogBook, index: ExchangeIndex) -> None:
        self._book = book
        self._index = index
        self._durable: dict[int, tuple[str, int]] = {}
        self._indexed: dict[str, int] = {}
        self._read_out: set[str] = set()
        self._damage: dict[WorkerLog, _Damage] = {}
        self._work = threading.Event()
        self._stopping = threading.Event()
        self._not_before = 0.0
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    @property
    def indexed(self) -> dict[str, int]:
        """Leaves that the index has taken in, by log id."""
        return dict(self._indexed)

    @property
    def damage(self) -> dict[int, str]:
        """Why a log cannot be read on, and where, by its worker; nothing behind it is known to the index."""
        found = dict(self._damage)
        return {log.worker: found[log].why for log in self._book.logs if log in found}

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        self._work.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self._index.close()

    def on_report(self, worker: int, report: WorkerReport) -> None:
        """Take note of what a worker says is durable."""
        self._book.of(worker, report.log).take_head(report.head)
        durable = (report.log, report.sequence)
        if self._durable.get(worker) != durable or self._index.is_malformed:
            self._durable[worker] = durable
            self._work.set()

    def catch_up(self) -> None:
        """Take in everything that was reported.

        What is damaged is told by ``damage``.

        Raises:
            ExchangeError: A log cannot be taken in, and is not damaged.
            SQLAlchemyError: The index cannot be written.
        """
        if self._index.is_malformed:
            # Forgotten first: at no moment is more said to be indexed than the file holds.
            self._indexed.clear()
            self._read_out.clear()
            self._damage.clear()
            self._index.renew()
            _log.warning("index_built_anew", reason="malformed")
        for log in self._book.closed:
            self._follow_closed(log)
        for worker, (_, sequence) in list(self._durable.items()):
            self._follow_written(self._book.logs[worker], sequence)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._work.wait(_RETRY_S if self._damage else None)
            self._stopping.wait(max(0.0, self._not_before - time.monotonic()))
            self._work.clear()
            self._not_before = time.monotonic() + _GATHER_S
            try:
                self.catch_up()
            except (ExchangeError, SQLAlchemyError) as error:
                _log.error("index_failed", error=str(error))
                self._try_again()
            except Exception as error:  # a thread that ends tells nobody, and no exchange is found any more
                _log.exception("index_failed", error=f"{type(error).__name__}: {error}")
                self._try_again()

    def _try_again(self) -> None:
        self._stopping.wait(_RETRY_S)
        self._work.set()

    def _follow_closed(self, log: WorkerLog) -> None:
        """Nothing is added to a closed log: it is read once; damage, for which it may have been closed, ends it."""
        if log.log_id in self._read_out:
            return
        try:
            self._follow(log, None)
        except (ExchangeError, OSError) as error:
            if isinstance(error, OSError) and not _is_damage(error):
                raise
            _log.warning("closed_log_not_read_on", log=log.log_id, error=str(error))
        if log.log_id and not self._stopping.is_set():
            self._read_out.add(log.log_id)

    def _follow_written(self, log: WorkerLog, sequence: int) -> None:
        """Damage ends it: a worker that started from a checkpoint goes on, and needs nothing of what it covers."""
        known = self._damage.get(log)
        if known is not None and time.monotonic() < known.retry_at:
            return
        try:
            self._follow(log, sequence)
        except (ExchangeError, OSError) as error:
            if not _is_damage(error):
                raise
            wait_s = min(2 * known.waited_s, _DAMAGED_RETRY_S) if known is not None else _RETRY_S
            self._damage[log] = _Damage(str(error), time.monotonic() + wait_s, wait_s)
            if known is None:
                _log.error("log_not_read_on", worker=log.worker, log=log.log_id, error=str(error))
        else:
            if self._damage.pop(log, None) is not None:
                _log.info("log_read_on", worker=log.worker, log=log.log_id)

    def _follow(self, log: WorkerLog, sequence: int | None) -> None:
        # First what was read before and could not be written then.
        if log.log_id:
            self._add_all(log, (log.at(index) for index in range(self._index_size(log), log.size)))
        self._add_all(log, log.read_on(sequence))

    def _add_all(self, log: WorkerLog, leaves: Iterator[StoredLeaf]) -> None:
        # The id of a log is known when its first leaf was read.
        new = dropwhile(lambda leaf: leaf.index < self._index_size(log), leaves)
        while (first := next(new, None)) is not None and not self._stopping.is_set():
            batch = chain((first,), islice(new, _BATCH - 1))
            try:
                self._indexed[log.log_id] = self._index.add(log.log_id, batch)
            except MalformedError:
                self._indexed[log.log_id] = self._index.size(log.log_id)  # what stood before it was taken in
                raise

    def _index_size(self, log: WorkerLog) -> int:
        if log.log_id not in self._indexed:
            self._indexed[log.log_id] = self._index.size(log.log_id)
        return self._indexed[log.log_id]


def _is_damage(error: ExchangeError | OSError) -> bool:
    """Whether the log is to blame: a record that is none or lacks what it names, or a disk that cannot read one."""
    if isinstance(error, OSError):
        return error.errno == errno.EIO
    return isinstance(error, MalformedError) or error.reason is Reason.LOG_DAMAGED
