"""Tokens for persons whom a search found: they name somebody to the register and tell nobody who it is.

A token is good for ten minutes, for the consumer and the dossier of the search, and only to the process that gave it: its
key is never written down. Whoever steals one can have claims compared in that consumer's name, and learns no number.
"""

from __future__ import annotations

import base64
import os
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.context import CallerContext
from adapters.reasons import InvalidFieldsError
from core.clock import Clock

LIFETIME_MS: Final = 600_000
_NONCE_BYTES: Final = 12
# Expiry, UTC milliseconds, then the ten digits: one length for all, so that a token's tells nothing.
_CONTENT: Final = struct.Struct(">Q10s")


class CandidateTokens:
    """Gives tokens and takes them back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cipher = AESGCM(AESGCM.generate_key(256))

    def give(self, npi: str, caller: CallerContext) -> str:
        """A token for ``npi``."""
        nonce = os.urandom(_NONCE_BYTES)
        content = _CONTENT.pack(self._clock.now_ms() + LIFETIME_MS, npi.encode("ascii"))
        sealed = nonce + self._cipher.encrypt(nonce, content, _bound_to(caller))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def take(self, token: str, caller: CallerContext) -> str:
        """The number that a token stands for.

        Raises:
            InvalidFieldsError: It was given to another consumer, for another dossier, long ago, or never.
        """
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            nonce, content = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            expires_ms, npi = _CONTENT.unpack(self._cipher.decrypt(nonce, content, _bound_to(caller)))
        except (ValueError, InvalidTag, struct.error):
            raise _not_good() from None
        if self._clock.now_ms() >= expires_ms:
            raise _not_good()
        return str(npi.decode("ascii"))


def _bound_to(caller: CallerContext) -> bytes:
    return f"{caller.client}\n{caller.issue or ''}".encode("ascii")


def _not_good() -> InvalidFieldsError:
    return InvalidFieldsError(
        {"candidate_token": "not given to this consumer and dossier in the last ten minutes"}
    )
