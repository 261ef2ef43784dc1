"""The layout of evidence: which part of a container is what (``docs/protocol/evidence.md``). Pure; no zip here.

A manifest says where things are; it proves nothing and nobody trusts it. A verifier finds the parts through it and
then checks every one of them.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from core.documents import MalformedDocumentError, decode_strict
from core.identifiers import require_exchange_id, require_log_id
from core.merkle import MAX_SIZE

# ETSI EN 319 162-1: the first entry of the zip, stored, so that tools know the kind of file by its first bytes.
MIMETYPE_PATH: Final = "mimetype"
MIMETYPE: Final = b"application/vnd.etsi.asic-e+zip"
MANIFEST: Final = "manifest.json"
CONSUMER_AGREEMENT: Final = "agreement/consumer.jwt"
PROVIDER_AGREEMENT: Final = "agreement/provider.jwt"

# A stream of a million messages each way takes 62,500 leaves, each with its proof, under as many as 31,250 heads.
MAX_PARTS: Final = 256 * 1024
MAX_PART_BYTES: Final = 16 * 1024 * 1024
MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024
MAX_CONTAINER_BYTES: Final = 512 * 1024 * 1024
# Documents, keys, certificates: what does not grow with the exchange, and costs most to judge.
MAX_DOCUMENTS: Final = 512

_FOLDERS: Final = (
    "statements",
    "heads",
    "proofs",
    "certificates",
    "configuration",
    "agreement",
    "registrations",
    "bodies",
)
# One written form per name: no '..', no absolute path, no backslash, nothing that two readers take differently.
_PATH = re.compile(
    rf"(?:{'|'.join(_FOLDERS)})(?:/[A-Za-z0-9_](?:[A-Za-z0-9_.-]{{0,180}}[A-Za-z0-9_])?){{1,4}}"
)

_OF_LEAVES: Final = ("statements/", "proofs/", "heads/", "bodies/")

Parts = dict[str, bytes]


class LeafPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaf of a log: the body of a ``said`` or ``heard`` leaf, and what proves where it stands.

    Attributes:
        path: The body, byte for byte.
        label: Kind of the leaf.
        log: The log that holds it.
        index: Its index there.
        proof: Its RFC 9162 inclusion proof, ``InclusionProof``.
        head: The signed head that the proof leads to.
        body: Its payloads with their salts (``core.payloads.encode_payloads``), or null.
    """

    path: str
    label: Literal["said", "heard"]
    log: str
    index: int
    proof: str
    head: str
    body: str | None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``manifest.json``: what the container is about and where its leaves are.

    Attributes:
        v: Format version, 1.
        exchange: UUIDv7 of the exchange.
        logs: The logs it was gathered from.
        leaves: All leaves of the exchange that were found.
        registrations: Registrations of the gateways that own the logs.
        successors: Successions of member keys.
        configurations: Versions of the global configuration whose documents are there.
        missing: What could not be found, in words.
    """

    v: int
    exchange: str
    logs: list[str]
    leaves: list[LeafPart]
    registrations: list[str]
    successors: list[str]
    configurations: list[int]
    missing: list[str]


class InclusionProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``proofs/*.json``, as ``passerelle audit verify-inclusion`` reads it; hashes are 64 hex digits."""

    leaf_hash: str
    index: int
    size: int
    proof: list[str]
    root: str


def is_part_path(path: str) -> bool:
    """Whether a container may hold an entry of this name."""
    return path in (MIMETYPE_PATH, MANIFEST) or _PATH.fullmatch(path) is not None


def is_document_path(path: str) -> bool:
    """Whether a part is one of those of which there are at most ``MAX_DOCUMENTS``, however long the exchange."""
    return not path.startswith(_OF_LEAVES)


def max_part_bytes(path: str) -> int:
    """How long a part may be."""
    return MAX_MANIFEST_BYTES if path == MANIFEST else MAX_PART_BYTES


def require_part_path(path: str) -> str:
    """A name that a container may hold; raises ``MalformedDocumentError``."""
    if not is_part_path(path):
        raise MalformedDocumentError(f"a container holds no part of this name: {path[:80]!a}")
    return path


def file_name(identifier: object) -> str:
    """An identifier as part of a file name: ``BJ/GOV/ANIP/gw1`` is written ``BJ.GOV.ANIP.gw1``."""
    return str(identifier).replace("/", ".")


def configuration_path(version: int, target: str) -> str:
    """Where a target of one version of the global configuration lies."""
    return f"configuration/{version}/{target}"


def member_key_path(thumbprint: str) -> str:
    """Where a member key lies, as PEM; its name is its thumbprint, so nobody has to vouch for it."""
    return f"certificates/key_{thumbprint}_.pem"


def parse_manifest(data: bytes) -> Manifest:
    """Read ``manifest.json``; raises ``MalformedDocumentError``."""
    manifest = decode_strict(data, Manifest, max_bytes=MAX_MANIFEST_BYTES)
    try:
        require_exchange_id(manifest.exchange)
        for leaf in manifest.leaves:
            require_log_id(leaf.log)
            paths = (leaf.path, leaf.proof, leaf.head, *([leaf.body] if leaf.body else ()))
            for path in paths:
                require_part_path(path)
        for path in (*manifest.registrations, *manifest.successors):
            require_part_path(path)
    except MalformedDocumentError:
        raise
    except ValueError as error:
        raise MalformedDocumentError(f"manifest: {error}") from None
    if manifest.v != 1 or len({leaf.path for leaf in manifest.leaves}) != len(manifest.leaves):
        raise MalformedDocumentError("manifest: unknown version, or a leaf twice")
    if any(not 0 <= leaf.index < MAX_SIZE for leaf in manifest.leaves):
        raise MalformedDocumentError("manifest: an index out of range")
    return manifest


def parse_inclusion_proof(data: bytes) -> InclusionProof:
    """Read a file of ``proofs/``; raises ``MalformedDocumentError``."""
    proof = decode_strict(data, InclusionProof)
    try:
        for one in (proof.leaf_hash, proof.root, *proof.proof):
            require_log_id(one)
    except ValueError as error:
        raise MalformedDocumentError(f"proof: {error}") from None
    return proof
