"""What the worker's pure parts are given in tests: a view of two members, and peers that write frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from core.configuration import CommonDocument, CurrentConfiguration, MaskPlan, ProgramEntry
from core.documents import decode_strict
from core.heads import ConfigurationMark, TreeHead
from core.identifiers import urn
from core.leaves import HEARD, SAID, Genesis, genesis_leaf, prefix
from core.merkle import Edge, cover, leaf_hash, node_hash
from core.payloads import Payload, encode_payloads, payload_digest
from core.registrations import RegisteredLog
from core.statements import AgreementMark, Statement, encode_statement
from gateway.worker.frames import UnverifiedEntry, UnverifiedFrame, UnverifiedRun
from gateway.worker.trust import TrustView, build
from pki.heads import HeadSigner
from pki.keys import generate_key
from pki.profiles import Profile, issue
from tests.support.published_country import PublishedCountry, PublishedMember, conclude, registered

NOW_MS = 1_790_000_000_000
CLIENT = "BJ/GOV/PNS/PORTAIL"
PROVIDER = "BJ/GOV/ANIP/RNPP"
SERVICE = "bj.identity.v1.IdentityService"
METHOD = f"{SERVICE}/GetPerson"
HASH = "c" * 64
OWN_LOG = "9" * 64


def statement(**fields: Any) -> Statement:
    """A request of the portal; ``fields`` replace what a test wants otherwise."""
    found = Statement(
        v=1,
        kind="request",
        from_=HASH,
        to=OWN_LOG,
        exchange="0192f1a0-0000-7000-8000-000000000000",
        reference=None,
        attempt=1,
        previous=None,
        sequence=0,
        final=True,
        client=CLIENT,
        service=PROVIDER,
        method=METHOD,
        represented=None,
        purpose="P01",
        issue="ACT-1",
        user=None,
        caller="mtls:" + "A" * 43,
        door="grpc",
        agreement=AgreementMark("CV-0042", 1, HASH),
        configuration=None,
        descriptors=None,
        issued_at=NOW_MS,
        deadline_us=None,
        encoding=None,
        payloads=[HASH],
        nonce="0" * 32,
    )
    return msgspec.structs.replace(found, **({"configuration": ConfigurationMark(1, HASH)} | fields))


@dataclass
class WrittenLog:
    """A peer's log in memory, with heads that its seal key signs."""

    gateway: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    hashes: list[bytes] = field(default_factory=list)
    log: str = ""
    nonce: str = "0" * 32

    def __post_init__(self) -> None:
        leaf = genesis_leaf(Genesis(1, self.gateway, 0, NOW_MS, self.nonce, None))
        self.log = leaf_hash(leaf).hex()
        self.hashes = [leaf_hash(leaf)]

    @property
    def size(self) -> int:
        """Leaves so far."""
        return len(self.hashes)

    def pad(self, count: int) -> None:
        """Leaves that concern others."""
        self.hashes += [leaf_hash(b"%d" % (self.size + number)) for number in range(count)]

    def say(self, payloads: tuple[Payload, ...] = (), /, **fields: Any) -> tuple[int, UnverifiedEntry]:
        """Append a statement of this log; returns its index and how it travels."""
        digests = [payload_digest(*one) for one in payloads] or [HASH]
        body = encode_statement(statement(**({"from_": self.log, "payloads": digests} | fields)))
        return self.put(UnverifiedEntry(True, body, encode_payloads(payloads)))

    def put(self, entry: UnverifiedEntry) -> tuple[int, UnverifiedEntry]:
        """Append any entry."""
        leaf = prefix(SAID if entry.is_said else HEARD, self.log) + entry.body
        self.hashes.append(leaf_hash(leaf))
        return self.size - 1, entry

    def node(self, level: int, index: int) -> bytes:
        """Root of a complete subtree."""
        if level == 0:
            return self.hashes[index]
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def cover(self, begin: int, end: int) -> bytes:
        """Subtree hashes that tile a range."""
        return b"".join(self.node(level, index) for level, index in cover(begin, end))

    def root(self, size: int | None = None) -> bytes:
        """Root over the first leaves."""
        edge = Edge()
        for one in self.hashes[:size]:
            edge.append(one)
        return edge.root()

    def head(self, **fields: Any) -> bytes:
        """A signed head over everything; ``fields`` replace what a test wants otherwise."""
        found = TreeHead(1, self.log, self.gateway, self.size, self.root().hex(), NOW_MS // 1000, None)
        return HeadSigner(self.key, self.certificate).sign(msgspec.structs.replace(found, **fields))

    def frame(
        self, verified: int, entries: Sequence[tuple[int, UnverifiedEntry]], head: bytes | None = None
    ) -> UnverifiedFrame:
        """A frame for a receiver that holds ``verified`` leaves."""
        runs: list[UnverifiedRun] = []
        reached = verified
        for index, entry in entries:
            if runs and index == reached:
                runs[-1] = UnverifiedRun(runs[-1].first, runs[-1].before, (*runs[-1].entries, entry))
            else:
                runs.append(UnverifiedRun(index, self._before(reached, index), (entry,)))
            reached = index + 1
        return UnverifiedFrame(tuple(runs), self.cover(reached, self.size), head or self.head())

    def _before(self, begin: int, end: int) -> bytes:
        if begin == 0:
            return self.cover(0, 1) + self.cover(1, end)
        return self.cover(begin, end)


class WorkerCountry:
    """PNS asks ANIP; the view is that of ANIP's worker unless told otherwise."""

    def __init__(self) -> None:
        self.country = PublishedCountry(NOW_MS)
        self.pns = self.country.member("BJ/GOV/PNS")
        self.anip = self.country.member("BJ/GOV/ANIP")
        self.peer = self.written(self.pns)
        self.country.register(self.pns, self.registration(self.pns, self.peer))
        self.country.register(self.anip, self.country.registration("BJ/GOV/ANIP/gw1"))
        self.pns.change(subsystems=["PORTAIL"])
        self.country.provide(self.anip, "RNPP", SERVICE, b"descriptors", "GetPerson", "VerifyPerson")
        self.agreement = self.country.agreement(self.pns, self.anip)
        self.entry = conclude(self.agreement, self.pns.key, self.anip.key)
        self.anip.change(agreements=[self.entry])
        self.masks: list[MaskPlan] = []
        self.programs = [ProgramEntry(f"{CLIENT}/web", "W" * 43, "active")]

    def written(self, member: PublishedMember) -> WrittenLog:
        """A log of a member's gateway."""
        key = generate_key()
        gateway = f"{member.id}/gw1"
        certificate = issue(
            Profile.SEAL, self.country.seal, key.public_key(), urn("gateway", gateway), now_ms=NOW_MS
        )
        return WrittenLog(gateway, key, certificate)

    def registration(self, member: PublishedMember, log: WrittenLog, **fields: Any) -> Any:
        """The registration of that log."""
        return self.country.registration(
            log.gateway,
            seal=[registered(log.certificate, self.country.seal.certificate)],
            logs=[RegisteredLog(log.log, 0, "127.0.0.1:7444")],
            **fields,
        )

    def current(self, version: int = 1) -> CurrentConfiguration:
        """What control would hand over."""
        common = decode_strict(self.country.documents()["common.json"], CommonDocument)
        return CurrentConfiguration(
            v=1,
            version=version,
            digest=f"{version:064x}",
            fresh_at=NOW_MS,
            expires_at=NOW_MS + 72 * 3_600_000,
            common=common,
            members=[one.document for one in self.country.members.values()],
            programs=self.programs,
            masks=self.masks,
        )

    def view(self, member: PublishedMember | None = None) -> TrustView:
        """The view of a member's worker."""
        own = member or self.anip
        return build(self.current(), own_member=own.id, own_key=own.thumbprint, fresh_ms=600_000)
