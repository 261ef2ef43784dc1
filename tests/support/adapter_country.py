"""The certificates around one adapter, and that adapter on a free port, for tests of the ministries' side."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography import x509

from adapters.context import AGREEMENT, CLIENT, EXCHANGE_ID, ISSUE, ISSUED_AT, PURPOSE, REQUEST_HASH, SERVICE
from adapters.identity.adapter import MINISTRY
from adapters.identity.seed import population
from adapters.identity.store import MIGRATIONS, open_store
from adapters.kit.adapter import Adapter
from adapters.settings import AdapterSettings, load_adapter_settings
from core.clock import Clock, SystemClock
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest
from pki.keys import certificate_pem, chain_pem, generate_key, key_pem, write_key
from pki.profiles import AuthorityKind, Issuer, Profile, issue, issue_authority
from rpc.identity import Identity
from rpc.names import identity_host
from tests.support.registers import make_register

Metadata = tuple[tuple[str, str | bytes], ...]

GATEWAY = "BJ/GOV/ANIP/gw1"
ADAPTER_URN = "urn:passerelle:adapter:BJ/GOV/ANIP/RNPP"
EXCHANGE = "01920000-0000-7000-8000-00000000abcd"
CONTEXT = {
    CLIENT: "BJ/GOV/PNS/PORTAIL",
    SERVICE: "BJ/GOV/ANIP/RNPP",
    EXCHANGE_ID: EXCHANGE,
    REQUEST_HASH: "ab" * 32,
    AGREEMENT: "CV-0042/1",
    ISSUED_AT: "1790000000000",
    PURPOSE: "P01",
    ISSUE: "ACT-202611-0001",
}


def metadata(**changes: str | None) -> Metadata:
    """What the provider's gateway writes; keyword ``x_road_purpose=None`` leaves one out, a text changes it."""
    entries: dict[str, str | None] = {**CONTEXT}
    entries.update({name.replace("_", "-"): value for name, value in changes.items()})
    return tuple((name, value) for name, value in entries.items() if value is not None)


def _authority(kind: AuthorityKind, issuer: Issuer | None, urn: str | None = None) -> Issuer:
    key = generate_key()
    certificate = issue_authority(kind, issuer, key, f"test {kind}", now_ms=now_ms(), urn=urn)
    return Issuer(key, certificate)


def now_ms() -> int:
    """The machine's time."""
    return time.time_ns() // 1_000_000


@dataclass
class AdapterCountry:
    """Root, auth CA, seal CA, the programs CA of ANIP, and ANIP's adapter in a directory."""

    directory: Path
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.root = _authority(AuthorityKind.ROOT, None)
        self.auth = _authority(AuthorityKind.AUTH, self.root)
        self.seal = _authority(AuthorityKind.SEAL, self.root)
        self.programs = _authority(AuthorityKind.PROGRAMS, None, "urn:passerelle:member:BJ/GOV/ANIP")
        key = generate_key()
        certificate = issue(
            Profile.ADAPTER,
            self.programs,
            key.public_key(),
            ADAPTER_URN,
            now_ms=now_ms(),
            hosts=["127.0.0.1"],
        )
        write_key(self.directory / "identity.key", key)
        (self.directory / "identity.crt").write_bytes(certificate_pem(certificate))
        self._write_document_key()
        signed = {"_type": "root", "version": 1, SPKI_MEMBER: spki_digest(self.root.certificate)}
        Anchor(self.root.certificate, json.dumps({"signed": signed}).encode()).write(
            self.directory / "anchor.pem"
        )
        (self.directory / "adapter.toml").write_text(
            'adapter = "identity"\nsubsystem = "BJ/GOV/ANIP/RNPP"\ngateways = ["BJ/GOV/ANIP/gw1"]\n'
            'listen = "127.0.0.1:0"\ndatabase = "sqlite:///rnpp.sqlite"\n',
            encoding="utf-8",
        )

    def _write_document_key(self) -> None:
        """The key that signs what ANIP grants, and its certificate."""
        key = generate_key()
        certificate = issue(Profile.DOCUMENT, self.seal, key.public_key(), ADAPTER_URN, now_ms=now_ms())
        write_key(self.directory / "document.key", key)
        chain = chain_pem([certificate, self.seal.certificate])
        (self.directory / "document.crt").write_bytes(chain)

    @property
    def settings(self) -> AdapterSettings:
        """``adapter.toml``, read."""
        return load_adapter_settings(self.directory / "adapter.toml")

    def seed(self, size: int = 200) -> None:
        """Create the register and put people in."""
        make_register(self.settings.database, MIGRATIONS)
        store = open_store(self.settings.database)
        store.replace_all(population(size=size))
        store.close()

    def serve(self) -> tuple[Adapter, int]:
        """Start ANIP's adapter; returns it and its port."""
        adapter = Adapter(MINISTRY, self.settings, self.clock)
        return adapter, adapter.start()

    def identity(
        self,
        profile: Profile = Profile.AUTH,
        urn: str = f"urn:passerelle:gateway:{GATEWAY}",
        issuer: Issuer | None = None,
        *,
        issued_ms: int | None = None,
    ) -> Identity:
        """Somebody with a fresh certificate, by default ANIP's own gateway."""
        key = generate_key()
        signer = issuer or self.auth
        hosts: Sequence[str] = ["127.0.0.1"] if profile.rules.hosts else []
        certificate = issue(profile, signer, key.public_key(), urn, now_ms=issued_ms or now_ms(), hosts=hosts)
        chain: list[x509.Certificate] = [certificate, signer.certificate]
        return Identity(key_pem(key), chain_pem(chain), certificate_pem(self.programs.certificate))

    def channel(self, port: int, identity: Identity) -> grpc.Channel:
        """A stock grpcio channel over mTLS."""
        credentials = grpc.ssl_channel_credentials(identity.roots, identity.key, identity.chain)
        options = [("grpc.ssl_target_name_override", identity_host(ADAPTER_URN))]
        return grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=options)
