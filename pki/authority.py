"""Authorities on files: the offline root, the auth CA and the seal CA, and a member's own CA for its programs.

One directory holds ``root``, ``auth`` and ``seal`` (``.key`` 0600, ``.crt``, ``.crl``) and ``issued/<serial>.crt``.
There is no database: what was issued is in ``issued/``, what was revoked is in the list itself. In production the
root's key lives on a medium of its own; nothing but ``found`` and ``renew_crl`` of the root needs it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from core.identifiers import MemberId
from core.identifiers import urn as urn_for
from core.reasons import ExchangeError, MalformedError, Reason
from pki.keys import certificate_key, certificate_pem, generate_key, read_key, write_key
from pki.profiles import AuthorityKind, Issuer, Profile, issue, issue_authority, read_csr, utc
from rpc.files import PRIVATE_MODE, replace_file

# How long a revocation list counts. A country must be able to lose its CA's operator for a while, and revocation
# reaches gateways with the configuration, within seconds; the list is what evidence is judged by later.
CRL_LIFETIMES: Final = {
    AuthorityKind.ROOT: timedelta(days=400),
    AuthorityKind.AUTH: timedelta(days=90),
    AuthorityKind.SEAL: timedelta(days=90),
}

REASONS: Final = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
}


@dataclass(frozen=True, slots=True)
class Authority:
    """One CA in a directory.

    Attributes:
        directory: Where it lives.
        kind: Which of the three.
        issuer: Its key and certificate.
    """

    directory: Path
    kind: AuthorityKind
    issuer: Issuer

    @classmethod
    def open(cls, directory: Path, kind: AuthorityKind) -> Authority:
        """Open a CA that ``found`` has made.

        Raises:
            ExchangeError: Its key cannot be read or is not that of its certificate.
        """
        return cls(directory, kind, read_issuer(directory / f"{kind}.key", directory / f"{kind}.crt"))

    @property
    def certificate(self) -> x509.Certificate:
        """Its certificate."""
        return self.issuer.certificate

    def issue(
        self,
        profile: Profile,
        csr: bytes,
        urn: str,
        *,
        now_ms: int,
        hosts: Sequence[str] = (),
        lifetime: timedelta | None = None,
    ) -> x509.Certificate:
        """Issue a certificate for the key of ``csr``; it is on record here before it is handed out.

        Raises:
            ExchangeError: The request has no proof of possession, or what is asked does not fit the profile.
        """
        certificate = issue(
            profile, self.issuer, read_csr(csr), urn, now_ms=now_ms, hosts=hosts, lifetime=lifetime
        )
        issued = self.directory / "issued"
        replace_file(issued / f"{certificate.serial_number:040x}.crt", certificate_pem(certificate))
        return certificate

    def crl(self) -> x509.CertificateRevocationList:
        """The newest revocation list."""
        try:
            return x509.load_pem_x509_crl(self._crl_path.read_bytes())
        except ValueError:
            raise MalformedError(Reason.DOCUMENT_INVALID, f"{self._crl_path} is no revocation list") from None

    def revoke(
        self,
        certificate: x509.Certificate,
        reason: str,
        *,
        now_ms: int,
        invalid_since: datetime | None = None,
    ) -> x509.CertificateRevocationList:
        """Put a certificate on the list, for ever; to revoke it again changes nothing.

        Args:
            certificate: One that this authority issued.
            reason: A key of ``REASONS``.
            now_ms: UTC milliseconds.
            invalid_since: Since when its key may have been in other hands, if known: evidence from then on falls.

        Raises:
            ExchangeError: Another authority issued it, or the reason is unknown.
        """
        if reason not in REASONS:
            raise ExchangeError(Reason.DOCUMENT_INVALID, f"unknown revocation reason {reason[:40]!a}")
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except Exception:
            # ValueError, TypeError or InvalidSignature: in each case it is not ours.
            raise ExchangeError(Reason.CERTIFICATE_INVALID, f"not issued by the {self.kind} CA") from None
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(utc(now_ms))
            .add_extension(x509.CRLReason(REASONS[reason]), critical=False)
        )
        if invalid_since is not None:
            entry = entry.add_extension(x509.InvalidityDate(invalid_since), critical=False)
        with _locked(self.directory):
            old = self.crl()
            if old.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                return old
            return self._publish([*old, entry.build()], _crl_number(old) + 1, now_ms)

    def renew_crl(self, *, now_ms: int) -> x509.CertificateRevocationList:
        """Sign the list anew, with the same entries and a later ``nextUpdate``."""
        with _locked(self.directory):
            old = self.crl()
            return self._publish(list(old), _crl_number(old) + 1, now_ms)

    def issued(self, serial: int) -> x509.Certificate:
        """A certificate on record here, by its serial number; raises ``ExchangeError`` ``NOT_FOUND``."""
        try:
            return x509.load_pem_x509_certificate(
                (self.directory / "issued" / f"{serial:040x}.crt").read_bytes()
            )
        except (OSError, ValueError):
            raise ExchangeError(Reason.NOT_FOUND, f"no certificate {serial:x} on record") from None

    @property
    def _crl_path(self) -> Path:
        return self.directory / f"{self.kind}.crl"

    def _publish(
        self, entries: Sequence[x509.RevokedCertificate], number: int, now_ms: int
    ) -> x509.CertificateRevocationList:
        crl = _sign_crl(self.kind, self.issuer, entries, number, now_ms)
        replace_file(self._crl_path, crl.public_bytes(serialization.Encoding.PEM))
        return crl


def found(directory: Path, instance: str, *, now_ms: int) -> dict[AuthorityKind, Authority]:
    """Make root, auth CA and seal CA in an empty directory, each with an empty revocation list.

    Raises:
        ExchangeError: ``ALREADY_EXISTS``: there are authorities already; nothing is changed.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / "issued").mkdir(exist_ok=True)
    with _locked(directory):
        root = _found_one(directory, AuthorityKind.ROOT, None, instance, now_ms)
        issuing = (AuthorityKind.AUTH, AuthorityKind.SEAL)
        made = {kind: _found_one(directory, kind, root.issuer, instance, now_ms) for kind in issuing}
    return {AuthorityKind.ROOT: root, **made}


