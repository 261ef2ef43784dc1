"""Group commit: the only door to the disk. One commit thread, one commit at a time (DESIGN section 5).

``submit`` gives the indexes, grows the tree, packs and encrypts, all on the caller's thread; the commit thread only
writes and syncs, so that it holds no lock while the disk works. ``done`` runs after that, and nothing may be promised
before. After one failed write or sync the handle is dead: ``done`` is not called, now or ever (invariant 4).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final, Protocol

from core.reasons import ExchangeError, Reason
from ledger.log import Log
from ledger.records import COMMIT_END, MAX_RECORD_BYTES, AttachmentKind, RecordType

RESERVE_CHECK_S: Final = 0.05
_RECORD_ROOM: Final = 64  # at most what a record adds to a leaf, an attachment or a body
_LEAF: Final = int(RecordType.LEAF)
_LAST_LEAF: Final = RecordType.LEAF | COMMIT_END
_BODY: Final = int(RecordType.BODY)


class Vault(Protocol):
    """Encrypts bodies; ``ledger.vault.BodyVault`` is it."""

    def seal_all(self, bodies: Sequence[tuple[int, str, bytes]]) -> list[tuple[bytes, bytes]]:
        """The BODY records of these leaf indexes, services and bytes, each in two pieces."""


@dataclass(slots=True)
class Entry:
    """One leaf to be appended, with what lies beside it, and the body that is kept encrypted."""

    leaf: bytes
    leaf_hash: bytes
    attachments: tuple[tuple[AttachmentKind, bytes], ...] = ()
    secret: bytes | None = None
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
        self.written_bytes = 0
        self.durable_sequence = log.sequence
        self.failure: BaseException | None = None
        self._notify = notify
        self._on_failure = on_failure
        self._vault = vault
        self._reserve_bytes = reserve_bytes
        self._checked_at = float("-inf")
        self._free = 0
        self._work: SimpleQueue[tuple[bytes, int, int, Callable[[], None]] | None] = SimpleQueue()
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
        first, data, sequence = self._prepare(entries, head)
        self.busy = True
        committed = Committed(first, self.log.size)

        def finish() -> None:
            self.busy = False
            if self.failure is not None:
                self._on_failure(self.failure)
                return
            self.commits += 1
            done(committed)

        self._work.put((data, first, sequence, finish))
        return first

    def commit_now(self, entries: Sequence[Entry], head: bytes | None = None) -> Committed:
        """The same, waiting for the disk; for processes without a loop.

        Raises:
            RecordingFailedError: The disk refused, or the log is dead.
        """
        first, data, sequence = self._prepare(entries, head)
        self._write(data, first, sequence)
        self._require_written()
        self.commits += 1
        return Committed(first, self.log.size)

    def close(self) -> None:
        """Let the commit under way end, then stop the thread."""
        self._work.put(None)
        self._thread.join()

    def record_purge(self, purge: bytes) -> None:
        """Put on record that bodies were erased: the bytes that ``BodyVault.erase`` gave; waits for the disk.

        Raises:
            RecordingFailedError: The disk refused, the log is dead, or a commit is under way.
        """
        self._require_ready()
        parts: list[bytes] = []
        self.log.sequence += 1
        self.log.writer.pack(parts, self.log.sequence, RecordType.PURGE | COMMIT_END, purge)
        self._write(b"".join(parts), self.log.size, self.log.sequence)
        self._require_written()

    def _require_ready(self) -> None:
        if self.failure is not None or self.busy:
            raise RecordingFailedError("the log is dead" if self.failure else "a commit is under way")

    def _require_written(self) -> None:
        if self.failure is not None:
            raise RecordingFailedError(f"the disk refused: {self.failure}")

    def _prepare(self, entries: Sequence[Entry], head: bytes | None) -> tuple[int, bytes, int]:
        """First index, bytes and sequence of the commit; the log has grown by it when this returns."""
        self._require_ready()
        log = self.log
        first = log.size
        try:
            data = self._packed(entries, head, first, log.sequence + 1)
        except OSError as error:
            # Slots or day keys could not be made: what they hold on disk is unknown.
            self.failure = error
            raise RecordingFailedError(f"the disk refused: {error}") from error
        if len(data) > MAX_RECORD_BYTES:
            _require_readable(entries)
        log.sequence += bool(data)
        log.tree.extend([entry.leaf_hash for entry in entries])
        return first, data, log.sequence

    def _packed(self, entries: Sequence[Entry], head: bytes | None, index: int, sequence: int) -> bytes:
        writer, vault = self.log.writer, self._vault
        pack_leaf, pack_attachment = writer.pack_leaf, writer.pack_attachment
        secrets = [
            (at, entry.service, entry.secret)
            for at, entry in enumerate(entries, index)
            if entry.secret is not None
        ]
        sealed = iter(vault.seal_all(secrets)) if vault is not None else None
        parts: list[bytes] = []
        if head is not None:
            writer.pack(parts, sequence, RecordType.HEAD | (0 if entries else COMMIT_END), head)
        last = index + len(entries) - 1
        for entry in entries:
            for kind, data in entry.attachments:
                pack_attachment(parts, sequence, index, kind, data)
            if entry.secret is not None and sealed is not None:
                writer.pack(parts, sequence, _BODY, *next(sealed))
            # The leaf comes last: where it is read, all that belongs to it was.
            pack_leaf(parts, sequence, _LEAF if index < last else _LAST_LEAF, index, entry.leaf)
            index += 1
        return b"".join(parts)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            data, first, sequence, finish = work
            self._write(data, first, sequence)
            # A loop that was closed meanwhile has nobody left to be told.
            with contextlib.suppress(RuntimeError):
                self._notify(finish)

    def _write(self, data: bytes, first: int, sequence: int) -> None:
        try:
            if data:
                self.log.write(data, first, sequence)
                self.written_bytes += len(data)
            self.durable_sequence = sequence
        except Exception as error:  # whatever it was: nothing more may be acknowledged
            self.failure = error


def _require_readable(entries: Sequence[Entry]) -> None:
    """What a reader would refuse must not be written; nothing is given or changed yet."""
    for entry in entries:
        parts = (entry.leaf, entry.secret or b"", *(data for _, data in entry.attachments))
        if max(map(len, parts)) > MAX_RECORD_BYTES - _RECORD_ROOM:
            raise ValueError(f"a record holds at most {MAX_RECORD_BYTES - _RECORD_ROOM} bytes")
