"""What tests ask of a federation again and again: how calls end, what stands in its logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core.leaves import HEARD, SAID, Heard, parse_heard
from core.statements import Statement, parse_statement
from tests.support.calls import leaves
from tests.support.federation import METHOD, Member, calling, metadata


def info_of(call: Any) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo that a refusal carries."""
    found = dict(call.trailing_metadata() or ()).get("grpc-status-details-bin")
    info = error_details_pb2.ErrorInfo()
    if isinstance(found, bytes):
        assert status_pb2.Status.FromString(found).details[0].Unpack(info)
    return info


def outcome_of(call: Callable[[], object]) -> str:
    """``OK``, or the reason of the refusal, or the bare status where there is no reason."""
    try:
        call()
    except grpc.RpcError as error:
        return info_of(error).reason or error.code().name
    return "OK"


def reason_of(channel: grpc.Channel, path: str = METHOD, **changes: str | None) -> str:
    """Why a call is refused."""
    with pytest.raises(grpc.RpcError) as error:
        calling(channel, path)(b"", metadata=metadata(**changes), timeout=10)
    return str(info_of(error.value).reason)


def said(member: Member, kind: str = "") -> list[Statement]:
    """Every statement in a member's log, or those of one kind."""
    found = [parse_statement(body) for label, body in leaves(member) if label == SAID]
    return [one for one in found if kind in ("", one.kind)]


def heard(member: Member, worker: int = 0) -> list[Heard]:
    """Every ``heard`` leaf in a member's log."""
    return [parse_heard(body) for label, body in leaves(member, worker) if label == HEARD]
