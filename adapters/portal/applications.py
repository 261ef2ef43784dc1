"""What the portal filed with agencies: opened here before it is sent, so that no answer can come before it is known."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from adapters.kit.dossier import FINAL, State
from adapters.kit.store import Store, open_store
from adapters.portal.tables import APPLICATIONS, REPORTS
from adapters.settings import load_adapter_settings
from bj.common.v1 import decision_service_pb2
from core.clock import Clock, SystemClock
from core.identifiers import SubsystemId, require_handle

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Filed:
    """What goes to the agency with the application, and comes back with its decision.

    Attributes:
        application_id: Names it at the portal.
        response_token: Shows that whoever decides was filed with; a secret, kept by the agency alone from now on.
    """

    application_id: str
    response_token: str = field(repr=False)


class UnknownApplicationError(LookupError):
    """No such application, or not this agency's, or the token is not its: the three look the same."""


class Applications:
    """The portal's applications; safe to use from several threads and processes."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @classmethod
    def open(cls, config: Path) -> Applications:
        """For the portal's own program: the database that the portal's ``adapter.toml`` names.

        Raises:
            ExchangeError: Its schema is not this version's.
        """
        return cls(open_store(load_adapter_settings(config).database, MIGRATIONS), SystemClock())

    def close(self) -> None:
        """Let go of the database."""
        self._store.close()

    def add(self, provider: str, issue: str) -> Filed:
        """Open an application with ``provider``, for the portal's dossier ``issue``; durable when this returns.

        Raises:
            ValueError: Not a subsystem, or not a handle.
        """
        SubsystemId.parse(provider)
        require_handle(issue)
        # In groups: a handle with ten digits in a row is refused as a personal number, and hex has them now and then.
        name = "-".join(secrets.token_hex(4) for _ in range(4))
        made = Filed(name, secrets.token_urlsafe(_TOKEN_BYTES))
        row = {
            "application_id": made.application_id,
            "token_sha256": _digest(made.response_token),
            "provider": provider,
            "issue": issue,
            "opened_at": self._clock.now_ms(),
            "reference": "",
            "version": 0,
            "state": 0,
            "decided_at": 0,
            "message": "",
            "document": b"",
        }
        self._store.write(lambda tx: tx.execute(APPLICATIONS.insert(), row))
        return made

    def hear(
        self, provider: str, exchange_id: str, report: decision_service_pb2.ReportDecisionRequest
    ) -> bool:
        """Take what an agency says of an application; ``False`` if it is no news.

        A report is news if its version is above the last one's, it is of the same dossier, and no final state was
        heard before: what comes late, twice or out of order changes nothing, and is kept all the same.

        Raises:
            UnknownApplicationError: No such application of this agency with this token.
        """
        return self._store.write(lambda tx: self._hear(tx, provider, exchange_id, report))

    def _hear(
        self,
        tx: sa.Connection,
        provider: str,
        exchange_id: str,
        report: decision_service_pb2.ReportDecisionRequest,
    ) -> bool:
        query = sa.select(APPLICATIONS).where(APPLICATIONS.c.application_id == report.application_id)
        found = tx.execute(query.with_for_update()).mappings().first()
        # Compared for an unknown application, too: how long it takes tells nothing.
        is_its = hmac.compare_digest(
            found["token_sha256"] if found else "0" * 64, _digest(report.response_token)
        )
        if found is None or not is_its or found["provider"] != provider:
            raise UnknownApplicationError
        is_same = found["reference"] in ("", report.reference)
        was_final = found["version"] > 0 and State(found["state"]) in FINAL
        accepted = is_same and not was_final and report.version > found["version"]
        heard = {
            "exchange_id": exchange_id,
            "application_id": report.application_id,
            "version": report.version,
            "state": int(report.status),
            "heard_at": self._clock.now_ms(),
            "accepted": accepted,
        }
        tx.execute(REPORTS.insert(), heard)
        if accepted:
            told = {
                "reference": report.reference,
                "version": report.version,
                "state": int(report.status),
                "decided_at": report.decided_at.ToMilliseconds(),
                "message": report.message,
                "document": report.document.SerializeToString() if report.HasField("document") else b"",
            }
            mine = APPLICATIONS.c.application_id == report.application_id
            tx.execute(APPLICATIONS.update().where(mine).values(told))
        return accepted

    def of_issue(self, issue: str) -> list[dict[str, Any]]:
        """The applications of one dossier of the portal, in the order in which they were opened."""
        columns = [column for column in APPLICATIONS.c if column.name not in ("token_sha256", "document")]
        query = sa.select(*columns).where(APPLICATIONS.c.issue == issue)
        with self._store.reading() as tx:
            rows = tx.execute(query.order_by(APPLICATIONS.c.opened_at, APPLICATIONS.c.application_id))
            return [dict(row) for row in rows.mappings()]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8")).hexdigest()
