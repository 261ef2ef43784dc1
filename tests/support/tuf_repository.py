"""A TUF repository in memory: what a registry would serve, and what a hostile one might."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from gateway.control.repository import FileMissingError, RegistryAwayError

_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)

ROLES = ("root", "targets", "snapshot", "timestamp")


class TufRepository:
    """Signs and serves; every knob that an attack needs is public."""

    def __init__(
        self,
        *,
        lifetime: timedelta = timedelta(hours=72),
        now: datetime | None = None,
        root_fields: Mapping[str, str] | None = None,
    ) -> None:
        self._root_fields = dict(root_fields or {})
        self.now = now or datetime.now(UTC).replace(microsecond=0)
        self.lifetime = lifetime
        self.signers = {role: CryptoSigner.generate_ecdsa() for role in ROLES}
        self.files: dict[str, bytes] = {}
        self.requested: list[str] = []
        self.away = False
        self.pins_targets = True
        self.version = 0
        self._snapshot_version = 0
        self._timestamp_version = 0
        self.root = self._signed("root", self._root())
        self.files["metadata/1.root.json"] = self.root

    @property
    def targets_digest(self) -> str:
        """SHA-256 of the newest ``targets.json``."""
        return hashlib.sha256(self.files[f"metadata/{self.version}.targets.json"]).hexdigest()

    def publish(self, documents: Mapping[str, bytes]) -> int:
        """Serve a new version that holds exactly these documents."""
        self.version += 1
        targets = {}
        for path, data in documents.items():
            targets[path] = TargetFile.from_data(path, data, ["sha256"])
            directory, slash, base = path.rpartition("/")
            name = f"targets/{directory}{slash}{hashlib.sha256(data).hexdigest()}.{base}"
            self.files[name] = data
        signed = Targets(version=self.version, expires=self.now + timedelta(days=365), targets=targets)
        self.files[f"metadata/{self.version}.targets.json"] = self._signed("targets", signed)
        self._snapshot_version += 1
        hashes = {"sha256": self.targets_digest} if self.pins_targets else None
        snapshot = Snapshot(
            version=self._snapshot_version,
            expires=self.now + self.lifetime,
            meta={"targets.json": MetaFile(version=self.version, hashes=hashes)},
        )
        self.files[f"metadata/{self._snapshot_version}.snapshot.json"] = self._signed("snapshot", snapshot)
        self.renew()
        return self.version

    def renew(self) -> None:
        """Sign the timestamp again, as a registry does every five minutes."""
        self._timestamp_version += 1
        timestamp = Timestamp(
            version=self._timestamp_version,
            expires=self.now + self.lifetime,
            snapshot_meta=MetaFile(version=self._snapshot_version),
        )
        self.files["metadata/timestamp.json"] = self._signed("timestamp", timestamp)

    def source(self, path: str) -> Iterator[bytes]:
        """Serve one file, as ``gateway.control.repository.FileSource``."""
        self.requested.append(path)
        if self.away:
            raise RegistryAwayError("connection refused")
        if path not in self.files:
            raise FileMissingError(path)
        data = self.files[path]
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    def _root(self) -> Root:
        root = Root(
            version=1,
            expires=self.now + timedelta(days=3650),
            consistent_snapshot=True,
            unrecognized_fields=dict(self._root_fields),
        )
        for role, signer in self.signers.items():
            root.add_key(signer.public_key, role)
        return root

    def _signed(self, role: str, signed: _Signed) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self.signers[role])
        return metadata.to_bytes(JSONSerializer(compact=False))
