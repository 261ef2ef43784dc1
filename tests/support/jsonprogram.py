"""A program that calls with JSON (docs/protocol/json-door.md), on the same engine as ``RawProgram``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import ngh2

from gateway.worker.http2 import Headers
from tests.support.federation import METHOD, metadata
from tests.support.rawprogram import RawProgram


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """An answer over HTTP; ``status`` 0 if the stream was cut."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def document(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def exchange(self) -> str:
        """The exchange's id; empty if it had none."""
        return self.headers.get(b"x-road-exchange-id", b"").decode("ascii")

    @property
    def reason(self) -> str:
        """The reason in the details of an error."""
        details = self.document.get("details", [])
        infos = [one["debug"] for one in details if one["type"] == "google.rpc.ErrorInfo"]
        return str(infos[0]["reason"]) if infos else ""


class JsonProgram(RawProgram):
    """Posts JSON."""

    def post(
        self,
        body: bytes | dict[str, Any],
        *more: tuple[bytes, bytes],
        path: str = METHOD,
        method: bytes = b"POST",
        content_type: bytes = b"application/json",
        seconds: float = 20,
        **changes: str | None,
    ) -> JsonAnswer:
        """One call, with the metadata of the portal and its ``changes``."""
        stream = self.open(*more, path=path, method=method, content_type=content_type, **changes)
        data = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
        self.h2.send_data(stream, data, end_stream=True)
        self.flush()
        self.read_until_closed(stream, seconds)
        return self.answer_on(stream)

    def open(
        self,
        *more: tuple[bytes, bytes],
        path: str = METHOD,
        method: bytes = b"POST",
        content_type: bytes = b"application/json",
        **changes: str | None,
    ) -> int:
        """Send the headers of a call; its body is up to the test."""
        told = [(name.encode("ascii"), _bytes(value)) for name, value in metadata(**changes)]
        headers: Headers = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"content-type", content_type),
            *told,
            *more,
        ]
        self.events.clear()
        stream: int = self.h2.send_request(headers)
        return stream

    def answer_on(self, stream: int) -> JsonAnswer:
        """What came back on a stream that has ended."""
        headers = self._headers_of(stream)
        data = [
            bytes(one.data)
            for one in self.events
            if isinstance(one, ngh2.DataReceived) and one.stream_id == stream
        ]
        return JsonAnswer(int(headers.get(b":status", b"0")), headers, b"".join(data))


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("ascii")
