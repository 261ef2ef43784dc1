"""What another process answered when it refused, without any gRPC types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.language import Text
from core.reasons import Code

MAX_TEXT_CHARACTERS: Final = 2048
OWN_DOMAIN: Final = "passerelle"


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that the other side refused."""

    field: str
    description: str


class RemoteError(Exception):
    """A call that ended with a status other than OK.

    Attributes:
        code: The canonical code.
        reason: The named reason, ``NO_AGREEMENT``; empty if the other side gave none.
        domain: Who failed: ``passerelle`` for the layer, else the provider's service id.
        message: The status message.
        text: The sentence in both languages; the message itself where the other side sent no translation.
        metadata: ``exchange_id``, ``delivery``, ``retry``, ``side``, as far as known.
        violations: Refused fields.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        reason: str = "",
        domain: str = "",
        text: Text | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(message or code.name)
        self.code = code
        self.reason = reason
        self.domain = domain
        self.message = message
        self.text = text or Text(message or code.name, message or code.name)
        self.metadata = dict(metadata or {})
        self.violations = violations


def printable(text: str) -> str:
    """One line without control or direction characters, of bounded length: fit for a terminal and for a log."""
    line = "".join(
        char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:MAX_TEXT_CHARACTERS]
    )
    return line if len(text) <= MAX_TEXT_CHARACTERS else f"{line}…"
