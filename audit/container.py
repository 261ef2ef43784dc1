"""The container of evidence as a file: a zip laid out as ASiC-E (ETSI EN 319 162-1), ``mimetype`` first and stored.

Reading expects the worst: the file comes from the other side of a dispute. Every name and size is checked before a
byte is unpacked, and what is unpacked is counted, whatever the directory of the zip claims.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

from core.evidence import (
    MANIFEST,
    MAX_CONTAINER_BYTES,
    MAX_DOCUMENTS,
    MAX_PARTS,
    MIMETYPE,
    MIMETYPE_PATH,
    Parts,
    is_document_path,
    is_part_path,
    max_part_bytes,
)
from core.reasons import ExchangeError, MalformedError, Reason
from rpc.files import replacing

# Zip can hold no earlier time; a fixed one makes equal evidence equal bytes.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_ENCRYPTED: Final = 0x1
_LOCAL_HEADER: Final = struct.Struct("<4s2xHH4xIIIHH")
_END: Final = struct.Struct("<4s4H2LH")
_LARGE_END: Final = struct.Struct("<4sQ2H2L4Q")
_LARGE_END_PLACE: Final = struct.Struct("<4sLQL")
# What the end of a zip can count without the records for large files, and how they say that these hold the number.
_MAX_COUNTED: Final = 0xFFFF
_LARGE_VERSION: Final = 45
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class MalformedContainerError(MalformedError):
    """A file that is no container of evidence, or a hostile one."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.DOCUMENT_INVALID, f"not a container of evidence: {why}")

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


def pack(parts: Parts) -> bytes:
    """The bytes of a container; the same parts in the same order give the same bytes."""
    target = io.BytesIO()
    _write_all(target, parts.items())
    return target.getvalue()


def _write_all(target: BinaryIO, parts: Iterable[tuple[str, bytes]]) -> None:
    """Write part by part: none is held longer than it takes to pack it."""
    count = size = documents = 0
    with zipfile.ZipFile(target, "w") as archive:
        _write(archive, MIMETYPE_PATH, MIMETYPE, zipfile.ZIP_STORED)
        for path, data in parts:
            if not is_part_path(path):
                raise MalformedContainerError(f"no part can be named {path[:80]!a}")
            count, size, documents = count + 1, size + len(data), documents + is_document_path(path)
            if len(data) > max_part_bytes(path):
                raise _too_large(f"{max_part_bytes(path)} bytes")
            if count >= MAX_PARTS:
                raise _too_large(f"{MAX_PARTS} parts")
            if documents > MAX_DOCUMENTS:
                raise _too_large(f"{MAX_DOCUMENTS} documents")
            if size > MAX_CONTAINER_BYTES or target.tell() > MAX_CONTAINER_BYTES:
                raise _too_large(f"{MAX_CONTAINER_BYTES} bytes")
            _write(archive, path, data, zipfile.ZIP_DEFLATED)


def _too_large(limit: str) -> ExchangeError:
    return ExchangeError(Reason.EVIDENCE_TOO_LARGE, f"more than {limit}")


def _write(archive: zipfile.ZipFile, path: str, data: bytes, method: int) -> None:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.compress_type = method
    info.external_attr = 0o600 << 16
    info.create_system = 3
    archive.writestr(info, data)


def write_container(path: Path, parts: Iterable[tuple[str, bytes]]) -> None:
    """Write a container, whole or not at all, in bounded memory.

    Raises:
        ExchangeError: ``EVIDENCE_TOO_LARGE``, naming the limit: no verifier would read so much.
    """
    with replacing(path) as file:
        _write_all(file, parts)


def read_container(path: Path) -> Parts:
    """Read a container's parts.

    Raises:
        MalformedContainerError: It is none, is too large, or plays tricks with names or sizes.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_CONTAINER_BYTES + 1)
    return unpack(data)


def unpack(data: bytes) -> Parts:
    """The parts of a container's bytes, without ``mimetype``; raises ``MalformedContainerError``."""
    if len(data) > MAX_CONTAINER_BYTES:
        raise MalformedContainerError(f"longer than {MAX_CONTAINER_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_all(data, archive)
    except MalformedContainerError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        ValueError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ):
        raise MalformedContainerError("it cannot be unpacked") from None


