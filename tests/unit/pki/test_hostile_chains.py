"""Hostile chains against docs/protocol/pki.md, and against OpenSSL wherever it judges the same.

``test_chain.py`` breaks one rule at a time. Here are the chains that other verifiers fell for, the edges of every time
to the second, bytes that no builder makes, and a second opinion: whatever OpenSSL refuses, we refuse.
"""

from __future__ import annotations

import base64
import subprocess
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import CRLEntryExtensionOID, ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from core.reasons import ExchangeError, Reason
from pki.chain import verify_chain
from pki.keys import chain_pem, generate_key, load_chain, load_crl
from pki.profiles import Profile
from tests.support.certificates import (
    CA_USAGE,
    GW1,
    NOW,
    SIGNS,
    TLS,
    Country,
    Plan,
    named,
    revocation_list,
    revoked_entry,
    uri,
)
from tests.support.programs import require_program

# The library will refuse serial numbers below 1 itself one day; until then it only warns.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)
COUNTRY = Country()
STRANGER = generate_key()

# --- bytes that no builder makes ---

SHA256_OID: Final = bytes.fromhex("06082a8648ce3d040302")


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def tlv(tag: int, content: bytes) -> bytes:
    """One DER value; lengths up to 65,535."""
    size = len(content)
    length = (
        bytes([size])
        if size < 128
        else b"\x81" + bytes([size])
        if size < 256
        else b"\x82" + size.to_bytes(2, "big")
    )
    return bytes([tag]) + length + content


def content_of(data: bytes) -> bytes:
    """What one DER value holds; whatever follows it is left out."""
    if data[1] < 128:
        return data[2 : 2 + data[1]]
    begin = 2 + (data[1] & 0x7F)
    return data[begin : begin + int.from_bytes(data[2:begin], "big")]


def with_tbs(
    certificate: x509.Certificate,
    edit: Callable[[bytes], bytes],
    signer: ec.EllipticCurvePrivateKey,
    *,
    hash_: hashes.HashAlgorithm | None = None,
    algorithm: bytes = tlv(0x30, SHA256_OID),
) -> x509.Certificate:
    """The same certificate with an edited body, signed again; the edit must keep the lengths of what it is inside of."""
    body = tlv(0x30, edit(content_of(certificate.tbs_certificate_bytes)))
    signature = signer.sign(body, ec.ECDSA(hash_ or hashes.SHA256()))
    with warnings.catch_warnings(action="ignore", category=CryptographyDeprecationWarning):
        return x509.load_der_x509_certificate(tlv(0x30, body + algorithm + tlv(0x03, b"\0" + signature)))


def with_hash(plan: Plan, oid: str, hash_: hashes.HashAlgorithm) -> x509.Certificate:
    """Signed with ECDSA and another hash than any builder would take."""
    algorithm = tlv(0x30, tlv(0x06, bytes.fromhex(oid)))
    signer = plan.signer
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    old = tlv(0x30, SHA256_OID)
    return with_tbs(
        plan.build(), lambda tbs: tbs.replace(old, algorithm, 1), signer, hash_=hash_, algorithm=algorithm
    )


