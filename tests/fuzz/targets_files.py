"""Parsers of what lies in files: segments and their records, configuration, settings, keys, certificates, containers."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import serialization
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

from adapters.settings import AdapterSettings
from audit.bodies import Bodies, keys_of, parse_purge
from audit.configurations import Configurations
from audit.container import pack, unpack
from audit.proofs import verify_consistency_file, verify_inclusion_file
from audit.verify import verify_evidence
from audit.wholelog import verify_logs
from bj.identity.v1 import identity_pb2
from cli.dynamic import find_method
from core.configuration import COMMON_TARGET, member_target
from core.documents import digest, encode
from core.evidence import MANIFEST
from core.heads import ConfigurationMark
from core.identifiers import MemberId, MethodName, RegistryId
from core.leaves import genesis_leaf, log_id_of
from core.merkle import leaf_hash
from core.reasons import ExchangeError
from core.statements import AgreementMark
from gateway.control.chronicle import read_status
from gateway.control.forecast import Growth, days_left, read_growth
from gateway.control.mirror import Mirror, UnsafeNameError
from gateway.control.programs import PinnedPrograms
from gateway.control.repository import UntrustedConfigurationError
from gateway.control.verification import Judge
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from gateway.stopped import Shown, StoppedLog, read_stopped
from ledger.headfile import read_head_file
from ledger.log import Log, segment_name
from ledger.published import PublishedConfigurations, target_hashes
from ledger.reader import LogReader
from ledger.records import (
    COMMIT_END,
    AttachmentKind,
    MalformedSegmentError,
    RecordType,
    RecordWriter,
    SegmentHeader,
    split_attachment,
    split_leaf,
)
from pki.anchor import SPKI_MEMBER, Anchor, MalformedAnchorError, spki_digest
from pki.chain import verify_chain
from pki.jws import JWS_KINDS, verify_jws
from pki.keys import certificate_pem, key_thumbprint, load_chain, load_crl, load_public_key, public_key_pem
from pki.profiles import Profile, authority_kind, build_csr, profile_of, read_csr
from registry.settings import RegistrySettings
from rpc.settings import SettingsError, load_settings
from tests.fuzz import seeds
from tests.fuzz.target import BrokenPromiseError, Target
from tests.support.certificates import NOW, revocation_list


@cache
def _scratch() -> Path:
    """One directory for this process: memory, where there is such a thing."""
    memory = Path("/dev/shm")  # only ours, and removed by the next boot
    return Path(tempfile.mkdtemp(prefix="passerelle-fuzz-", dir=memory if memory.is_dir() else None))


def _file(name: str, data: bytes) -> Path:
    path = _scratch() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- segments ---

GENESIS: Final = genesis_leaf(seeds.genesis())
LOG: Final = log_id_of(GENESIS)


def segment(*records: tuple[int, bytes]) -> bytes:
    """A good segment: the genesis leaf, then these records, each a commit of its own."""
    writer = RecordWriter(LOG)
    parts = [SegmentHeader(LOG, 0, 1).encode()]
    writer.pack_leaf(parts, 1, RecordType.LEAF | COMMIT_END, 0, GENESIS)
    for sequence, (kind, data) in enumerate(records, 2):
        writer.pack(parts, sequence, kind | COMMIT_END, data)
    return b"".join(parts)


def _log_directory(data: bytes) -> Path:
    directory = _scratch() / "log"
    directory.mkdir(exist_ok=True)
    for old in directory.glob("*.seg"):
        old.unlink()
    (directory / segment_name(0, 1)).write_bytes(data)
    return directory


def _read_log(data: bytes) -> None:
    reader = LogReader(_log_directory(data))
    try:
        reader.read_all()
        for stored in reader:
            reader.place(stored.index)
    finally:
        reader.tree.close()


def _open_log(data: bytes) -> None:
    Log.open(_log_directory(data)).close()


def _records(data: bytes) -> None:
    """Commits and the end of a segment, then what is inside of whole records."""
    writer = RecordWriter(LOG)
    at, sequence = 0, 0
    while (commit := writer.read_commit(data, at)) is not None:
        at, sequence = commit.end, commit.sequence
    writer.ending(data, at, sequence)
    for split in (split_leaf, split_attachment):
        with contextlib.suppress(MalformedSegmentError):
            split(data)
    parse_purge(data)


def composed(data: bytes) -> bytes:
    """A segment of whole records with good CRCs out of any bytes: u8 kind, u8 commit's end, u16 length, bytes."""
    writer = RecordWriter(LOG)
    parts = [SegmentHeader(LOG, 0, 1).encode()]
    writer.pack_leaf(parts, 1, RecordType.LEAF | COMMIT_END, 0, GENESIS)
    at, sequence = 0, 2
    while at + 4 <= len(data):
        kind, ends, length = struct.unpack_from("<BBH", data, at)
        is_end = COMMIT_END if ends % 2 else 0
        writer.pack(parts, sequence, kind % 6 | is_end, data[at + 4 : at + 4 + length])
        at += 4 + length
        sequence += 1 if is_end else 0
    return b"".join(parts)


