"""``registry.toml`` and where things lie in a registry's directory."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from core.identifiers import MemberId, RegistryId
from registry.policy import IPNetwork
from rpc.limits import Limits


class RegistrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``registry.toml``.

    Attributes:
        registry: This registry, ``BJ/GOV/ASIN/registre``.
        listen: ``host:port`` of its gRPC API.
        lang: Language of status messages.
        database: SQLAlchemy URL; empty for ``registry.sqlite`` in the directory.
        authorities: Directory with ``auth.crt``, ``seal.crt`` and the three ``.crl`` files of the CAs, read again
            whenever one of them changes.
        personal_number_pattern: What looks like a personal number and must not stand in metadata (PROTOCOL M13).
        allowed_networks: Networks whose addresses may be registered although peers would not dial them, such as
            ``127.0.0.0/8`` for a country in a box.
        allowed_packages: Packages whose services may be published although they belong to gRPC, such as ``grpc.testing``
            in a sandbox where gRPC's own cases are to run.
        approvals: How many different operators must approve what a request starts; at least two.
        gateway_changes_per_hour: How many changes and requests one gateway may hand in.
        expires_h: Life of ``timestamp.json`` and ``snapshot.json``.
        refresh_s: How often they are signed anew.
        limits: Bounds of the API.
    """

    registry: str
    listen: str = "0.0.0.0:7443"
    lang: Literal["fr", "en"] = "fr"
    database: str = ""
    authorities: str = "authorities"
    personal_number_pattern: str = "[0-9]{10}"
    allowed_networks: tuple[str, ...] = ()
    allowed_packages: tuple[str, ...] = ()
    approvals: int = 2
    gateway_changes_per_hour: int = 120
    expires_h: int = 72
    refresh_s: int = 300
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        RegistryId.parse(self.registry)
        for network in self.allowed_networks:
            ipaddress.ip_network(network)
        if any(
            package == "passerelle" or package.startswith("passerelle.") for package in self.allowed_packages
        ):
            raise ValueError("allowed_packages: packages of the layer itself cannot be allowed")
        if self.approvals < 2:
            raise ValueError("approvals must be at least 2: starting something takes two operators")
        if self.gateway_changes_per_hour < 1:
            raise ValueError("gateway_changes_per_hour must be at least 1")
        if not 1 <= self.refresh_s < self.expires_h * 3600:
            raise ValueError("1 <= refresh_s < expires_h * 3600 does not hold")

    @property
    def operator(self) -> MemberId:
        """The member that runs the registry, ``BJ/GOV/ASIN``."""
        return RegistryId.parse(self.registry).member

    @property
    def instance(self) -> str:
        """The country, ``BJ``."""
        return self.operator.instance

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        """``allowed_networks``, parsed."""
        return tuple(ipaddress.ip_network(network) for network in self.allowed_networks)


@dataclass(frozen=True, slots=True)
class RegistryDirectory:
    """One registry on disk: the directory that holds its ``registry.toml``."""

    root: Path

    @classmethod
    def of(cls, settings_file: Path) -> RegistryDirectory:
        """The directory that a ``registry.toml`` belongs to."""
        return cls(settings_file.resolve().parent)

    @property
    def settings(self) -> Path:
        """``registry.toml``."""
        return self.root / "registry.toml"

    @property
    def anchor(self) -> Path:
        """The roots that gateways are installed with."""
        return self.root / "anchor.pem"

    @property
    def database(self) -> Path:
        """The SQLite file, unless the settings name another database."""
        return self.root / "registry.sqlite"

    @property
    def keys(self) -> Path:
        """Private keys that the process needs, 0700: TLS, seal, and TUF's online roles."""
        return self.root / "keys"

    @property
    def root_keys(self) -> Path:
        """TUF's root keys after founding. They are meant to be moved away; the process never reads them."""
        return self.root / "root-keys"

    @property
    def log(self) -> Path:
        """Segments of the registry's own tree log."""
        return self.root / "log" / "0"

    @property
    def published(self) -> Path:
        """The TUF repository: ``metadata/`` and ``targets/``."""
        return self.root / "published"

    def url(self, settings: RegistrySettings) -> str:
        """The database's URL."""
        return settings.database or f"sqlite:///{self.database}"

    def authorities(self, settings: RegistrySettings) -> Path:
        """Where the CAs' certificates and lists are read from."""
        return self.root / settings.authorities
