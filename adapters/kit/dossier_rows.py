"""Dossiers in their tables: read, written, and put together into the message that their consumers get."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from adapters.kit.dossier import FINAL, Dossier, State, Step
from adapters.kit.tables import Tables
from adapters.kit.times import timestamp
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import document_pb2, dossier_pb2, payment_pb2

# The tables' columns bear the names of ``Dossier``.
_PLAIN: Final = tuple(name for name in Dossier.__slots__ if name not in ("purposes", "state"))


class DossierRows:
    """The rows of one ministry's dossiers; who may see or change them is decided elsewhere."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def insert(self, tx: sa.Connection, dossier: Dossier) -> None:
        """Write a new dossier, and its first state as its first move."""
        values = {name: getattr(dossier, name) for name in _PLAIN}
        tx.execute(
            self._tables.dossier.insert().values(
                **values, purposes=" ".join(sorted(dossier.purposes)), state=int(dossier.state)
            )
        )
        self._record_move(tx, dossier, "")

    def find(self, tx: sa.Connection, reference: str, *, lock: bool) -> Dossier:
        """One dossier; with ``lock`` nobody else changes it until ``tx`` ends.

        Raises:
            ProviderError: There is none (NOT_FOUND).
        """
        table = self._tables.dossier
        query = sa.select(table).where(table.c.reference == reference)
        row = tx.execute(query.with_for_update() if lock else query).mappings().one_or_none()
        if row is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return _dossier(row)

    def find_open(self, tx: sa.Connection, subject: str) -> list[Dossier]:
        """Those about ``subject`` that are not final, the oldest first."""
        table = self._tables.dossier
        query = sa.select(table).where(table.c.subject == subject, table.c.state.not_in(FINAL))
        rows = tx.execute(query.order_by(table.c.opened_at, table.c.reference)).mappings()
        return [_dossier(row) for row in rows]

    def in_states(self, tx: sa.Connection, states: frozenset[State], limit: int) -> list[Dossier]:
        """Those in some of ``states``, who is due first comes first."""
        table = self._tables.dossier
        query = sa.select(table).where(table.c.state.in_(sorted(states)))
        query = query.order_by(table.c.due_at, table.c.reference).limit(limit)
        return [_dossier(row) for row in tx.execute(query).mappings()]

    def move(self, tx: sa.Connection, dossier: Dossier, officer: str) -> None:
        """Write a dossier that came to another state, and the officer who moved it there, if one did."""
        self.update(tx, dossier)
        self._record_move(tx, dossier, officer)

    def update(self, tx: sa.Connection, dossier: Dossier) -> None:
        """Write what may change of a dossier."""
        changing = (
            "version", "reported_version", "reason", "officer_ref", "payment_ref", "changed_at", "filed_at",
            "due_at", "paused_at", "expires_at", "notice_ends_at",
        )  # fmt: skip
        table = self._tables.dossier
        values = {name: getattr(dossier, name) for name in changing}
        tx.execute(
            table.update()
            .where(table.c.reference == dossier.reference)
            .values(**values, state=int(dossier.state))
        )

    def touch(self, tx: sa.Connection, reference: str) -> None:
        """One version more: something that hangs on the dossier has changed."""
        table = self._tables.dossier
        tx.execute(table.update().where(table.c.reference == reference).values(version=table.c.version + 1))

    def forget_tokens(self, tx: sa.Connection, report: str, limit: int) -> int:
        """Forget the tokens of some final dossiers for which no task of kind ``report`` goes on.

        Nor any step, of one that was granted: what else has ended leaves its steps where they were, for ever.
        """
        dossier, step, task = self._tables.dossier, self._tables.step, self._tables.task
        goes_on = (dossier_pb2.STEP_STATE_PENDING, dossier_pb2.STEP_STATE_RUNNING)
        is_at_work = sa.exists().where(step.c.reference == dossier.c.reference, step.c.state.in_(goes_on))
        told = (
            sa.select(dossier.c.reference)
            .where(dossier.c.state.in_(FINAL), dossier.c.response_token != "")
            .where(sa.or_(dossier.c.state != State.GRANTED, ~is_at_work))
            .where(~sa.exists().where(task.c.reference == dossier.c.reference, task.c.kind == report))
            .limit(limit)
        )
        return tx.execute(
            dossier.update().where(dossier.c.reference.in_(told)).values(response_token="")
        ).rowcount

    def keep_correction(self, tx: sa.Connection, dossier: Dossier, answer: str, evidence: str) -> None:
        """Keep what an applicant answered to ``dossier.reason``."""
        tx.execute(
            self._tables.correction.insert().values(
                reference=dossier.reference,
                version=dossier.version,
                asked=dossier.reason,
                answer=answer,
                evidence=evidence,
                answered_at=dossier.changed_at,
            )
        )

    def steps(self, tx: sa.Connection, reference: str) -> list[Step]:
        """The steps of a dossier, in the order in which they were first set."""
        table = self._tables.step
        query = sa.select(table).where(table.c.reference == reference).order_by(table.c.rank)
        return [
            Step(row.name, dossier_pb2.StepState.ValueType(row.state), row.changed_at, row.detail)
            for row in tx.execute(query)
        ]

    def write_step(self, tx: sa.Connection, reference: str, step: Step) -> None:
        """Set a step of a dossier that is locked."""
        table = self._tables.step
        values = {"state": step.state, "changed_at": step.changed_at, "detail": step.detail}
        row = sa.and_(table.c.reference == reference, table.c.name == step.name)
        if tx.execute(table.update().where(row).values(**values)).rowcount:
            return
        rank = sa.select(sa.func.count()).where(table.c.reference == reference).scalar_subquery()
        tx.execute(table.insert().values(reference=reference, name=step.name, rank=rank, **values))

    def write_number(
        self, tx: sa.Connection, reference: str, kind: dossier_pb2.IssuedNumberType.ValueType, value: str
    ) -> bool:
        """Add a number to a dossier that is locked; returns whether it was not there yet."""
        table = self._tables.issued
        row = {"reference": reference, "type": int(kind), "value": value}
        known = sa.select(table.c.value).where(*(table.c[name] == one for name, one in row.items()))
        if tx.execute(known).first():
            return False
        tx.execute(table.insert().values(**row))
        return True

    def message(
        self,
        tx: sa.Connection,
        dossier: Dossier,
        fee: payment_pb2.Fee,
        documents: list[document_pb2.Document],
    ) -> dossier_pb2.Dossier:
        """The dossier as its consumer reads it."""
        issued = self._tables.issued
        numbers = sa.select(issued).where(issued.c.reference == dossier.reference)
        return dossier_pb2.Dossier(
            reference=dossier.reference,
            service_code=dossier.service_code,
            applicant_npi=dossier.applicant_npi,
            channel=dossier.channel,
            state=dossier_pb2.DossierState.ValueType(dossier.state),
            reason=dossier.reason,
            fee=fee,
            filed_at=timestamp(dossier.filed_at),
            due_at=timestamp(dossier.due_at),
            officer_ref=dossier.officer_ref,
            steps=[
                dossier_pb2.DossierStep(
                    name=step.name,
                    state=step.state,
                    changed_at=timestamp(step.changed_at),
                    detail=step.detail,
                )
                for step in self.steps(tx, dossier.reference)
            ],
            documents=documents,
            issued=[
                dossier_pb2.IssuedNumber(
                    type=dossier_pb2.IssuedNumberType.ValueType(row.type), value=row.value
                )
                for row in tx.execute(numbers.order_by(issued.c.type, issued.c.value))
            ],
            version=dossier.version,
        )

    def _record_move(self, tx: sa.Connection, dossier: Dossier, officer: str) -> None:
        tx.execute(
            self._tables.move.insert().values(
                reference=dossier.reference,
                version=dossier.version,
                state=int(dossier.state),
                officer_ref=officer,
                moved_at=dossier.changed_at,
            )
        )


def _dossier(row: Any) -> Dossier:
    values = {name: row[name] for name in _PLAIN}
    return Dossier(**values, purposes=frozenset(row["purposes"].split()), state=State(row["state"]))
