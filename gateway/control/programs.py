"""``state/programs.json``: the programs of this member that may connect, by pinned certificate thumbprint.

The file is the decision of the member's administrator; control hands it to the workers with the
configuration. Writers replace it whole under a lock, so that two administrators cannot lose each other's
change.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from core.configuration import ProgramEntry
from core.documents import decode_strict, encode
from core.identifiers import ProgramId
from core.reasons import ExchangeError, Reason
from rpc.files import replace_file


class _ProgramsDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    programs: list[ProgramEntry]


class PinnedPrograms:
    """The file and what it says."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> list[ProgramEntry]:
        """All programs, in order of id and thumbprint; none if there is no file yet.

        Raises:
            ExchangeError: The file is malformed.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        document = decode_strict(data, _ProgramsDocument)
        if document.v != 1:
            raise ExchangeError(Reason.DOCUMENT_INVALID, f"{self._path} has version {document.v}, not 1")
        return document.programs

    def add(self, program: ProgramId, thumbprint: str) -> None:
        """Admit a certificate. A program may have several, so that a renewal loses no call."""
        with self._locked():
            kept = [entry for entry in self.entries() if entry.thumbprint != thumbprint]
            self._write([*kept, ProgramEntry(id=str(program), thumbprint=thumbprint, state="active")])

    def remove(self, program: ProgramId) -> int:
        """No longer admit any certificate of a program; tells how many that were.

        Raises:
            ExchangeError: The program has none.
        """
        with self._locked():
            entries = self.entries()
            active = [entry for entry in entries if entry.id == str(program) and entry.state == "active"]
            if not active:
                raise ExchangeError(Reason.NOT_FOUND, f"program {program} is not known here")
            self._write(
                [
                    msgspec.structs.replace(entry, state="removed") if entry in active else entry
                    for entry in entries
                ]
            )
        return len(active)

    def _write(self, entries: list[ProgramEntry]) -> None:
        ordered = sorted(entries, key=lambda entry: (entry.id, entry.thumbprint))
        replace_file(self._path, encode(_ProgramsDocument(v=1, programs=ordered)) + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
