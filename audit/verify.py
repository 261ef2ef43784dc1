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

Steps 6 and 7 stand in ``audit.chains`` and ``audit.agreements``. Nothing outside the container and the anchor is asked.
What the container says of itself counts for nothing: each value is used only after a step has established it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from audit.agreements import check_agreement
from audit.case import Case, Leaf, Registered, StepError, ascii_text, verified_document
from audit.chains import check_chains, remark_missing_lists
from audit.report import Report, Step, StepVerdict
from audit.streams import BrokenOrderError, Saying, Untrue, judge_calls
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
    member_key_path,
    parse_inclusion_proof,
    parse_manifest,
)
from core.heads import head_digest, parse_head
from core.jws import DocumentKind
from core.language import Text
from core.leaves import Heard, heard_leaf, parse_heard, said_leaf
from core.merkle import leaf_hash, verify_inclusion
from core.payloads import Payload, decode_metadata, decode_payloads, payload_digest
from core.reasons import Code, ExchangeError
from core.registrations import MemberSuccessor, parse_registration, parse_successor
from core.statements import BOUND_FIELDS, Statement, parse_statement
from core.streams import messages_of
from ledger.published import TARGETS_FILE, target_hashes
from pki.heads import verify_head
from pki.keys import certificate_thumbprint, key_thumbprint, load_chain, load_public_key, public_key_pem
from rpc.names import UNREADABLE

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

# How parsers refuse: ours with ExchangeError, the X.509 library in these ways.
_UNREADABLE: Final = (UnsupportedAlgorithm, x509.InvalidVersion, *UNREADABLE)
_DISCOVERED: Final = ("certificates/", "configuration/")


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
        case = Case(parts, root, list(crls), _require_form(parts))
    except (StepError, ExchangeError, ValueError) as error:
        return Report("", (Step(1, _TITLES[0], StepVerdict.FAILED, (str(error),)),), {}, ())
    steps = [Step(1, _TITLES[0], StepVerdict.GOOD)]
    checks: tuple[Callable[[Case], bool], ...] = (
        _check_statements,
        _check_inclusion,
        _check_registrations,
        _check_heads,
        check_chains,
        check_agreement,
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
        _cuts(case),
    )


def _cuts(case: Case) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in case.statements("response"):
        if one.statement is not None and one.statement.cut is not None and one.statement.request is not None:
            found.setdefault(one.statement.request, set()).add(one.hash)
    return found


def unreadable(why: str) -> Report:
    """The report about a file that is no container at all."""
    return Report("", (Step(1, _TITLES[0], StepVerdict.FAILED, (why,)),), {}, ())


def _run(number: int, check: Callable[[Case], bool], case: Case) -> Step:
    title = _TITLES[number - 1]
    try:
        return Step(number, title, StepVerdict.GOOD if check(case) else StepVerdict.ABSENT)
    except StepError as error:
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
        raise StepError("the manifest is not in its one written form")
    named = {MANIFEST, CONSUMER_AGREEMENT, PROVIDER_AGREEMENT, *manifest.registrations, *manifest.successors}
    for leaf in manifest.leaves:
        wanted = {leaf.path, leaf.proof, leaf.head, *([leaf.body] if leaf.body else ())}
        if missing := sorted(one for one in wanted if one not in parts):
            raise StepError(f"{missing[0]} is missing")
        named |= wanted
    stray = sorted(path for path in parts.keys() - named if not path.startswith(_DISCOVERED))
    if stray:
        raise StepError(f"{stray[0]} is not named in the manifest")
    if not manifest.leaves:
        raise StepError("there is no statement in it")
    return manifest


# --- 2 ---


def _check_statements(case: Case) -> bool:
    for part in case.manifest.leaves:
        data = case.parts[part.path]
        try:
            found = _read_leaf(part, data)
        except ExchangeError as error:
            raise StepError(f"{part.path}: {error}") from None
        if found.statement is not None:
            if found.statement.exchange != case.manifest.exchange:
                raise StepError(f"{part.path} is about another exchange")
            if found.statement.from_ != part.log:
                raise StepError(f"{part.path} is not this log's word")
        case.leaves.append(found)
    return True


def _read_leaf(part: LeafPart, data: bytes) -> Leaf:
    if part.label == "said":
        return Leaf(part, parse_statement(data), None, said_leaf(part.log, data))
    heard = parse_heard(data)
    return Leaf(part, None, heard, heard_leaf(part.log, heard))


