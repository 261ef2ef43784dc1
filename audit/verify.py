"""Verifies evidence offline, against the anchor's X.509 root alone, step by step.

 1 the container has its form, and every part is named
 2 statements and records are canonical, and about this one exchange
 3 each stands in its log: leaf hash and RFC 9162 inclusion proof lead to a head's root
 4 registrations are signed by member keys, and bind log, gateway and seal certificate
 5 heads are signed with a certificate that is registered for their log
 6 those certificates lead to the anchor, for that gateway, at the head's time
 7 the agreement is signed by both member keys it names, and covers the call
 8 answers belong to the request, records to what they record
 9 bodies are those that the statements' digests name
10 documents of the configuration are those of the version that the statements name

Nothing outside the container and the anchor is asked. What the container says of itself counts for nothing: each
value is used only after a step has established it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit.report import Report, Step, StepVerdict
from audit.streams import BrokenOrderError, Progress, Saying, Untrue, judge_calls
from core.agreements import Agreement, parse_agreement
from core.configuration import CommonDocument, member_target
from core.documents import decode_strict, digest, encode
from core.evidence import (
    CONSUMER_AGREEMENT,
    MANIFEST,
    PROVIDER_AGREEMENT,
    LeafPart,
    Manifest,
    Parts,
    configuration_path,
    file_name,
    member_key_path,
    parse_inclusion_proof,
    parse_manifest,
)
from core.heads import TreeHead, head_digest, parse_head
from core.identifiers import urn
from core.jws import DocumentKind
from core.language import Text
from core.leaves import Heard, heard_leaf, parse_heard, said_leaf
from core.masks import objection_to_cut
from core.merkle import leaf_hash, verify_inclusion
from core.payloads import Payload, decode_metadata, decode_payloads, payload_digest
from core.reasons import Code, ExchangeError
from core.registrations import MemberSuccessor, Registration, parse_registration, parse_successor
from core.statements import BOUND_FIELDS, Statement, parse_statement
from core.streams import messages_of
from core.times import parse_time_ms
from ledger.published import TARGETS_FILE, target_hashes
from pki.chain import verify_chain
from pki.documents import unverified_kid, verify_document
from pki.heads import verify_head
from pki.keys import (
    certificate_thumbprint,
    chain_pem,
    key_thumbprint,
    load_chain,
    load_crl,
    load_public_key,
    public_key_pem,
)
from pki.profiles import Profile
from rpc.names import UNREADABLE, issuer_of, subject_of

_TITLES: Final = (
    Text("conteneur", "container"),
    Text("déclarations", "statements"),
    Text("preuves d'inclusion", "inclusion proofs"),
    Text("enregistrements des passerelles", "registrations of gateways"),
    Text("signatures des têtes", "signatures of heads"),
    Text("chaînes de certificats", "certificate chains"),
    Text("convention", "agreement"),
    Text("réponse liée à la demande", "answer bound to request"),
    Text("contenus", "bodies"),
    Text("configuration", "configuration"),
)
_CLAIMED_TIME: Final = Text("heure déclarée, non horodatée", "time claimed, not stamped")
_NO_ANSWER: Final = Text("aucune réponse dans cette preuve", "no answer in this evidence")
_NO_AGREEMENT: Final = Text(
    "aucune convention ne nomme la clé du membre : elle est celle que publie le registre",
    "no agreement names the member's key: it is the one that the registry publishes",
)
_NOT_COVERED: Final = Text(
    "refusée : la convention ne couvre pas l'appel", "refused: the agreement does not cover the call"
)
_CUT_OTHERWISE: Final = Text(
    "réponse refusée : elle n'est pas réduite aux champs que la convention accorde",
    "answer refused: it is not cut to the fields that the agreement grants",
)

# How parsers refuse: ours with ExchangeError, the X.509 library in these ways.
_UNREADABLE: Final = (UnsupportedAlgorithm, x509.InvalidVersion, *UNREADABLE)
_Side = Literal["consumer", "provider"]
# Those of both sides, for each attempt at another worker or gateway; far more than any exchange names.
_MAX_LOGS: Final = 256
_DISCOVERED: Final = ("certificates/", "configuration/")


class _StepError(Exception):
    """A step does not hold; ``is_open`` if only something is missing that would decide it."""

    def __init__(self, finding: str, *, is_open: bool = False) -> None:
        super().__init__(finding)
        self.is_open = is_open


@dataclass(frozen=True, slots=True)
class _Leaf:
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
class _Registered:
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
class _Case:
    """What the steps have established so far."""

    parts: Parts
    root: x509.Certificate
    crls: list[x509.CertificateRevocationList]
    manifest: Manifest
    leaves: list[_Leaf] = field(default_factory=list)
    heads: dict[str, TreeHead] = field(default_factory=dict)
    keys: dict[str, ec.EllipticCurvePublicKey] = field(default_factory=dict)
    registered: dict[str, _Registered] = field(default_factory=dict)
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
            raise _StepError(f"{path} is missing", is_open=True)
        return found

    def statements(self, *kinds: str) -> list[_Leaf]:
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


def verify_evidence(
    parts: Parts, root: x509.Certificate, crls: Sequence[x509.CertificateRevocationList] = ()
) -> Report:
    """Verify the parts of a container.

    Args:
        parts: The container's parts (``audit.container``).
        root: The anchor's X.509 root, obtained apart from the container.
        crls: Revocation lists beyond those in the container.
    """
    # 1
    try:
        case = _Case(parts, root, list(crls), _require_form(parts))
    except (_StepError, ExchangeError, ValueError) as error:
        return Report("", (Step(1, _TITLES[0], StepVerdict.FAILED, (str(error),)),), {}, ())
    steps = [Step(1, _TITLES[0], StepVerdict.GOOD)]
    checks: tuple[Callable[[_Case], bool], ...] = (
        _check_statements,
        _check_inclusion,
        _check_registrations,
        _check_heads,
        _check_chains,
        _check_agreement,
        _check_binding,
        _check_bodies,
        _check_configuration,
    )
    for number, check in enumerate(checks, 2):
        steps.append(_run(number, check, case))
    case.remarks.append(_CLAIMED_TIME)
    return Report(
        case.manifest.exchange,
        tuple(steps),
        _facts(case),
        tuple(dict.fromkeys(case.remarks)),
        tuple(one for one in case.calls if one.is_stream),
    )


def unreadable(why: str) -> Report:
    """The report about a file that is no container at all."""
    return Report("", (Step(1, _TITLES[0], StepVerdict.FAILED, (why,)),), {}, ())


def _run(number: int, check: Callable[[_Case], bool], case: _Case) -> Step:
    title = _TITLES[number - 1]
    try:
        return Step(number, title, StepVerdict.GOOD if check(case) else StepVerdict.ABSENT)
    except _StepError as error:
        verdict = StepVerdict.OPEN if error.is_open else StepVerdict.FAILED
        return Step(number, title, verdict, (str(error),))
    except (ExchangeError, *_UNREADABLE) as error:
        # Every parser and verifier refuses with one of these; anything else would be a fault of ours.
        return Step(number, title, StepVerdict.FAILED, (str(error),))


# --- 1 ---


def _require_form(parts: Parts) -> Manifest:
    manifest = parse_manifest(parts.get(MANIFEST, b""))
    if encode(manifest) != parts[MANIFEST] or not {leaf.log for leaf in manifest.leaves} >= set(
        manifest.logs
    ):
        raise _StepError("the manifest is not in its one written form")
    named = {MANIFEST, CONSUMER_AGREEMENT, PROVIDER_AGREEMENT, *manifest.registrations, *manifest.successors}
    for leaf in manifest.leaves:
        wanted = {leaf.path, leaf.proof, leaf.head, *([leaf.body] if leaf.body else ())}
        if missing := sorted(one for one in wanted if one not in parts):
            raise _StepError(f"{missing[0]} is missing")
        named |= wanted
    stray = sorted(path for path in parts.keys() - named if not path.startswith(_DISCOVERED))
    if stray:
        raise _StepError(f"{stray[0]} is not named in the manifest")
    if not manifest.leaves:
        raise _StepError("there is no statement in it")
    return manifest


# --- 2 ---


def _check_statements(case: _Case) -> bool:
    for part in case.manifest.leaves:
        data = case.parts[part.path]
        try:
            found = _read_leaf(part, data)
        except ExchangeError as error:
            raise _StepError(f"{part.path}: {error}") from None
        if found.statement is not None:
            if found.statement.exchange != case.manifest.exchange:
                raise _StepError(f"{part.path} is about another exchange")
            if found.statement.from_ != part.log:
                raise _StepError(f"{part.path} is not this log's word")
        case.leaves.append(found)
    return True


def _read_leaf(part: LeafPart, data: bytes) -> _Leaf:
    if part.label == "said":
        return _Leaf(part, parse_statement(data), None, said_leaf(part.log, data))
    heard = parse_heard(data)
    return _Leaf(part, None, heard, heard_leaf(part.log, heard))


# --- 3 ---


def _check_inclusion(case: _Case) -> bool:
    if len(case.leaves) != len(case.manifest.leaves):
        raise _StepError("the statements could not be read")
    for one in case.leaves:
        head = parse_head(case.parts[one.part.head]).unverified
        proof = parse_inclusion_proof(case.parts[one.part.proof])
        if encode(proof) != case.parts[one.part.proof]:
            raise _StepError(f"{one.part.proof} is not in its one written form")
        if (proof.index, proof.size, proof.root) != (one.part.index, head.size, head.root):
            raise _StepError(f"{one.part.proof} does not lead to {one.part.head}")
        if proof.leaf_hash != one.hash:
            raise _StepError(f"{one.part.path} is not the leaf that {one.part.proof} proves")
        if head.log != one.part.log:
            raise _StepError(f"{one.part.head} is of another log than {one.part.path}")
        try:
            verify_inclusion(
                leaf_hash(one.leaf),
                index=one.part.index,
                size=head.size,
                path=[bytes.fromhex(hashed) for hashed in proof.proof],
                root=bytes.fromhex(head.root),
            )
        except ExchangeError as error:
            raise _StepError(f"{one.part.proof}: {error}") from None
    return True


# --- 4 ---


def _check_registrations(case: _Case) -> bool:
    _read_keys(case)
    for path in case.manifest.successors:
        successor = _successor(case, path)
        case.lineage[successor.old_key] = successor.new_key
    logs = {part.log for part in case.manifest.leaves}
    for path in case.manifest.registrations:
        registered = _registration(case, path)
        for log in registered.terms.logs:
            if log.id in case.registered:
                raise _StepError(f"{path}: log {log.id} is registered twice")
            case.registered[log.id] = registered
        if not registered.terms.all_logs & logs:
            raise _StepError(f"{path} registers no log of the container")
    for registered in list(case.registered.values()):
        for closed in registered.terms.closed:
            # The registration from when it was open comes first: it names the certificates of that time.
            held = case.registered.setdefault(closed.id, registered)
            # Nobody closes another's log: it would speak for it.
            if held.terms.gateway == registered.terms.gateway:
                case.successors[closed.id] = closed.successor
    for part in case.manifest.leaves:
        if part.log not in case.registered:
            raise _StepError(f"no registration of log {part.log}", is_open=True)
    return True


def _read_keys(case: _Case) -> None:
    for path, data in case.parts.items():
        if path.startswith("certificates/key_"):
            key = load_public_key(_text(path, data))
            if path != member_key_path(key_thumbprint(key)) or public_key_pem(key) != data.decode("ascii"):
                raise _StepError(f"{path} is not the key that its name tells")
            case.keys[key_thumbprint(key)] = key


def _text(path: str, data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise _StepError(f"{path} is not ASCII") from None


def _verified(case: _Case, kind: DocumentKind, path: str) -> tuple[str, bytes]:
    """Thumbprint of the member key that signed a part, and the bytes that it signed."""
    jws = _text(path, case.part(path))
    kid = unverified_kid(kind, jws)
    key = case.keys.get(kid)
    if key is None:
        raise _StepError(f"{path}: member key {kid} is missing", is_open=True)
    try:
        return kid, verify_document(kind, jws, key)
    except ExchangeError as error:
        raise _StepError(f"{path}: {error}") from None


def _successor(case: _Case, path: str) -> MemberSuccessor:
    kid, payload = _verified(case, DocumentKind.MEMBER_SUCCESSOR, path)
    successor = parse_successor(payload)
    if successor.old_key != kid:
        raise _StepError(f"{path} is not signed by the key before")
    return successor


def _registration(case: _Case, path: str) -> _Registered:
    kid, payload = _verified(case, DocumentKind.REGISTRATION, path)
    terms = parse_registration(payload)
    seals: dict[str, x509.Certificate] = {}
    intermediates: list[x509.Certificate] = []
    for seal in terms.seal:
        leaf, *chain = load_chain(seal.chain)
        if certificate_thumbprint(leaf) != seal.thumbprint:
            raise _StepError(f"{path}: a certificate is not the one that {seal.thumbprint} names")
        seals[seal.thumbprint] = leaf
        intermediates += chain
    return _Registered(terms, kid, seals, tuple(intermediates))


# --- 5 ---


def _check_heads(case: _Case) -> bool:
    roots: dict[tuple[str, int], str] = defaultdict(str)
    for path in dict.fromkeys(part.head for part in case.manifest.leaves):
        jws = case.parts[path]
        log = parse_head(jws).unverified.log
        registered = case.registered.get(log)
        if registered is None:
            raise _StepError(f"{path}: log {log} is not registered", is_open=True)
        try:
            head = verify_head(jws, registered.seals).head
        except ExchangeError as error:
            raise _StepError(f"{path}: {error}") from None
        if head.gateway != registered.terms.gateway:
            raise _StepError(f"{path} names another gateway than its log's")
        if roots.setdefault((head.log, head.size), head.root) != head.root:
            raise _StepError(f"{path}: the log has two roots at size {head.size}: a fork")
        case.heads[path] = head
    return True


# --- 6 ---


def _check_chains(case: _Case) -> bool:
    if not case.heads:
        raise _StepError("no head is verified", is_open=True)
    authorities = _read_authorities(case)
    _remark_missing_lists(case, authorities)
    for path, head in _first_and_last(case):
        registered = case.registered[head.log]
        leaf = registered.seals[parse_head(case.parts[path]).thumbprint]
        at = datetime.fromtimestamp(head.iat, UTC)
        intermediates = _intermediates(case, registered, authorities)
        _require_lists(case, leaf, intermediates, at, path)
        try:
            chain = verify_chain(
                leaf,
                intermediates=intermediates,
                roots=[case.root],
                crls=case.crls,
                at=at,
                profile=Profile.SEAL,
            )
        except ExchangeError as error:
            raise _StepError(f"{path}: {error}") from None
        if chain.urn != urn("gateway", head.gateway):
            raise _StepError(f"{path}: the certificate is that of {chain.urn}")
        # Revoked later, and no stamp shows that the head was there before: the signer may have set its clock back.
        for certificate in chain.certificates:
            if any(_lists(crl, certificate) for crl in case.crls):
                raise _StepError(
                    f"{path}: its certificate was revoked later, and no stamp is older", is_open=True
                )
    return True


def _first_and_last(case: _Case) -> Iterator[tuple[str, TreeHead]]:
    """Of the heads that one certificate signed for one log, the oldest and the newest.

    Validity has no holes and nothing is ever taken back off a list: what holds for both holds for those between.
    """
    signed: dict[tuple[str, str], list[tuple[int, str, TreeHead]]] = defaultdict(list)
    for path, head in case.heads.items():
        signed[head.log, parse_head(case.parts[path]).thumbprint].append((head.iat, path, head))
    for some in signed.values():
        times = [iat for iat, _, _ in some]
        for at in dict.fromkeys((times.index(min(times)), times.index(max(times)))):
            _, path, head = some[at]
            yield path, head


def _read_authorities(case: _Case) -> list[x509.Certificate]:
    """The issuing CAs in the container, each issued by the anchor's root, and the lists that they or it signed."""
    known: set[str] = {path for path in case.parts if path.startswith("certificates/key_")}
    authorities: list[x509.Certificate] = []
    for path, data in case.parts.items():
        if path.startswith("certificates/ca-"):
            found = load_chain(data)
            _require_named(path, f"certificates/ca-{digest(data)[:16]}.pem")
            _require_written(path, data, chain_pem(found))
            for one in found:
                _require_issued_by_root(case, one, path)
            authorities += found
            known.add(path)
    for path, data in case.parts.items():
        if path.startswith("certificates/crl-"):
            crl = load_crl(data)
            _require_named(path, f"certificates/crl-{digest(data)[:16]}.pem")
            _require_written(path, data, crl.public_bytes(serialization.Encoding.PEM))
            if not any(_is_signed_by(crl, one) for one in (case.root, *authorities)):
                raise _StepError(f"{path} is signed by no authority below the anchor")
            case.crls.append(crl)
            known.add(path)
    case.are_lists_read = True
    for registered in case.registered.values():
        # Copies for tools that read no JWT; what counts is what the member signed.
        for number, seal in enumerate(registered.terms.seal, 1):
            path = f"certificates/{file_name(registered.terms.gateway)}.seal-{number}.pem"
            _require_written(path, case.parts.get(path, b""), seal.chain.encode("utf-8"))
            known.add(path)
    stray = sorted(path for path in case.parts.keys() - known if path.startswith("certificates/"))
    if stray:
        raise _StepError(f"{stray[0]} is nobody's certificate here")
    return authorities


