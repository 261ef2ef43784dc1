"""The container of evidence as a file: a zip laid out as ASiC-E (ETSI EN 319 162-1), ``mimetype`` first and stored.

Reading expects the worst: the file comes from the other side of a dispute. Every name and size is checked before a
byte is unpacked, and what is unpacked is counted, whatever the directory of the zip claims.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Final

from core.evidence import (
    MANIFEST,
    MAX_CONTAINER_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MIMETYPE,
    MIMETYPE_PATH,
    Parts,
    is_part_path,
)
from core.reasons import MalformedError, Reason
from rpc.files import replace_file

# Zip can hold no earlier time; a fixed one makes equal evidence equal bytes.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_ENCRYPTED: Final = 0x1
_LOCAL_HEADER: Final = struct.Struct("<4s2xHH4xIIIHH")
_END_BYTES: Final = 22
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class MalformedContainerError(MalformedError):
    """A file that is no container of evidence, or a hostile one."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.DOCUMENT_INVALID, f"not a container of evidence: {why}")

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


def pack(parts: Parts) -> bytes:
    """The bytes of a container; the same parts give the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        _write(archive, MIMETYPE_PATH, MIMETYPE, zipfile.ZIP_STORED)
        for path in sorted(parts, key=lambda one: (one != MANIFEST, one)):
            if not is_part_path(path):
                raise MalformedContainerError(f"no part can be named {path[:80]!a}")
            _write(archive, path, parts[path], zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _write(archive: zipfile.ZipFile, path: str, data: bytes, method: int) -> None:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.compress_type = method
    info.external_attr = 0o600 << 16
    info.create_system = 3
    archive.writestr(info, data)


def write_container(path: Path, parts: Parts) -> None:
    """Write a container, whole or not at all."""
    replace_file(path, pack(parts))


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
            found = part.read(min(left, MAX_PART_BYTES) + 1)
        if len(found) > min(left, MAX_PART_BYTES):
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
    if at != archive.start_dir or archive.comment or data.rfind(b"PK\5\6") != len(data) - _END_BYTES:
        raise MalformedContainerError("there is something between, before or behind its parts")


def _require_harmless(info: zipfile.ZipInfo) -> None:
    # ``orig_filename`` still shows a NUL byte, behind which ``filename`` was cut.
    if info.orig_filename != info.filename or not is_part_path(info.filename):
        raise MalformedContainerError(f"a part is named {info.orig_filename[:80]!a}")
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise MalformedContainerError(f"{info.filename} is encrypted or packed in an unknown way")
    if info.file_size > MAX_PART_BYTES:
        raise MalformedContainerError(f"{info.filename} is too large")