# --- 3 ---


def _check_inclusion(case: Case) -> bool:
    if len(case.leaves) != len(case.manifest.leaves):
        raise StepError("the statements could not be read")
    for one in case.leaves:
        head = parse_head(case.parts[one.part.head]).unverified
        proof = parse_inclusion_proof(case.parts[one.part.proof])
        if encode(proof) != case.parts[one.part.proof]:
            raise StepError(f"{one.part.proof} is not in its one written form")
        if (proof.index, proof.size, proof.root) != (one.part.index, head.size, head.root):
            raise StepError(f"{one.part.proof} does not lead to {one.part.head}")
        if proof.leaf_hash != one.hash:
            raise StepError(f"{one.part.path} is not the leaf that {one.part.proof} proves")
        if head.log != one.part.log:
            raise StepError(f"{one.part.head} is of another log than {one.part.path}")
        try:
            verify_inclusion(
                leaf_hash(one.leaf),
                index=one.part.index,
                size=head.size,
                path=[bytes.fromhex(hashed) for hashed in proof.proof],
                root=bytes.fromhex(head.root),
            )
        except ExchangeError as error:
            raise StepError(f"{one.part.proof}: {error}") from None
    return True


# --- 4 ---


def _check_registrations(case: Case) -> bool:
    _read_keys(case)
    for path in case.manifest.successors:
        successor = _successor(case, path)
        case.lineage[successor.old_key] = successor.new_key
    logs = {part.log for part in case.manifest.leaves}
    for path in case.manifest.registrations:
        registered = _registration(case, path)
        for log in registered.terms.logs:
            if log.id in case.registered:
                raise StepError(f"{path}: log {log.id} is registered twice")
            case.registered[log.id] = registered
        if not registered.terms.all_logs & logs:
            raise StepError(f"{path} registers no log of the container")
    for registered in list(case.registered.values()):
        for closed in registered.terms.closed:
            # The registration from when it was open comes first: it names the certificates of that time.
            held = case.registered.setdefault(closed.id, registered)
            # Nobody closes another's log: it would speak for it.
            if held.terms.gateway == registered.terms.gateway:
                case.successors[closed.id] = closed.successor
    for part in case.manifest.leaves:
        if part.log not in case.registered:
            raise StepError(f"no registration of log {part.log}", is_open=True)
    return True


def _read_keys(case: Case) -> None:
    for path, data in case.parts.items():
        if path.startswith("certificates/key_"):
            key = load_public_key(ascii_text(path, data))
            if path != member_key_path(key_thumbprint(key)) or public_key_pem(key) != data.decode("ascii"):
                raise StepError(f"{path} is not the key that its name tells")
            case.keys[key_thumbprint(key)] = key


def _successor(case: Case, path: str) -> MemberSuccessor:
    kid, payload = verified_document(case, DocumentKind.MEMBER_SUCCESSOR, path)
    successor = parse_successor(payload)
    if successor.old_key != kid:
        raise StepError(f"{path} is not signed by the key before")
    return successor


def _registration(case: Case, path: str) -> Registered:
    kid, payload = verified_document(case, DocumentKind.REGISTRATION, path)
    terms = parse_registration(payload)
    seals: dict[str, x509.Certificate] = {}
    intermediates: list[x509.Certificate] = []
    for seal in terms.seal:
        leaf, *chain = load_chain(seal.chain)
        if certificate_thumbprint(leaf) != seal.thumbprint:
            raise StepError(f"{path}: a certificate is not the one that {seal.thumbprint} names")
        seals[seal.thumbprint] = leaf
        intermediates += chain
    return Registered(terms, kid, seals, tuple(intermediates))


# --- 5 ---


def _check_heads(case: Case) -> bool:
    roots: dict[tuple[str, int], str] = defaultdict(str)
    for path in dict.fromkeys(part.head for part in case.manifest.leaves):
        jws = case.parts[path]
        log = parse_head(jws).unverified.log
        registered = case.registered.get(log)
        if registered is None:
            raise StepError(f"{path}: log {log} is not registered", is_open=True)
        try:
            head = verify_head(jws, registered.seals).head
        except ExchangeError as error:
            raise StepError(f"{path}: {error}") from None
        if head.gateway != registered.terms.gateway:
            raise StepError(f"{path} names another gateway than its log's")
        if roots.setdefault((head.log, head.size), head.root) != head.root:
            raise StepError(f"{path}: the log has two roots at size {head.size}: a fork")
        case.heads[path] = head
    return True


