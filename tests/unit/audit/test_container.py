"""A container is a hostile file until it is read: names, sizes and duplicates are refused before they can hurt."""

from __future__ import annotations

import io
import os
import resource
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import container
from audit.container import (
    MalformedContainerError,
    pack,
    read_container,
    unpack,
    write_container,
)
from core.evidence import (
    MANIFEST,
    MAX_CONTAINER_BYTES,
    MAX_DOCUMENTS,
    MAX_PART_BYTES,
    MIMETYPE,
    MIMETYPE_PATH,
)
from core.reasons import ExchangeError, Reason

PARTS = {MANIFEST: b"{}", "statements/1-request.json": b"{}", "heads/00.jws": b"a.b.c"}

Entry = tuple[str, bytes]
FIRST: Entry = (MIMETYPE_PATH, MIMETYPE)


def archive(
    *entries: Entry, method: int = zipfile.ZIP_DEFLATED, first_method: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip with these entries in this order, whatever they are named."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # duplicates are what some tests are about
        for number, (name, data) in enumerate(entries):
            made.writestr(zipfile.ZipInfo(name), data, first_method if number == 0 else method)
    return target.getvalue()


def test_what_is_packed_comes_back() -> None:
    """Part by part."""
    assert unpack(pack(PARTS)) == PARTS


def test_equal_evidence_is_equal_bytes() -> None:
    """Whenever it is packed: it is gathered in the order of the log."""
    assert pack(PARTS) == pack(dict(PARTS))


def test_the_kind_of_file_shows_in_its_first_bytes() -> None:
    """``mimetype`` first and stored, as ASiC-E demands."""
    data = pack(PARTS)

    assert data[30:38] == b"mimetype"
    assert data[38 : 38 + len(MIMETYPE)] == MIMETYPE


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    """Whole or not at all."""
    write_container(tmp_path / "preuve.asice", PARTS.items())

    assert read_container(tmp_path / "preuve.asice") == PARTS


def test_a_part_with_another_name_is_not_packed() -> None:
    """Nobody shall be handed what a reader refuses."""
    with pytest.raises(MalformedContainerError):
        pack({**PARTS, "../evil": b""})


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "statements/../../x",
        "/etc/passwd",
        "statements//x",
        "statements/",
        "statements\\x",
        "C:/x",
        "statements/.hidden",
        "statements/a\n",
        "statements/é",
        "META-INF/x",
        "unknown/x",
        "statements/" + "a" * 300,
        "a/b/c/d/e/f",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    """No path of another directory, no look-alike, nothing outside the layout."""
    with pytest.raises(MalformedContainerError):
        unpack(archive(FIRST, (MANIFEST, b"{}"), (name, b"x")))


@pytest.mark.parametrize("twin", ["statements/a.json", "statements/A.json"])
def test_a_part_twice_is_refused(twin: str) -> None:
    """Two readers could take two meanings from it, be it only on file systems that fold case."""
    with pytest.raises(MalformedContainerError, match="twice"):
        unpack(archive(FIRST, (MANIFEST, b"{}"), ("statements/a.json", b"1"), (twin, b"2")))


def test_a_bomb_is_refused_by_its_directory() -> None:
    """What says that it is too large is not unpacked."""
    with pytest.raises(MalformedContainerError, match="too large"):
        unpack(archive(FIRST, (MANIFEST, b"{}"), ("bodies/1.bin", bytes(MAX_PART_BYTES + 1))))


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    """What is unpacked is counted."""
    data = bytearray(archive(FIRST, (MANIFEST, b"{}"), ("bodies/1.bin", bytes(MAX_PART_BYTES + 1))))
    true_size = struct.pack("<I", MAX_PART_BYTES + 1)
    while (at := data.find(true_size)) >= 0:
        data[at : at + 4] = struct.pack("<I", 100)

    with pytest.raises(MalformedContainerError):
        unpack(bytes(data))


def test_many_middling_parts_are_refused_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole is bounded too."""
    entries = [(f"bodies/{number}.bin", bytes(MAX_PART_BYTES)) for number in range(5)]
    monkeypatch.setattr(container, "MAX_CONTAINER_BYTES", 4 * MAX_PART_BYTES)

    with pytest.raises(MalformedContainerError, match="too large"):
        unpack(archive(FIRST, (MANIFEST, b"{}"), *entries))


def test_too_many_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any is read."""
    entries = [(f"bodies/{number}.bin", b"") for number in range(512)]
    monkeypatch.setattr(container, "MAX_PARTS", 512)

    with pytest.raises(MalformedContainerError, match="more than 512 parts"):
        unpack(archive(FIRST, (MANIFEST, b"{}"), *entries))


def test_too_many_documents_are_refused() -> None:
    """They do not grow with the exchange, and each costs signatures to judge."""
    entries = [(f"certificates/{number}.pem", b"") for number in range(MAX_DOCUMENTS)]

    with pytest.raises(MalformedContainerError, match="more than 512 documents"):
        unpack(archive(FIRST, (MANIFEST, b"{}"), *entries))


@pytest.mark.parametrize(
    ("limit", "value", "named"),
    [
        ("MAX_PARTS", 2, "2 parts"),
        ("MAX_DOCUMENTS", 0, "0 documents"),
        ("MAX_CONTAINER_BYTES", 4, "4 bytes"),
        ("max_part_bytes", lambda path: 1, "1 bytes"),
    ],
)
def test_nothing_is_written_that_nobody_would_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: object, named: str
) -> None:
    """The limit is told by name, and what stood there before stays."""
    path = tmp_path / "preuve.asice"
    path.write_bytes(b"before")
    monkeypatch.setattr(container, limit, value)

    with pytest.raises(ExchangeError, match=named) as refused:
        write_container(path, PARTS.items())

    assert refused.value.reason is Reason.EVIDENCE_TOO_LARGE
    assert [one.name for one in tmp_path.iterdir()] == ["preuve.asice"]
    assert path.read_bytes() == b"before"


