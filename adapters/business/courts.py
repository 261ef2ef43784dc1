"""Which court keeps a firm's entry: data (``courts.toml``), as codes other than COT are assumed."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

_COURTS: Final = Path(__file__).with_name("courts.toml")


def court_of(seat_code: str) -> str:
    """The court of a seat, by its commune or else its department; ``COT`` for ``LI-COT-05``.

    Raises:
        LookupError: No court is known for it.
    """
    courts = _courts()
    return courts.get(seat_code[: len("LI-COT")]) or courts[seat_code[: len("LI")]]


@cache
def _courts() -> dict[str, str]:
    with _COURTS.open("rb") as file:
        return dict(tomllib.load(file)["courts"])
