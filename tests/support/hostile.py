"""What hostile tests ask of a federation again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core.leaves import HEARD, SAID, Heard, parse_heard, parse_leaf
from core.statements import Statement, parse_statement
from gateway.worker.main import Worker
from ledger.reader import LogReader
from tests.support.federation import METHOD, Member, calling, metadata


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def worker_of(member: Member) -> Worker:
    """The member's running worker."""
    assert member.worker is not None
    return member.worker


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


def said(member: Member) -> list[Statement]:
    """Every statement in a member's log."""
    return [parse_statement(body) for label, body in _leaves(member) if label == SAID]


def heard(member: Member, worker: int = 0) -> list[Heard]:
    """Every ``heard`` leaf in a member's log."""
    return [parse_heard(body) for label, body in _leaves(member, worker) if label == HEARD]


def _leaves(member: Member, worker: int = 0) -> list[tuple[bytes, bytes]]:
    reader = LogReader(member.directory.log(worker))
    reader.read_all()
    return [(leaf.label, leaf.body) for leaf in (parse_leaf(one.leaf) for one in reader)]
