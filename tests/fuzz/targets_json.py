"""Parsers of the JSON door: bodies, headers of Connect, and the errors that are written there."""

from __future__ import annotations

import json
from typing import Final

from core.payloads import Metadata
from core.reasons import Code
from gateway.worker.connect import answer_headers, error_body, is_json, read_json_request
from gateway.worker.transcoding import JsonRefusedError, read_json, write_json
from tests.fuzz import seeds
from tests.fuzz.target import BrokenPromiseError, Target
from tests.fuzz.targets_network import as_lines, headers_of
from tests.support.json_kinds import kinds

_GOOD: Final = (
    b"{}",
    b'{"text":"\xc3\xa9","raw":"AAE=","yes":true,"small":-7,"large":"9","fraction":"NaN","colour":"COLOUR_RED"}',
    b'{"inner":{"inner":{}},"manyTexts":["a"],"manyInner":[{}],"byText":{"a":1},"byNumber":{"1":{}},"byTruth":{"true":""}}',
    b'{"at":"2026-11-28T10:00:00Z","anything":{"a":[null]},"perhaps":"x","left":"a","autre":"x","mayBe":""}',
)


def _body(data: bytes) -> None:
    message = read_json(data, kinds())
    again = write_json(message, kinds())
    if read_json(again, kinds()) != message:
        raise BrokenPromiseError("what was read is written as something else")


def _answer(data: bytes) -> None:
    json.loads(write_json(data, kinds()))


def _headers(data: bytes) -> None:
    headers = headers_of(data)
    is_json(headers)
    head = read_json_request(headers)
    if any(name.startswith((b"grpc-", b"connect-")) or name == b"accept" for name, _ in head.metadata):
        raise BrokenPromiseError("a header of the request passes the border")


def _error(data: bytes) -> None:
    metadata: Metadata = tuple(headers_of(data))
    for status in Code:
        if status is not Code.OK:
            http_status, body = error_body(status, "", (*metadata, (b"grpc-status-details-bin", data)))
            json.loads(body)
            headers = answer_headers(http_status, len(body), metadata, metadata)
            if sum(name in (b":status", b"content-type", b"content-length") for name, _ in headers) != 3:
                raise BrokenPromiseError("a provider writes a header of the answer itself")


_CALL: Final = [
    (b":path", b"/bj.identity.v1.IdentityService/GetPerson"),
    (b"content-type", b"application/json; charset=utf-8"),
    (b"connect-protocol-version", b"1"),
    (b"connect-timeout-ms", b"5000"),
    (b"accept", b"*/*"),
    (b"grpc-timeout", b"1S"),
    (b"x-road-client", b"BJ/GOV/PNS/PORTAIL"),
]

TARGETS: Final = {
    "json-body": Target(_body, lambda: [*_GOOD, *seeds.HOSTILE_JSON], (JsonRefusedError,)),
    "json-answer": Target(
        _answer, lambda: [b"", read_json(_GOOD[1], kinds()), read_json(_GOOD[2], kinds())], (ValueError,)
    ),
    "json-headers": Target(_headers, lambda: [as_lines(_CALL), b":path /a\naccept a\naccept b"]),
    "json-error": Target(
        _error, lambda: [b"", b"content-type a\n:status 1\naccess-control-allow-origin *"], ()
    ),
}
