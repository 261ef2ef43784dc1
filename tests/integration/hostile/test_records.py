"""Records taken out of a gateway's own log by somebody who knows its format, told by ``audit verify-log``.

Checksums and commit marks are made right again; what is left to tell is what leaves, frames and statements say of each
other.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from audit.wholelog import verify_logs
from gateway.layout import GatewayDirectory
from ledger.records import (
    COMMIT_END,
    HEADER_BYTES,
    Record,
    RecordType,
    RecordWriter,
    SegmentHeader,
    split_attachment,
)
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.hostile import heard
from tests.support.waiting import until

# What no leaf speaks of: our own heads, which peers hold; bodies, which may be gone; receipts, which may not have come.
NOT_TOLD = {"HEAD", "BODY", "RECEIPT"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> GatewayDirectory:
    """ANIP's gateway after some exchanges, receipts included."""
    with Federation(tmp_path_factory.mktemp("records")) as federation:
        with federation.channel() as channel:
            for batch in range(2):
                for number in range(3):
                    calling(channel)(b"x" * 50, metadata=metadata(x_road_id=f"{batch}-{number}"), timeout=10)
                expected = 3 * (batch + 1)
                until(partial(has_heard, federation.pns, expected))
        return federation.anip.directory


def has_heard(member: Member, count: int) -> bool:
    return len(heard(member)) == count


def kind_of(record: Record) -> str:
    if record.type is RecordType.ATTACHMENT:
        return split_attachment(record.data)[1].name
    return record.type.name


def without(segment: bytes, left_out: int) -> tuple[str, bytes]:
    """The segment without one record, as if it had never been written; and of what kind that was."""
    writer = RecordWriter(SegmentHeader.decode(segment).log)
    records, at = [], HEADER_BYTES
    while (record := writer.read(segment, at)) is not None:
        records.append(record)
        at = record.end
    if left_out >= len(records):
        return "", b""
    kept = [one for number, one in enumerate(records) if number != left_out]
    parts = [segment[:HEADER_BYTES]]
    for number, one in enumerate(kept):
        ends = number + 1 == len(kept) or kept[number + 1].sequence != one.sequence
        writer.pack(parts, one.sequence, int(one.type) | (COMMIT_END if ends else 0), one.data)
    return kind_of(records[left_out]), b"".join(parts)


def test_a_record_taken_out_of_a_gateways_log_is_told_by_verify_log(
    directory: GatewayDirectory, tmp_path: Path
) -> None:
    """Each one of the log, one after the other: leaves, what was received, and the frames that prove it."""
    copy = tmp_path / "copy"
    shutil.copytree(directory.root, copy)
    seal = directory.seal.certificate
    assert [one.fault for one in verify_logs(copy, certificates=[seal])] == [None]
    path = max((copy / "log" / "0").glob("*.seg"))
    segment = path.read_bytes().rstrip(b"\0")
    told: dict[str, set[bool]] = {}
    number = 0
    while (taken := without(segment, number))[0]:
        kind, data = taken
        path.write_bytes(data)
        (report,) = verify_logs(copy, certificates=[seal])
        told.setdefault(kind, set()).add(report.fault is not None)
        number += 1

    assert number > 20
    assert {kind: found for kind, found in told.items() if kind not in NOT_TOLD} == {
        "LEAF": {True},
        "STATEMENT": {True},
        "FRAME": {True},
    }
