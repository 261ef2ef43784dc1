"""What waits to be transcoded beside the loop: one thread, and a bounded number of bytes before it.

Bytes count from when they wait until their work is done or given up: a call that ends while its body waits takes the body
along, and nothing is transcoded for nobody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

# At 3 us a byte at worst, a program's share holds the others up for a dozen seconds, and no longer.
MAX_QUEUED_BYTES: Final = 16 * 1024 * 1024
MAX_QUEUED_BYTES_PER_PROGRAM: Final = 4 * 1024 * 1024

_Result = TypeVar("_Result")


class Job(Generic[_Result]):
    """Work that waits, or is being done; all but ``run`` belongs to the loop."""

    __slots__ = ("_done", "_future", "_work")

    def __init__(self, work: Callable[[], _Result], done: Callable[[_Result], None]) -> None:
        self._work: Callable[[], _Result] | None = work
        self._done: Callable[[_Result], None] | None = done
        self._future: Future[_Result | None] | None = None

    def wait(self, thread: ThreadPoolExecutor) -> Future[_Result | None]:
        """Stand in the queue of ``thread``."""
        self._future = thread.submit(self.run)
        return self._future

    def run(self) -> _Result | None:
        """Do the work, on the thread."""
        work = self._work
        return None if work is None else work()

    def tell(self, result: _Result | None) -> None:
        """Hand on what came of it, unless it was given up."""
        done, self._done, self._work = self._done, None, None
        if done is not None and result is not None:
            done(result)

    def cancel(self) -> None:
        """Nobody waits for it: let go of what it holds. What the thread is at ends first, and tells nobody."""
        self._done = self._work = None
        if self._future is not None:
            self._future.cancel()


class JsonQueue:
    """One thread, and what waits for it.

    Attributes:
        queued_bytes: How many bytes wait or are being worked on.
    """

    def __init__(self) -> None:
        self.queued_bytes = 0
        self._by_program: Counter[str] = Counter()
        self._thread: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def has_room(self, program: str, size: int) -> bool:
        """Whether a request of ``program`` may wait."""
        return (
            self.queued_bytes + size <= MAX_QUEUED_BYTES
            and self._by_program[program] + size <= MAX_QUEUED_BYTES_PER_PROGRAM
        )

    def has_room_for_answer(self, size: int) -> bool:
        """Whether an answer may wait: as much again is theirs, since they were delivered."""
        return self.queued_bytes + size <= 2 * MAX_QUEUED_BYTES

    def submit(
        self,
        program: str,
        size: int,
        work: Callable[[], _Result],
        done: Callable[[_Result], None],
        loop: asyncio.AbstractEventLoop,
    ) -> Job[_Result]:
        """Have ``work`` done in its turn, and ``done`` called with what came of it on the loop."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="json")
        self._count(program, size)
        job = Job(work, done)

        def back(finished: Future[_Result | None]) -> None:
            if finished.cancelled():  # by the loop
                self._count(program, -size)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(ended, finished)

        def ended(finished: Future[_Result | None]) -> None:
            self._count(program, -size)
            job.tell(finished.result())

        job.wait(self._thread).add_done_callback(back)
        return job

    def _count(self, program: str, by: int) -> None:
        self.queued_bytes += by
        self._by_program[program] += by
        if not self._by_program[program]:
            del self._by_program[program]
