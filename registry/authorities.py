"""The issuing CAs' certificates and revocation lists, read from files and judged before a country gets them.

A truncated or foreign list would make every gateway refuse every chain; an old one would bring revoked certificates
back. Neither is ever taken over: what is published stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509

from core.reasons import ExchangeError, Reason
from pki.keys import load_chain, load_crl, require_p256

CA_KINDS: Final = ("auth", "seal")
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


def read_authorities(directory: Path, root: x509.Certificate) -> dict[str, list[str]]:
    """``auth.crt``, ``seal.crt`` and the lists of all three CAs, as PEM by kind.

    Raises:
        ExchangeError: A file is missing or unreadable, or was not signed by whom it must be.
    """
    certificates = {kind: _read(directory / f"{kind}.crt") for kind in CA_KINDS}
    lists = {kind: _read(directory / f"{kind}.crl") for kind in ("root", *CA_KINDS)}
    issuers = {"root": root}
    for kind, pem in certificates.items():
        issuers[kind] = _issued_by_root(pem, root, kind)
    for kind, pem in lists.items():
        if not load_crl(pem.encode("ascii")).is_signature_valid(require_p256(issuers[kind].public_key())):
            raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{kind}.crl is not signed by the {kind} CA")
    return {
        "auth": [certificates["auth"]],
        "crl": [lists[kind] for kind in ("root", *CA_KINDS)],
        "seal": [certificates["seal"]],
    }


def require_not_older(known: Sequence[str], new: Sequence[str]) -> None:
    """Refuse a list that is older than the one it would replace: revocations are never taken back.

    Raises:
        ExchangeError: ``STATE_CONFLICT``.
    """
    numbers = _numbers(known)
    for issuer, number in _numbers(new).items():
        if number < numbers.get(issuer, 0):
            raise ExchangeError(
                Reason.STATE_CONFLICT, f"list {number} of {issuer} is older than {numbers[issuer]}, in force"
            )


def _numbers(pems: Sequence[str]) -> Mapping[str, int]:
    """Number of the list of each issuer."""
    lists = [load_crl(pem.encode("ascii")) for pem in pems]
    return {one.issuer.rfc4514_string(): _number(one) for one in lists}


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (x509.ExtensionNotFound, ValueError):
        raise ExchangeError(Reason.CERTIFICATE_INVALID, "a revocation list has no number") from None


def _issued_by_root(pem: str, root: x509.Certificate, kind: str) -> x509.Certificate:
    certificate = load_chain(pem)[0]
    try:
        certificate.verify_directly_issued_by(root)
    except Exception:
        # ValueError, TypeError or InvalidSignature: in each case the root has not issued it.
        raise ExchangeError(
            Reason.CERTIFICATE_INVALID, f"{kind}.crt is not issued by the anchor's root"
        ) from None
    return certificate


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{path} is longer than {MAX_FILE_BYTES} bytes")
        return data.decode("ascii")
    except OSError as error:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{path} is not PEM") from None