def many(count: int) -> bytes:
    """A container with more parts than an ordinary zip can count."""
    return pack({MANIFEST: b"{}"} | {f"heads/{number:06d}.jws": b"" for number in range(count)})


LARGE = many(65_600)


def test_a_container_of_very_many_parts_has_one_written_form() -> None:
    """The records for large zips stand there, and say the same as the directory."""
    assert len(unpack(LARGE)) == 65_601

    end = len(LARGE) - 22
    for at in (end - 20, end - 20 + 8, end - 76, end - 76 + 4, end - 76 + 24, end - 76 + 40, end - 76 + 48):
        changed = bytearray(LARGE)
        changed[at] ^= 1
        with pytest.raises(MalformedContainerError):
            unpack(bytes(changed))


def test_a_small_container_has_no_records_for_large_ones() -> None:
    """A tool that heeds them would read another directory."""
    small = pack(PARTS)
    fixed = struct.pack("<4sQ2H2L", b"PK\x06\x06", 44, 45, 45, 0, 0)
    start = struct.unpack_from("<I", small, len(small) - 6)[0]
    size = len(small) - 22 - start
    count = len(PARTS) + 1
    large = fixed + struct.pack("<4Q", count, count, size, start)
    place = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1)

    with pytest.raises(MalformedContainerError):
        unpack(small[:-22] + large + place + small[-22:])


_ENCRYPTED_BIT: Callable[[bytes], bytes] = lambda data: data.replace(  # noqa: E731 (a table of changes)
    b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
)

HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "not-a-zip": b"this is no zip",
    "no-entries": archive(),
    "cut-short": pack(PARTS)[:-30],
    "mimetype-missing": archive((MANIFEST, b"{}")),
    "mimetype-second": archive((MANIFEST, b"{}"), FIRST),
    "mimetype-packed": archive(FIRST, (MANIFEST, b"{}"), first_method=zipfile.ZIP_DEFLATED),
    "mimetype-other": archive((MIMETYPE_PATH, b"application/zip"), (MANIFEST, b"{}")),
    "manifest-missing": archive(FIRST, ("statements/a.json", b"{}")),
    "unknown-packing": archive(FIRST, (MANIFEST, b"{}"), method=zipfile.ZIP_BZIP2),
    "lzma": archive(FIRST, (MANIFEST, b"{}"), method=zipfile.ZIP_LZMA),
    "name-with-nul": archive(FIRST, (MANIFEST, b"{}"), ("heads/aXbc", b"x")).replace(
        b"heads/aXbc", b"heads/a\x00bc"
    ),
    "encrypted": _ENCRYPTED_BIT(archive(FIRST, (MANIFEST, b"{}"))),
    "wrong-crc": archive(FIRST, (MANIFEST, b"12345"), method=zipfile.ZIP_STORED).replace(b"12345", b"12346"),
}


