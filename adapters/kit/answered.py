"""Idempotency: one key, one effect, one answer, however often the request comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import sqlalchemy as sa
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from sqlalchemy.dialects import postgresql, sqlite

from adapters.context import CallerContext
from adapters.kit.store import Store
from adapters.kit.tables import Tables
from adapters.reasons import ProviderError, ProviderReason
from core.clock import Clock

_Response = TypeVar("_Response", bound=Message)


def answer_once(
    store: Store,
    tables: Tables,
    clock: Clock,
    caller: CallerContext,
    key: str,
    request: Message,
    respond: Callable[[sa.Connection, CallerContext], _Response],
) -> _Response:
    """``Desk.once``, with all that it needs as arguments.

    The key is claimed before ``respond`` runs, so that the same request sent twice at once has one effect: the second
    waits for the first and gets its answer. If ``respond`` raises, nothing is kept, the key neither.

    Raises:
        ProviderError: The key has served another request of this client and method (DUPLICATE_REQUEST), or the database
            does not answer (UPSTREAM_UNAVAILABLE).
    """
    answered = tables.answered
    named, row = _named(tables, caller, key, request)
    insert = postgresql.insert if store.is_postgresql else sqlite.insert
    claim = (
        insert(answered)
        .values(**named, request=request.SerializeToString(), response=b"", answered_at=clock.now_ms())
        .on_conflict_do_nothing()
        .returning(answered.c.key)
    )

    def work(tx: sa.Connection) -> _Response:
        while tx.execute(claim).first() is None:
            known = _answer(tx, tables, row, request)
            if known is not None:
                return cast("_Response", known)
            # Forgotten between the two statements: the key is free.
        response = respond(tx, caller)
        packed = AnyMessage()
        packed.Pack(response)
        tx.execute(answered.update().where(row).values(response=packed.SerializeToString()))
        return response

    return store.write(work)


def forget_answers(tx: sa.Connection, tables: Tables, before_ms: int, limit: int) -> int:
    """Forget at most ``limit`` answers of before ``before_ms``, UTC milliseconds, and their keys; returns how many."""
    table = tables.answered
    key = sa.tuple_(*table.primary_key.columns)
    old = sa.select(*table.primary_key.columns).where(table.c.answered_at < before_ms).limit(limit)
    return tx.execute(table.delete().where(key.in_(old))).rowcount


def answered_before(
    store: Store, tables: Tables, caller: CallerContext, key: str, request: Message
) -> Message | None:
    """``Desk.answered_before``, with all that it needs as arguments."""
    with store.reading() as tx:
        return _answer(tx, tables, _named(tables, caller, key, request)[1], request)


def _named(
    tables: Tables, caller: CallerContext, key: str, request: Message
) -> tuple[dict[str, str], sa.ColumnElement[bool]]:
    """What names a write: its values, and the condition for its row."""
    # The name of a request's message stands for the method: no two methods of our protos share one.
    named = {"client": str(caller.client), "method": request.DESCRIPTOR.full_name, "key": key}
    return named, sa.and_(*(tables.answered.c[name] == value for name, value in named.items()))


def _answer(
    tx: sa.Connection, tables: Tables, row: sa.ColumnElement[bool], request: Message
) -> Message | None:
    """What was answered to ``request``; None if nothing was."""
    query = sa.select(tables.answered.c.request, tables.answered.c.response)
    found = tx.execute(query.where(row)).one_or_none()
    if found is None:
        return None
    if type(request).FromString(found.request) != request:
        raise ProviderError(ProviderReason.DUPLICATE_REQUEST)
    return _unpack(found.response)


def _unpack(stored: bytes) -> Message:
    packed = AnyMessage.FromString(stored)
    # The generated class of that name: its module was imported with the service that answers with it.
    response = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
    )()
    packed.Unpack(response)
    return response
