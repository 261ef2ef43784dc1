"""The keys of a member's pseudonyms on disk: ``2026.key``, one file for each year, 0600 (PROTOCOL M13).

They are made years ahead, so that the gateways of a member have the same ones without ever speaking of them, and so that
a year begins without anybody's help. A key that is gone makes the pseudonyms of its year nobody's for good.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from core.pseudonyms import KEY_BYTES
from core.reasons import ExchangeError, Reason
from rpc.files import read_private, write_private

YEARS_MADE: Final = 10

_NAME: Final = re.compile(r"(2[0-9]{3})\.key")
_TEXT_BYTES: Final = 2 * KEY_BYTES + 1


def key_file(directory: Path, year: int) -> Path:
    """Where the key of a year lies."""
    return directory / f"{year}.key"


def create_keys(directory: Path, years: Iterable[int]) -> list[int]:
    """Make the keys of ``years`` that are not there yet, durably; returns those that were made."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    missing = [year for year in years if not key_file(directory, year).exists()]
    for year in missing:
        write_private(key_file(directory, year), _written(secrets.token_bytes(KEY_BYTES)))
    return missing


def share_keys(source: Path, directory: Path) -> list[int]:
    """Take over the keys of another gateway of the same member; returns the years that were not there yet.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``: there are none, or one cannot be read. ``STATE_CONFLICT``: a year has another
            key here, so that one person would have two pseudonyms; nothing was taken over.
    """
    given, held = read_keys(source), read_keys(directory) if directory.exists() else {}
    if not given:
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{source} holds no key of pseudonyms")
    for year in sorted(given.keys() & held.keys()):
        if given[year] != held[year]:
            raise ExchangeError(
                Reason.STATE_CONFLICT, f"{key_file(directory, year)} is another key than the one to be shared"
            )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = sorted(given.keys() - held.keys())
    for year in new:
        write_private(key_file(directory, year), _written(given[year]))
    return new


def read_key(directory: Path, year: int) -> bytes:
    """The key of a year.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``: it is missing, open to others, or no key.
    """
    path = key_file(directory, year)
    text = read_private(path, max_bytes=_TEXT_BYTES)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or text != _written(key):
        raise ExchangeError(
            Reason.KEY_UNREADABLE, f"{path} is no key of pseudonyms: {KEY_BYTES} bytes in hex"
        )
    return key


def years_held(directory: Path) -> list[int]:
    """The years of which there is a file, rising.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``: the directory cannot be read.
    """
    try:
        names = [_NAME.fullmatch(path.name) for path in directory.iterdir()]
    except OSError as error:
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{directory}: {error.strerror}") from error
    return sorted(int(name[1]) for name in names if name)


def read_keys(directory: Path) -> dict[int, bytes]:
    """Every key there is, by its year.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``: the directory or one of them cannot be read.
    """
    return {year: read_key(directory, year) for year in years_held(directory)}


def _written(key: bytes) -> bytes:
    return key.hex().encode("ascii") + b"\n"
