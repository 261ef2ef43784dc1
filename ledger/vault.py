"""Bodies at rest: encrypted, and erasable one by one (PROTOCOL M12).

The key of a body is HKDF-SHA256 (RFC 5869) of the day-and-service key and the body's slot: the day key is uniformly
random, so it is the PRK as it stands (section 3.3), and the slot is the info. Slots are 32 random bytes each in a
small file that is overwritten and never archived: zeroing a slot destroys one body, losing the day key all bodies of
that day and service. Both are durable before their first use.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from core.clock import Clock
from core.reasons import ExchangeError, Reason
from ledger.failpoints import hit
from ledger.log import sync_directory

SLOT_BYTES: Final = 32
SLOTS_AHEAD: Final = 65_536
KEY_BYTES: Final = 32
_INFO: Final = b"passerelle/1/body"
_HEADER = struct.Struct("<QBII")  # leaf index, part, slot, day key number
BODY_OVERHEAD: Final = (
    _HEADER.size + 16
)  # what a BODY record adds to a body: its header, and the tag of AES-GCM
_NONCE: Final = b"\x00" * 12  # each key encrypts exactly one body
_PURGE = struct.Struct("<BQIQ")  # kind, leaf index, slot or day key number, UTC milliseconds
_DAY_KEYS_MAX_BYTES: Final = 1 << 28
_WRAP_INFO: Final = b"passerelle/1/daykey"


class PurgeKind(IntEnum):
    """What a PURGE record says was erased."""

    BODY = 1
    DAY_KEY = 2


class BodyUnreadableError(ExchangeError):
    """A body that was erased, or whose keys are missing."""

    def __init__(self, text: str) -> None:
        super().__init__(Reason.NOT_FOUND, text)


class Wrapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A day key under one wrapping key."""

    key: str
    algorithm: str
    data: str


class DayKeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of ``daykeys``: number, day (UTC), service, and who can unwrap it."""

    number: int
    day: str
    service: str
    wrappings: list[Wrapping]


def create_wrapping_key(path: Path) -> None:
    """Make a wrapping key file, 0600; raises ``FileExistsError``."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, os.urandom(KEY_BYTES).hex().encode("ascii") + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    # Else a power loss may take the name, and with the key all bodies that it wraps.
    sync_directory(path.parent)


def read_wrapping_key(path: Path, log_directory: Path) -> bytes:
    """Read a wrapping key; it must not lie where the bodies are, nor be open to others.

    Raises:
        ExchangeError: ``KEY_UNREADABLE``.
    """
    if log_directory.resolve() in path.resolve().parents:
        raise ExchangeError(Reason.KEY_UNREADABLE, "the wrapping key lies in the log directory")
    try:
        if path.stat().st_mode & 0o077:
            raise ExchangeError(Reason.KEY_UNREADABLE, "the wrapping key is open to others")
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError):
        raise ExchangeError(Reason.KEY_UNREADABLE, "the wrapping key cannot be read") from None
    if len(key) != KEY_BYTES:
        raise ExchangeError(Reason.KEY_UNREADABLE, "the wrapping key has another length")
    return key


