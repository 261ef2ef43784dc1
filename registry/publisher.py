"""Publishes the global configuration as a TUF repository (The Update Framework 1.0.34, python-tuf).

Order of effects, and why a crash is safe after each: target files and metadata under names that no client asks for
yet, synced; ``timestamp.json`` replaced last, synced; only then is the new timestamp handed out, from memory. A client
that has seen a version can therefore never meet another one of the same number: a half-written version is written
again under the same number, and nobody has seen it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from core.clock import Clock
from core.heads import ConfigurationMark
from core.reasons import ExchangeError, Reason
from pki.anchor import SPKI_MEMBER
from pki.keys import read_key
from rpc.files import replace_file

ONLINE_ROLES: Final = ("targets", "snapshot", "timestamp")
ROOT_LIFETIME: Final = timedelta(days=3650)
TARGETS_LIFETIME: Final = timedelta(days=366)
KEPT_SNAPSHOTS: Final = 64
CHUNK_BYTES: Final = 64 * 1024
MAX_PATH: Final = 512

_PATH = re.compile(r"(?:metadata|targets)(?:/[A-Za-z0-9][A-Za-z0-9._-]*){1,3}")
_S = TypeVar("_S", Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published now: the mark that heads and statements carry, and when the timestamp ends."""

    mark: ConfigurationMark
    expires_at_ms: int


def signer_of(key_file: Path) -> CryptoSigner:
    """A TUF signer for a P-256 key in a file of mode 0600."""
    return CryptoSigner(read_key(key_file))


def root_metadata(
    root_signers: list[CryptoSigner],
    threshold: int,
    online: Mapping[str, CryptoSigner],
    *,
    spki_digest: str,
    clock: Clock,
) -> bytes:
    """``1.root.json``: who may sign what. It names the X.509 root, so that one anchor file holds both (M18)."""
    root = Root(
        version=1,
        expires=_now(clock) + ROOT_LIFETIME,
        consistent_snapshot=True,
        unrecognized_fields={SPKI_MEMBER: spki_digest},
    )
    for signer in root_signers:
        root.add_key(signer.public_key, "root")
    root.roles["root"].threshold = threshold
    for role, signer in online.items():
        root.add_key(signer.public_key, role)
    metadata = Metadata(root)
    for signer in root_signers[:threshold]:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