def _verify_log(data: bytes) -> None:
    """A log of whole records: read, opened and verified; faults are told in reports."""
    directory = _log_directory(composed(data))
    for report in verify_logs(directory):
        if report.fault is not None and not isinstance(report.fault, ExchangeError):
            raise BrokenPromiseError(f"an unnamed fault: {report.fault!r}")
    for act in (_read_log, _open_log):
        with contextlib.suppress(ExchangeError):
            act(composed(data))


def _record(kind: int, data: bytes, *, is_end: bool = True) -> bytes:
    return struct.pack("<BBH", kind, is_end, len(data)) + data


def _composed_seeds() -> list[bytes]:
    index = (1).to_bytes(8, "little")
    heard = b"passerelle/1/heard\n" + LOG.encode() + b"\n" + msgspec.json.encode(seeds.heard())
    frame = seeds.frame_record().encode()
    return [
        b"",
        _record(RecordType.HEAD, seeds.head(LOG, 1, LOG))
        + _record(RecordType.LEAF, index + b"passerelle/1/note\n" + LOG.encode() + b"\n" + b"{}"),
        *(
            _record(RecordType.ATTACHMENT, index + bytes([kind]) + frame, is_end=False)
            + _record(RecordType.LEAF, index + heard)
            for kind in AttachmentKind
        ),
        _record(RecordType.PURGE, struct.pack("<BQIQ", 1, 1, 2, 3)),
        _record(RecordType.BODY, index + bytes(9)),
    ]


def _bodies(data: bytes) -> None:
    """Slots, day keys and a BODY record, whatever they hold."""
    _file("bodies/slots", data)
    _file("bodies/daykeys", data)
    with Bodies(_scratch() / "bodies") as bodies:
        if bodies.state(data) != "unknown":
            keys_of(data)


# --- configuration and settings ---


