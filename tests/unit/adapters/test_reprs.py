"""No record of an adapter shows, in a log line or an error text, whose it is."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator

import msgspec
import pytest

import adapters

# Numbers of persons and firms' partners, and what else names somebody or reaches him.
_PERSONAL = re.compile(
    r"(.+_)?(npis?|holder|phone|email|birth_date|birth_place|last_name|first_names|marital_name)"
    r"|merged_into|worker_name|party_number|salary_xof"
)
# What is said of such a thing, not the thing: whether it agrees, whether there is one.
_NOT_PERSONAL = ("bool", "Match")


class Shown:
    """A value that is seen wherever it is shown, and of which something may be asked on the way."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __getattr__(self, name: str) -> Shown:
        return Shown(f"{self._name}.{name}")


def records() -> Iterator[type]:
    """Every class of the adapters that is a bundle of named values."""
    for module in pkgutil.walk_packages(adapters.__path__, "adapters."):
        if ".migrations" in module.name:
            continue
        for one in vars(importlib.import_module(module.name)).values():
            if isinstance(one, type) and one.__module__ == module.name and names_of(one):
                yield one


def names_of(record: type) -> tuple[str, ...]:
    """The names of its values; nothing if it is no such class."""
    if dataclasses.is_dataclass(record):
        return tuple(part.name for part in dataclasses.fields(record))
    if issubclass(record, msgspec.Struct):
        return record.__struct_fields__
    return tuple(getattr(record, "_fields", ())) if issubclass(record, tuple) else ()


def filled(record: type) -> object:
    """One with a value in each field that is seen if it is shown; no check of its own runs."""
    values = {name: Shown(name) for name in names_of(record)}
    if not dataclasses.is_dataclass(record):
        return record(**values)
    one = object.__new__(record)
    for name, value in values.items():
        object.__setattr__(one, name, value)
    return one


def personal(record: type) -> list[str]:
    """Those of its values that are not to be shown."""
    kinds = record.__annotations__
    return [
        name for name in names_of(record) if _PERSONAL.fullmatch(name) and kinds[name] not in _NOT_PERSONAL
    ]


RECORDS = [one for one in records() if personal(one)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: f"{one.__module__}.{one.__name__}")
def test_what_is_personal_is_not_shown(record: type) -> None:
    """Whatever the class is made with."""
    shown = repr(filled(record))

    assert [name for name in personal(record) if f"<{name}" in shown] == []


def test_the_records_are_found() -> None:
    """Of the four ministries, of the kit and of the fictitious country."""
    packages = {one.__module__.split(".")[1] for one in RECORDS}

    assert packages >= {"identity", "business", "labour", "kit", "world"}


@dataclasses.dataclass
class _Telling:
    worker_npi: str


def test_one_that_shows_would_be_seen() -> None:
    """The test above can fail."""
    assert personal(_Telling) == ["worker_npi"]
    assert repr(filled(_Telling)) == "_Telling(worker_npi=<worker_npi>)"