class Publisher:
    """One TUF repository on disk, with its online keys. One process writes it; readers need no lock."""

    def __init__(
        self, directory: Path, signers: Mapping[str, CryptoSigner], *, lifetime: timedelta, clock: Clock
    ) -> None:
        self._directory = directory
        self._signers = signers
        self._lifetime = lifetime
        self._clock = clock
        self._lock = threading.Lock()
        self._timestamp = b""
        self._targets: Targets | None = None
        self._numbers = {"snapshot": 0, "timestamp": 0}
        self.current = Publication(ConfigurationMark(0, "0" * 64), 0)
        self._load()

    @property
    def targets(self) -> dict[str, str]:
        """SHA-256 of every target that is published."""
        listed = self._targets.targets if self._targets else {}
        return {path: target.hashes["sha256"] for path, target in listed.items()}

    def publish(self, documents: Mapping[str, bytes]) -> Publication:
        """Publish exactly these targets; does nothing but renew if they are what is published already."""
        with self._lock:
            targets = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in documents.items()}
            current = self._targets
            if current is not None and targets == current.targets and not self._is_ageing(current):
                return self._renew(self.current.mark)
            known = current.targets if current else {}
            for path, data in documents.items():
                if targets[path] != known.get(path):
                    self._write_target(path, data)
            version = self.current.mark.version + 1
            new = Targets(version=version, expires=_now(self._clock) + TARGETS_LIFETIME, targets=targets)
            signed = self._sign("targets", new)
            replace_file(self._metadata(f"{version}.targets.json"), signed)
            publication = self._renew(ConfigurationMark(version, hashlib.sha256(signed).hexdigest()))
            self._targets = new
            return publication

    def renew(self) -> Publication:
        """Sign snapshot and timestamp anew, so that they do not end; version and digest stay."""
        with self._lock:
            return self._renew(self.current.mark)

    def read(self, path: str) -> Iterator[bytes]:
        """One published file in pieces.

        Raises:
            ExchangeError: ``NOT_FOUND``: there is no such file, or the path is not one of ours.
        """
        if len(path) > MAX_PATH or not _PATH.fullmatch(path):
            raise ExchangeError(Reason.NOT_FOUND, "no such file in the configuration")
        if path == "metadata/timestamp.json":
            return iter((self._timestamp,))
        return _pieces(self._directory / path)

    def _renew(self, mark: ConfigurationMark) -> Publication:
        expires = _now(self._clock) + self._lifetime
        self._numbers["snapshot"] += 1
        snapshot = Snapshot(
            version=self._numbers["snapshot"],
            expires=expires,
            # Its very bytes: a signature holds over a canonical form, which a changed byte may leave as it is, while
            # the digest by which gateways compare configurations would differ.
            meta={"targets.json": MetaFile(version=mark.version, hashes={"sha256": mark.digest})},
        )
        replace_file(self._metadata(f"{snapshot.version}.snapshot.json"), self._sign("snapshot", snapshot))
        self._numbers["timestamp"] += 1
        timestamp = Timestamp(
            version=self._numbers["timestamp"],
            expires=expires,
            snapshot_meta=MetaFile(version=snapshot.version),
        )
        signed = self._sign("timestamp", timestamp)
        replace_file(self._metadata("timestamp.json"), signed)
        # Durable now: from here on clients may know of it.
        self._timestamp = signed
        self.current = Publication(mark, int(expires.timestamp() * 1000))
        self._metadata(f"{snapshot.version - KEPT_SNAPSHOTS}.snapshot.json").unlink(missing_ok=True)
        return self.current

    def _load(self) -> None:
        """Go on from the timestamp on disk: what it does not lead to was never published."""
        for name in ("metadata", "targets/members", "targets/descriptors"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        try:
            self._timestamp = self._metadata("timestamp.json").read_bytes()
        except FileNotFoundError:
            return
        timestamp = Metadata[Timestamp].from_bytes(self._timestamp).signed
        snapshot_file = self._metadata(f"{timestamp.snapshot_meta.version}.snapshot.json")
        snapshot = Metadata[Snapshot].from_bytes(snapshot_file.read_bytes()).signed
        signed = self._metadata(f"{snapshot.meta['targets.json'].version}.targets.json").read_bytes()
        self._targets = Metadata[Targets].from_bytes(signed).signed
        self._numbers = {"snapshot": snapshot.version, "timestamp": timestamp.version}
        mark = ConfigurationMark(self._targets.version, hashlib.sha256(signed).hexdigest())
        self.current = Publication(mark, int(timestamp.expires.timestamp() * 1000))

    def _is_ageing(self, targets: Targets) -> bool:
        """Whether ``targets.json`` has used up half of its life: a quiet country must not run out of it."""
        return targets.expires - _now(self._clock) < TARGETS_LIFETIME / 2

    def _write_target(self, path: str, data: bytes) -> None:
        directory, slash, base = path.rpartition("/")
        name = f"{directory}{slash}{hashlib.sha256(data).hexdigest()}.{base}"
        file = self._directory / "targets" / name
        if not file.exists():
            replace_file(file, data)

    def _sign(self, role: str, signed: _S) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self._signers[role])
        return metadata.to_bytes()

    def _metadata(self, name: str) -> Path:
        return self._directory / "metadata" / name


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                yield piece
    except OSError:
        raise ExchangeError(Reason.NOT_FOUND, "no such file in the configuration") from None


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now_ms() // 1000, UTC)
