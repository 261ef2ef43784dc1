"""gRPC's own formats, read from strangers: what is right is read exactly, all else is refused with a reason."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.reasons import Code, ExchangeError, MalformedError, Reason
from core.statements import check_statement
from gateway.worker.http2 import ErrorCode
from gateway.worker.wire import (
    MAX_METADATA_COUNT,
    Message,
    MessageReader,
    MessageTooLargeError,
    NotGrpcError,
    code_of_reset,
    decode_status_message,
    encode_status_message,
    format_timeout,
    frame_message,
    parse_timeout,
    read_encoding,
    read_metadata,
    read_request,
    read_status,
    request_headers,
    require_grpc,
    response_headers,
    trailers_for,
    write_metadata,
)
from tests.support.worker_country import statement

pytestmark = pytest.mark.unit

MESSAGES = st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=300)), max_size=8)
NAMES = st.from_regex(rb"[0-9a-z_.\-]{1,20}", fullmatch=True).filter(
    lambda name: not name.startswith(b"grpc-") and name not in (b"te", b"host", b"connection")
)
TEXTS = st.from_regex(rb"[\x20-\x7e]{0,40}", fullmatch=True)


# --- MessageReader ---


@given(MESSAGES, st.data())
def test_messages_are_found_however_the_bytes_are_cut(messages: list[Message], data: st.DataObject) -> None:
    """Any split of the body gives the same messages."""
    body = b"".join(frame_message(flag, one) for flag, one in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=10)))
    reader = MessageReader(1000)

    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        found += reader.feed(body[begin:end])

    assert found == messages
    assert reader.pending == 0


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    """Nothing but messages, or one of two errors; never more held than the limit and one piece."""
    reader = MessageReader(100)

    try:
        for piece in pieces:
            for flag, data in reader.feed(piece):
                assert flag in (0, 1)
                assert len(data) <= 100
            assert reader.pending <= 100 + 5 + 50
    except (MessageTooLargeError, MalformedError):
        pass


def test_a_message_at_the_limit_is_read_and_one_above_is_not() -> None:
    """The announcement is enough: no byte of the body is waited for."""
    assert MessageReader(10).feed(frame_message(0, b"x" * 10)) == [(0, b"x" * 10)]
    with pytest.raises(MessageTooLargeError) as raised:
        MessageReader(10).feed(struct.pack(">BI", 0, 11))
    assert raised.value.reason is Reason.MESSAGE_TOO_LARGE


def test_four_gibibytes_are_refused_at_the_prefix() -> None:
    """A length of 0xFFFFFFFF reserves nothing."""
    with pytest.raises(MessageTooLargeError):
        MessageReader().feed(b"\0\xff\xff\xff\xff")


def test_an_unknown_flag_is_malformed() -> None:
    """Flags are 0 and 1."""
    with pytest.raises(MalformedError):
        MessageReader().feed(b"\2\0\0\0\0")


@given(st.binary(max_size=20) | st.from_regex(rb"[a-z0-9\-]{1,40}", fullmatch=True))
def test_what_the_edge_takes_as_an_encoding_can_be_said_in_a_statement(value: bytes) -> None:
    """Else we would sign a frame that its peer refuses as a whole, and the calls of others with it."""
    with contextlib.suppress(MalformedError):
        check_statement(statement(encoding=read_encoding(value)))


@pytest.mark.parametrize("value", [b"", b"x" * 17, b"GZIP", b"gzip,br"])
def test_encodings_that_no_statement_can_name_are_refused(value: bytes) -> None:
    """The call ends alone."""
    with pytest.raises(MalformedError):
        read_encoding(value)


# --- Timeouts ---


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (b"100m", 100_000),
        (b"1H", 3_600_000_000),
        (b"2M", 120_000_000),
        (b"3S", 3_000_000),
        (b"4u", 4),
        (b"5000n", 5),
        (b"999n", 0),
        (b"0S", 0),
        (b"99999999H", 99_999_999 * 3_600_000_000),
    ],
)
def test_timeouts_are_read_in_every_unit(value: bytes, us: int) -> None:
    """Rounded down to microseconds."""
    assert parse_timeout(value) == us


@pytest.mark.parametrize(
    "value", [b"", b"m", b"1", b"123456789m", b"-1S", b"1.5S", b"1s", b" 1S", b"1S ", b"1SS", b"\xb2S"]
)
def test_malformed_timeouts_are_refused(value: bytes) -> None:
    """One to eight digits and one of six letters, nothing around them."""
    with pytest.raises(MalformedError):
        parse_timeout(value)


@given(st.binary(max_size=12))
def test_any_timeout_is_read_or_refused(value: bytes) -> None:
    """No other outcome."""
    with contextlib.suppress(MalformedError):
        assert parse_timeout(value) >= 0


@given(st.integers(-5, 10**17))
def test_a_written_timeout_is_never_longer_and_hardly_shorter(us: int) -> None:
    """What remains must not grow on the way; eight digits keep it within one in ten million and a unit."""
    again = parse_timeout(format_timeout(us))

    assert again <= max(us, 1)
    assert again >= min(us, 99_999_999 * 3_600_000_000) * 0.98


# --- Metadata ---


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=20))
def test_metadata_comes_back_as_written(entries: list[tuple[bytes, bytes]]) -> None:
    """In order, repeated names and all."""
    assert read_metadata(write_metadata(entries)) == tuple(entries)


@given(st.lists(st.tuples(NAMES.map(lambda name: name[:10] + b"-bin"), st.binary(max_size=40)), max_size=10))
def test_binary_metadata_comes_back_as_written(entries: list[tuple[bytes, bytes]]) -> None:
    """Any bytes."""
    assert read_metadata(write_metadata(entries)) == tuple(entries)


@pytest.mark.parametrize("value", [b"AP8=", b"AP8", b" AP8 "])
def test_binary_metadata_is_read_padded_or_not(value: bytes) -> None:
    """Both are allowed."""
    assert read_metadata([(b"x-bin", value)]) == ((b"x-bin", b"\0\xff"),)


def test_several_binary_values_in_one_header() -> None:
    """Parted by commas."""
    assert read_metadata([(b"x-bin", b"AA,AQ==,")]) == ((b"x-bin", b"\0"), (b"x-bin", b"\1"), (b"x-bin", b""))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Upper", b"v"),
        (b"x y", b"v"),
        (b"", b"v"),
        (b"x\xc3\xa9", b"v"),
        (b"n" * 129, b"v"),
        (b"x", b"line\nbreak"),
        (b"x", b"\xc3\xa9"),
        (b"x", b"nul\0"),
        (b"x-bin", b"not base64!"),
        (b"x-bin", b"A"),
        (b"x-bin", b"====="),
    ],
)
def test_malformed_metadata_is_refused(name: bytes, value: bytes) -> None:
    """And is not written either."""
    with pytest.raises(MalformedError) as raised:
        read_metadata([(name, value)])

    assert raised.value.reason is Reason.METADATA_INVALID


def test_metadata_is_bounded_in_count_and_size() -> None:
    """RESOURCE_EXHAUSTED, by a reason of its own."""
    for headers in ([(b"x", b"v")] * (MAX_METADATA_COUNT + 1), [(b"x", b"v" * 20_000)]):
        with pytest.raises(ExchangeError) as raised:
            read_metadata(headers)
        assert raised.value.reason.entry.code is Code.RESOURCE_EXHAUSTED


def test_a_peer_cannot_write_our_own_headers() -> None:
    """Pseudo headers, statuses and line breaks in metadata of another gateway do not reach the wire."""
    entries = (
        (b":path", b"/other"),
        (b"content-type", b"text/html"),
        (b"grpc-status", b"0"),
        (b"te", b"gzip"),
        (b"Upper", b"v"),
        (b"x", b"a\r\nb: c"),
        (b"good", b"v"),
    )

    assert write_metadata(entries) == [(b"good", b"v")]


# --- Requests and responses ---

GOOD = request_headers(b"/a.B/C", b"host", ((b"x-one", b"1"),), "gzip", 1500)


def test_a_request_comes_back_as_written() -> None:
    """Path, metadata, timeout, encoding; own headers are no metadata."""
    head = read_request(GOOD)

    assert (head.path, head.metadata, head.timeout_us, head.encoding) == (
        b"/a.B/C",
        ((b"x-one", b"1"),),
        1500,
        "gzip",
    )


def test_a_request_without_timeout_and_encoding() -> None:
    """No deadline, messages as they are."""
    head = read_request(request_headers(b"/a.B/C", b"host", (), "identity", None))

    assert (head.timeout_us, head.encoding) == (None, "identity")


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b":method", b"GET", 405),
        (b"content-type", b"application/json", 415),
        (b"content-type", b"application/grpcx", 415),
    ],
)
def test_what_is_no_grpc_gets_an_http_status(name: bytes, value: bytes, status: int) -> None:
    """405 and 415, as the specification says."""
    headers = [(name, value) if one[0] == name else one for one in GOOD]

    with pytest.raises(NotGrpcError) as raised:
        read_request(headers)

    assert raised.value.http_status == status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"te", b"gzip"),
        (b":path", b"a.B/C"),
        (b":path", b"/" + b"x" * 600),
        (b":path", b"/\xc3\xa9/C"),
        (b"grpc-timeout", b"1 S"),
        (b"grpc-encoding", b"GZIP!"),
    ],
)
def test_malformed_requests_are_refused(name: bytes, value: bytes) -> None:
    """INVALID_ARGUMENT: no caller's mistake ends in INTERNAL."""
    headers = [(name, value) if one[0] == name else one for one in GOOD]

    with pytest.raises(MalformedError) as raised:
        read_request(headers)

    assert raised.value.reason.entry.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("name", [b"grpc-timeout", b"content-type", b"te", b":path", b"grpc-encoding"])
