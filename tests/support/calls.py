"""What tests ask of a call and of a log after it."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core.leaves import parse_leaf
from ledger.reader import LogReader
from tests.support.federation import Member


def refused(
    error: pytest.ExceptionInfo[grpc.RpcError],
) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]:
    """Status code and ErrorInfo of a refused call."""
    return reason_in(error.value)


def reason_in(error: BaseException | None) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]:
    """Status code and ErrorInfo of the error that a refused call raised."""
    assert isinstance(error, grpc.RpcError)
    assert isinstance(error, grpc.Call)
    found = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert isinstance(found, bytes), f"{error.code()} {error.details()}"
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(found).details[0].Unpack(info)
    return error.code(), info


def leaves(member: Member) -> list[tuple[bytes, bytes]]:
    """Label and body of every leaf of a member's log, also while it is written."""
    reader = LogReader(member.directory.log(0))
    reader.read_all()
    return [(leaf.label, leaf.body) for leaf in (parse_leaf(one.leaf) for one in reader)]


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