def _settings(kind: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    return lambda data: load_settings(_file("settings.toml", data), kind)


def _published(data: bytes) -> None:
    """A directory of configurations whose files are anything, one after the other; refused by ``ValueError``."""
    for name in ("mirror/metadata/1.targets.json", "current.json"):
        path = _file(f"published/{name}", data)
        with contextlib.suppress(ValueError):
            for version in PublishedConfigurations(_scratch() / "published").newest_first():
                _ = version.common, version.member("BJ/GOV/ANIP")
        path.unlink()


def _configurations(data: bytes) -> None:
    """What ``audit list`` makes of them: whatever cannot be read is not known."""
    _file("published/mirror/metadata/1.targets.json", data)
    _file("published/current.json", data)
    found = Configurations(_scratch() / "published")
    found.newest_members()
    found.named(ConfigurationMark(1, digest(data)))
    found.terms(AgreementMark("CV-0042", 1, "d" * 64), "BJ/GOV/ANIP/RNPP")


def _growth(data: bytes) -> None:
    """What was noted of the disk: whatever cannot be read is not known."""
    directory = GatewayDirectory(_scratch())
    _file(str(directory.growth.relative_to(_scratch())), data)
    days_left(read_growth(directory), 1_790_000_000_000, 10**9)


def _mirror(data: bytes) -> None:
    Mirror(_scratch() / "mirror").get(data.decode("utf-8", "replace"))


@cache
def _judge() -> tuple[Judge, bytes]:
    """What a gateway takes as given, and a common document that holds."""
    key = seeds.country().leaf_key.public_key()
    lists = [one.public_bytes(serialization.Encoding.PEM).decode() for one in _crls()]
    common = msgspec.structs.replace(seeds.common(), crls=lists)
    registry, member = RegistryId.parse("BJ/GOV/ASIN/registre"), MemberId.parse("BJ/GOV/ANIP")
    return Judge(_root(), registry, member, key_thumbprint(key)), encode(common)


def _judged(data: bytes) -> None:
    """What the registry's operator may publish, signed by all its keys: a member's document, then the common one."""
    judge, common = _judge()
    now_ms = int(NOW.timestamp()) * 1000
    judge.judge({COMMON_TARGET: common, member_target("BJ/GOV/ANIP"): data}, now_ms)
    with contextlib.suppress(UntrustedConfigurationError):
        judge.judge({COMMON_TARGET: data}, now_ms)


def _tuf_targets() -> list[bytes]:
    """``targets.json`` with a good name, and with names that must not reach a disk."""
    return [
        json.dumps({"signed": {"targets": {name: {"hashes": {"sha256": "a" * 64}}}}}).encode()
        for name in ("common.json", "members/BJ.GOV.ANIP.json", "../../etc/passwd", "a/b/c.json", "")
    ]


_GATEWAY: Final = b"""
gateway = "BJ/GOV/ANIP/gw1"
member_key = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
workers = 2
allowed_networks = ["127.0.0.0/8"]
[registry]
id = "BJ/GOV/ASIN/registre"
address = "registre.asin.bj:7443"
[listen]
programs = "127.0.0.1:42011"
road = ["127.0.0.1:42012", "[::1]:42016"]
[[adapter]]
subsystem = "BJ/GOV/ANIP/RNPP"
address = "127.0.0.1:9101"
"""
_ADAPTER: Final = b"""
adapter = "identity"
subsystem = "BJ/GOV/ANIP/RNPP"
gateways = ["BJ/GOV/ANIP/gw1"]
database = "sqlite:///rnpp.sqlite"
"""


# --- keys and certificates ---


def _certificate(data: bytes) -> None:
    """Any DER as leaf, then as authority, of a chain that is good otherwise."""
    found = seeds.country()
    pem = b"-----BEGIN CERTIFICATE-----\n" + _lines(data) + b"-----END CERTIFICATE-----\n"
    (certificate, *_) = load_chain(pem)
    profile_of(certificate)
    for leaf, authority in ((certificate, _auth_ca()), (_auth(), certificate)):
        try:
            authority_kind(certificate)
            verify_chain(
                leaf,
                intermediates=[authority],
                roots=[_root()],
                crls=_crls(),
                at=NOW,
                profile=Profile.AUTH,
            )
        except ExchangeError:
            continue
        if certificate not in (_auth(), _auth_ca()) and certificate.tbs_certificate_bytes not in (
            _auth().tbs_certificate_bytes,
            _auth_ca().tbs_certificate_bytes,
        ):
            raise BrokenPromiseError(f"an unknown certificate was accepted under {found.root.name}")


def _lines(data: bytes) -> bytes:
    return base64.encodebytes(data) or b"\n"


_root = cache(lambda: seeds.country().root.build())
_auth = cache(lambda: seeds.country().auth.build())
_auth_ca = cache(lambda: seeds.country().auth_ca.build())
_crls = cache(lambda: seeds.country().crls())


def _crl(data: bytes) -> None:
    """Any DER as the only list of the authority: it may refuse a chain, never let a fault through."""
    pem = b"-----BEGIN X509 CRL-----\n" + _lines(data) + b"-----END X509 CRL-----\n"
    verify_chain(
        _auth(),
        intermediates=[_auth_ca()],
        roots=[_root()],
        crls=[_crls()[0], load_crl(pem)],
        at=NOW,
        profile=Profile.AUTH,
    )


def _csr(data: bytes) -> None:
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + _lines(data) + b"-----END CERTIFICATE REQUEST-----\n"
    read_csr(pem)


def _pem(data: bytes) -> None:
    """Any file where people give PEM."""
    for read in (load_chain, load_crl, read_csr):
        with contextlib.suppress(ExchangeError):
            read(data)
    load_public_key(data.decode("latin-1"))


def _jws(data: bytes) -> None:
    """``verify-jws`` of every kind: nothing but our own seeds verifies."""
    for typ in JWS_KINDS:
        with contextlib.suppress(ExchangeError):
            verify_jws(data, typ, key=seeds.country().leaf_key.public_key())
        with contextlib.suppress(ExchangeError):
            verify_jws(data, typ, certificate=_auth())


def _der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))


