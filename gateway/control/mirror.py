"""Raw files of the global configuration, kept as the registry served them.

Two uses: a restart needs no registry, and the documents of every version ever in force stay at hand for
evidence. Only files that were verified are put here, so that a hostile or broken registry cannot spoil what a
restart needs. Names
are TUF's own: ``metadata/7.targets.json``, ``targets/members/<sha256>.BJ.GOV.ANIP.json``.
"""

import os
import re
from pathlib import Path

# TUF target paths are signed by the registry's operator; that does not make them safe as file names.
_NAME = re.compile(r"(metadata|targets)(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}){1,4}")


class UnsafeNameError(ValueError):
    """A file of the configuration has a name that must not reach the file system."""


class Mirror:
    """A directory of raw files; one writer, any number of readers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str) -> bytes | None:
        """The bytes of a file, or ``None`` if it is not here."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        """Keep a verified file; readers see all of it or nothing."""
        replace_file(self._path(name), data)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UnsafeNameError(f"a file of the configuration cannot be named {name[:80]!a}")
        return self._directory / name


def replace_file(path: Path, data: bytes, *, mode: int = 0o640) -> None:
    """Write a file under a temporary name, make it durable and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