# --- 8 ---


def _check_binding(case: Case) -> bool:
    by_place: dict[tuple[str, int], Leaf] = {}
    for one in case.leaves:
        twin = by_place.setdefault((one.part.log, one.part.index), one)
        if twin is not one:
            raise StepError(f"{one.part.path} is the leaf of {twin.part.path} once more")
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
        raise StepError(str(error)) from None
    case.remarks.extend(_laid_on(case, one) for one in untrue)
    return True


def _laid_on(case: Case, one: Untrue) -> Text:
    """Whose word stands against the rest; nothing else of the evidence depends on it."""
    log = one.said.statement.from_
    registered = case.registered.get(log)
    who = registered.terms.gateway if registered is not None else log
    return Text(
        f"{who} est seul à le dire, et rien d'autre ne le confirme : {one.why}",
        f"{who} alone says so, and nothing else bears it out: {one.why}",
    )


def _sayings(
    case: Case, hashes: Mapping[str, str], records: Mapping[str, tuple[Heard, int]]
) -> Iterator[Saying]:
    for one in case.leaves:
        if one.statement is not None:
            path = one.part.path
            heard, heard_at = records.get(path, (None, None))
            verdict = heard.verdict if heard is not None else None
            is_peers = one.part.log not in case.manifest.logs
            yield Saying(path, one.part.index, hashes[path], one.statement, verdict, heard_at, is_peers)


def _require_bound(case: Case, one: Leaf, requests: Mapping[str, Leaf]) -> None:
    s = one.statement
    if s is None or (s.kind == "request" and s.request is None):
        return  # it begins a call
    if s.kind == "refusal" and s.to is None and s.request is None:
        return  # a refusal at one's own gateway answers no statement
    asked = requests.get(s.request or "")
    request = asked.statement if asked is not None else None
    if request is None or request.request is not None:
        raise StepError(f"{one.part.path} belongs to a request that is not in the container")
    if (
        s.kind in ("response", "refusal")
        and s.to is not None
        and not (case.is_same_line(request.to, s.from_) and case.is_same_line(request.from_, s.to))
    ):
        raise StepError(f"{one.part.path} is not said between the logs of its request")
    changed = [name for name in BOUND_FIELDS if getattr(s, name) != getattr(request, name)]
    if changed:
        raise StepError(f"{one.part.path} differs from its request in {changed[0]!r}")


def _require_recorded(
    case: Case, one: Leaf, heard: Heard, about: Leaf | None, hashes: Mapping[str, str]
) -> None:
    if about is None or about.statement is None or hashes[about.part.path] != heard.leaf:
        raise StepError(f"{one.part.path} records a statement that is not in the container")
    if about.statement.to != one.part.log:
        raise StepError(f"{one.part.path} records what was said to another log")
    is_own = one.part.log in case.manifest.logs and about.part.log not in case.manifest.logs
    if is_own and heard.head != head_digest(case.parts[about.part.head]):
        raise StepError(f"{one.part.path} was recorded under another head than {about.part.head}")


# --- 9 ---


def _check_bodies(case: Case) -> bool:
    found = False
    for one in case.leaves:
        if one.part.body is None:
            continue
        if one.statement is None:
            raise StepError(f"{one.part.body} is said to be the body of a record")
        payloads = decode_payloads(case.parts[one.part.body])
        if [payload_digest(*payload) for payload in payloads] != one.statement.payloads:
            raise StepError(f"{one.part.body} is not what {one.part.path} says")
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
            raise StepError(f"{path}: what should be metadata is not") from None
        if flag:
            raise StepError(f"{path}: its metadata is said to be compressed")


# --- 10 ---


def _check_configuration(case: Case) -> bool:
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
            raise StepError(f"{path} is not the version that a statement names")
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
                raise StepError(f"{document} is not of that version")
            named.add(document)
            if target == "common.json" and case.are_lists_read:
                remark_missing_lists(case, _published_authorities(case.parts[document]))
    stray = sorted(p for p in case.parts.keys() - named if p.startswith("configuration/"))
    if stray:
        raise StepError(f"{stray[0]} belongs to no version that a statement names")
    return bool(case.manifest.configurations)


def _concerned(case: Case) -> list[str]:
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


def _facts(case: Case) -> dict[str, str]:
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
