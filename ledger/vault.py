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
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.clock import Clock
from core.reasons import ExchangeError, Reason

SLOT_BYTES: Final = 32
SLOTS_AHEAD: Final = 65_536
KEY_BYTES: Final = 32
_INFO: Final = b"passerelle/1/body"
_HEADER = struct.Struct("<QBII")  # leaf index, part, slot, day key number
_NONCE: Final = b"\x00" * 12  # each key encrypts exactly one body
_WRAP_INFO: Final = b"passerelle/1/daykey"


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
        self._next_key = 0
        self._current: dict[str, tuple[int, bytes]] = {}
        self._current_day = -1
        self._daykeys = os.open(
            directory / "daykeys", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._slots = os.open(directory / "slots", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
        os.pwrite(self._slots, fresh, self._slots_end * SLOT_BYTES)
        os.fdatasync(self._slots)
        self._ready = self._ready[(self._next_slot - self._ready_from) * SLOT_BYTES :] + fresh
        self._ready_from = self._next_slot
        self._slots_end += SLOTS_AHEAD

    def seal(self, index: int, service: str, body: bytes) -> bytes:
        """Bytes of the BODY record of leaf ``index``: u64 leaf | u8 part | u32 slot | u32 day key | ciphertext."""
        number, key = self._day_key(service)
        if self._next_slot == self._slots_end:
            self.prepare()
        slot = self._next_slot
        self._next_slot += 1
        at = (slot - self._ready_from) * SLOT_BYTES
        header = _HEADER.pack(index, 0, slot, number)
        sealed = AESGCM(_body_key(key, self._ready[at : at + SLOT_BYTES])).encrypt(
            _NONCE, body, self._log + header[:9]
        )
        return header + sealed

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
            return AESGCM(_body_key(key, salt)).decrypt(
                _NONCE, record[_HEADER.size :], self._log + record[:9]
            )
        except InvalidTag:
            raise BodyUnreadableError("the body does not belong to this record") from None

    def erase(self, record: bytes) -> None:
        """Make one body unreadable for ever, durably: its slot is zeroed."""
        _, _, slot, _ = _HEADER.unpack_from(record)
        os.pwrite(self._slots, bytes(SLOT_BYTES), slot * SLOT_BYTES)
        os.fdatasync(self._slots)

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._daykeys)
        os.close(self._slots)

    def _day_key(self, service: str) -> tuple[int, bytes]:
        day = self._clock.now_ms() // 86_400_000
        if day != self._current_day:
            self._current.clear()
            self._current_day = day
        found = self._current.get(service)
        if found is None:
            found = self._current[service] = self._new_day_key(day, service)
        return found

    def _new_day_key(self, day: int, service: str) -> tuple[int, bytes]:
        number, key = self._next_key, self._random(KEY_BYTES)
        self._next_key += 1
        nonce = self._random(12)
        wrapped = nonce + self._wrap.encrypt(nonce, key, _wrap_context(self._log, number))
        record = DayKeyRecord(
            number,
            datetime.fromtimestamp(day * 86_400, UTC).date().isoformat(),
            service,
            [Wrapping(self._wrap_id, "A256GCM", wrapped.hex())],
        )
        os.write(self._daykeys, msgspec.json.encode(record) + b"\n")
        os.fdatasync(self._daykeys)
        self._keys[number] = key
        return number, key

    def _load_keys(self) -> None:
        os.lseek(self._daykeys, 0, os.SEEK_SET)
        data = b""
        while chunk := os.read(self._daykeys, 1 << 20):
            data += chunk
        whole, _, torn = data.rpartition(b"\n")
        if torn:
            os.ftruncate(self._daykeys, len(whole) + 1 if whole else 0)
        for line in whole.splitlines():
            record = msgspec.json.decode(line, type=DayKeyRecord)
            self._next_key = max(self._next_key, record.number + 1)
            for one in record.wrappings:
                if one.key == self._wrap_id:
                    self._keys[record.number] = self._unwrap(bytes.fromhex(one.data), record.number)

    def _unwrap(self, wrapped: bytes, number: int) -> bytes:
        try:
            return self._wrap.decrypt(wrapped[:12], wrapped[12:], _wrap_context(self._log, number))
        except InvalidTag:
            raise ExchangeError(
                Reason.KEY_UNREADABLE, "a day key does not open under this wrapping key"
            ) from None


def _wrap_context(log: bytes, number: int) -> bytes:
    return _WRAP_INFO + log + number.to_bytes(4, "little")


def _body_key(day_key: bytes, slot: bytes) -> bytes:
    """HKDF-Expand with SHA-256, one block: HMAC(day key, info || slot || 0x01)."""
    return hmac.digest(day_key, _INFO + slot + b"\x01", "sha256")
