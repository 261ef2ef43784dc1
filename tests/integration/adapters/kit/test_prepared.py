"""Queries that the driver runs by itself: what they read, and how they fail."""

from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from adapters.reasons import ProviderError, ProviderReason
from tests.support.postal.ministry import BOXES, NPI, PostOffice

BY_HOLDER = sa.select(BOXES).where(BOXES.c.holder == sa.bindparam("npi"), BOXES.c.number != "0")


def test_it_reads_what_is_committed_when_it_runs(office: PostOffice) -> None:
    """Constants and values find their places; no connection goes back with a moment that is past."""
    store = office.desk.store
    rows = store.prepare(BY_HOLDER)

    assert list(rows(npi=NPI)) == []
    for number in ("0", "7", "8"):
        with store.writing() as tx:
            tx.execute(BOXES.insert(), {"number": number, "holder": NPI})

        assert [row[0] for row in rows(npi=NPI)] == [one for one in ("7", "8") if one <= number]
    assert list(rows(npi="0000000002")) == []


def test_a_database_that_is_away_is_unavailable(office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's own errors are told as those that SQLAlchemy wraps; any other is a mistake of ours."""
    rows = office.desk.store.prepare(BY_HOLDER)
    driver: Any = office.desk.store._engine.dialect.loaded_dbapi

    for error in (
        driver.OperationalError("gone"),
        driver.InterfaceError("gone"),
        sa.exc.TimeoutError("busy"),
    ):
        monkeypatch.setattr(sa.Engine, "raw_connection", _raising(error))
        with capture_logs() as events, pytest.raises(ProviderError) as refused:
            rows(npi=NPI)
        assert refused.value.reason is ProviderReason.UPSTREAM_UNAVAILABLE
        assert [event["event"] for event in events] == ["store_unavailable"]

    monkeypatch.setattr(sa.Engine, "raw_connection", _raising(driver.ProgrammingError("nonsense")))
    with pytest.raises(driver.ProgrammingError):
        rows(npi=NPI)


def _raising(error: Exception) -> Any:
    def fail(_engine: sa.Engine) -> None:
        raise error

    return fail
