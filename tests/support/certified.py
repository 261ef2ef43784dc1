"""TLS identities of a small country, made by the product's own authorities in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from pki.keys import certificate_pem, chain_pem, generate_key, key_pem
from pki.profiles import AuthorityKind, Issuer, Profile, issue, issue_authority
from rpc.files import write_private
from rpc.identity import CHAIN_FILE, KEY_FILE, ROOTS_FILE, Identity

REGISTRY = "urn:passerelle:registry:BJ/GOV/ASIN/registre"
OPERATOR = "urn:passerelle:operator:BJ/GOV/ASIN/akossou"
AUDITOR = "urn:passerelle:auditor:BJ/GOV/ASIN/dossa"


def _now_ms() -> int:
    return int(time.time() * 1000)


@dataclass
class CertifiedCountry:
    """A root, an auth CA, and identities as needed."""

    now_ms: int = field(default_factory=_now_ms)

    def __post_init__(self) -> None:
        root_key, auth_key = generate_key(), generate_key()
        root = issue_authority(AuthorityKind.ROOT, None, root_key, "BJ root CA", now_ms=self.now_ms)
        self.root = Issuer(root_key, root)
        auth = issue_authority(AuthorityKind.AUTH, self.root, auth_key, "BJ auth CA", now_ms=self.now_ms)
        self.auth = Issuer(auth_key, auth)

    def identity(
        self, profile: Profile, urn: str, *, hosts: tuple[str, ...] = (), now_ms: int | None = None
    ) -> Identity:
        key = generate_key()
        certificate = issue(
            profile, self.auth, key.public_key(), urn, now_ms=now_ms or self.now_ms, hosts=hosts
        )
        chain = chain_pem([certificate, self.auth.certificate])
        return Identity(key_pem(key), chain, certificate_pem(self.root.certificate))


def write_identity(directory: Path, identity: Identity) -> None:
    """Lay an identity out as a directory."""
    directory.mkdir(exist_ok=True)
    write_private(directory / KEY_FILE, identity.key)
    (directory / CHAIN_FILE).write_bytes(identity.chain)
    (directory / ROOTS_FILE).write_bytes(identity.roots)
