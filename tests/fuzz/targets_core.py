"""Parsers of ``core``: leaves, statements, heads, documents, frame records, payloads, names, proofs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from core.agreements import parse_agreement
from core.configuration import CommonDocument, CurrentConfiguration, MemberDocument
from core.documents import MalformedDocumentError, decode_strict
from core.evidence import (
    InclusionProof,
    LeafPart,
    Manifest,
    is_part_path,
    parse_inclusion_proof,
    parse_manifest,
)
from core.frames import FrameRecord, MalformedFrameRecordError
from core.heads import MalformedHeadError, b64url, parse_head, unb64url
from core.identifiers import (
    GatewayId,
    MalformedIdentifierError,
    MemberId,
    MethodName,
    PersonId,
    ProgramId,
    RegistryId,
    ServiceName,
    SubsystemId,
    parse_urn,
    require_exchange_id,
    require_handle,
    require_log_id,
    require_purpose,
)
from core.jws import DocumentKind, document_header, parse_document
from core.leaves import (
    MalformedLeafError,
    Succession,
    parse_genesis,
    parse_heard,
    parse_leaf,
    parse_note,
    parse_registry_change,
    prefix,
)
from core.marks import Notes
from core.merkle import ProofError, verify_consistency, verify_inclusion
from core.payloads import (
    decode_metadata,
    decode_payloads,
    encode_metadata,
    encode_payloads,
    payload_digest,
    read_payloads,
)
from core.pseudonyms import MalformedAnnexError, parse_annex, read_annex
from core.reasons import ExchangeError, MalformedError
from core.registrations import parse_address, parse_registration, parse_successor
from core.statements import MalformedStatementError, encode_statement, parse_statement, parse_statements
from core.times import format_time_ms, parse_time_ms
from core.wire import LEAF, Limits, MalformedMessageError, Mark, Plan, Rule, walk
from tests.fuzz import seeds
from tests.fuzz.target import BrokenPromiseError, Target
from tests.support.noted import noted

_json = msgspec.json.encode


def _text(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """A parser of text, on any text: what is no UTF-8 arrives as Latin-1."""

    def parse_bytes(data: bytes) -> Any:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        return parse(text)

    return parse_bytes


def _leaves(data: bytes) -> bytes:
    leaf = parse_leaf(data)
    return prefix(leaf.label, leaf.log) + leaf.body


def _head(data: bytes) -> bytes:
    found = parse_head(data)
    return found.signing_input + b"." + b64url(found.signature)


def _document(kind: DocumentKind) -> Target:
    def parse(data: bytes) -> bytes:
        found = parse_document(kind, data.decode("latin-1"))
        header = document_header(kind, found.kid)
        return b".".join(map(b64url, (header, found.unverified_payload, found.signature)))

    good = seeds.document(kind, b"{}")
    return Target(
        parse,
        lambda: [good, *seeds.vectors("signed_documents")],
        (MalformedDocumentError,),
        lambda again: again,
    )


def _frame_record(data: bytes) -> FrameRecord:
    found = FrameRecord.decode(data)
    try:
        node = found.nodes()
        found.edge_after()
        node(0, found.runs[0].first if found.runs else 0)
    except (ExchangeError, MalformedHeadError):
        pass  # it has the form, and does not add up
    return found


def _payloads(data: bytes) -> bytes:
    found = decode_payloads(data)
    digests, parts = read_payloads(data)
    if [(flag, one) for _, flag, one in found] != parts or len(digests) != len(parts):
        raise BrokenPromiseError("two readers of one body differ")
    return encode_payloads(found)


def _statements(data: bytes) -> None:
    """Several at once, as a frame brings them: the same verdict as one by one."""
    bodies = data.split(b"\n")
    alone = []
    for one in bodies:
        try:
            alone.append(parse_statement(one))
        except MalformedStatementError:
            alone = []
            break
    try:
        together = parse_statements(bodies)
    except MalformedStatementError:
        together = []
    if together != alone:
        raise BrokenPromiseError("together they are judged otherwise than alone")


def _proof(data: bytes) -> None:
    """Any numbers and hashes as a proof: judged without end only by how many hashes there are."""
    try:
        found = json.loads(data)
        hashes = [bytes.fromhex(one) for one in found["hashes"]]
        index, size = int(found["index"]), int(found["size"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return
    checks: tuple[Callable[[], None], ...] = (
        lambda: verify_inclusion(b"\1" * 32, index=index, size=size, path=hashes, root=b"\2" * 32),
        lambda: verify_consistency(size1=index, root1=b"\1" * 32, size2=size, root2=b"\2" * 32, proof=hashes),
    )
    for check in checks:
        try:
            check()
        except ProofError:
            continue
        raise BrokenPromiseError("a proof of nothing was accepted")


# A message that holds its own kind, and marks; packed and unpacked numbers.
_PLAN: Final[Plan] = (
    {
        10: Rule(0, Mark(1)),
        18: Rule(LEAF, Mark(2, is_subject=True)),
        24: Rule(),
        26: Rule(),
        33: Rule(),
        45: Rule(),
    },
)


def _message(data: bytes) -> None:
    """What was cut once stays as it is when it is cut again, and tells the same; what is marked is noted."""
    notes = Notes(10_000)
    try:
        walked = walk(_PLAN, data, Limits(max_fields=10_000))
    except MalformedMessageError:
        notes.take(_PLAN, data)
        raise BrokenPromiseError("refused by who cuts, taken by who notes") from None
    notes.take(_PLAN, data)
    if (notes.subjects, notes.sensitivity, notes.records) != noted(_PLAN, data):
        raise BrokenPromiseError("something else is noted than is marked")
    again = walk(_PLAN, walked.data)
    if again.cut or again.data is not walked.data or noted(_PLAN, again.data) != noted(_PLAN, data):
        raise BrokenPromiseError("cut again, it is another message")
    if len(walked.data) > len(data) or (walked.cut == 0 and walked.data is not data):
        raise BrokenPromiseError("it grew, or was copied for nothing")


_PARSED = (MalformedLeafError,)
_DOCUMENT = (MalformedDocumentError,)
_STATEMENT = encode_statement(seeds.statement())
_PROOF = InclusionProof("a" * 64, 2, 4, ["b" * 64], "c" * 64)
_MANIFEST = Manifest(
    1,
    "01920000-0000-7000-8000-000000000000",
    [seeds.LOG],
    [
        LeafPart(
            "statements/1-request.json", "said", seeds.LOG, 2, "proofs/1-request.json", "heads/ab.jws", None
        )
    ],
    ["registrations/BJ.GOV.ANIP.gw1.jwt"],
    [],
    [1],
    [],
)

_NAMES: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "member": (MemberId.parse, "BJ/GOV/ANIP"),
    "subsystem": (SubsystemId.parse, "BJ/GOV/ANIP/RNPP"),
    "gateway": (GatewayId.parse, "BJ/GOV/ANIP/gw1"),
    "registry": (RegistryId.parse, "BJ/GOV/ASIN/registre"),
    "person": (PersonId.parse, "BJ/GOV/ASIN/a"),
    "program": (ProgramId.parse, "BJ/GOV/ANIP/RNPP/gestion"),
    "service": (ServiceName.parse, "bj.identity.v1.IdentityService"),
    "method": (MethodName.parse, "bj.identity.v1.IdentityService/GetPerson"),
    "log": (require_log_id, "ab" * 32),
    "purpose": (require_purpose, "P01"),
    "handle": (require_handle, "ACT-202611-0001"),
    "exchange": (require_exchange_id, "01920000-0000-7000-8000-000000000000"),
}


def _names(data: bytes) -> None:
    """Every grammar of a name on one text: what is accepted is written the same way again."""
    text = data.decode("utf-8", "replace")
    for parse, _ in _NAMES.values():
        try:
            found = parse(text)
        except MalformedIdentifierError:
            continue
        if str(found) != text:
            raise BrokenPromiseError("a name that is written otherwise")
    is_part_path(text)
    with contextlib.suppress(MalformedIdentifierError):
        parse_urn(text)


TARGETS: Final = {
    "statement": Target(
        parse_statement,
        lambda: [*map(encode_statement, seeds.statements()), *seeds.vectors("statements")],
        (MalformedStatementError,),
        encode_statement,
    ),
    "statements": Target(
        _statements, lambda: [b"\n".join([_STATEMENT] * 3), *seeds.vectors("statements")[:10]]
    ),
    "leaf": Target(
        _leaves,
        lambda: [prefix(b"passerelle/1/said", seeds.LOG) + _STATEMENT, *seeds.vectors("leaves")],
        _PARSED,
        lambda again: again,
    ),
    "heard": Target(parse_heard, lambda: [_json(seeds.heard()), *seeds.vectors("records")], _PARSED, _json),
    "annex": Target(
        parse_annex,
        lambda: [seeds.annex(), *seeds.vectors("annexes")],
        (MalformedAnnexError,),
        _json,
    ),
    "kept-annex": Target(
        lambda data: read_annex(data, payload_digest(data[:16], 0, data[16:])),
        lambda: [bytes(16) + seeds.annex()],
        (MalformedAnnexError,),
        lambda annex: bytes(16) + _json(annex),
    ),
    "genesis": Target(
        parse_genesis,
        lambda: seeds.encoded(
            seeds.genesis(), seeds.genesis(Succession(seeds.LOG, 3, "c" * 64, "disk-lost"))
        ),
        _PARSED,
        _json,
    ),
    "note": Target(parse_note, lambda: seeds.encoded(seeds.note()), _PARSED, _json),
    "registry-change": Target(parse_registry_change, lambda: seeds.encoded(seeds.change()), _PARSED, _json),
    "head": Target(
        _head, lambda: [seeds.head(), *seeds.vectors("heads")], (MalformedHeadError,), lambda again: again
    ),
    "base64url": Target(
        unb64url, lambda: seeds.lines("", "AA", "AAA=", "AB", "-_", "+/"), (MalformedHeadError,), b64url
    ),
    **{f"jws-{kind.value.partition('+')[0]}": _document(kind) for kind in DocumentKind},
    "agreement": Target(parse_agreement, lambda: seeds.encoded(seeds.agreement()), _DOCUMENT),
    "registration": Target(parse_registration, lambda: seeds.encoded(seeds.registration()), _DOCUMENT),
    "successor": Target(parse_successor, lambda: seeds.encoded(seeds.successor()), _DOCUMENT),
    "address": Target(
        _text(parse_address), lambda: seeds.lines("h:1", "[::1]:65535", "a.b:0", "a:99999"), _DOCUMENT
    ),
    "common-document": Target(
        lambda data: decode_strict(data, CommonDocument), lambda: seeds.encoded(seeds.common()), _DOCUMENT
    ),
    "member-document": Target(
        lambda data: decode_strict(data, MemberDocument), lambda: seeds.encoded(seeds.member()), _DOCUMENT
    ),
    "current-configuration": Target(
        lambda data: decode_strict(data, CurrentConfiguration),
        lambda: seeds.encoded(seeds.current()),
        _DOCUMENT,
    ),
    "manifest": Target(parse_manifest, lambda: seeds.encoded(_MANIFEST), _DOCUMENT),
    "inclusion-proof": Target(parse_inclusion_proof, lambda: seeds.encoded(_PROOF), _DOCUMENT),
    "proof": Target(
        _proof,
        lambda: [
            json.dumps({"hashes": ["ab" * 32] * 3, "index": 1, "size": 8}).encode(),
            json.dumps({"hashes": [], "index": 2**62, "size": 2**62}).encode(),
        ],
    ),
    "frame-record": Target(
        _frame_record,
        lambda: [seeds.frame_record().encode()],
        (MalformedFrameRecordError,),
        lambda record: record.encode(),
    ),
    "metadata-blob": Target(
        decode_metadata,
        lambda: [encode_metadata([(b"a", b"b"), (b"c-bin", b"\0")]), *seeds.vectors("metadata", is_hex=True)],
        (MalformedError,),
        encode_metadata,
    ),
    "payloads": Target(
        _payloads,
        lambda: [
            encode_payloads([(bytes(16), 0, b"a"), (bytes(16), 1, b"")]),
            *seeds.vectors("payloads", is_hex=True),
        ],
        (MalformedError,),
        lambda again: again,
    ),
    "message": Target(
        _message,
        lambda: [
            b"\x0a\x04\x12\x02ab\x12\x0a0000000001",
            b"\x0a\x06\x18\x80\x01\x7a\x01x\x1a\x02\x01\x02\x21" + bytes(8) + b"\x2d" + bytes(4),
            b"\x0a\x0b" + b"\x0a\x09\x98\x06\x01\x0b\x0c\x12\x02ab",
            b"\x0a\xff\xff\xff\xff\x07",
            b"\x18\x00" * 20_000,
            *(b"\x0a" + bytes([depth]) for depth in range(0, 127, 9)),
        ],
        (MalformedMessageError,),
    ),
    "names": Target(
        _names,
        lambda: seeds.lines(*(text for _, text in _NAMES.values()), "urn:passerelle:gateway:BJ/GOV/ANIP/gw1"),
    ),
    "time": Target(
        _text(parse_time_ms),
        lambda: seeds.lines("2026-11-23T09:14:07Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60Z"),
        (MalformedError,),
        lambda found: format_time_ms(found).encode(),
    ),
}