class BodyVault:
    """Seals and opens the bodies of one log."""

    def __init__(
        self,
        directory: Path,
        log: str,
        wrapping_key: bytes,
        clock: Clock,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = bytes.fromhex(log)
        self._wrap = AESGCM(wrapping_key)
        self._wrap_id = hmac.digest(wrapping_key, b"passerelle/1/wrapping-key-id", "sha256")[:8].hex()
        self._clock = clock
        self._random = random
        self._keys: dict[int, bytes] = {}
        self._current: dict[str, tuple[int, HMAC]] = {}
        self._current_day = -1
        self._places: list[tuple[int, int]] = []  # begin and end of each day key's line, by number
        self._daykeys = os.open(directory / "daykeys", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._slots = os.open(directory / "slots", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_directory(directory)
        sync_directory(directory.parent)
        self._load_keys()
        # A slot that may have been used before a crash is never used again: begin behind all there are.
        self._next_slot = self._slots_end = os.fstat(self._slots).st_size // SLOT_BYTES
        self._ready = b""
        self._ready_from = self._next_slot

    def prepare(self) -> None:
        """Make slots ahead of use, durably. Called at start, and when few are left."""
        if self._slots_end - self._next_slot > SLOTS_AHEAD // 8:
            return
        fresh = self._random(SLOT_BYTES * SLOTS_AHEAD)
        _write_all(self._slots, fresh, self._slots_end * SLOT_BYTES)
        hit("slots.sync")
        os.fdatasync(self._slots)
        self._ready = self._ready[(self._next_slot - self._ready_from) * SLOT_BYTES :] + fresh
        self._ready_from = self._next_slot
        self._slots_end += SLOTS_AHEAD

    def seal_all(self, bodies: Sequence[tuple[int, str, bytes]]) -> list[tuple[bytes, bytes]]:
        """The BODY records of one commit, each in two pieces.

        Args:
            bodies: Leaf index, service and bytes of each.

        Returns:
            ``u64 leaf | u8 part | u32 slot | u32 day key``, and the ciphertext, of each.
        """
        if self._slots_end - self._next_slot < len(bodies):
            self.prepare()
        first, log = self._next_slot, self._log
        self._next_slot += len(bodies)
        # Step by step over all of them, not body by body: the code of a step stays in the processor's caches.
        self._begin_day()
        found = [self._current.get(service) or self._new_day_key(service) for _, service, _ in bodies]
        slots = self._slots_from(first, len(bodies))
        keys = [_body_key(prf, slot) for (_, prf), slot in zip(found, slots, strict=True)]
        headers = [
            _HEADER.pack(index, 0, slot, number)
            for slot, ((index, _, _), (number, _)) in enumerate(zip(bodies, found, strict=True), first)
        ]
        return [
            (header, AESGCM(key).encrypt(_NONCE, body, log + header[:9]))
            for header, key, (_, _, body) in zip(headers, keys, bodies, strict=True)
        ]

    def _slots_from(self, first: int, count: int) -> list[bytes]:
        begin = (first - self._ready_from) * SLOT_BYTES
        ready = self._ready
        return [ready[at : at + SLOT_BYTES] for at in range(begin, begin + count * SLOT_BYTES, SLOT_BYTES)]

    def open(self, record: bytes) -> bytes:
        """The body of a BODY record.

        Raises:
            BodyUnreadableError: It was erased, its day key is gone, or the record is another's.
        """
        if len(record) < _HEADER.size:
            raise BodyUnreadableError("a BODY record is too short")
        _, _, slot, number = _HEADER.unpack_from(record)
        key = self._keys.get(number)
        salt = os.pread(self._slots, SLOT_BYTES, slot * SLOT_BYTES)
        if key is None or len(salt) != SLOT_BYTES or salt == bytes(SLOT_BYTES):
            raise BodyUnreadableError("the body was erased")
        try:
            return AESGCM(_body_key(_prf(key), salt)).decrypt(
                _NONCE, record[_HEADER.size :], self._log + record[:9]
            )
        except InvalidTag:
            raise BodyUnreadableError("the body does not belong to this record") from None

    def erase(self, record: bytes) -> bytes:
        """Make one body unreadable for ever, durably: its slot is zeroed.

        Returns:
            The bytes of the PURGE record that ``GroupCommit.record_purge`` puts into the log.
        """
        if len(record) < _HEADER.size:
            raise BodyUnreadableError("a BODY record is too short")
        index, _, slot, _ = _HEADER.unpack_from(record)
        if slot >= self._slots_end:
            raise BodyUnreadableError("the body names a slot that was never made")
        _write_all(self._slots, bytes(SLOT_BYTES), slot * SLOT_BYTES)
        os.fdatasync(self._slots)
        return _PURGE.pack(PurgeKind.BODY, index, slot, self._clock.now_ms())

    def destroy_day_key(self, number: int) -> bytes:
        """Make all bodies of one day and service unreadable for ever, durably: its wrappings are overwritten.

        Returns:
            The bytes of the PURGE record, as ``erase``.
        """
        if not 0 <= number < len(self._places):
            raise BodyUnreadableError(f"there is no day key {number}")
        begin, end = self._places[number]
        line = os.pread(self._daykeys, end - begin, begin)
        # In place, so that nothing is left of it elsewhere. A line that a crash leaves half blank is no key either.
        kept = line.partition(b'"wrappings":')[0] + b'"wrappings":[]}'
        _write_all(self._daykeys, kept.ljust(end - begin - 1) + b"\n", begin)
        os.fdatasync(self._daykeys)
        self._keys.pop(number, None)
        self._current = {name: one for name, one in self._current.items() if one[0] != number}
        return _PURGE.pack(PurgeKind.DAY_KEY, 0, number, self._clock.now_ms())

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._daykeys)
        os.close(self._slots)

    def _begin_day(self) -> None:
        """Forget the keys of another day; one reading of the clock serves a whole commit."""
        day = self._clock.now_ms() // 86_400_000
        if day != self._current_day:
            self._current.clear()
            self._current_day = day

    def _new_day_key(self, service: str) -> tuple[int, HMAC]:
        number, key = len(self._places), self._random(KEY_BYTES)
        nonce = self._random(12)
        wrapped = nonce + self._wrap.encrypt(nonce, key, _wrap_context(self._log, number))
        record = DayKeyRecord(
            number,
            datetime.fromtimestamp(self._current_day * 86_400, UTC).date().isoformat(),
            service,
            [Wrapping(self._wrap_id, "A256GCM", wrapped.hex())],
        )
        line = msgspec.json.encode(record) + b"\n"
        begin = self._places[-1][1] if self._places else 0
        _write_all(self._daykeys, line, begin)
        hit("daykey.sync")
        os.fdatasync(self._daykeys)
        self._places.append((begin, begin + len(line)))
        self._keys[number] = key
        found = self._current[service] = number, _prf(key)
        return found

    def _load_keys(self) -> None:
        """Read every line; the number of a day key is its place. What follows the last whole line was never used."""
        size = os.fstat(self._daykeys).st_size
        if size > _DAY_KEYS_MAX_BYTES:
            raise ExchangeError(Reason.KEY_UNREADABLE, "the file of day keys is too long")
        begin = 0
        for line in os.pread(self._daykeys, size, 0).splitlines(keepends=True):
            if not line.endswith(b"\n"):
                os.ftruncate(self._daykeys, begin)
                break
            self._load_key(len(self._places), line)
            self._places.append((begin, begin + len(line)))
            begin += len(line)

    def _load_key(self, number: int, line: bytes) -> None:
        try:
            record = msgspec.json.decode(line, type=DayKeyRecord)
            wrapped = [bytes.fromhex(one.data) for one in record.wrappings if one.key == self._wrap_id]
        except (msgspec.MsgspecError, ValueError):
            return  # destroyed, or damaged, which is the same for its bodies
        if record.number != number:
            raise ExchangeError(
                Reason.KEY_UNREADABLE, f"a line of the day keys is missing before {record.number}"
            )
        for one in wrapped:
            self._keys[number] = self._unwrap(one, number)

    def _unwrap(self, wrapped: bytes, number: int) -> bytes:
        try:
            return self._wrap.decrypt(wrapped[:12], wrapped[12:], _wrap_context(self._log, number))
        except (InvalidTag, ValueError):
            raise ExchangeError(
                Reason.KEY_UNREADABLE, "a day key does not open under this wrapping key"
            ) from None


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        at += written
        view = view[written:]


def _wrap_context(log: bytes, number: int) -> bytes:
    return _WRAP_INFO + log + number.to_bytes(4, "little")


def _prf(day_key: bytes) -> HMAC:
    """The pseudo-random function of a day key, keyed once for all bodies of the day."""
    return HMAC(day_key, SHA256())


def _body_key(prf: HMAC, slot: bytes) -> bytes:
    """HKDF-Expand with SHA-256, one block: HMAC(day key, info || slot || 0x01)."""
    block = prf.copy()
    block.update(_INFO + slot + b"\x01")
    return block.finalize()