def _remark_missing_lists(case: _Case, authorities: Sequence[x509.Certificate]) -> None:
    """Without a list of an authority, nothing tells what it has revoked, whether or not the verdict needs it."""
    listed = {crl.issuer for crl in case.crls}
    for authority in authorities:
        if authority.subject not in listed:
            name = f"'{subject_of(authority)}'"
            case.remarks.append(
                Text(
                    f"aucune liste de révocation de l'autorité {name} n'est là",
                    f"no revocation list of the authority {name} is there",
                )
            )


def _require_written(path: str, data: bytes, written: bytes) -> None:
    if data != written:
        raise _StepError(f"{path} is not in its one written form")


def _require_named(path: str, name: str) -> None:
    if path != name:
        raise _StepError(f"{path} is not what its name tells")


def _require_issued_by_root(case: _Case, certificate: x509.Certificate, path: str) -> None:
    try:
        if certificate != case.root:
            certificate.verify_directly_issued_by(case.root)
    except (ValueError, TypeError, InvalidSignature):
        raise _StepError(f"{path} is not issued by the anchor's root") from None


def _is_signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    return (
        crl.issuer == issuer.subject
        and isinstance(key, ec.EllipticCurvePublicKey)
        and crl.is_signature_valid(key)
    )


def _intermediates(
    case: _Case, registered: _Registered, authorities: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    # The root may stand at the end of a chain; it is trusted from the anchor only.
    unique = {certificate_thumbprint(one): one for one in (*authorities, *registered.intermediates)}
    unique.pop(certificate_thumbprint(case.root), None)
    return list(unique.values())


def _require_lists(
    case: _Case, leaf: x509.Certificate, intermediates: Sequence[x509.Certificate], at: datetime, path: str
) -> None:
    """Without a list that was fresh then, nobody can tell whether a certificate was revoked."""
    issuing = [one for one in intermediates if one.subject == leaf.issuer]
    for certificate in (leaf, *issuing):
        fresh = any(
            crl.issuer == certificate.issuer and crl.next_update_utc is not None and at <= crl.next_update_utc
            for crl in case.crls
        )
        if not fresh:
            issuer = issuer_of(certificate)
            raise _StepError(f"{path}: no revocation list of '{issuer}' for that time", is_open=True)


def _lists(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    return (
        crl.issuer == certificate.issuer
        and crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    )


# --- 7 ---


def _check_agreement(case: _Case) -> bool:
    sides = _sides(case)
    acted = case.statements("request", "response", "refusal")
    marks = {one.statement.agreement for one in acted if one.statement and one.statement.agreement}
    if not marks:
        if CONSUMER_AGREEMENT in case.parts or PROVIDER_AGREEMENT in case.parts:
            raise _StepError("there is an agreement that no statement names")
        case.remarks.append(_NO_AGREEMENT)
        return False
    if len(marks) > 1:
        raise _StepError("the statements name different agreements")
    (mark,) = marks
    consumer_kid, payload = _verified(case, DocumentKind.AGREEMENT, CONSUMER_AGREEMENT)
    provider_kid, same = _verified(case, DocumentKind.AGREEMENT, PROVIDER_AGREEMENT)
    if payload != same:
        raise _StepError("the two sides signed different agreements")
    terms = parse_agreement(payload)
    if (terms.id, terms.version, digest(payload)) != (mark.id, mark.version, mark.digest):
        raise _StepError("it is not the agreement that the statements name")
    if (consumer_kid, provider_kid) != (terms.consumer.member_key, terms.provider.member_key):
        raise _StepError("it is not signed by the keys that it names")
    for side, registered in sides:
        party = terms.consumer if side == "consumer" else terms.provider
        if registered.member != party.subsystem.rpartition("/")[0]:
            raise _StepError(f"{registered.terms.gateway} is no gateway of {party.subsystem}")
        if not case.is_same_key(party.member_key, registered.member_key):
            raise _StepError(
                f"{registered.terms.gateway} is registered under a key that the agreement does not name"
            )
    _require_covered(case, terms, acted)
    _require_cut(case, terms)
    case.terms = terms
    return True


def _require_covered(case: _Case, terms: Agreement, acted: Sequence[_Leaf]) -> None:
    """Require that the agreement covers what was answered; a call that it does not cover may only have been refused."""
    times = _times(case)
    gaps = [(one, why) for one in acted if (why := _not_covered(terms, one, times)) is not None]
    if not gaps:
        return
    if case.statements("response"):
        taken = {
            (one.heard.log, one.heard.index)
            for one in case.leaves
            if one.heard and one.heard.verdict == "taken"
        }
        for one, why in gaps:
            s = one.statement
            # Whoever ends a stream because the agreement does, or does not take what comes then, does what it must.
            is_turned_away = s is not None and s.kind == "request" and s.sequence > 0
            if s is not None and s.kind == "refusal":
                continue
            if not is_turned_away or (one.part.log, one.part.index) in taken:
                raise _StepError(why)
    case.remarks.append(_NOT_COVERED)


def _require_cut(case: _Case, terms: Agreement) -> None:
    """Require that answers say to be cut as the agreement wants it; one that does not may only have been refused.

    Whether a message holds more than was granted the descriptors would tell, and the consumer's gateway has looked.
    """
    refused = {
        (one.heard.log, one.heard.index)
        for one in case.leaves
        if one.heard and one.heard.verdict.startswith("refused:")
    }
    for one in case.statements("response"):
        why = objection_to_cut(one.statement, terms.field_mask) if one.statement is not None else ""
        if why and (one.part.log, one.part.index) not in refused:
            raise _StepError(f"{one.part.path}: {why}")
        if why:
            case.remarks.append(_CUT_OTHERWISE)


def _sides(case: _Case) -> list[tuple[_Side, _Registered]]:
    """Whose log each leaf stands in; records, too, must be in the log of one of the two members that call and serve."""
    opening = case.statements("request") or [
        one for one in case.statements("refusal") if one.statement and one.statement.to is None
    ]
    logs: dict[str, tuple[_Side, str | None]] = {}
    for one in opening:
        if one.statement is not None:
            logs[one.statement.from_] = ("consumer", one.statement.client)
            if one.statement.to is not None:
                logs[one.statement.to] = ("provider", one.statement.service)
    if len(logs) > _MAX_LOGS:
        raise _StepError(f"its requests name more than {_MAX_LOGS} logs")
    found: dict[str, tuple[_Side, _Registered]] = {}
    for one in case.leaves:
        if one.part.log in found:
            continue
        registered = case.registered.get(one.part.log)
        if registered is None:
            raise _StepError(f"{one.part.path}: its log is not registered", is_open=True)
        spoken_for = next((log for log in logs if case.is_same_line(log, one.part.log)), None)
        if spoken_for is None:
            raise _StepError(f"{one.part.path} stands in the log of neither side")
        side, subsystem = logs[spoken_for]
        if subsystem is not None and registered.member != subsystem.rpartition("/")[0]:
            raise _StepError(f"{one.part.path} stands in a log of {registered.member}")
        found[one.part.log] = (side, registered)
    return list(found.values())


def _times(case: _Case) -> dict[tuple[str, int], int]:
    """By place, when each leaf was there: at the oldest head over it, over a record of it, or over what names it.

    Its own log may have signed much later than it was written; the other's head tells better (PROTOCOL M9).
    """
    times: dict[tuple[str, int], int] = {}
    named: dict[str, int] = {}

    def note(place: tuple[str, int], iat: int) -> None:
        times[place] = min(iat, times.get(place, iat))

    for one in case.leaves:
        head = case.heads.get(one.part.head)
        if head is None:
            continue
        note((one.part.log, one.part.index), head.iat)
        if one.heard is not None:
            note((one.heard.log, one.heard.index), head.iat)
        elif one.statement is not None and one.statement.request is not None:
            named[one.statement.request] = min(head.iat, named.get(one.statement.request, head.iat))
    for one in case.statements("request"):
        if (
            one.statement is not None
            and one.statement.request is None
            and (iat := named.get(one.hash)) is not None
        ):
            note((one.part.log, one.part.index), iat)
    return times


def _not_covered(terms: Agreement, one: _Leaf, times: Mapping[tuple[str, int], int]) -> str | None:
    s = one.statement
    iat = times.get((one.part.log, one.part.index))
    if s is None or iat is None:
        return f"{one.part.path}: its head is not verified"
    service, _, method = (s.method or "").partition("/")
    if (s.client, s.service) != (terms.consumer.subsystem, terms.provider.subsystem):
        return f"{one.part.path}: other parties than the agreement's"
    if service != terms.service or method not in terms.methods:
        return f"{one.part.path}: {s.method} is not granted"
    if terms.purposes and s.purpose not in terms.purposes:
        return f"{one.part.path}: purpose {s.purpose} is not granted"
    if terms.issue_required and s.issue is None:
        return f"{one.part.path}: no dossier is named"
    if s.represented is not None and s.represented not in (terms.represented_parties or ()):
        return f"{one.part.path}: {s.represented} may not be represented"
    if not parse_time_ms(terms.not_before) <= iat * 1000 <= parse_time_ms(terms.not_after):
        return f"{one.part.path}: the agreement was not in force"
    return None


# --- 8 ---


def _check_binding(case: _Case) -> bool:
    by_place: dict[tuple[str, int], _Leaf] = {}
    for one in case.leaves:
        twin = by_place.setdefault((one.part.log, one.part.index), one)
        if twin is not one:
            raise _StepError(f"{one.part.path} is the leaf of {twin.part.path} once more")
    hashes = {one.part.path: one.hash for one in case.leaves}
    requests = {hashes[one.part.path]: one for one in case.statements("request")}
    for one in case.statements("request", "response", "refusal", "cancel", "deadline", "abandon", "outcome"):
        _require_bound(case, one, requests)
    records: dict[str, tuple[Heard, int]] = {}
    for one in case.leaves:
        if one.heard is not None:
            about = by_place.get((one.heard.log, one.heard.index))
            _require_recorded(case, one, one.heard, about, hashes)
            if about is not None:
                records.setdefault(about.part.path, (one.heard, one.part.index))
    if not case.statements("response", "refusal"):
        case.remarks.append(_NO_ANSWER)
    try:
        case.calls, untrue = judge_calls(list(_sayings(case, hashes, records)))
    except BrokenOrderError as error:
        raise _StepError(str(error)) from None
    case.remarks.extend(_laid_on(case, one) for one in untrue)
    return True


def _laid_on(case: _Case, one: Untrue) -> Text:
    """Whose word stands against the rest; nothing else of the evidence depends on it."""
    log = one.said.statement.from_
    registered = case.registered.get(log)
    who = registered.terms.gateway if registered is not None else log
    return Text(
        f"{who} est seul à le dire, et rien d'autre ne le confirme : {one.why}",
        f"{who} alone says so, and nothing else bears it out: {one.why}",
    )


def _sayings(
    case: _Case, hashes: Mapping[str, str], records: Mapping[str, tuple[Heard, int]]
) -> Iterator[Saying]:
    for one in case.leaves:
        if one.statement is not None:
            path = one.part.path
            heard, heard_at = records.get(path, (None, None))
            verdict = heard.verdict if heard is not None else None
            is_peers = one.part.log not in case.manifest.logs
            yield Saying(path, one.part.index, hashes[path], one.statement, verdict, heard_at, is_peers)


def _require_bound(case: _Case, one: _Leaf, requests: Mapping[str, _Leaf]) -> None:
    s = one.statement
    if s is None or (s.kind == "request" and s.request is None):
        return  # it begins a call
    if s.kind == "refusal" and s.to is None and s.request is None:
        return  # a refusal at one's own gateway answers no statement
    asked = requests.get(s.request or "")
    request = asked.statement if asked is not None else None
    if request is None or request.request is not None:
        raise _StepError(f"{one.part.path} belongs to a request that is not in the container")
    if (
        s.kind in ("response", "refusal")
        and s.to is not None
        and not (case.is_same_line(request.to, s.from_) and case.is_same_line(request.from_, s.to))
    ):
        raise _StepError(f"{one.part.path} is not said between the logs of its request")
    changed = [name for name in BOUND_FIELDS if getattr(s, name) != getattr(request, name)]
    if changed:
        raise _StepError(f"{one.part.path} differs from its request in {changed[0]!r}")


def _require_recorded(
    case: _Case, one: _Leaf, heard: Heard, about: _Leaf | None, hashes: Mapping[str, str]
) -> None:
    if about is None or about.statement is None or hashes[about.part.path] != heard.leaf:
        raise _StepError(f"{one.part.path} records a statement that is not in the container")
    if about.statement.to != one.part.log:
        raise _StepError(f"{one.part.path} records what was said to another log")
    is_own = one.part.log in case.manifest.logs and about.part.log not in case.manifest.logs
    if is_own and heard.head != head_digest(case.parts[about.part.head]):
        raise _StepError(f"{one.part.path} was recorded under another head than {about.part.head}")


# --- 9 ---


def _check_bodies(case: _Case) -> bool:
    found = False
    for one in case.leaves:
        if one.part.body is None:
            continue
        if one.statement is None:
            raise _StepError(f"{one.part.body} is said to be the body of a record")
        payloads = decode_payloads(case.parts[one.part.body])
        if [payload_digest(*payload) for payload in payloads] != one.statement.payloads:
            raise _StepError(f"{one.part.body} is not what {one.part.path} says")
        _require_metadata(one.part.body, one.statement, payloads)
        found = True
    return found


def _require_metadata(path: str, s: Statement, payloads: Sequence[Payload]) -> None:
    """What stands where metadata belongs, and is counted as such, is metadata: not a message that nobody counts."""
    count = len(payloads) - messages_of(s)
    places = [0] if s.sequence == 0 else []
    places += [-1] if s.kind == "response" and s.final else []
    for place in places[:count]:
        _, flag, blob = payloads[place]
        try:
            decode_metadata(blob)
        except ExchangeError:
            raise _StepError(f"{path}: what should be metadata is not") from None
        if flag:
            raise _StepError(f"{path}: its metadata is said to be compressed")


# --- 10 ---


def _check_configuration(case: _Case) -> bool:
    marks = {
        (mark.version, mark.digest)
        for one in case.leaves
        if one.statement is not None and (mark := one.statement.configuration) is not None
    }
    concerned = _concerned(case)
    named: set[str] = set()
    for version, _ in sorted(marks):
        if version not in case.manifest.configurations:
            case.remarks.append(_missing_documents(version, [TARGETS_FILE]))
    for version in case.manifest.configurations:
        path = configuration_path(version, TARGETS_FILE)
        data = case.part(path)
        if (version, digest(data)) not in marks:
            raise _StepError(f"{path} is not the version that a statement names")
        named.add(path)
        hashes = target_hashes(data)
        if missing := [
            one for one in concerned if one in hashes and configuration_path(version, one) not in case.parts
        ]:
            case.remarks.append(_missing_documents(version, missing))
        for target, expected in hashes.items():
            document = configuration_path(version, target)
            if document not in case.parts:
                continue
            if digest(case.parts[document]) != expected:
                raise _StepError(f"{document} is not of that version")
            named.add(document)
            if target == "common.json" and case.are_lists_read:
                _remark_missing_lists(case, _published_authorities(case.parts[document]))
    stray = sorted(p for p in case.parts.keys() - named if p.startswith("configuration/"))
    if stray:
        raise _StepError(f"{stray[0]} belongs to no version that a statement names")
    return bool(case.manifest.configurations)


def _concerned(case: _Case) -> list[str]:
    """The documents that an export takes from a version: what holds for all, and those of the members who speak."""
    members = {
        subsystem.rpartition("/")[0]
        for one in case.leaves
        if one.statement is not None
        for subsystem in (one.statement.client, one.statement.service)
        if subsystem is not None
    }
    return ["common.json", *sorted(map(member_target, members))]


def _published_authorities(document: bytes) -> list[x509.Certificate]:
    """The authorities of that version: one whose certificate was left out with its list is missed all the same."""
    try:
        authorities = decode_strict(document, CommonDocument).authorities
        return [one for pem in (*authorities.seal, *authorities.auth) for one in load_chain(pem.encode())]
    except (ExchangeError, *_UNREADABLE):
        return []  # another form than today's tells nothing here; its digest holds


def _missing_documents(version: int, targets: Sequence[str]) -> Text:
    names = ", ".join(targets)
    return Text(
        f"configuration v{version} : manque ici {names}", f"configuration v{version}: {names} is missing here"
    )


# --- what is proved ---


def _facts(case: _Case) -> dict[str, str]:
    said = case.statements("request") or case.statements("refusal")
    statement = said[0].statement if said else None
    if statement is None:
        return {}
    finals = [one for one in case.statements("response") if one.statement and one.statement.final]
    answers = finals or case.statements("refusal")
    ending = answers[0].statement if answers else None
    facts = {
        "client": statement.client,
        "service": statement.service,
        "method": statement.method,
        "purpose": statement.purpose,
        "issue": statement.issue,
        "agreement": f"{statement.agreement.id}/{statement.agreement.version}"
        if statement.agreement
        else None,
        "outcome": (ending.reason or Code(ending.status or 0).name) if ending is not None else None,
    }
    cuts = [s.cut for one in case.statements("response") if (s := one.statement) is not None and s.cut]
    if cuts:
        facts["fields_cut"] = str(sum(one.count for one in cuts))
    if case.terms is not None:
        # Compared out of band when the agreement was concluded; an auditor can compare them again (M8).
        facts["consumer_key"] = case.terms.consumer.member_key
        facts["provider_key"] = case.terms.provider.member_key
        method = (statement.method or "").partition("/")[2]
        facts["fields_granted"] = ", ".join((case.terms.field_mask or {}).get(method, ())) or None
    heads = [case.heads[part.head].iat for part in case.manifest.leaves if part.head in case.heads]
    if heads:
        facts["time"] = datetime.fromtimestamp(min(heads), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {name: value for name, value in facts.items() if value is not None}
