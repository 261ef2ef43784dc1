"""Personal numbers as they are shown to whoever may not know them."""

from __future__ import annotations

from typing import Final

_SHOWN_DIGITS: Final = 3


def mask_npi(npi: str) -> str:
    """``*******042``: enough to recognise one that is known, not to learn one."""
    return npi[-_SHOWN_DIGITS:].rjust(len(npi), "*")
