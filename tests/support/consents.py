"""Consents for tests, written as a register's officers write them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.kit.store import Store

BANK: Final = "BJ/COM/BANQUE/CREDIT"
_FAR_MS: Final = 4_102_444_800_000


def give_consent(
    store: Store,
    consents: sa.Table,
    reference: str,
    number: str,
    *,
    kind: str = "npi",
    client: str = BANK,
    purposes: str = "P01 P03",
    until_ms: int = _FAR_MS,
    revoked_at_ms: int | None = None,
) -> None:
    """Write in what somebody lets ``client`` ask for."""
    row = {
        "consent_ref": reference,
        "party_kind": kind,
        "party_number": number,
        "client": client,
        "purposes": purposes,
        "until_ms": until_ms,
        "revoked_at_ms": revoked_at_ms,
    }
    with store.writing() as tx:
        tx.execute(consents.insert().values(row))


def give_lacking(store: Store, consents: sa.Table, number: str, other: str, now_ms: int) -> tuple[str, ...]:
    """One consent for each way in which one does not stand for ``BANK`` under P03, and one that nobody gave."""
    give_consent(store, consents, "C-OF-ANOTHER", other)
    give_consent(store, consents, "C-TO-ANOTHER", number, client="BJ/COM/BANQUE/AUTRE")
    give_consent(store, consents, "C-FOR-ANOTHER-PURPOSE", number, purposes="P01")
    give_consent(store, consents, "C-OVER", number, until_ms=now_ms)
    give_consent(store, consents, "C-REVOKED", number, revoked_at_ms=now_ms)
    return "", "C-NEVER", "C-OF-ANOTHER", "C-TO-ANOTHER", "C-FOR-ANOTHER-PURPOSE", "C-OVER", "C-REVOKED"
