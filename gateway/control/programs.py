"""``state/programs.json``: the programs of this member that may call, by pinned thumbprint of certificate or key.

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
from pki.keys import key_thumbprint, load_public_key, public_key_pem
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
        for entry in document.programs:
            self._check(entry)
        return document.programs

    def _check(self, entry: ProgramEntry) -> None:
        # A key under another's thumbprint would sign tokens in its name.
        if entry.public_key is not None and entry.thumbprint != key_thumbprint(
            load_public_key(entry.public_key)
        ):
            raise ExchangeError(
                Reason.DOCUMENT_INVALID, f"{self._path}: a key of {entry.id} has another thumbprint"
            )

    def add(self, program: ProgramId, thumbprint: str) -> None:
        """Admit a certificate. A program may have several, so that a renewal loses no call."""
        self._admit(ProgramEntry(id=str(program), thumbprint=thumbprint, state="active"))

    def add_key(self, program: ProgramId, public_key: str) -> str:
        """Take the caller tokens that this key signs (PEM), for this program only; returns its thumbprint.

        Raises:
            ExchangeError: It is no P-256 public key, or another program has it: whose call it is would be left open.
        """
        key = load_public_key(public_key)
        thumbprint = key_thumbprint(key)
        self._admit(
            ProgramEntry(
                id=str(program), thumbprint=thumbprint, state="active", public_key=public_key_pem(key)
            )
        )
        return thumbprint

    def _admit(self, added: ProgramEntry) -> None:
        with self._locked():
            entries = self.entries()
            for entry in entries:
                if (entry.thumbprint, entry.state) == (added.thumbprint, "active") and entry.id != added.id:
                    raise ExchangeError(Reason.ALREADY_EXISTS, f"this is a credential of program {entry.id}")
            self._write([*[entry for entry in entries if entry.thumbprint != added.thumbprint], added])

    def remove(self, program: ProgramId, thumbprint: str | None = None) -> int:
        """No longer admit one credential of a program, or any; tells how many that were.

        Raises:
            ExchangeError: The program has none.
        """
        with self._locked():
            entries = self.entries()
            active = [
                entry
                for entry in entries
                if entry.id == str(program)
                and entry.state == "active"
                and thumbprint in (None, entry.thumbprint)
            ]
            if not active:
                what = f"{thumbprint} of program {program}" if thumbprint else f"program {program}"
                raise ExchangeError(Reason.NOT_FOUND, f"{what} is not known here")
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
