"""Step 6 of a verification: the certificates that heads are signed with lead to the anchor, at the head's time.

Authorities and revocation lists come with the container: each authority is issued by the anchor's root, each list signed
by it or by one of them. What was revoked later, and has no older stamp, is left open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit.case import Case, Registered, StepError
from core.documents import digest
from core.evidence import file_name
from core.heads import TreeHead, parse_head
from core.identifiers import urn
from core.language import Text
from core.reasons import ExchangeError
from pki.chain import verify_chain
from pki.keys import certificate_thumbprint, chain_pem, load_chain, load_crl
from pki.profiles import Profile
from rpc.names import issuer_of, subject_of


def check_chains(case: Case) -> bool:
    """Step 6; raises ``StepError``, or what its parsers raise."""
    if not case.heads:
        raise StepError("no head is verified", is_open=True)
    authorities = _read_authorities(case)
    remark_missing_lists(case, authorities)
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
            raise StepError(f"{path}: {error}") from None
        if chain.urn != urn("gateway", head.gateway):
            raise StepError(f"{path}: the certificate is that of {chain.urn}")
        # Revoked later, and no stamp shows that the head was there before: the signer may have set its clock back.
        for certificate in chain.certificates:
            if any(_lists(crl, certificate) for crl in case.crls):
                raise StepError(
                    f"{path}: its certificate was revoked later, and no stamp is older", is_open=True
                )
    return True


def _first_and_last(case: Case) -> Iterator[tuple[str, TreeHead]]:
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


def _read_authorities(case: Case) -> list[x509.Certificate]:
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
                raise StepError(f"{path} is signed by no authority below the anchor")
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
        raise StepError(f"{stray[0]} is nobody's certificate here")
    return authorities


def remark_missing_lists(case: Case, authorities: Sequence[x509.Certificate]) -> None:
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
        raise StepError(f"{path} is not in its one written form")


def _require_named(path: str, name: str) -> None:
    if path != name:
        raise StepError(f"{path} is not what its name tells")


def _require_issued_by_root(case: Case, certificate: x509.Certificate, path: str) -> None:
    try:
        if certificate != case.root:
            certificate.verify_directly_issued_by(case.root)
    except (ValueError, TypeError, InvalidSignature):
        raise StepError(f"{path} is not issued by the anchor's root") from None


def _is_signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    return (
        crl.issuer == issuer.subject
        and isinstance(key, ec.EllipticCurvePublicKey)
        and crl.is_signature_valid(key)
    )


def _intermediates(
    case: Case, registered: Registered, authorities: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    # The root may stand at the end of a chain; it is trusted from the anchor only.
    unique = {certificate_thumbprint(one): one for one in (*authorities, *registered.intermediates)}
    unique.pop(certificate_thumbprint(case.root), None)
    return list(unique.values())


def _require_lists(
    case: Case, leaf: x509.Certificate, intermediates: Sequence[x509.Certificate], at: datetime, path: str
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
            raise StepError(f"{path}: no revocation list of '{issuer}' for that time", is_open=True)


def _lists(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    return (
        crl.issuer == certificate.issuer
        and crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    )
