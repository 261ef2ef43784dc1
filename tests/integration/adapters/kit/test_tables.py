"""The kit's schema: what its migrations leave is what its modules use, on both databases."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from adapters.kit.migrations import create_v1, create_v2, downgrade_v2, drop_v2, upgrade_v2
from adapters.kit.store import naming
from adapters.kit.tables import Tables, kit_tables

DOSSIER = {
    "purposes": "P01", "issue": "", "service_code": "PS90901", "application_id": "APP-1", "response_token": "",
    "applicant_npi": "", "channel": 1, "phone": "", "email": "", "subject": "", "details": b"", "state": 3,
    "version": 1, "reported_version": 0, "reason": "", "officer_ref": "", "fee_xof": 5000, "payment_ref": "",
    "opened_at": 1, "changed_at": 1, "filed_at": 1, "due_at": 1, "paused_at": 0, "expires_at": 0,
    "notice_ends_at": 0,
}  # fmt: skip
PAYMENT = {
    "channel": 1, "state": 3, "amount_xof": 5000, "receipt_no": "", "changed_at": 1, "heard_at": 1, "refund": "",
}  # fmt: skip
TASK = {"due_at": 1, "attempts": 0, "payload": b"", "last_error": ""}


@pytest.fixture
def opened(database: str) -> Iterator[sa.Connection]:
    """A connection to the empty database, in a transaction."""
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def operations(connection: sa.Connection) -> Operations:
    """What migrations change a schema with."""
    return Operations(MigrationContext.configure(connection))


def tables() -> tuple[sa.MetaData, Tables]:
    """What the modules use."""
    metadata = naming()
    return metadata, kit_tables(metadata)


def test_the_newest_version_is_what_the_modules_use(opened: sa.Connection) -> None:
    """Tables, columns, keys and indexes."""
    metadata, _ = tables()
    context = MigrationContext.configure(opened, opts={"target_metadata": metadata})

    create_v2(Operations(context))

    assert compare_metadata(context, metadata) == []
    key = sa.inspect(opened).get_pk_constraint("payment")
    assert (key["name"], key["constrained_columns"]) == ("pk_payment", ["client", "payment_ref"])


def test_it_can_be_dropped(opened: sa.Connection) -> None:
    """A ministry's migration has a way back."""
    create_v2(operations(opened))

    drop_v2(operations(opened))

    assert sa.inspect(opened).get_table_names() == []


def test_version_2_keeps_what_version_1_held(opened: sa.Connection) -> None:
    """Payments are those of their dossiers' clients; tasks wait for their kind, reports for a client. And back again."""
    _, kit = tables()
    create_v1(operations(opened))
    for reference, client in (("POST-202611-0001", "BJ/GOV/PNS/PORTAIL"), ("POST-202611-0002", "BJ/GOV/A/B")):
        opened.execute(kit.dossier.insert().values(**DOSSIER, reference=reference, client=client))
        columns = {**PAYMENT, "payment_ref": f"MOMO-{reference}", "reference": reference}
        opened.execute(sa.insert(sa.table("payment", *map(sa.column, columns))).values(columns))
    for kind in ("expire", "report_decision"):
        columns = {**TASK, "id": kind, "kind": kind, "reference": "POST-202611-0001"}
        opened.execute(sa.insert(sa.table("task", *map(sa.column, columns))).values(columns))

    upgrade_v2(operations(opened))

    paid = sa.select(kit.payment.c.client, kit.payment.c.payment_ref).order_by(kit.payment.c.reference)
    assert [tuple(row) for row in opened.execute(paid)] == [
        ("BJ/GOV/PNS/PORTAIL", "MOMO-POST-202611-0001"),
        ("BJ/GOV/A/B", "MOMO-POST-202611-0002"),
    ]
    lanes = opened.execute(sa.select(kit.task.c.lane).order_by(kit.task.c.kind))
    assert list(lanes.scalars()) == ["expire", "BJ/GOV/PNS/PORTAIL"]

    downgrade_v2(operations(opened))

    assert "client" not in {column["name"] for column in sa.inspect(opened).get_columns("payment")}
    upgrade_v2(operations(opened))
    assert opened.execute(paid).first() == ("BJ/GOV/PNS/PORTAIL", "MOMO-POST-202611-0001")
