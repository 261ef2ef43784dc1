"""Where things lie in a gateway's directory (DESIGN section 3, "Gateway directory")."""

from dataclasses import dataclass
from pathlib import Path

from gateway.settings import GatewaySettings
from ledger.places import LogPlace, closed_places, open_place


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """A private key, its certificate (chain, leaf first) and the request that asked for it."""

    key: Path
    certificate: Path
    request: Path


@dataclass(frozen=True, slots=True)
class GatewayDirectory:
    """One gateway on disk: the directory that holds its ``gateway.toml``."""

    root: Path

    @classmethod
    def of(cls, settings_file: Path) -> "GatewayDirectory":
        """The directory that a ``gateway.toml`` belongs to."""
        return cls(settings_file.resolve().parent)

    @property
    def settings(self) -> Path:
        """``gateway.toml``."""
        return self.root / "gateway.toml"

    @property
    def anchor(self) -> Path:
        """The roots this gateway starts from."""
        return self.root / "anchor.pem"

    @property
    def keys(self) -> Path:
        """Directory of the private keys, 0700."""
        return self.root / "keys"

    @property
    def auth(self) -> KeyFiles:
        """TLS towards peers, registry and adapters."""
        return self._key_files("auth")

    @property
    def seal(self) -> KeyFiles:
        """Signs tree heads."""
        return self._key_files("seal")

    @property
    def programs(self) -> KeyFiles:
        """The member's own CA for its programs, its adapters and the server side of the programs' port."""
        return self._key_files("programs")

    @property
    def programs_server(self) -> KeyFiles:
        """Server certificate of the programs' port and of the admin port, issued by the programs CA."""
        return self._key_files("programs-server")

    @property
    def pseudonym_keys(self) -> Path:
        """The keys of the member's pseudonyms, one file for each year."""
        return self.keys / "pseudonyms"

    def place(self, worker: int) -> LogPlace:
        """The log that a worker writes, with what belongs to it."""
        return open_place(self.root, worker)

    def closed(self) -> list[LogPlace]:
        """The logs that others succeeded."""
        return closed_places(self.root)

    def log(self, worker: int) -> Path:
        """Segments of one worker's log."""
        return self.place(worker).segments

    def next_log(self, worker: int) -> Path:
        """The successor of a worker's log, until the two are switched (``gateway.succession``)."""
        return self.root / "log" / f"{worker}.next"

    def bodies(self, worker: int) -> Path:
        """Day keys and slots of one worker's bodies."""
        return self.place(worker).bodies

    @property
    def index(self) -> Path:
        """SQLite index over all logs; can always be rebuilt."""
        return self.root / "index.sqlite"

    @property
    def configuration(self) -> Path:
        """Everything about the global configuration."""
        return self.root / "configuration"

    @property
    def tuf(self) -> Path:
        """Trusted TUF metadata, kept by python-tuf."""
        return self.configuration / "tuf"

    @property
    def mirror(self) -> Path:
        """Raw files of every version: for a start without registry, and for evidence."""
        return self.configuration / "mirror"

    def published_descriptors(self, digest: str) -> Path:
        """The FileDescriptorSet of that digest, in the mirror (``gateway.control.repository`` writes it)."""
        return self.mirror / "targets" / "descriptors" / f"{digest}.{digest}.binpb"

    @property
    def current(self) -> Path:
        """The verified configuration in force, as workers read it."""
        return self.configuration / "current.json"

    @property
    def state(self) -> Path:
        """Small files that are renamed in place."""
        return self.root / "state"

    @property
    def pinned_programs(self) -> Path:
        """The programs admitted, by certificate thumbprint."""
        return self.state / "programs.json"

    def head(self, worker: int) -> Path:
        """Newest signed head of one worker, for people; never synced."""
        return self.place(worker).head_file

    def stopped(self, worker: int) -> Path:
        """Why one worker's log was stopped, if it was; it stays until a successor is opened."""
        return self.place(worker).stopped_file

    @property
    def growth(self) -> Path:
        """How much was written, hour by hour: what the days left on the disk are told from."""
        return self.state / "growth.json"

    def worker_pid(self, worker: int) -> Path:
        """Process id of a running worker."""
        return self.state / f"worker-{worker}.pid"

    def write_failure(self, worker: int) -> Path:
        """The last write that the disk refused to one worker; stays until the next."""
        return self.state / f"write-failure-{worker}.json"

    @property
    def status(self) -> Path:
        """What control last knew of the gateway, for whoever asks when it does not run any more."""
        return self.state / "status.json"

    @property
    def admin_socket(self) -> Path:
        """Local admin API, 0600."""
        return self.root / "admin.sock"

    def wrapping_key(self, settings: GatewaySettings) -> Path:
        """The key that wraps the day keys of bodies."""
        return self.root / settings.log.wrapping_key_file

    def _key_files(self, name: str) -> KeyFiles:
        return KeyFiles(self.keys / f"{name}.key", self.keys / f"{name}.crt", self.keys / f"{name}.csr")
