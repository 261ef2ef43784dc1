"""Files that matter: private ones nobody else may read, and replacements that are whole or absent.

Standard library only, so that every process and command can use it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from core.reasons import ExchangeError, MalformedError, Reason

PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
MAX_FILE_BYTES: Final = 16 * 1024 * 1024


def read_private(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read a file that must be readable by its owner only.

    The permissions are those of the very file that is read, not of a name that could be swapped.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``: it is missing, no plain file, too long, or open to others.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ExchangeError(Reason.KEY_UNREADABLE, f"{path} is not a plain file")
            if found.st_mode & 0o077:
                raise ExchangeError(
                    Reason.KEY_UNREADABLE,
                    f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600 {path}",
                )
            return _read(file.read(max_bytes + 1), path, max_bytes)
    except OSError as error:
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{path}: {error.strerror}") from error


def _read(data: bytes, path: Path, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{path} is longer than {max_bytes} bytes")
    return data


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Read a file that somebody handed over, and no more of it than such a file may have.

    Raises:
        MalformedError: ``DOCUMENT_INVALID``: it is longer than ``max_bytes``.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise MalformedError(Reason.DOCUMENT_INVALID, f"{path.name!a} is longer than {max_bytes} bytes")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Write a new file with mode 0600, durable when this returns; an existing file is never touched.

    Raises:
        ExchangeError: ``ALREADY_EXISTS``: there is a file of that name.
        OSError: It cannot be written.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
    except FileExistsError:
        raise ExchangeError(Reason.ALREADY_EXISTS, f"{path} exists and is not overwritten") from None
    try:
        # The umask may have taken bits away from the owner, never given any to others.
        os.fchmod(file, PRIVATE_MODE)
        _write_all(file, data)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(file)
    sync_directory(path.parent)


def replace_file(path: Path, data: bytes, *, mode: int = PUBLIC_MODE) -> None:
    """Put ``data`` in place of ``path``: readers and a crash see the old bytes or the new, never a mix."""
    with replacing(path, mode=mode) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, mode: int = PUBLIC_MODE) -> Iterator[BinaryIO]:
    """The same for bytes that come one after the other: what is written takes the place of ``path`` at the end.

    An error, be it in the block, leaves ``path`` as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(file, "w+b") as opened:
            os.fchmod(file, mode)
            yield opened
            opened.flush()
            os.fsync(file)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in ``path`` durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    os.fsync(file)