def test_own_headers_stand_once(name: bytes) -> None:
    """Two of them are two meanings."""
    with pytest.raises(MalformedError):
        read_request([*GOOD, next(one for one in GOOD if one[0] == name)])


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=10))
def test_any_headers_are_read_or_refused(extra: list[tuple[bytes, bytes]]) -> None:
    """Only ``ExchangeError`` comes out."""
    with contextlib.suppress(ExchangeError):
        read_request([*GOOD, *extra])


@pytest.mark.parametrize(
    "value", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"]
)
def test_content_types_of_grpc(value: bytes) -> None:
    """Plain, with a suffix, with parameters."""
    require_grpc(value)


def test_encoding_is_a_short_token() -> None:
    """Whatever the two programs agree on."""
    assert read_encoding(b"x-snappy-framed") == "x-snappy-framed"
    with pytest.raises(MalformedError):
        read_encoding(b"x" * 33)


def test_response_headers_carry_encoding_and_metadata() -> None:
    """grpc-encoding is an own header, but passes if it is one."""
    headers = response_headers(((b"grpc-encoding", b"gzip"), (b"x", b"v"), (b"grpc-encoding", b"no good")))

    assert headers[2:] == [(b"grpc-encoding", b"gzip"), (b"x", b"v")]


@given(st.text(max_size=60).filter(lambda text: "\ud800" not in text))
def test_status_messages_survive(text: str) -> None:
    """Percent-encoded into printable ASCII and back."""
    encoded = encode_status_message(text)

    assert all(0x20 <= c <= 0x7E for c in encoded)
    assert decode_status_message(encoded) == text


