"""Events of visas, appended where they happen: who may hear of them, and what they say.

An event says nothing of the worker: neither number, nor salary, nor health.
"""

from __future__ import annotations

import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.labour.contracts import FiledContract, client_of
from adapters.labour.employers import employer_of
from bj.labour.v1 import events_pb2


def tell(
    desk: Desk,
    tx: sa.Connection,
    filed: FiledContract,
    kind: events_pb2.VisaEventType.ValueType,
    *changed_fields: str,
) -> None:
    """Append an event of a contract; last in its transaction."""
    employer = employer_of(tx, filed.employer_id)
    client = client_of(tx, filed.reference)
    event = events_pb2.VisaEvent(
        type=kind,
        reference=filed.reference,
        employer_ifu=employer.ifu,
        inspectorate_code=employer.inspectorate_code,
        visa_no=filed.visa_no,
    )
    links = [of_employer(employer.ifu), of_inspectorate(employer.inspectorate_code)]
    desk.events.append(
        tx,
        kind,
        filed.reference,
        changed_fields,
        links=[*links, of_client(client)] if client else links,
        payload=event.SerializeToString(),
    )


def of_client(client: str) -> str:
    """The link of the subsystem that handed the contract in."""
    return f"client:{client}"


def of_inspectorate(code: str) -> str:
    """The link of the inspectorate in charge."""
    return f"inspectorate:{code}"


def of_employer(ifu: str) -> str:
    """The link of the employer."""
    return f"employer:{ifu}"
