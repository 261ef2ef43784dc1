"""Raw files of the global configuration, kept as the registry served them.

Two uses: a restart needs no registry, and the documents of every version ever in force stay at hand for
evidence. Only files that were verified are put here, so that a hostile or broken registry cannot spoil what a
restart needs. Names
are TUF's own: ``metadata/7.targets.json``, ``targets/members/<sha256>.BJ.GOV.ANIP.json``.
"""

import re
from pathlib import Path

from rpc.files import replace_file

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
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)

    def remove_others(self, name: str, pattern: str) -> None:
        """Let go of files beside ``name`` whose names match: superseded, and of no use to evidence."""
        keep = self._path(name)
        for path in keep.parent.glob(pattern):
            if path != keep:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UnsafeNameError(f"a file of the configuration cannot be named {name[:80]!a}")
        return self._directory / name
