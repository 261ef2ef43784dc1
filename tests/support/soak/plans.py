"""What each call of a soak is to do: both its ends read it from the call's own metadata, and check every byte by it."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf import descriptor_pb2

SERVICE: Final = "soak.v1.EchoService"
PACKAGE: Final = "soak.v1"
HEADER: Final = b"soak-plan"
REQUEST: Final = 0
RESPONSE: Final = 1

# Method, and which side of it streams. ``converse`` sends all it has, ``pingpong`` waits for each answer.
METHODS: Final = {
    "unary": ("Call", False, False),
    "collect": ("Collect", True, False),
    "watch": ("Watch", False, True),
    "converse": ("Converse", True, True),
    "pingpong": ("Converse", True, True),
}
# Published and in no agreement: the gateway refuses it.
FORBIDDEN: Final = "Forbidden"

_PREFIX: Final = struct.Struct(">BI")
_HEAD: Final = struct.Struct(">QBI")
_MAX_BYTES: Final = 16 * 1024
_MAX_MESSAGES: Final = 200
_FILLER: Final = random.Random(0).randbytes(_MAX_BYTES)


@dataclass(frozen=True, slots=True)
class Plan:
    """One call.

    Attributes:
        number: Counts the calls of a program.
        kind: A key of ``METHODS``, or ``forbidden``.
        requests: Messages that the program sends.
        responses: Messages that the adapter answers with, if all goes well.
        size: Bytes of each message.
        linger_ms: How long the adapter waits before it ends the call.
        status: What the adapter says at once if it is not 0.
        deadline_ms: What the program gives it.
        cancel_ms: After how long the program takes it back; ``None``: it does not.
    """

    number: int
    kind: str
    requests: int
    responses: int
    size: int
    linger_ms: int = 0
    status: int = 0
    deadline_ms: int = 20_000
    cancel_ms: float | None = None

    @property
    def reference(self) -> str:
        """The program's own reference."""
        return f"s-{self.number}"

    @property
    def path(self) -> bytes:
        """The method's path."""
        method = METHODS[self.kind][0] if self.kind in METHODS else FORBIDDEN
        return f"/{SERVICE}/{method}".encode("ascii")

    @property
    def is_stream(self) -> bool:
        """Whether either side streams."""
        return any(METHODS[self.kind][1:]) if self.kind in METHODS else False

    def encode(self) -> bytes:
        """As the adapter is told."""
        told = (self.number, self.kind, self.requests, self.responses, self.size, self.linger_ms, self.status)
        return ";".join(map(str, told)).encode("ascii")

    @classmethod
    def parse(cls, told: bytes) -> Plan:
        """The inverse of ``encode``."""
        number, kind, requests, responses, size, linger_ms, status = told.decode("ascii").split(";")
        counts = (int(number), kind, int(requests), int(responses), int(size))
        return cls(*counts, linger_ms=int(linger_ms), status=int(status))

    def message(self, direction: int, index: int) -> bytes:
        """One message with its gRPC prefix; no two of a run are the same, if they are 13 bytes long or more."""
        body = _HEAD.pack(self.number, direction, index) + _FILLER[: max(self.size - _HEAD.size, 0)]
        return _PREFIX.pack(0, self.size) + body[: self.size]


def plans(seed: int) -> Iterator[Plan]:
    """Calls without end: four in five unary; of all, one in fifty each is cancelled, out of time, refused."""
    chance, number = random.Random(seed), 0
    while True:
        number += 1
        plan = _unary(chance, number) if chance.random() < 0.8 else _stream(chance, number)
        fate = chance.random()
        if fate < 0.02:
            yield _with(plan, cancel_ms=chance.uniform(0, 30), linger_ms=20)
        elif fate < 0.04:
            yield _with(plan, deadline_ms=chance.randint(1, 30), linger_ms=200)
        elif fate < 0.05:
            yield _with(plan, status=chance.choice((2, 5, 7, 9, 14)))
        elif fate < 0.06:
            yield Plan(number, "forbidden", 1, 1, plan.size)
        else:
            yield plan


def _unary(chance: random.Random, number: int) -> Plan:
    top = chance.choices((0, 512, 4096, _MAX_BYTES), (10, 40, 35, 15))[0]
    return Plan(number, "unary", 1, 1, chance.randint(0, top))


def _stream(chance: random.Random, number: int) -> Plan:
    kind = chance.choice(("collect", "watch", "converse", "pingpong"))
    count = _log_uniform(chance, 20 if kind == "pingpong" else _MAX_MESSAGES)
    _, client, server = METHODS[kind]
    size = _log_uniform(chance, 2_048) - 1
    return Plan(number, kind, count if client else 1, count if server else 1, size)


def _log_uniform(chance: random.Random, top: int) -> int:
    """1 to ``top``, small ones more often."""
    return min(int(math.exp(chance.uniform(0, math.log(top + 1)))), top)


def _with(plan: Plan, **changes: float) -> Plan:
    told = {name: getattr(plan, name) for name in Plan.__slots__}
    return Plan(**(told | changes))


def descriptors() -> bytes:
    """The service as its provider publishes it."""
    file = descriptor_pb2.FileDescriptorProto(name="soak/v1/echo.proto", package=PACKAGE, syntax="proto3")
    message = file.message_type.add(name="Message")
    field = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="body", number=1, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    service = file.service.add(name="EchoService")
    found = {name: (client, server) for name, client, server in METHODS.values()} | {
        FORBIDDEN: (False, False)
    }
    for name, (client, server) in found.items():
        service.method.add(
            name=name,
            input_type=f".{PACKAGE}.Message",
            output_type=f".{PACKAGE}.Message",
            client_streaming=client,
            server_streaming=server,
        )
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString(deterministic=True)


class Messages:
    """Takes the bytes of one direction apart, and compares each message with what the plan says it is."""

    __slots__ = ("_data", "_direction", "_plan", "count", "wrong")

    def __init__(self, plan: Plan, direction: int) -> None:
        self._plan = plan
        self._direction = direction
        self._data = b""
        self.count = 0
        self.wrong = ""

    def take(self, data: bytes) -> int:
        """Returns how many whole messages came to an end."""
        self._data = self._data + data if self._data else data
        before, length = self.count, _PREFIX.size + self._plan.size
        while len(self._data) >= _PREFIX.size and not self.wrong:
            if len(self._data) < length:
                break
            if self._data[:length] != self._plan.message(self._direction, self.count):
                self.wrong = f"{self._plan.reference}: another message {self.count} than was sent"
            self._data = self._data[length:]
            self.count += 1
        return self.count - before

    @property
    def is_whole(self) -> bool:
        """Whether no part of a message is left over."""
        return not self._data