def _read_all(data: bytes, archive: zipfile.ZipFile) -> Parts:
    infos = archive.infolist()
    if len(infos) > MAX_PARTS:
        raise MalformedContainerError(f"more than {MAX_PARTS} parts")
    if not infos or infos[0].filename != MIMETYPE_PATH or infos[0].compress_type != zipfile.ZIP_STORED:
        raise MalformedContainerError("'mimetype' does not come first, stored")
    if sum(is_document_path(info.filename) for info in infos) > MAX_DOCUMENTS + 1:
        raise MalformedContainerError(f"more than {MAX_DOCUMENTS} documents")
    for info in infos:
        _require_harmless(info)
    _require_one_reading(data, archive)
    names = [info.filename for info in infos]
    if len({name.lower() for name in names}) != len(names):
        raise MalformedContainerError("a part twice")
    left = MAX_CONTAINER_BYTES
    parts: Parts = {}
    for info in infos:
        with archive.open(info) as part:
            most = min(left, max_part_bytes(info.filename))
            found = part.read(most + 1)
        if len(found) > most:
            raise MalformedContainerError(f"{info.filename} is too large")
        left -= len(found)
        parts[info.filename] = found
    if parts.pop(MIMETYPE_PATH) != MIMETYPE:
        raise MalformedContainerError("another mimetype")
    if MANIFEST not in parts:
        raise MalformedContainerError("no manifest")
    return parts


def _require_one_reading(data: bytes, archive: zipfile.ZipFile) -> None:
    """The entries fill the file without a gap, and say the same of themselves where they stand and in the directory.

    Some tools read a zip from its end, some from its begin: what they unpack must be what is judged here.
    """
    at = 0
    for info in archive.infolist():
        *head, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(data, at)
        named = info.orig_filename.encode("utf-8")
        told = [b"PK\3\4", info.flag_bits, info.compress_type, info.CRC, info.compress_size, info.file_size]
        begin = at + _LOCAL_HEADER.size
        if (
            info.header_offset != at
            or head != told
            or (name_bytes, extra_bytes) != (len(named), 0)
            or data[begin : begin + name_bytes] != named
        ):
            raise MalformedContainerError(f"{info.orig_filename[:80]!a} is not what the directory says")
        at = begin + name_bytes + info.compress_size
    if at != archive.start_dir or archive.comment or not data.endswith(_end(data, archive)):
        raise MalformedContainerError("there is something between, before or behind its parts")


def _end(data: bytes, archive: zipfile.ZipFile) -> bytes:
    """What must stand behind the directory, in its one written form: an end, for very many parts three records.

    No other end may stand in it: a tool that looks for one elsewhere would read another directory.
    """
    begin, count = archive.start_dir, len(archive.infolist())
    is_large = count > _MAX_COUNTED
    behind = _END.size + (_LARGE_END.size + _LARGE_END_PLACE.size) * is_large
    size = len(data) - behind - begin
    if size < 0 or data.rfind(b"PK\5\6") != len(data) - _END.size:
        raise MalformedContainerError("there is something behind its parts")
    counted = min(count, _MAX_COUNTED)
    end = _END.pack(b"PK\5\6", 0, 0, counted, counted, size, begin, 0)
    if not is_large:
        return end
    fixed = (_LARGE_END.size - 12, _LARGE_VERSION, _LARGE_VERSION, 0, 0)
    large = _LARGE_END.pack(b"PK\6\6", *fixed, count, count, size, begin)
    return large + _LARGE_END_PLACE.pack(b"PK\6\7", 0, begin + size, 1) + end


def _require_harmless(info: zipfile.ZipInfo) -> None:
    # ``orig_filename`` still shows a NUL byte, behind which ``filename`` was cut.
    if info.orig_filename != info.filename or not is_part_path(info.filename):
        raise MalformedContainerError(f"a part is named {info.orig_filename[:80]!a}")
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise MalformedContainerError(f"{info.filename} is encrypted or packed in an unknown way")
    if info.file_size > max_part_bytes(info.filename):
        raise MalformedContainerError(f"{info.filename} is too large")
