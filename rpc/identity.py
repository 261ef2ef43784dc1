"""Who a program, operator or process is towards others: a directory with a key, a chain, and whom to trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.reasons import ExchangeError, Reason
from rpc.files import MAX_FILE_BYTES, read_private

KEY_FILE: Final = "identity.key"
CHAIN_FILE: Final = "identity.crt"
ROOTS_FILE: Final = "ca.pem"


@dataclass(frozen=True, slots=True)
class Identity:
    """A TLS identity, as PEM.

    Attributes:
        key: The private key; never shown.
        chain: The certificate, then its issuers.
        roots: Whom to trust as server.
    """

    key: bytes
    chain: bytes
    roots: bytes

    @classmethod
    def read(cls, directory: Path) -> Identity:
        """Read ``identity.key`` (0600), ``identity.crt`` and ``ca.pem`` of a directory.

        Raises:
            ExchangeError: ``KEY_UNREADABLE`` or ``CERTIFICATE_INVALID``, with the file's name.
        """
        return cls.from_files(directory / KEY_FILE, directory / CHAIN_FILE, directory / ROOTS_FILE)

    @classmethod
    def from_files(cls, key: Path, chain: Path, roots: Path) -> Identity:
        """Read an identity whose files lie elsewhere; raises as ``read`` does."""
        return cls(read_private(key), _read_public(chain), _read_public(roots))

    def __repr__(self) -> str:
        return "Identity(…)"


def _read_public(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{path}: {error.strerror}") from None
