"""Times as messages carry them."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(at_ms: int) -> Timestamp | None:
    """UTC milliseconds as a message's field; none for 0, which stands for none everywhere in the kit."""
    if not at_ms:
        return None
    seconds, milliseconds = divmod(at_ms, 1000)
    return Timestamp(seconds=seconds, nanos=milliseconds * 1_000_000)


def milliseconds(told: Timestamp) -> int:
    """The other way."""
    return told.seconds * 1000 + told.nanos // 1_000_000
