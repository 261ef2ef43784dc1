"""The bytes that are sent and compared are what the proto says."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from bench.messages import CountedMessages, count_request, message_of, read_count_request

pytestmark = pytest.mark.unit


def message_class(name: str) -> type[Message]:
    """A message of ``bench/echo.proto``."""
    found = descriptor_pb2.FileDescriptorSet.FromString(Path("bench/echo.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(found.file[0])
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.v1.{name}"))


@pytest.mark.parametrize("size", [16, 129, 131, 256, 4096, 65_536, 1_048_576])
def test_a_message_has_exactly_the_size_asked_for(size: int) -> None:
    """A gRPC prefix and one length-delimited field that fills the rest."""
    message = message_of(size)

    assert message[:5] == b"\0" + size.to_bytes(4, "big")
    assert len(message) == size + 5
    parsed = message_class("CallRequest").FromString(message[5:])
    assert parsed.ByteSize() == size
    assert parsed.SerializeToString() == message[5:]


def test_a_size_that_no_message_has_is_refused() -> None:
    """130 bytes cannot be a tag, a length and that many bytes."""
    with pytest.raises(ValueError):
        message_of(130)


def test_a_count_request_is_read_as_it_was_written() -> None:
    """By the lean backend, and by protobuf."""
    request = count_request(1_000_000, 64)

    assert read_count_request(request) == (1_000_000, 64)
    parsed = message_class("CountRequest").FromString(request[5:])
    assert str(parsed).split() == ["messages:", "1000000", "size:", "64"]
    with pytest.raises(ValueError):
        read_count_request(request[:-1])


@pytest.mark.parametrize("step", [1, 7, 69, 1000, 1_000_000])
def test_counted_messages_come_in_any_pieces(step: int) -> None:
    """Numbered from 1, each of the size asked for, whatever pieces the network makes of them."""
    counted, pieces = CountedMessages(1_000, 64), []

    while piece := counted.take(step):
        pieces.append(piece)

    assert counted.is_empty
    data = b"".join(pieces)
    assert len(data) == 1_000 * counted.length
    response = message_class("CountResponse")
    for number in (1, 2, 512, 513, 1_000):
        message = data[(number - 1) * 69 : number * 69]
        assert message[:5] == b"\0" + (64).to_bytes(4, "big")
        parsed = response.FromString(message[5:])
        assert (str(parsed).split("\n")[0], parsed.ByteSize()) == (f"number: {number}", 64)


def test_sizes_that_take_another_shape_are_refused() -> None:
    """A number and an empty body are 11 bytes; over 136 the length would take two bytes."""
    for size in (10, 137):
        with pytest.raises(ValueError):
            CountedMessages(1, size)
