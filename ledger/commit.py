"""Group commit: the only door to the disk. One commit thread, one commit at a time (DESIGN section 5).

``submit`` gives the indexes, grows the tree, packs and encrypts, all on the caller's thread; the commit thread only
writes and syncs, so that it holds no lock while the disk works. ``done`` runs after that, and nothing may be promised
before. After one failed write or sync the handle is dead: ``done`` is not called, now or ever (invariant 4).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, Protocol

from core.reasons import ExchangeError, Reason
from ledger.log import Log
from ledger.records import AttachmentKind, RecordType, attachment_data, leaf_data

RESERVE_CHECK_S: Final = 0.05


class Vault(Protocol):
    """Encrypts bodies; ``ledger.vault.BodyVault`` is it."""

    def seal(self, index: int, service: str, body: bytes) -> bytes:
        """Bytes of the BODY record of leaf ``index``."""


@dataclass(slots=True)
class Entry:
    """One leaf to be appended, with what lies beside it and the body to be encrypted."""

    leaf: bytes
    leaf_hash: bytes
    attachments: tuple[tuple[AttachmentKind, bytes], ...] = ()
    body: bytes | None = None
    service: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """What is durable now: index of the first leaf of the commit, and the size of the log after it."""

    first: int
    size: int


class RecordingFailedError(ExchangeError):
    """The log cannot be written any more."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.RECORDING_FAILED, text)


class GroupCommit:
    """Commits to one log.

    Args:
        log: The open log.
        notify: Runs a callback on the caller's loop; ``loop.call_soon_threadsafe``.
        on_failure: Called once, on the loop, when the disk refused.
        vault: Encrypts bodies; without one, bodies are not kept.
        reserve_bytes: Free space below which ``is_reserve_reached``.
    """

    def __init__(
        self,
        log: Log,
        notify: Callable[[Callable[[], None]], object],
        on_failure: Callable[[BaseException], None],
        *,
        vault: Vault | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        self.log = log
        self.busy = False
        self.commits = 0
        self.durable_sequence = log.sequence
        self.failure: BaseException | None = None
        self._notify = notify
        self._on_failure = on_failure
        self._vault = vault
        self._reserve_bytes = reserve_bytes
        self._checked_at = float("-inf")
        self._free = 0
        self._work: SimpleQueue[tuple[bytes, int, int, int, Callable[[], None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    @property
    def free_bytes(self) -> int:
        """Bytes that may still be written, as of at most 50 ms ago."""
        now = time.monotonic()
        if now - self._checked_at >= RESERVE_CHECK_S:
            self._checked_at = now
            self._free = self.log.disk.free_bytes(self.log.directory)
        return self._free

    def is_reserve_reached(self) -> bool:
        """Whether new exchanges must be refused, before a write can fail."""
        return self.free_bytes < self._reserve_bytes

    def submit(
        self, entries: Sequence[Entry], done: Callable[[Committed], None], head: bytes | None = None
    ) -> int:
        """Append ``entries``; ``done`` is called on the loop once they are durable. Returns the first index.

        Args:
            entries: What to append, in order.
            done: Gets first index and size.
            head: Our newest signed head, to be kept with this commit.

        Raises:
            RecordingFailedError: The log is dead, or a commit is under way.
        """
        first, data, first_sequence = self._prepare(entries, head)
        self.busy = True
        committed = Committed(first, self.log.size)

        def finish() -> None:
            self.busy = False
            if self.failure is not None:
                self._on_failure(self.failure)
                return
            self.commits += 1
            done(committed)

        self._work.put((data, first, first_sequence, self.log.sequence, finish))
        return first

    def commit_now(self, entries: Sequence[Entry], head: bytes | None = None) -> Committed:
        """The same, waiting for the disk; for processes without a loop.

        Raises:
            RecordingFailedError: The disk refused, or the log is dead.
        """
        first, data, first_sequence = self._prepare(entries, head)
        self._write(data, first, first_sequence, self.log.sequence)
        if self.failure is not None:
            raise RecordingFailedError(f"the disk refused: {self.failure}")
        self.commits += 1
        return Committed(first, self.log.size)

    def close(self) -> None:
        """Let the commit under way end, then stop the thread."""
        self._work.put(None)
        self._thread.join()

    def _prepare(self, entries: Sequence[Entry], head: bytes | None) -> tuple[int, bytes, int]:
        if self.failure is not None or self.busy:
            raise RecordingFailedError("the log is dead" if self.failure else "a commit is under way")
        log = self.log
        tree, pack, vault = log.tree, log.writer.pack, self._vault
        first = index = log.size
        sequence = log.sequence
        parts: list[bytes] = []
        if head is not None:
            sequence += 1
            pack(parts, sequence, RecordType.HEAD, head)
        for entry in entries:
            # The leaf comes last: where it is whole, all that belongs to it is.
            for kind, data in entry.attachments:
                sequence += 1
                pack(parts, sequence, RecordType.ATTACHMENT, attachment_data(index, kind, data))
            if entry.body is not None and vault is not None:
                sequence += 1
                pack(parts, sequence, RecordType.BODY, vault.seal(index, entry.service, entry.body))
            sequence += 1
            pack(parts, sequence, RecordType.LEAF, leaf_data(index, entry.leaf))
            tree.append(entry.leaf_hash)
            index += 1
        first_sequence, log.sequence = log.sequence + 1, sequence
        return first, b"".join(parts), first_sequence

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            data, first, first_sequence, last_sequence, finish = work
            self._write(data, first, first_sequence, last_sequence)
            self._notify(finish)

    def _write(self, data: bytes, first: int, first_sequence: int, last_sequence: int) -> None:
        try:
            self.log.write(data, first, first_sequence)
            self.durable_sequence = last_sequence
        except OSError as error:
            self.failure = error