def with_local(data: bytes, at: int, value: bytes) -> bytes:
    """Bytes of the second entry's own header changed, those of the directory left."""
    begin = data.index(b"PK\x03\x04", 1) + at
    return data[:begin] + value + data[begin + len(value) :]


def with_extra(data: bytes) -> bytes:
    """An extra field in front of a part, where only who reads from the begin looks."""
    begin = data.index(b"PK\x03\x04", 1)
    name = struct.unpack_from("<H", data, begin + 26)[0]
    extra = struct.pack("<HH", 0x9999, 4) + b"hide"
    after = begin + 30 + name
    changed = (
        data[: begin + 28] + struct.pack("<H", len(extra)) + data[begin + 30 : after] + extra + data[after:]
    )
    directory = changed.rindex(b"PK\x05\x06") + 16
    start = struct.unpack_from("<I", changed, directory)[0] + len(extra)
    return changed[:directory] + struct.pack("<I", start) + changed[directory + 4 :]


def linked() -> bytes:
    """A part that would be a symbolic link, were it ever unpacked onto a disk."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr(zipfile.ZipInfo(MIMETYPE_PATH), MIMETYPE)
        made.writestr(zipfile.ZipInfo(MANIFEST), b"{}")
        link = zipfile.ZipInfo("bodies/1.bin")
        link.external_attr = 0o120777 << 16
        made.writestr(link, b"/etc/passwd")
    return target.getvalue()


GOOD = archive(FIRST, (MANIFEST, b"{}"), ("heads/a.jws", b"x"))
HOSTILE |= {
    "bytes in front": b"#!/bin/sh\n" + GOOD,
    "another archive in front": archive(FIRST, (MANIFEST, b"[]")) + GOOD,
    "bytes behind": GOOD + b"\0",
    "another archive behind": GOOD + archive(FIRST, ("heads/a.jws", b"y")),
    "comment": GOOD[:-2] + struct.pack("<H", 4) + b"note",
    "comment that looks like an end": GOOD[:-2] + struct.pack("<H", 22) + GOOD[-22:],
    "another name where it stands": with_local(GOOD, 30, b"X"),
    "another size where it stands": with_local(GOOD, 22, struct.pack("<I", 1)),
    "another checksum where it stands": with_local(GOOD, 14, bytes(4)),
    "size behind the part": with_local(GOOD, 6, struct.pack("<H", 8)),
    "hidden field": with_extra(GOOD),
    "directory": archive(FIRST, (MANIFEST, b"{}"), ("heads/", b"")),
    "zip in zip": archive(FIRST, (MANIFEST, b"{}"), ("heads/a.zip/../b", GOOD)),
    "only an end": b"PK\x05\x06" + bytes(18),
    "end with 65,535 entries": b"PK\x05\x06" + bytes(4) + b"\xff" * 8 + bytes(6),
    "large file's end": archive(FIRST, (MANIFEST, b"{}"))[:-22] + b"PK\x06\x07" + bytes(16) + GOOD[-22:],
}


def test_a_link_is_bytes_like_any_other() -> None:
    """Nothing is ever unpacked onto a disk, so nothing can be linked, named or overwritten there."""
    assert unpack(linked())["bodies/1.bin"] == b"/etc/passwd"


def test_a_sparse_file_of_ten_gigabytes_is_refused_at_once(tmp_path: Path) -> None:
    """No more of it is read than a container may have."""
    path = tmp_path / "preuve.asice"
    path.write_bytes(GOOD)
    os.truncate(path, 10 * 1024**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(MalformedContainerError, match="longer than"):
        read_container(path)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * MAX_CONTAINER_BYTES // 1024


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_malformed_containers_are_refused(name: str) -> None:
    """Each in one clear error."""
    with pytest.raises(MalformedContainerError):
        unpack(HOSTILE[name])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    """Nothing but the one error comes out."""
    with pytest.raises(MalformedContainerError):
        unpack(data)


@given(st.integers(0, len(pack(PARTS)) - 1), st.integers(0, 7))
def test_a_changed_bit_is_refused_or_harmless(at: int, bit: int) -> None:
    """The zip's own checksum finds it, or it changed nothing that is read."""
    data = bytearray(pack(PARTS))
    data[at] ^= 1 << bit

    try:
        found = unpack(bytes(data))
    except MalformedContainerError:
        return

    assert found == PARTS