def _anchor() -> bytes:
    root = _root()
    signed = {"_type": "root", "version": 1, SPKI_MEMBER: spki_digest(root)}
    return Anchor(root, json.dumps({"signed": signed}).encode()).encode()


# --- evidence ---


def _evidence(data: bytes) -> None:
    """Unpack, then verify whatever was in it."""
    verify_evidence(unpack(data), _root())


def _container_seeds() -> list[bytes]:
    return [
        pack({MANIFEST: b"{}", "statements/1-request.json": b"{}"}),
        pack({MANIFEST: b"[" * 10_000}),
        b"PK\5\6" + bytes(18),
    ]


def _parts(data: bytes) -> None:
    """A container with every part the same any bytes: what each parser behind the manifest makes of them."""
    manifest = _manifest()
    paths = {
        "statements/1-request.json",
        "proofs/1-request.json",
        "heads/ab.jws",
        "registrations/BJ.GOV.ANIP.gw1.jwt",
        "agreement/consumer.jwt",
        "agreement/provider.jwt",
        "certificates/ca-0000000000000000.pem",
        "certificates/crl-0000000000000000.pem",
        f"certificates/key_{'A' * 43}_.pem",
        "configuration/1/targets.json",
        "configuration/1/common.json",
    }
    verify_evidence({MANIFEST: manifest} | dict.fromkeys(paths, data), _root())


def _manifest() -> bytes:
    leaf = {
        "path": "statements/1-request.json",
        "label": "said",
        "log": seeds.LOG,
        "index": 2,
        "proof": "proofs/1-request.json",
        "head": "heads/ab.jws",
        "body": None,
    }
    document = {
        "v": 1,
        "exchange": "01920000-0000-7000-8000-000000000000",
        "logs": [seeds.LOG],
        "leaves": [leaf],
        "registrations": ["registrations/BJ.GOV.ANIP.gw1.jwt"],
        "successors": [],
        "configurations": [1],
        "missing": [],
    }
    return msgspec.json.encode(document)


def _descriptors(data: bytes) -> None:
    find_method(MethodName.parse("bj.identity.v1.IdentityService/GetPerson"), data)


def _descriptor_seeds() -> list[bytes]:
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name not in seen:
            seen.add(file.name)
            for one in file.dependencies:
                add(one)
            file.CopyToProto(files.file.add())

    add(identity_pb2.DESCRIPTOR)
    alone = descriptor_pb2.FileDescriptorSet(file=[files.file[-1]])
    return [files.SerializeToString(), alone.SerializeToString()]


_ROOT = leaf_hash(b"\0").hex().encode()
_SEGMENT = segment((RecordType.PURGE, bytes(21)), (RecordType.HEAD, b"head"))