def with_serial(plan: Plan, serial: bytes) -> x509.Certificate:
    """With a serial number of these very bytes."""
    certificate = plan.build()
    size = (certificate.serial_number.bit_length() // 8) + 1
    old = tlv(0x02, certificate.serial_number.to_bytes(size, "big"))
    signer = plan.signer
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    return with_tbs(certificate, lambda tbs: tbs.replace(old, tlv(0x02, serial), 1), signer)


def raw(oid: ObjectIdentifier, value: bytes, *, critical: bool = False) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(oid, value), critical


def ski(key: Any) -> tuple[x509.ExtensionType, bool]:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False


def aki(key: Any, serial: int | None = None) -> tuple[x509.ExtensionType, bool]:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    if serial is None:
        return identifier, False
    return (
        x509.AuthorityKeyIdentifier(identifier.key_identifier, [x509.DirectoryName(named("root"))], serial),
        False,
    )


# --- cases ---


@dataclass(frozen=True)
class Case:
    """A chain to judge, and what is known of OpenSSL's verdict.

    ``openssl``: whether its verdict must be the same; if not, it knows no such rule, or has another.
    """

    leaf: x509.Certificate | Plan = COUNTRY.auth
    intermediates: Sequence[x509.Certificate | Plan] = (COUNTRY.auth_ca,)
    roots: Sequence[x509.Certificate | Plan] = (COUNTRY.root,)
    crls: Sequence[x509.CertificateRevocationList] = field(default_factory=COUNTRY.crls)
    profile: Profile = Profile.AUTH
    at: datetime = NOW
    openssl: bool = True
    reason: Reason = Reason.CERTIFICATE_INVALID

    def built(self) -> tuple[list[x509.Certificate], list[x509.Certificate], list[x509.Certificate]]:
        return _built([self.leaf]), _built(self.intermediates), _built(self.roots)

    def verify(self) -> str:
        (leaf,), intermediates, roots = self.built()
        return verify_chain(
            leaf,
            intermediates=intermediates,
            roots=roots,
            crls=self.crls,
            at=self.at,
            profile=self.profile,
        ).urn


def _built(plans: Sequence[x509.Certificate | Plan]) -> list[x509.Certificate]:
    return [one.build() if isinstance(one, Plan) else one for one in plans]


def leaf(**changes: object) -> Plan:
    return COUNTRY.auth.but(**changes)


def authority(**changes: object) -> Plan:
    return COUNTRY.auth_ca.but(**changes)


def lists(*auth: x509.RevokedCertificate, **changes: Any) -> list[x509.CertificateRevocationList]:
    """The root's list, good, and the auth CA's, with these entries and changes."""
    return [
        revocation_list("root", COUNTRY.root_key, until=NOW + YEAR),
        revocation_list("auth", COUNTRY.auth_key, revoked=auth, **changes),
    ]


LEAF = COUNTRY.auth.build()
AUTHORITY = COUNTRY.auth_ca.build()
ROOT = COUNTRY.root.build()
ROOT_LIST = revocation_list("root", COUNTRY.root_key)
NAMES = [x509.UniformResourceIdentifier(GW1), x509.DNSName("gw1.anip.bj")]
LONG = [
    revocation_list("root", COUNTRY.root_key, until=NOW + 2 * YEAR),
    revocation_list("auth", COUNTRY.auth_key, until=NOW + 2 * YEAR),
]
CROSS_ROOT = generate_key()

ACCEPTED: dict[str, Case] = {
    "as it should be": Case(),
    "key identifiers that agree": Case(
        leaf(extra=[ski(COUNTRY.leaf_key), aki(COUNTRY.auth_key)]),
        [authority(extra=[ski(COUNTRY.auth_key), aki(COUNTRY.root_key)])],
        [COUNTRY.root.but(extra=[ski(COUNTRY.root_key)])],
    ),
    "the longest serial number": Case(with_serial(leaf(), b"\x7f" + b"\xff" * 19)),
    "serial number one": Case(with_serial(leaf(), b"\x01")),
    # RFC 5280 counts the last second in (4.1.2.5); for OpenSSL it is over.
    "first second": Case(leaf(since=NOW)),
    "last second": Case(leaf(until=NOW), openssl=False),
    "first second of the authority": Case(intermediates=[authority(since=NOW)]),
    "last second of the authority": Case(intermediates=[authority(until=NOW)], openssl=False),
    "first second of the root": Case(roots=[COUNTRY.root.but(since=NOW)]),
    "last second of the root": Case(roots=[COUNTRY.root.but(until=NOW)], openssl=False),
    "last second of the list": Case(crls=lists(until=NOW), openssl=False),
    "cross-signed by a root that nobody trusts": Case(
        openssl=False,  # its search takes the first authority of that name
        intermediates=[authority(issuer="old root", signer=CROSS_ROOT), COUNTRY.auth_ca, COUNTRY.seal_ca],
    ),
    "a trusted root more": Case(
        roots=[
            COUNTRY.root.but(name="old root", issuer="old root", key=CROSS_ROOT, signer=CROSS_ROOT),
            COUNTRY.root,
        ]
    ),
    "another authority revoked that serial number": Case(
        crls=[
            *lists(),
            revocation_list("seal", COUNTRY.seal_key, revoked=[revoked_entry(LEAF, NOW - SECOND)]),
        ],
        leaf=LEAF,
    ),
    "a forged list that revokes": Case(
        openssl=False,  # it gives up on the first list of that name
        crls=[*lists(), revocation_list("auth", STRANGER, revoked=[revoked_entry(LEAF, NOW - SECOND)])],
        leaf=LEAF,
    ),
    "a list whose next second revokes": Case(
        LEAF,
        crls=lists(revoked_entry(LEAF, NOW + SECOND)),
        openssl=False,  # for it a revocation has no time
    ),
    "a list made later": Case(
        crls=lists(since=NOW + SECOND),
        openssl=False,  # we judge the past with what is known today
    ),
}


def reason_of(entry: x509.RevokedCertificate, flag: x509.ReasonFlags) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial_number)
    builder = builder.revocation_date(entry.revocation_date_utc)
    return builder.add_extension(x509.CRLReason(flag), critical=False).build()