def test_trailers_carry_status_message_and_metadata() -> None:
    """A message given in clear text wins over one that passes through."""
    metadata = ((b"grpc-message", b"passed%20on"), (b"x-bin", b"\0"))

    assert trailers_for(5, "", metadata) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"passed%20on"),
        (b"x-bin", b"AA"),
    ]
    assert trailers_for(5, "à", metadata) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"%C3%A0"),
        (b"x-bin", b"AA"),
    ]
    assert trailers_for(99, "", ()) == [(b"grpc-status", b"2")]


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ([b"0"], 0),
        ([b"16"], 16),
        ([b"17"], 2),
        ([b"999"], 2),
        ([], None),
        ([b"-1"], None),
        ([b"0", b"0"], None),
        ([b"1234"], None),
    ],
)
def test_status_is_one_number(values: list[bytes], status: int | None) -> None:
    """A code that gRPC does not know is UNKNOWN; anything else is no status."""
    assert read_status([(b"grpc-status", value) for value in values]) == status


def test_resets_have_codes() -> None:
    """The specification's table; an unknown number is UNKNOWN."""
    assert code_of_reset(ErrorCode.REFUSED_STREAM) is Code.UNAVAILABLE
    assert code_of_reset(ErrorCode.CANCEL) is Code.CANCELLED
    assert code_of_reset(ErrorCode.ENHANCE_YOUR_CALM) is Code.RESOURCE_EXHAUSTED
    assert code_of_reset(0xDEAD) is Code.UNKNOWN