TARGETS: Final = {
    "segment-header": Target(
        SegmentHeader.decode, lambda: [_SEGMENT[:60], bytes(60)], (MalformedSegmentError,)
    ),
    "records": Target(_records, lambda: [_SEGMENT[60:], _SEGMENT[60:] + bytes(100), bytes(30)], ()),
    "log-read": Target(_read_log, lambda: [_SEGMENT, _SEGMENT[:-3], _SEGMENT + bytes(64)]),
    "log-open": Target(_open_log, lambda: [_SEGMENT, _SEGMENT[:-3], _SEGMENT + bytes(64)]),
    "whole-log": Target(_verify_log, _composed_seeds),
    "bodies": Target(_bodies, lambda: [bytes(32), b'{"number":0,"day":1,"service":"s","wrappings":[]}\n']),
    "head-file": Target(
        lambda data: read_head_file(_file("head.json", data)),
        lambda: [b'{"head":"a.b.c"}', *seeds.HOSTILE_JSON],
        (),
    ),
    "gateway-settings": Target(
        _settings(GatewaySettings), lambda: [_GATEWAY, b"a = 1e999", b"a = " + b"[" * 2000], (SettingsError,)
    ),
    "registry-settings": Target(
        _settings(RegistrySettings),
        lambda: [b'registry = "BJ/GOV/ASIN/registre"\nallowed_networks = ["10.0.0.0/8"]'],
        (SettingsError,),
    ),
    "adapter-settings": Target(_settings(AdapterSettings), lambda: [_ADAPTER], (SettingsError,)),
    "tuf-targets": Target(
        target_hashes,
        lambda: [*_tuf_targets(), *seeds.HOSTILE_JSON],
        (ValueError,),
    ),
    "published": Target(_published, lambda: [*seeds.encoded(seeds.current()), *_tuf_targets()], ()),
    "judge": Target(_judged, lambda: [*seeds.encoded(seeds.member(), seeds.common()), _judge()[1]], ()),
    "mirror-name": Target(
        _mirror,
        lambda: seeds.lines("metadata/1.root.json", "targets/../x", "/etc/passwd"),
        (UnsafeNameError,),
    ),
    "programs": Target(
        lambda data: PinnedPrograms(_file("programs.json", data)).entries(),
        lambda: [*seeds.encoded(), b'{"v":1,"programs":[]}'],
    ),
    "stopped-log": Target(
        lambda data: read_stopped(_file("stopped.json", data), seeds.LOG),
        lambda: seeds.encoded(
            StoppedLog(1, seeds.LOG, "FORKED", 1, 3, "", [Shown("registry", seeds.head().decode())])
        ),
    ),
    "status-file": Target(
        lambda data: read_status(_file("status.json", data)),
        lambda: [b'{"gateway":"BJ/GOV/ANIP/gw1"}', *seeds.HOSTILE_JSON],
        (),
    ),
    "growth": Target(_growth, lambda: seeds.encoded(Growth()), ()),
    "descriptors": Target(_descriptors, _descriptor_seeds),
    "configurations": Target(_configurations, lambda: seeds.encoded(seeds.current()), ()),
    "anchor": Target(Anchor.parse, lambda: [_anchor()], (MalformedAnchorError,), Anchor.encode),
    "certificate": Target(
        _certificate, lambda: [_der(certificate_pem(one)) for one in (_auth(), _auth_ca(), _root())]
    ),
    "revocation-list": Target(
        _crl,
        lambda: [revocation_list("auth", seeds.country().auth_key).public_bytes(serialization.Encoding.DER)],
    ),
    "signing-request": Target(_csr, lambda: [_der(build_csr(seeds.country().leaf_key))]),
    "pem": Target(
        _pem,
        lambda: [
            certificate_pem(_auth()),
            build_csr(seeds.country().leaf_key),
            public_key_pem(seeds.country().leaf_key.public_key()).encode(),
        ],
    ),
    "verify-jws": Target(
        _jws, lambda: [seeds.head(), seeds.caller_token(), *seeds.vectors("heads")[:10]], ()
    ),
    "container": Target(_evidence, _container_seeds),
    "evidence-parts": Target(
        _parts,
        lambda: [
            seeds.head(),
            certificate_pem(_auth()),
            *map(msgspec.json.encode, seeds.statements()),
            *seeds.HOSTILE_JSON,
        ],
        (),
    ),
    "proof-file": Target(
        verify_inclusion_file,
        lambda: [
            *seeds.encoded(),
            b'{"leaf_base64":"AA==","index":0,"size":1,"proof":[],"root":"%s"}' % _ROOT,
        ],
    ),
    "consistency-file": Target(
        verify_consistency_file,
        lambda: [
            *seeds.encoded(),
            b'{"size1":1,"size2":1,"proof":[],"root1":"%s","root2":"%s"}' % (_ROOT, _ROOT),
        ],
    ),
}
