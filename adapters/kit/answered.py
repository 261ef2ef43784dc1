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
    # The name of a request's message stands for the method: no two methods of our protos share one.
    named = {"client": str(caller.client), "method": request.DESCRIPTOR.full_name, "key": key}
    row = sa.and_(*(answered.c[name] == value for name, value in named.items()))
    insert = postgresql.insert if store.is_postgresql else sqlite.insert
    claim = (
        insert(answered)
        .values(**named, request=request.SerializeToString(), response=b"", answered_at=clock.now_ms())
        .on_conflict_do_nothing()
        .returning(answered.c.key)
    )

    def work(tx: sa.Connection) -> _Response:
        if tx.execute(claim).first() is None:
            known, stored = tx.execute(sa.select(answered.c.request, answered.c.response).where(row)).one()
            if type(request).FromString(known) != request:
                raise ProviderError(ProviderReason.DUPLICATE_REQUEST)
            return cast("_Response", _unpack(stored))
        response = respond(tx, caller)
        packed = AnyMessage()
        packed.Pack(response)
        tx.execute(answered.update().where(row).values(response=packed.SerializeToString()))
        return response

    return store.write(work)


def _unpack(stored: bytes) -> Message:
    packed = AnyMessage.FromString(stored)
    # The generated class of that name: its module was imported with the service that answers with it.
    response = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName(packed.TypeName())
    )()
    packed.Unpack(response)
    return response