def found_programs_authority(
    key_path: Path, certificate_path: Path, member: MemberId, *, now_ms: int
) -> Issuer:
    """Make a member's own CA for its programs, its adapters and the server side of its programs' port."""
    key = generate_key()
    certificate = issue_authority(
        AuthorityKind.PROGRAMS,
        None,
        key,
        f"{member} programs CA",
        now_ms=now_ms,
        urn=urn_for("member", member),
    )
    write_key(key_path, key)
    replace_file(certificate_path, certificate_pem(certificate))
    return Issuer(key, certificate)


def read_issuer(key_path: Path, certificate_path: Path) -> Issuer:
    """Read a CA's key and certificate.

    Raises:
        ExchangeError: ``KEY_UNREADABLE`` or ``CERTIFICATE_INVALID``: unreadable, or they do not belong together.
    """
    key = read_key(key_path)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except OSError as error:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{certificate_path}: {error.strerror}") from None
    except ValueError:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, f"{certificate_path} is no PEM certificate") from None
    if certificate_key(certificate) != key.public_key():
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{key_path} is not the key of {certificate_path}")
    return Issuer(key, certificate)


def _found_one(
    directory: Path, kind: AuthorityKind, root: Issuer | None, instance: str, now_ms: int
) -> Authority:
    key = generate_key()
    certificate = issue_authority(kind, root, key, f"{instance} {kind} CA", now_ms=now_ms)
    write_key(directory / f"{kind}.key", key)
    replace_file(directory / f"{kind}.crt", certificate_pem(certificate))
    authority = Authority(directory, kind, Issuer(key, certificate))
    authority._publish([], 1, now_ms)
    return authority


def _sign_crl(
    kind: AuthorityKind,
    issuer: Issuer,
    entries: Sequence[x509.RevokedCertificate],
    number: int,
    now_ms: int,
) -> x509.CertificateRevocationList:
    now = utc(now_ms)
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now)
        .next_update(now + CRL_LIFETIMES[kind])
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer.key, hashes.SHA256())


def _crl_number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One change at a time: two operators who revoke at once must both be on the list."""
    file = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
