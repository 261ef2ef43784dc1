"""A disk that forgets, when the power goes, what was not synced: pages of files, sizes, names.

Whatever the workers of this process write below a directory is written for real; what it replaced is kept until a
sync makes it durable. A cut decides by chance for each page, size and name whether the old or the new state is found
afterwards, as POSIX allows: pages reach a disk in any order, and a name only with the sync of its directory.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger.log import SystemDisk

PAGE = 4096


@dataclass(slots=True)
class _Unsynced:
    """What a file was at its last sync: its size, and the pages that were written over since."""

    size: int
    pages: dict[int, bytes] = field(default_factory=dict)


class VolatileDisk:
    """Stands between this process and one directory."""

    def __init__(self, root: Path, chance: random.Random, patch: pytest.MonkeyPatch) -> None:
        self.cuts = 0
        self.lost_pages = 0
        self._root = str(root)
        self._chance = chance
        self._lock = threading.RLock()
        self._is_off = False
        self._is_due = False
        self._files: dict[str, _Unsynced] = {}
        self._created: set[str] = set()
        self._replaced: dict[str, bytes | None] = {}
        self._os: dict[str, Callable[..., Any]] = {}
        for name in ("open", "pwrite", "write", "fsync", "fdatasync", "replace", "rename", "unlink"):
            self._os[name] = getattr(os, name)
            patch.setattr(os, name, getattr(self, f"_{name}"))
        patch.setattr(SystemDisk, "pwrite", staticmethod(self._pwrite))
        patch.setattr(SystemDisk, "fdatasync", staticmethod(self._fdatasync))

    def off(self) -> None:
        """The power goes: from now on nothing is written or synced."""
        with self._lock:
            self._is_off = True

    def off_at_next_sync(self) -> None:
        """The power goes in the middle of a commit: it is written, and its sync fails. Waits for that."""
        self._is_due = True
        end = time.monotonic() + 20
        while not self._is_off:
            assert time.monotonic() < end, "nothing was synced"
            time.sleep(0.001)

    def on(self, *machines: Path) -> None:
        """The power is back; of the machines that it left, what nobody had synced is decided by chance.

        Args:
            machines: Their directories. Of the others, which live on, nothing is taken from under an open file.
        """
        roots = tuple(f"{machine}{os.sep}" for machine in machines)
        with self._lock:
            self.cuts += 1
            for path in [one for one in self._files if one.startswith(roots)]:
                unsynced = self._files.pop(path)
                if os.path.exists(path):
                    self._lose(path, unsynced)
            for path in [one for one in self._replaced if one.startswith(roots)]:
                self._lose_name(path, self._replaced.pop(path))
            for path in [one for one in self._created if one.startswith(roots)]:
                self._created.remove(path)
                if os.path.exists(path) and self._chance.random() < 0.5:
                    self._os["unlink"](path)
            self._is_off = False

    def _lose(self, path: str, unsynced: _Unsynced) -> None:
        with open(path, "r+b") as file:
            for number, before in unsynced.pages.items():
                if self._chance.random() < 0.5:
                    self.lost_pages += 1
                    file.seek(number * PAGE)
                    file.write(before)
            if self._chance.random() < 0.5:
                file.truncate(unsynced.size)

    def _lose_name(self, path: str, before: bytes | None) -> None:
        """A file that was renamed into place: the one of before, the new one, or one without what was never synced."""
        found = self._chance.choice(("before", "after", "empty"))
        if found == "before" and before is not None:
            Path(path).write_bytes(before)
        elif found == "before" and os.path.exists(path):
            self._os["unlink"](path)
        elif found == "empty":
            Path(path).write_bytes(b"")

    # --- the calls ---

    def _path_of(self, fd: int) -> str | None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        return path if path.startswith(self._root) else None

    def _require_power(self) -> None:
        if self._is_off:
            raise OSError(errno.EIO, "no power")

    def _open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        with self._lock:
            name = os.path.realpath(path)
            is_new = bool(flags & os.O_CREAT) and name.startswith(self._root) and not os.path.exists(name)
            if is_new:
                self._require_power()
                self._created.add(name)
            return int(self._os["open"](path, flags, mode, **more))

    def _pwrite(self, fd: int, data: Any, offset: int) -> int:
        with self._lock:
            path = self._path_of(fd)
            if path is not None:
                self._require_power()
                self._note(path, fd, offset, len(data))
            return int(self._os["pwrite"](fd, data, offset))

    def _write(self, fd: int, data: Any) -> int:
        with self._lock:
            path = self._path_of(fd)
            if path is not None:
                self._require_power()
                self._note(path, fd, os.lseek(fd, 0, os.SEEK_CUR), len(data))
            return int(self._os["write"](fd, data))

    def _note(self, path: str, fd: int, offset: int, length: int) -> None:
        unsynced = self._files.get(path)
        if unsynced is None:
            unsynced = self._files[path] = _Unsynced(os.fstat(fd).st_size)
        with open(path, "rb") as before:
            for number in range(offset // PAGE, (offset + length + PAGE - 1) // PAGE):
                if number not in unsynced.pages:
                    before.seek(number * PAGE)
                    unsynced.pages[number] = before.read(PAGE)

    def _sync(self, name: str, fd: int) -> None:
        with self._lock:
            path = self._path_of(fd)
            if path is None:
                self._os[name](fd)
                return
            if self._is_due:
                self._is_off, self._is_due = True, False
            self._require_power()
            self._files.pop(path, None)
            if os.path.isdir(path):
                durable = [one for one in (*self._created, *self._replaced) if os.path.dirname(one) == path]
                self._created.difference_update(durable)
                for one in durable:
                    self._replaced.pop(one, None)

    def _fsync(self, fd: int) -> None:
        self._sync("fsync", fd)

    def _fdatasync(self, fd: int) -> None:
        self._sync("fdatasync", fd)

    def _replace(self, source: Any, target: Any, **more: Any) -> None:
        with self._lock:
            name = os.path.realpath(target)
            if name.startswith(self._root):
                self._require_power()
                before = Path(name).read_bytes() if os.path.exists(name) else None
                self._replaced.setdefault(name, before)
                self._created.discard(os.path.realpath(source))
                self._files.pop(os.path.realpath(source), None)
            self._os["replace"](source, target, **more)

    def _rename(self, source: Any, target: Any, **more: Any) -> None:
        self._replace(source, target, **more)

    def _unlink(self, path: Any, **more: Any) -> None:
        with self._lock:
            if os.path.realpath(path).startswith(self._root):
                self._require_power()
            self._os["unlink"](path, **more)
