"""ANDF's desk over an empty register, on both databases; who calls is said by the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.kit.desk import Desk, open_desk
from adapters.kit.store import migrate
from adapters.land.adapter import MINISTRY
from adapters.settings import AdapterSettings
from core.clock import ManualClock
from tests.support.land_book import LandBook

# A Thursday, 10:00 in Porto-Novo.
NOW_MS = 1_794_474_000_000


@pytest.fixture
def clock() -> ManualClock:
    """A working day that passes only when told to."""
    return ManualClock(NOW_MS)


@pytest.fixture
def desk(database: str, clock: ManualClock) -> Iterator[Desk]:
    """The desk."""
    migrate(database, MINISTRY.migrations)
    settings = AdapterSettings(
        adapter="land", subsystem="BJ/GOV/ANDF/CADASTRE", gateways=("BJ/GOV/ANDF/gw1",), database=database
    )
    desk = open_desk(MINISTRY, settings, clock)
    yield desk
    desk.store.close()


@pytest.fixture
def book(desk: Desk) -> LandBook:
    """What is written in the register."""
    return LandBook(desk.store)
