"""What a verification of evidence has established so far, and how a step says that it does not hold.

A value of the container gets in here once a step has established it (``audit.verify``), and counts for nothing before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from audit.streams import Progress
from core.agreements import Agreement
from core.evidence import LeafPart, Manifest, Parts
from core.heads import TreeHead
from core.jws import DocumentKind
from core.language import Text
from core.leaves import Heard
from core.merkle import leaf_hash
from core.reasons import ExchangeError
from core.registrations import Registration
from core.statements import Statement
from pki.documents import unverified_kid, verify_document


class StepError(Exception):
    """A step does not hold; ``is_open`` if only something is missing that would decide it."""

    def __init__(self, finding: str, *, is_open: bool = False) -> None:
        super().__init__(finding)
        self.is_open = is_open


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of the container, canonical."""

    part: LeafPart
    statement: Statement | None
    heard: Heard | None
    leaf: bytes

    @property
    def hash(self) -> str:
        """Its leaf hash, hex."""
        return leaf_hash(self.leaf).hex()


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration whose signature holds."""

    terms: Registration
    member_key: str
    seals: Mapping[str, x509.Certificate]
    intermediates: tuple[x509.Certificate, ...]

    @property
    def member(self) -> str:
        """The member whose key signed it."""
        return self.terms.gateway.rpartition("/")[0]


@dataclass(slots=True)
class Case:
    """What the steps have established so far."""

    parts: Parts
    root: x509.Certificate
    crls: list[x509.CertificateRevocationList]
    manifest: Manifest
    leaves: list[Leaf] = field(default_factory=list)
    heads: dict[str, TreeHead] = field(default_factory=dict)
    keys: dict[str, ec.EllipticCurvePublicKey] = field(default_factory=dict)
    registered: dict[str, Registered] = field(default_factory=dict)
    lineage: dict[str, str] = field(default_factory=dict)
    successors: dict[str, str] = field(default_factory=dict)
    terms: Agreement | None = None
    # Whether ``crls`` has the container's own: before, nobody can say that one is missing.
    are_lists_read: bool = False
    calls: list[Progress] = field(default_factory=list)
    remarks: list[Text] = field(default_factory=list)

    def part(self, path: str) -> bytes:
        """A part that must be there."""
        found = self.parts.get(path)
        if found is None:
            raise StepError(f"{path} is missing", is_open=True)
        return found

    def statements(self, *kinds: str) -> list[Leaf]:
        """The said leaves of these kinds."""
        return [one for one in self.leaves if one.statement is not None and one.statement.kind in kinds]

    def is_same_line(self, named: str | None, spoken: str | None) -> bool:
        """Whether ``spoken`` is the log ``named``, or succeeds it by its member's own registration."""
        return _is_reached(self.successors, named, spoken)

    def is_same_key(self, named: str, used: str) -> bool:
        """Whether ``used`` is ``named``, or was named by it as its successor over any number of steps."""
        return _is_reached(self.lineage, named, used)


def _is_reached(following: Mapping[str, str], start: str | None, wanted: str | None) -> bool:
    """Whether the steps of ``following`` lead from ``start`` to ``wanted``, or the two are one."""
    seen: set[str] = set()
    while start is not None and start not in seen:
        if start == wanted:
            return True
        seen.add(start)
        start = following.get(start)
    return False


def ascii_text(path: str, data: bytes) -> str:
    """The text of a part; raises ``StepError``."""
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise StepError(f"{path} is not ASCII") from None


def verified_document(case: Case, kind: DocumentKind, path: str) -> tuple[str, bytes]:
    """Thumbprint of the member key that signed a part, and the bytes that it signed; raises ``StepError``."""
    jws = ascii_text(path, case.part(path))
    kid = unverified_kid(kind, jws)
    key = case.keys.get(kid)
    if key is None:
        raise StepError(f"{path}: member key {kid} is missing", is_open=True)
    try:
        return kid, verify_document(kind, jws, key)
    except ExchangeError as error:
        raise StepError(f"{path}: {error}") from None
