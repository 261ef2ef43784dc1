"""Random bytes from the kernel, fetched in advance: one system call for many salts and nonces."""

from __future__ import annotations

import os
from typing import Final

POOL_BYTES: Final = 8192


class RandomPool:
    """Gives each byte out once."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """``count`` fresh random bytes."""
        end = self._at + count
        if end > len(self._pool):
            self._pool, self._at, end = os.urandom(max(POOL_BYTES, count)), 0, count
        found = self._pool[self._at : end]
        self._at = end
        return found
