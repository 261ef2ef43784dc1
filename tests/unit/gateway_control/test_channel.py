"""Messages between control and worker."""

import pytest

from gateway.channel import (
    ConfigurationChanged,
    ConfigurationConfirmed,
    Drain,
    FetchConfiguration,
    FromWorker,
    MalformedMessageError,
    PeerState,
    ToWorker,
    WorkerReport,
    decode_for_control,
    decode_for_worker,
    encode_line,
)


@pytest.mark.parametrize(
    "message",
    [
        ConfigurationChanged(path="/g/configuration/current.json", version=3, digest="ab" * 32),
        ConfigurationConfirmed(version=3, fetched_at=1, expires_at=2),
        Drain(),
    ],
)
def test_a_worker_reads_what_control_wrote(message: ToWorker) -> None:
    """One line, one message."""
    line = encode_line(message)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_for_worker(line) == message


@pytest.mark.parametrize(
    "message",
    [
        FetchConfiguration(version=9),
        WorkerReport(
            state="ready",
            counters={"exchanges": 1},
            peers=(PeerState(gateway="BJ/GOV/ANIP/gw1", log="cd" * 32, state="open"),),
            adapters={"BJ/GOV/ANIP/RNPP": "up"},
        ),
    ],
)
def test_control_reads_what_a_worker_wrote(message: FromWorker) -> None:
    """One line, one message."""
    assert decode_for_control(encode_line(message)) == message


def test_fields_that_are_not_known_yet_are_ignored() -> None:
    """Control can be replaced before its workers are."""
    assert decode_for_control(b'{"type":"status","state":"ready","later":1}') == WorkerReport(state="ready")


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"{}", b"[]", b"\xff", b'{"type":"other"}', b'{"type":"status"}', b'{"type":"status"'],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    """By both sides."""
    with pytest.raises(MalformedMessageError):
        decode_for_control(line)
    with pytest.raises(MalformedMessageError):
        decode_for_worker(line)
