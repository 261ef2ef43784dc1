"""What tests ask of a call and of a log after it."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core.leaves import parse_leaf
from gateway.worker.main import Worker
from ledger.reader import LogReader
from tests.support.checker import Event, Verdict, check
from tests.support.federation import Federation, Member, calling, metadata


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What a program has after a call: the answer, and the exchange's id."""

    answer: bytes
    id: str


def call(federation: Federation, message: bytes = b"question", *, timeout: float | None = 20) -> Exchanged:
    """One call of the portal on a channel of its own, as soon as its gateway listens."""
    with federation.channel() as channel:
        answer, ended = calling(channel).with_call(
            message, metadata=metadata(), timeout=timeout, wait_for_ready=True
        )
    return Exchanged(answer, str(dict(ended.trailing_metadata() or ())["x-road-exchange-id"]))


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


def worker_of(member: Member) -> Worker:
    """The member's running worker."""
    assert member.worker is not None
    return member.worker


def leaves(member: Member, worker: int = 0) -> list[tuple[bytes, bytes]]:
    """Label and body of every leaf of a member's log, also while it is written."""
    reader = LogReader(member.directory.log(worker))
    reader.read_all()
    return [(leaf.label, leaf.body) for leaf in (parse_leaf(one.leaf) for one in reader)]


def judge(federation: Federation, acknowledged: list[str]) -> Verdict:
    """The checker's verdict over both logs; ``acknowledged`` are the request hashes that programs were answered with."""
    sent: Event = {"event": "sent", "reference": "", "digest": ""}
    told = [sent | {"event": "acknowledged", "request": one} for one in acknowledged]
    delivered = [
        sent | {"event": "delivered", "request": told["x-road-request-hash"]}
        for _, _, told in federation.adapter.calls
    ]
    return check(federation.pns.directory.log(0), federation.anip.directory.log(0), [sent, *told], delivered)


def request_hash(call: grpc.Call) -> str:
    """The request's leaf hash, as a program is told with its answer."""
    return str(dict(call.trailing_metadata() or ())["x-road-request-hash"])
