"""The logs of this gateway as control reads them: no further than their workers reported as durable.

A reader shares nothing with the worker but the files. What it has read it keeps as a tree of hashes, so that
proofs under the newest signed head are made here and cost the worker nothing.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from core.heads import TreeHead, parse_head
from core.merkle import consistency_proof, inclusion_proof, root_of
from core.reasons import ExchangeError, Reason
from gateway.layout import GatewayDirectory
from ledger.headfile import read_head_file
from ledger.places import log_places
from ledger.reader import LogReader, StoredLeaf

_TAKEN_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head of this gateway, as its worker signed it."""

    worker: int
    head: TreeHead
    jws: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as RFC 9162 defines it, with the roots it leads to.

    Attributes:
        size: Size of the (larger) tree.
        root: Its root.
        path: The hashes.
        start: Leaf hash for inclusion, root of the smaller tree for consistency.
    """

    size: int
    root: bytes
    path: list[bytes]
    start: bytes


class WorkerLog:
    """One worker's log. Reading on and proving take turns; the worker is never waited for."""

    def __init__(self, worker: int, directory: Path) -> None:
        self.worker = worker
        # What the index reads it cannot decrypt; who wants one body reads it where it stands.
        self._reader = LogReader(directory, follows_bodies=False)
        self._lock = threading.RLock()
        self._head: SignedHead | None = None

    @property
    def log_id(self) -> str:
        """Its id; empty before the first leaf was read."""
        return self._reader.log_id

    @property
    def size(self) -> int:
        """Leaves read so far."""
        return self._reader.size

    @property
    def head(self) -> SignedHead | None:
        """The newest signed head that the worker reported."""
        return self._head

    def take_head(self, jws: str) -> None:
        """Remember a head that the worker reported."""
        if not jws or (self._head is not None and self._head.jws == jws.encode("ascii")):
            return
        self._head = SignedHead(self.worker, parse_head(jws.encode("ascii")).unverified, jws.encode("ascii"))

    def read_on(self, upto_sequence: int | None) -> Iterator[StoredLeaf]:
        """New leaves, up to the last record that is durable (``None``: all); proofs are made in between."""
        leaves = self._reader.follow(upto_sequence)
        while True:
            with self._lock:
                some = list(islice(leaves, _TAKEN_AT_ONCE))
            if not some:
                return
            yield from some

    def at(self, index: int) -> StoredLeaf:
        """One leaf with what lies beside it, but for its body, which nobody here can decrypt."""
        with self._lock:
            if not 0 <= index < self._reader.size:
                raise ExchangeError(Reason.NOT_FOUND, f"log {self.log_id} has no leaf {index} yet")
            return self._reader.at(index, with_body=False)

    def leaf_hash(self, index: int) -> bytes:
        """The leaf hash of one leaf."""
        with self._lock:
            return self._reader.node(0, index)

    def prove_inclusion(self, index: int, size: int) -> Proof:
        """That leaf ``index`` is in the tree of ``size``; 0 means under the newest head."""
        with self._lock:
            size = self._require_size(size)
            if not 0 <= index < size:
                raise ExchangeError(Reason.NOT_FOUND, f"no leaf {index} in a tree of {size}")
            node = self._reader.node
            return Proof(size, root_of(node, size), inclusion_proof(node, index, size), node(0, index))

    def prove_consistency(self, size1: int, size2: int) -> Proof:
        """That the tree of ``size2`` extends the tree of ``size1``; 0 means the newest head."""
        with self._lock:
            size2 = self._require_size(size2)
            if not 1 <= size1 <= size2:
                raise ExchangeError(Reason.NOT_FOUND, f"a tree of {size2} extends none of {size1}")
            node = self._reader.node
            path = consistency_proof(node, size1, size2)
            return Proof(size2, root_of(node, size2), path, root_of(node, size1))

    def _require_size(self, size: int) -> int:
        size = size or (self._head.head.size if self._head is not None else 0)
        if not 1 <= size <= self._reader.size:
            raise ExchangeError(Reason.NOT_FOUND, f"no tree of {size} has been read from log {self.log_id}")
        return size


class LogBook:
    """The logs of this gateway: one for each worker, and those that others succeeded."""

    def __init__(self, directory: GatewayDirectory, workers: int) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._logs = [WorkerLog(number, directory.log(number)) for number in range(workers)]
        self._closed = _unwritten_logs(directory, workers)

    @property
    def logs(self) -> list[WorkerLog]:
        """The logs that are written, in order of worker."""
        return self._logs

    @property
    def closed(self) -> list[WorkerLog]:
        """The logs that others succeeded, and those of workers that are no more: nobody writes to them."""
        return self._closed

    def of(self, worker: int, log_id: str) -> WorkerLog:
        """The log that a worker reports; once another succeeded it, it is read anew, the old one where it lies now."""
        with self._lock:
            found = self._logs[worker]
            if log_id and found.log_id and found.log_id != log_id:
                found = self._logs[worker] = WorkerLog(worker, self._directory.log(worker))
                self._closed = _unwritten_logs(self._directory, len(self._logs))
            return found

    def require(self, log_id: str) -> WorkerLog:
        """The log of this id; an empty id will do where only one is written.

        Raises:
            ExchangeError: There is no such log here, or an id is needed.
        """
        found = [log for log in self._logs if log_id in ("", log.log_id)]
        found += [log for log in self._closed if log_id and log_id == log.log_id]
        if len(found) != 1:
            what = f"no log {log_id}" if log_id else "several logs: name one"
            raise ExchangeError(Reason.NOT_FOUND, f"this gateway has {what}")
        return found[0]


def _unwritten_logs(directory: GatewayDirectory, workers: int) -> list[WorkerLog]:
    """Those that were closed, and those of workers that ``gateway.toml`` names no more."""
    found = []
    with suppress(ExchangeError):  # a gateway whose first log is lost has none yet
        for place in log_places(directory.root):
            if place.is_closed or place.worker >= workers:
                log = WorkerLog(place.worker, place.segments)
                head = read_head_file(place.head_file)
                log.take_head(head.decode("ascii") if head else "")
                found.append(log)
    return found