def odd_entry(*extensions: tuple[x509.ExtensionType, bool]) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(LEAF.serial_number)
    builder = builder.revocation_date(NOW - SECOND)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.build()


def policy(**constraints: Any) -> tuple[x509.ExtensionType, bool]:
    permitted, excluded = constraints.get("permitted"), constraints.get("excluded")
    return x509.NameConstraints(permitted, excluded), True


def _swapped_times(tbs: bytes) -> bytes:
    """Both times of the validity, exchanged: 13 characters each, in UTC."""
    begin = tbs.index(b"\x17\x0d")
    first, second = tbs[begin : begin + 15], tbs[begin + 15 : begin + 30]
    return tbs[:begin] + second + first + tbs[begin + 30 :]


UNKNOWN = ObjectIdentifier("1.3.6.1.4.1.99999.1")
PARTITION = x509.IssuingDistributionPoint(
    full_name=[x509.UniformResourceIdentifier("http://crl.example/1")],
    relative_name=None,
    only_contains_user_certs=True,
    only_contains_ca_certs=False,
    only_some_reasons=None,
    indirect_crl=False,
    only_contains_attribute_certs=False,
)

REFUSED: dict[str, Case] = {
    # Time, to the second.
    "a second early": Case(leaf(since=NOW + SECOND), reason=Reason.CERTIFICATE_EXPIRED),
    "a second late": Case(leaf(until=NOW - SECOND), reason=Reason.CERTIFICATE_EXPIRED),
    "a second late, by --at": Case(at=NOW + YEAR + SECOND, crls=LONG, reason=Reason.CERTIFICATE_EXPIRED),
    "authority a second early": Case(intermediates=[authority(since=NOW + SECOND)]),
    "authority a second late": Case(intermediates=[authority(until=NOW - SECOND)]),
    "root a second early": Case(roots=[COUNTRY.root.but(since=NOW + SECOND)]),
    "root a second late": Case(roots=[COUNTRY.root.but(until=NOW - SECOND)]),
    "ends before it begins": Case(
        with_tbs(
            COUNTRY.auth.build(),
            _swapped_times,
            COUNTRY.auth_key,
        ),
        reason=Reason.CERTIFICATE_EXPIRED,
    ),
    # Keys and algorithms.
    "SHA-1": Case(with_hash(leaf(), "2a8648ce3d0401", hashes.SHA1())),  # that is the point
    "SHA-224": Case(with_hash(leaf(), "2a8648ce3d040301", hashes.SHA224()), openssl=False),
    "SHA-512": Case(with_hash(leaf(), "2a8648ce3d040304", hashes.SHA512()), openssl=False),
    "authority signed with SHA-1": Case(
        intermediates=[with_hash(authority(), "2a8648ce3d0401", hashes.SHA1())]
    ),
    "RSA-1024": Case(leaf(key=rsa.generate_private_key(65537, 1024))),
    "RSA-2048": Case(leaf(key=rsa.generate_private_key(65537, 2048)), openssl=False),
    "P-384": Case(leaf(key=ec.generate_private_key(ec.SECP384R1())), openssl=False),
    "P-521": Case(leaf(key=ec.generate_private_key(ec.SECP521R1())), openssl=False),
    "secp256k1": Case(leaf(key=ec.generate_private_key(ec.SECP256K1())), openssl=False),
    "Ed25519": Case(leaf(key=ed25519.Ed25519PrivateKey.generate()), openssl=False),
    "algorithm inside other than outside": Case(
        with_tbs(
            COUNTRY.auth.build(),
            lambda tbs: tbs.replace(SHA256_OID, SHA256_OID[:-1] + b"\x03", 1),
            COUNTRY.auth_key,
        )
    ),
    "one bit of the signature": Case(
        x509.load_der_x509_certificate(der(LEAF)[:-1] + bytes([der(LEAF)[-1] ^ 1]))
    ),
    # Serial numbers.
    "serial number zero": Case(with_serial(leaf(), b"\0"), openssl=False),
    "serial number negative": Case(with_serial(leaf(), b"\xff"), openssl=False),
    "serial number of 21 octets": Case(with_serial(leaf(), b"\x01" + bytes(20)), openssl=False),
    "authority's serial number zero": Case(intermediates=[with_serial(authority(), b"\0")], openssl=False),
    # Who issued it.
    "key identifier of another authority": Case(
        leaf(extra=[aki(STRANGER)]), [authority(extra=[ski(COUNTRY.auth_key)])]
    ),
    "serial number of another authority": Case(
        leaf(extra=[aki(COUNTRY.auth_key, serial=77)]), [authority(extra=[ski(COUNTRY.auth_key)])]
    ),
    "authority's key identifier is another's": Case(
        intermediates=[authority(extra=[aki(STRANGER)])],
        roots=[COUNTRY.root.but(extra=[ski(COUNTRY.root_key)])],
    ),
    "authority of the same name, another key": Case(
        intermediates=[authority(key=STRANGER, signer=STRANGER, issuer="auth")]
    ),
    "loop of three": Case(
        leaf(issuer="a", signer=COUNTRY.auth_key),
        [
            authority(name="a", issuer="b", signer=STRANGER),
            authority(name="b", issuer="c", key=STRANGER, signer=CROSS_ROOT),
            authority(name="c", issuer="a", key=CROSS_ROOT, signer=COUNTRY.auth_key),
        ],
    ),
    "signed by itself as authority": Case(intermediates=[authority(issuer="auth", signer=COUNTRY.auth_key)]),
    "authority that is the root again, by another key": Case(
        leaf(issuer="root", signer=STRANGER),
        [COUNTRY.root.but(key=STRANGER, signer=STRANGER)],
    ),
    "a leaf as authority": Case(
        leaf(name="gw2", issuer="gw1", key=STRANGER, signer=COUNTRY.leaf_key), [COUNTRY.auth, COUNTRY.auth_ca]
    ),
    "an authority of version 1": Case(
        intermediates=[authority(constraints=None, usages=None, key_usage=frozenset())]
    ),
    "no intermediate": Case(intermediates=[]),
    "root among the intermediates only": Case(
        intermediates=[COUNTRY.auth_ca, COUNTRY.root],
        roots=[COUNTRY.root.but(name="other", issuer="other", key=STRANGER, signer=STRANGER)],
    ),
    # Basic constraints and path length.
    "authority without CA": Case(intermediates=[authority(constraints=x509.BasicConstraints(False, None))]),
    "path longer than the root allows": Case(
        leaf(issuer="lower", signer=STRANGER),
        [
            authority(name="middle", constraints=x509.BasicConstraints(True, 1)),
            authority(name="lower", issuer="middle", key=STRANGER, signer=COUNTRY.auth_key),
        ],
        crls=[
            *lists(),
            revocation_list("middle", COUNTRY.auth_key),
            revocation_list("lower", STRANGER),
        ],
    ),
    # Key usage.
    "authority that may not sign certificates": Case(
        intermediates=[authority(key_usage=frozenset({"crl_sign"}))]
    ),
    "authority that may not sign lists": Case(
        intermediates=[authority(key_usage=frozenset({"key_cert_sign"}))]
    ),
    "authority that agrees on keys": Case(
        intermediates=[authority(key_usage=CA_USAGE | {"key_agreement"})], openssl=False
    ),
    "leaf that only enciphers": Case(leaf(key_usage=frozenset({"key_encipherment"})), openssl=False),
    "leaf that also enciphers": Case(
        leaf(key_usage=frozenset({"digital_signature", "key_encipherment"})), openssl=False
    ),
    "leaf that also agrees on keys": Case(
        leaf(key_usage=frozenset({"digital_signature", "key_agreement"})), openssl=False
    ),
    "leaf that signs certificates": Case(
        leaf(key_usage=frozenset({"digital_signature", "key_cert_sign"})), openssl=False
    ),
    "seal without commitment": Case(
        COUNTRY.seal.but(key_usage=frozenset({"digital_signature"})),
        [COUNTRY.seal_ca],
        crls=COUNTRY.crls(),
        profile=Profile.SEAL,
        openssl=False,
    ),
    # Extended key usage.
    "usages of a seal": Case(leaf(usages=SIGNS)),
    "any usage": Case(leaf(usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), openssl=False),
    "no usage": Case(leaf(usages=None), openssl=False),
    "client only": Case(leaf(usages=TLS[1:]), openssl=False),
    "usages of a time-stamp beside": Case(
        leaf(usages=(*TLS, ExtendedKeyUsageOID.TIME_STAMPING)), openssl=False
    ),
    "authority for documents": Case(intermediates=[authority(usages=SIGNS)]),
    "usages that cannot be read": Case(
        leaf(usages=None, extra=[raw(ExtensionOID.EXTENDED_KEY_USAGE, b"\x30\x03\x06\x05\x2a")])
    ),
    "bytes behind the usages": Case(
        leaf(
            usages=None,
            extra=[
                raw(
                    ExtensionOID.EXTENDED_KEY_USAGE,
                    x509.ExtendedKeyUsage(TLS).public_bytes() + b"\0",
                )
            ],
        ),
        openssl=False,
    ),
    # Names.
    "two SAN URIs": Case(leaf(names=[*NAMES, uri("urn:passerelle:gateway:BJ/GOV/ANIP/gw2")]), openssl=False),
    "SAN URI of another kind": Case(
        leaf(names=[uri("urn:passerelle:registry:BJ/GOV/ASIN/registre"), NAMES[1]]), openssl=False
    ),
    "SAN URI in upper case": Case(leaf(names=[uri(GW1.upper()), NAMES[1]]), openssl=False),
    "SAN URI with an escape": Case(leaf(names=[uri(GW1.replace("gw1", "gw%31")), NAMES[1]]), openssl=False),
    "SAN URI with a path upwards": Case(leaf(names=[uri(f"{GW1}/../gw2"), NAMES[1]]), openssl=False),
    "SAN URI with a zero": Case(leaf(names=[uri(f"{GW1}\0.evil"), NAMES[1]]), openssl=False),
    "SAN URI with a blank": Case(leaf(names=[uri(f"{GW1} "), NAMES[1]]), openssl=False),
    "the name in the subject only": Case(leaf(name=GW1, names=None), openssl=False),
    "directory name beside": Case(leaf(names=[*NAMES, x509.DirectoryName(named("x"))]), openssl=False),
    "registered id beside": Case(leaf(names=[*NAMES, x509.RegisteredID(UNKNOWN)]), openssl=False),
    "other name beside": Case(leaf(names=[*NAMES, x509.OtherName(UNKNOWN, b"\x05\0")]), openssl=False),
    "host name with a zero": Case(leaf(names=[NAMES[0], x509.DNSName("gw1.anip.bj\0.evil")]), openssl=False),
    "names that cannot be read": Case(
        leaf(names=None, extra=[raw(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x80")]), openssl=False
    ),
    # Name constraints.
    "host outside what the authority may name": Case(
        intermediates=[authority(extra=[policy(permitted=[x509.DNSName("example.org")])])]
    ),
    "host that the authority may not name": Case(
        intermediates=[authority(extra=[policy(excluded=[x509.DNSName("anip.bj")])])]
    ),
    "names of which nobody here can judge constraints": Case(
        intermediates=[authority(extra=[policy(permitted=[x509.UniformResourceIdentifier("anip.bj")])])],
    ),
    "address outside what the authority may name": Case(
        leaf(names=[*NAMES, x509.IPAddress(ip_address("192.0.2.7"))]),
        [authority(extra=[policy(permitted=[x509.IPAddress(ip_network("198.51.100.0/24"))])])],
    ),
    # Critical extensions.
    "unknown critical in the leaf": Case(leaf(extra=[raw(UNKNOWN, b"\x05\0", critical=True)])),
    "unknown critical in the authority": Case(
        intermediates=[authority(extra=[raw(UNKNOWN, b"\x05\0", critical=True)])]
    ),
    "unknown critical in the root": Case(
        roots=[COUNTRY.root.but(extra=[raw(UNKNOWN, b"\x05\0", critical=True)])]
    ),
    "critical policies": Case(
        leaf(extra=[(x509.CertificatePolicies([x509.PolicyInformation(UNKNOWN, None)]), True)]), openssl=False
    ),
    "critical policy constraints": Case(
        intermediates=[authority(extra=[(x509.PolicyConstraints(0, None), True)])], openssl=False
    ),
    # Revocation.
    "revoked a second ago": Case(
        LEAF, crls=lists(revoked_entry(LEAF, NOW - SECOND)), reason=Reason.CERTIFICATE_REVOKED
    ),
    "revoked this second": Case(
        LEAF, crls=lists(revoked_entry(LEAF, NOW)), reason=Reason.CERTIFICATE_REVOKED
    ),
    "held": Case(
        LEAF,
        crls=lists(reason_of(revoked_entry(LEAF, NOW - SECOND), x509.ReasonFlags.certificate_hold)),
        reason=Reason.CERTIFICATE_REVOKED,
    ),
    "revoked with a reason nobody knows": Case(
        LEAF,
        crls=lists(odd_entry(raw(UNKNOWN, b"\x05\0", critical=True))),
        reason=Reason.CERTIFICATE_REVOKED,
    ),
    "revoked with an invalidity date that cannot be read": Case(
        LEAF,
        crls=lists(odd_entry(raw(CRLEntryExtensionOID.INVALIDITY_DATE, b"\x05\0"))),
        reason=Reason.CERTIFICATE_REVOKED,
    ),
    "authority revoked": Case(
        intermediates=[AUTHORITY],
        crls=[
            revocation_list("root", COUNTRY.root_key, revoked=[revoked_entry(AUTHORITY, NOW - SECOND)]),
            revocation_list("auth", COUNTRY.auth_key),
        ],
        reason=Reason.CERTIFICATE_REVOKED,
    ),
    "list a second late": Case(crls=lists(until=NOW - SECOND)),
    "root's list a second late": Case(
        crls=[
            revocation_list("root", COUNTRY.root_key, until=NOW - SECOND),
            revocation_list("auth", COUNTRY.auth_key),
        ]
    ),
    "no list of the authority": Case(crls=lists()[:1]),
    "no list of the root": Case(crls=lists()[1:]),
    "list of another authority": Case(crls=[lists()[0], revocation_list("seal", COUNTRY.seal_key)]),
    "list by another key": Case(crls=[lists()[0], revocation_list("auth", STRANGER)]),
    "list by the root": Case(crls=[lists()[0], revocation_list("auth", COUNTRY.root_key)]),
    "delta": Case(crls=lists(extra=[(x509.DeltaCRLIndicator(1), True)]), openssl=False),
    "delta that hides it": Case(crls=lists(extra=[(x509.DeltaCRLIndicator(1), False)]), openssl=False),
    "list of a part": Case(crls=lists(extra=[(PARTITION, True)])),
    "list of a part that hides it": Case(crls=lists(extra=[(PARTITION, False)]), openssl=False),
    "list with an unknown critical extension": Case(
        crls=lists(extra=[raw(UNKNOWN, b"\x05\0", critical=True)])
    ),
    "list with SHA-384": Case(crls=lists(hash_=hashes.SHA384()), openssl=False),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_keeps_every_rule_is_accepted(name: str) -> None:
    """Edges included: strict is not the same as refusing."""
    assert ACCEPTED[name].verify() == GW1


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_chain_is_refused(name: str) -> None:
    """By the reason that it has, never by an internal error."""
    with pytest.raises(ExchangeError) as caught:
        REFUSED[name].verify()

    assert caught.value.reason is REFUSED[name].reason, str(caught.value)


def openssl_accepts(case: Case, directory: Path, openssl: str) -> bool:
    """Its verdict over the same files, at the same moment, with revocation checked on the whole path."""
    (leaf,), intermediates, roots = case.built()
    for name, data in {
        "leaf.pem": chain_pem([leaf]),
        "roots.pem": chain_pem(roots),
        "untrusted.pem": chain_pem(intermediates),
        "lists.pem": b"".join(one.public_bytes(serialization.Encoding.PEM) for one in case.crls),
    }.items():
        (directory / name).write_bytes(data)
    command = [openssl, "verify", "-no-CApath", "-no-CAstore", "-auth_level", "2", "-crl_check_all"]
    command += ["-attime", str(int(case.at.timestamp())), "-CAfile", "roots.pem", "-CRLfile", "lists.pem"]
    if intermediates:
        command += ["-untrusted", "untrusted.pem"]
    # What a purpose asks of authorities is asked of the leaf too: a gateway is both ends of TLS.
    purposes = ("sslserver", "sslclient") if case.profile is Profile.AUTH else ("any",)
    return all(
        subprocess.run(
            [*command, "-purpose", purpose, "leaf.pem"], cwd=directory, capture_output=True, timeout=30
        ).returncode
        == 0
        for purpose in purposes
    )


@pytest.mark.parametrize("name", [*ACCEPTED, *(name for name, one in REFUSED.items() if one.openssl)])
def test_openssl_says_the_same_where_the_rules_agree(name: str, tmp_path: Path) -> None:
    """A second opinion that shares no code with ours."""
    case = (ACCEPTED | REFUSED)[name]
    openssl = require_program("openssl")

    accepts = openssl_accepts(case, tmp_path, openssl)

    if case.openssl:
        assert accepts is (name in ACCEPTED)


# --- bytes ---


def test_bytes_behind_a_certificate_or_a_list_are_refused() -> None:
    """Two readers could take two meanings from them."""
    crl = lists()[0]
    for data in (der(LEAF) + b"\0", der(LEAF) + der(LEAF)):
        with pytest.raises(ExchangeError):
            load_chain(pem("CERTIFICATE", data))
    with pytest.raises(ExchangeError):
        load_crl(pem("X509 CRL", crl.public_bytes(serialization.Encoding.DER) + b"\0"))


def pem(label: str, data: bytes) -> bytes:
    text = base64.encodebytes(data).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


FILES = {
    "leaf": (chain_pem([LEAF]), "CERTIFICATE"),
    "authority": (chain_pem([AUTHORITY]), "CERTIFICATE"),
    "list": (lists()[1].public_bytes(serialization.Encoding.PEM), "X509 CRL"),
}


@pytest.mark.parametrize("file", FILES)
def test_no_flipped_bit_of_a_chain_is_accepted(file: str) -> None:
    """Each bit of leaf, authority and list in turn: refused by name, never accepted, never an internal error."""
    text, label = FILES[file]
    good = base64.b64decode(b"".join(text.splitlines()[1:-1]))
    for bit in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ExchangeError):
            judge_files(**{file: pem(label, bytes(flipped))})


@given(
    file=st.sampled_from(sorted(FILES)),
    edits=st.lists(
        st.tuples(st.integers(0, 2**16), st.binary(max_size=6), st.integers(0, 4)), min_size=1, max_size=4
    ),
)
def test_no_edited_chain_is_accepted(file: str, edits: list[tuple[int, bytes, int]]) -> None:
    """Bytes put in, taken out and replaced anywhere."""
    text, label = FILES[file]
    good = base64.b64decode(b"".join(text.splitlines()[1:-1]))
    edited = good
    for at, put, taken in edits:
        at %= len(good)
        edited = edited[:at] + put + edited[at + taken :]
    if edited != good:
        with pytest.raises(ExchangeError):
            judge_files(**{file: pem(label, edited)})


def judge_files(**files: bytes) -> None:
    """Read a chain as a verifier does, with some of its files exchanged."""
    found = {name: text for name, (text, _) in FILES.items()} | files
    verify_chain(
        load_chain(found["leaf"])[0],
        intermediates=load_chain(found["authority"]),
        roots=[ROOT],
        crls=[ROOT_LIST, load_crl(found["list"])],
        at=NOW,
        profile=Profile.AUTH,
    )


def test_the_files_are_good_as_they_are() -> None:
    """So the refusals above are about the edits."""
    judge_files()
