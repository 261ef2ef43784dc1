"""Connect's unary form on the wire: what is a JSON call, and how its errors look."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from google.rpc import error_details_pb2, status_pb2

from core.reasons import Code
from gateway.worker import connect, context
from gateway.worker.connect import answer_headers, error_body, is_json, read_json_request

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("code", "name", "status"),
    [
        # https://connectrpc.com/docs/protocol#error-codes
        (Code.CANCELLED, "canceled", 499),
        (Code.UNKNOWN, "unknown", 500),
        (Code.INVALID_ARGUMENT, "invalid_argument", 400),
        (Code.DEADLINE_EXCEEDED, "deadline_exceeded", 504),
        (Code.NOT_FOUND, "not_found", 404),
        (Code.ALREADY_EXISTS, "already_exists", 409),
        (Code.PERMISSION_DENIED, "permission_denied", 403),
        (Code.RESOURCE_EXHAUSTED, "resource_exhausted", 429),
        (Code.FAILED_PRECONDITION, "failed_precondition", 400),
        (Code.ABORTED, "aborted", 409),
        (Code.OUT_OF_RANGE, "out_of_range", 400),
        (Code.UNIMPLEMENTED, "unimplemented", 501),
        (Code.INTERNAL, "internal", 500),
        (Code.UNAVAILABLE, "unavailable", 503),
        (Code.DATA_LOSS, "data_loss", 500),
        (Code.UNAUTHENTICATED, "unauthenticated", 401),
    ],
)
def test_every_status_has_its_code_in_http(code: Code, name: str, status: int) -> None:
    """By the table of Connect; a status that gRPC does not have is unknown."""
    http_status, body = error_body(int(code), "why", ())

    assert (http_status, json.loads(body)) == (status, {"code": name, "message": "why"})
    assert json.loads(error_body(99, "", ())[1]) == {"code": "unknown"}


def test_a_providers_own_details_are_shown_as_bytes_alone() -> None:
    """Only those of google.rpc are read; a name of theirs with other bytes is no fault."""
    details = status_pb2.Status()
    details.details.add(type_url="type.googleapis.com/bj.land.v1.Hint", value=b"\x00\xff")
    details.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    details.details.add().Pack(error_details_pb2.ErrorInfo(reason="R"))
    packed = ((b"grpc-message", b"refus%C3%A9"), (b"grpc-status-details-bin", details.SerializeToString()))

    document = json.loads(error_body(5, "", packed)[1])

    assert document["message"] == "refusé"
    assert document["details"] == [
        {"type": "bj.land.v1.Hint", "value": "AP8"},
        {"type": "google.rpc.ErrorInfo", "value": "/w"},
        {"type": "google.rpc.ErrorInfo", "value": "CgFS", "debug": {"reason": "R"}},
    ]
    assert json.loads(error_body(5, "", ((b"grpc-status-details-bin", b"\xff"),))[1]) == {"code": "not_found"}


def test_metadata_become_headers_and_trailers_of_connect() -> None:
    """None of them may stand in for a header of the answer itself."""
    initial = (
        (b"x-a", b"1"),
        (b"content-type", b"text/html"),
        (b"grpc-encoding", b"gzip"),
        (b"b-bin", b"\x00"),
    )
    trailing = ((b"x-road-exchange-id", b"e"), (b"x-c", b"2"), (b"grpc-message", b"m"), (b"bad name", b"3"))

    assert answer_headers(200, 7, initial, trailing) == [
        (b":status", b"200"),
        (b"content-type", b"application/json"),
        (b"content-length", b"7"),
        (b"x-a", b"1"),
        (b"b-bin", b"AA"),
        (b"x-road-exchange-id", b"e"),
        (b"trailer-x-road-exchange-id", b"e"),
        (b"trailer-x-c", b"2"),
    ]


def test_what_belongs_to_the_request_does_not_travel() -> None:
    """Neither compression that nobody here understands, nor another protocol's deadline."""
    head = read_json_request(
        [
            (b":path", b"/a.B/C"),
            (b"content-type", b"application/json"),
            (b"accept", b"a"),
            (b"accept", b"b"),
            (b"accept-encoding", b"br"),
            (b"grpc-timeout", b"1S"),
            (b"grpc-accept-encoding", b"gzip"),
            (b"connect-timeout-ms", b"1500"),
            (b"connect-protocol-version", b"1"),
            (b"content-encoding", b"identity"),
            (b"user-agent", b"curl"),
        ]
    )

    assert (head.path, head.timeout_us, head.encoding) == (b"/a.B/C", 1_500_000, "identity")
    assert head.metadata == ((b"user-agent", b"curl"),)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([b"application/json"], True),
        ([b'application/json;charset="UTF-8"'], True),
        ([], False),
        ([b"application/json", b"application/json"], False),
        ([b"application/jsonp"], False),
        ([b"application/json; charset=utf-8; x=1"], False),
    ],
)
def test_json_is_said_once_and_in_utf_8(types: list[bytes], expected: bool) -> None:
    """Whatever else is said is not guessed at."""
    assert is_json([(b"content-type", one) for one in types]) is expected


def test_the_page_names_every_header_that_is_read_or_stays_at_the_door() -> None:
    """In its table what is read, in the words behind it what reaches no adapter."""
    page = (Path(__file__).parents[3] / "docs/protocol/json-door.md").read_text(encoding="utf-8")
    table = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    read = {name.decode() for name in context._KNOWN | connect._READ} | {"content-type"}
    prose = page.partition("Each of them once.")[2].partition("Another method than POST")[0]
    kept = {name.decode() for name in context._OWN | connect._OF_THE_REQUEST} | {"content-length"}

    assert read <= table
    assert {name for name in kept - table if not name.startswith("grpc-")} <= set(
        re.findall(r"`([a-z-]+)`", prose)
    )
