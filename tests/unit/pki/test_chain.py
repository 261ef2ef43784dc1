"""Each rule of docs/protocol/pki.md against a chain that breaks this rule and no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from core.reasons import ExchangeError, Reason
from pki.chain import MAX_INTERMEDIATES, VerifiedChain, verify_chain
from pki.keys import generate_key
from pki.profiles import Profile
from rpc.names import identity_host
from tests.support.certificates import (
    CA_USAGE,
    GW1,
    NOW,
    SIGNS,
    TLS,
    Country,
    Plan,
    revocation_list,
    revoked_entry,
    uri,
)

UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def country() -> Country:
    return Country()


def verify(
    country: Country,
    leaf: Plan | x509.Certificate,
    *,
    profile: Profile = Profile.AUTH,
    intermediates: Sequence[Plan] | None = None,
    root: Plan | None = None,
    crls: Sequence[x509.CertificateRevocationList] | None = None,
    after: timedelta = timedelta(0),
) -> VerifiedChain:
    chosen = [country.auth_ca, country.seal_ca] if intermediates is None else intermediates
    return verify_chain(
        leaf.build() if isinstance(leaf, Plan) else leaf,
        intermediates=[plan.build() for plan in chosen],
        roots=[(root or country.root).build()],
        crls=country.crls() if crls is None else crls,
        at=NOW + after,
        profile=profile,
    )


def refused(country: Country, leaf: Plan | x509.Certificate, **how: object) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        verify(country, leaf, **how)  # type: ignore[arg-type]  # passed on as they are
    return caught.value


def test_a_good_chain_tells_who_it_is(country: Country) -> None:
    """A certificate that keeps every rule is verified, and carries its name and path."""
    verified = verify(country, country.auth)

    assert (verified.urn, str(verified.identifier)) == (GW1, "BJ/GOV/ANIP/gw1")
    assert verified.profile is Profile.AUTH
    assert len(verified.certificates) == 3
    assert verified.leaf is verified.certificates[0]


def test_seal_certificates_need_no_host(country: Country) -> None:
    """A signing certificate has neither hosts nor TLS usages, which the Web's policy would refuse."""
    assert verify(country, country.seal, profile=Profile.SEAL).urn == GW1


LEAF_FAULTS: dict[str, Callable[[Country], Plan]] = {
    "seal usages": lambda c: c.auth.but(usages=SIGNS),
    "server only": lambda c: c.auth.but(usages=TLS[:1]),
    "one usage more": lambda c: c.auth.but(usages=(*TLS, ExtendedKeyUsageOID.CODE_SIGNING)),
    "any usage": lambda c: c.auth.but(usages=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    "no usages": lambda c: c.auth.but(usages=None),
    "no key usage": lambda c: c.auth.but(key_usage=frozenset()),
    "may sign certificates": lambda c: c.auth.but(
        key_usage=frozenset({"digital_signature", "key_cert_sign"})
    ),
    "may sign lists": lambda c: c.auth.but(key_usage=frozenset({"digital_signature", "crl_sign"})),
    "commits to content": lambda c: c.auth.but(
        key_usage=frozenset({"digital_signature", "content_commitment"})
    ),
    "claims to be an authority": lambda c: c.auth.but(constraints=x509.BasicConstraints(True, 0)),
    "no names": lambda c: c.auth.but(names=None),
    "no urn": lambda c: c.auth.but(names=[x509.DNSName("gw1.anip.bj")]),
    "two urns": lambda c: c.auth.but(
        names=[*(c.auth.names or ()), uri("urn:passerelle:gateway:BJ/GOV/X/gw1")]
    ),
    "the same urn twice": lambda c: c.auth.but(names=[*(c.auth.names or ()), uri(GW1)]),
    "foreign uri": lambda c: c.auth.but(names=[uri("https://anip.bj/gw1"), x509.DNSName("a.bj")]),
    "malformed urn": lambda c: c.auth.but(names=[uri(GW1 + "/x/y"), x509.DNSName("a.bj")]),
    "urn of an operator": lambda c: c.auth.but(
        names=[uri("urn:passerelle:operator:BJ/GOV/ASIN/a"), x509.DNSName("a.bj")]
    ),
    "no host": lambda c: c.auth.but(names=[uri(GW1)]),
    "wildcard": lambda c: c.auth.but(names=[uri(GW1), x509.DNSName("*.anip.bj")]),
    "e-mail": lambda c: c.auth.but(names=[uri(GW1), x509.RFC822Name("a@anip.bj")]),
    "another's identity host": lambda c: c.auth.but(
        names=[uri(GW1), x509.DNSName(identity_host("urn:passerelle:gateway:BJ/GOV/PNS/gw1"))]
    ),
    "another's identity host, upper case and dot": lambda c: c.auth.but(
        names=[uri(GW1), x509.DNSName(identity_host("urn:passerelle:gateway:BJ/GOV/PNS/gw1").upper() + ".")]
    ),
    "unknown critical extension": lambda c: c.auth.but(extra=[(UNKNOWN, True)]),
    "critical extension that means nothing here": lambda c: c.auth.but(
        extra=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), True)]
    ),
    "RSA key": lambda c: c.auth.but(key=rsa.generate_private_key(65537, 2048)),
    "P-384 key": lambda c: c.auth.but(key=ec.generate_private_key(ec.SECP384R1())),
    "SHA-384": lambda c: c.auth.but(hash=hashes.SHA384()),
    "signed by another key": lambda c: c.auth.but(signer=generate_key()),
    "issued by the root": lambda c: c.auth.but(issuer="root", signer=c.root_key),
    "issued by the seal CA": lambda c: c.auth.but(issuer="seal", signer=c.seal_key),
    "self-signed": lambda c: c.auth.but(issuer="gw1", signer=c.leaf_key),
    "issued by a leaf": lambda c: c.auth.but(issuer="gw1", signer=c.leaf_key),
}


@pytest.mark.parametrize("fault", LEAF_FAULTS)
def test_a_leaf_with_one_fault_is_refused(country: Country, fault: str) -> None:
    """One deviation from the profile is enough."""
    error = refused(country, LEAF_FAULTS[fault](country))

    assert error.reason is Reason.CERTIFICATE_INVALID


@pytest.mark.parametrize(
    ("plan", "profile"),
    [
        ("auth", Profile.SEAL),
        ("auth", Profile.REGISTRY),
        ("auth", Profile.PROGRAMS_DOOR),
        ("auth", Profile.OPERATOR),
        ("seal", Profile.AUTH),
        ("seal", Profile.REGISTRY_SEAL),
        ("seal", Profile.MEMBER),
    ],
)
def test_a_certificate_is_no_other_profile(country: Country, plan: str, profile: Profile) -> None:
    """A good certificate is refused wherever another profile is asked for."""
    error = refused(country, getattr(country, plan), profile=profile)

    assert error.reason is Reason.CERTIFICATE_INVALID


def test_hosts_on_a_signing_certificate_are_refused(country: Country) -> None:
    """A seal certificate that names a host could be meant for a TLS server."""
    leaf = country.seal.but(names=[uri(GW1), x509.DNSName("gw1.anip.bj")])

    assert refused(country, leaf, profile=Profile.SEAL).reason is Reason.CERTIFICATE_INVALID


def test_non_critical_unknown_extensions_are_let_pass(country: Country) -> None:
    """What an issuer adds without insisting does not matter (RFC 5280, section 4.2)."""
    assert verify(country, country.auth.but(extra=[(UNKNOWN, False)])).urn == GW1


AUTHORITY_FAULTS: dict[str, Callable[[Country], Plan]] = {
    "no authority": lambda c: c.auth_ca.but(constraints=x509.BasicConstraints(False, None)),
    "no constraints": lambda c: c.auth_ca.but(constraints=None),
    "constraints not critical": lambda c: c.auth_ca.but(constraints_critical=False),
    "endless path": lambda c: c.auth_ca.but(constraints=x509.BasicConstraints(True, None)),
    "longer path": lambda c: c.auth_ca.but(constraints=x509.BasicConstraints(True, 3)),
    "no key usage": lambda c: c.auth_ca.but(key_usage=frozenset()),
    "cannot sign certificates": lambda c: c.auth_ca.but(key_usage=frozenset({"crl_sign"})),
    "cannot sign lists": lambda c: c.auth_ca.but(key_usage=frozenset({"key_cert_sign"})),
    "signs TLS too": lambda c: c.auth_ca.but(key_usage=CA_USAGE | {"digital_signature"}),
    "no usages": lambda c: c.auth_ca.but(usages=None),
    "usages of the seal CA": lambda c: c.auth_ca.but(usages=SIGNS),
    "expired": lambda c: c.auth_ca.but(until=NOW - SECOND),
    "not yet valid": lambda c: c.auth_ca.but(since=NOW + SECOND),
    "signed by another key": lambda c: c.auth_ca.but(signer=generate_key()),
    "SHA-384": lambda c: c.auth_ca.but(hash=hashes.SHA384()),
    "unknown critical extension": lambda c: c.auth_ca.but(extra=[(UNKNOWN, True)]),
    "name constraints that exclude the leaf": lambda c: c.auth_ca.but(
        extra=[(x509.NameConstraints([x509.DNSName("example.org")], None), True)]
    ),
}


@pytest.mark.parametrize("fault", AUTHORITY_FAULTS)
def test_an_issuing_ca_with_one_fault_is_refused(country: Country, fault: str) -> None:
    """One deviation of the authority spoils everything under it."""
    error = refused(country, country.auth, intermediates=[AUTHORITY_FAULTS[fault](country)])

    assert error.reason is Reason.CERTIFICATE_INVALID


def test_name_constraints_that_allow_the_leaf_are_honoured(country: Country) -> None:
    """Constraints that the library can apply, and that hold, do no harm."""
    hosts = [x509.DNSName("anip.bj"), x509.DNSName("id.passerelle.internal")]
    authority = country.auth_ca.but(extra=[(x509.NameConstraints(hosts, None), True)])

    assert verify(country, country.auth, intermediates=[authority]).urn == GW1


@pytest.mark.parametrize(
    "root",
    [
        lambda c: c.root.but(until=NOW - SECOND),
        lambda c: c.root.but(constraints=x509.BasicConstraints(True, 0)),
        lambda c: c.root.but(constraints=x509.BasicConstraints(True, 2)),
        lambda c: c.root.but(key_usage=frozenset({"digital_signature"})),
        lambda c: c.root.but(key=(key := generate_key()), signer=key),
    ],
    ids=["expired", "path too short", "path too long", "key usage", "another key of that name"],
)
def test_a_root_with_one_fault_is_refused(country: Country, root: Callable[[Country], Plan]) -> None:
    """The anchor's root has to keep the rules as well."""
    assert refused(country, country.auth, root=root(country)).reason is Reason.CERTIFICATE_INVALID


def test_without_roots_nothing_is_trusted(country: Country) -> None:
    """No root is no trust, not any trust."""
    with pytest.raises(ExchangeError, match="no root"):
        verify_chain(
            country.auth.build(),
            intermediates=[country.auth_ca.build()],
            roots=[],
            crls=country.crls(),
            at=NOW,
            profile=Profile.AUTH,
        )


def test_a_chain_of_two_intermediates_is_too_long(country: Country) -> None:
    """The root allows one authority below it, whatever lies between."""
    key = generate_key()
    middle = country.auth_ca.but(name="middle", key=key, constraints=x509.BasicConstraints(True, 1))
    lower = country.auth_ca.but(issuer="middle", signer=key)

    error = refused(country, country.auth, intermediates=[middle, lower])

    assert error.reason is Reason.CERTIFICATE_INVALID


def test_cross_signed_authorities_end(country: Country) -> None:
    """Two authorities that sign each other, without any root, are refused and do not loop."""
    one, two = generate_key(), generate_key()
    loop = [
        country.auth_ca.but(name="one", issuer="two", key=one, signer=two),
        country.auth_ca.but(name="two", issuer="one", key=two, signer=one),
    ]
    leaf = country.auth.but(issuer="one", signer=one)

    assert refused(country, leaf, intermediates=loop).reason is Reason.CERTIFICATE_INVALID


def test_a_flood_of_intermediates_is_not_even_tried(country: Country) -> None:
    """Path building has a bound that a peer cannot move."""
    flood = [country.auth_ca.but(key=generate_key()) for _ in range(MAX_INTERMEDIATES + 1)]

    assert "more than" in str(refused(country, country.auth, intermediates=flood))


@pytest.mark.parametrize(
    ("after", "good"),
    [
        (-timedelta(days=1), True),
        (-timedelta(days=1) - SECOND, False),
        (timedelta(days=30), True),
        (timedelta(days=30) + SECOND, False),
    ],
    ids=["first second", "before", "last second", "after"],
)
def test_validity_ends_where_it_says(country: Country, after: timedelta, good: bool) -> None:
    """Both ends of validity are inclusive, and a second beyond is refused by name."""
    leaf = country.auth.but(until=NOW + timedelta(days=30))
    crls = [
        revocation_list(name, key, until=NOW + timedelta(days=90))
        for name, key in (("root", country.root_key), ("auth", country.auth_key))
    ]

    if good:
        assert verify(country, leaf, after=after, crls=crls).urn == GW1
    else:
        assert refused(country, leaf, after=after, crls=crls).reason is Reason.CERTIFICATE_EXPIRED


def test_a_revoked_leaf_is_refused_from_then_on(country: Country) -> None:
    """Revocation has a time: what was judged for a moment before it stays valid."""
    leaf = country.auth.build()
    entry = revoked_entry(leaf, NOW)
    crls = [*country.crls(), revocation_list("auth", country.auth_key, revoked=[entry])]

    assert refused(country, leaf, crls=crls).reason is Reason.CERTIFICATE_REVOKED
    assert verify(country, leaf, crls=crls, after=-SECOND).urn == GW1


def test_the_invalidity_date_counts_if_it_is_earlier(country: Country) -> None:
    """A key that was in other hands for an hour before it was revoked has signed nothing good in that hour."""
    leaf = country.auth.build()
    entry = revoked_entry(leaf, NOW, invalid_since=NOW - timedelta(hours=1))
    crls = [*country.crls(), revocation_list("auth", country.auth_key, revoked=[entry])]

    error = refused(country, leaf, crls=crls, after=-timedelta(minutes=30))

    assert error.reason is Reason.CERTIFICATE_REVOKED


def test_a_revoked_authority_takes_all_its_certificates_along(country: Country) -> None:
    """Revocation is checked on every step of the path."""
    authority = country.auth_ca.build()
    crls = [
        revocation_list("root", country.root_key, revoked=[revoked_entry(authority, NOW)]),
        revocation_list("auth", country.auth_key),
    ]

    with pytest.raises(ExchangeError) as caught:
        verify_chain(
            country.auth.build(),
            intermediates=[authority],
            roots=[country.root.build()],
            crls=crls,
            at=NOW,
            profile=Profile.AUTH,
        )

    assert caught.value.reason is Reason.CERTIFICATE_REVOKED


def test_a_stale_list_still_revokes(country: Country) -> None:
    """Nothing is ever taken back off a list: an old one that names the certificate is enough."""
    leaf = country.auth.build()
    entry = revoked_entry(leaf, NOW - timedelta(days=3))
    stale = revocation_list("auth", country.auth_key, revoked=[entry], until=NOW - timedelta(minutes=1))

    error = refused(country, leaf, crls=[*country.crls(), stale])

    assert error.reason is Reason.CERTIFICATE_REVOKED


USELESS_LISTS: dict[str, Callable[[Country], x509.CertificateRevocationList]] = {
    "stale": lambda c: revocation_list("auth", c.auth_key, until=NOW - SECOND),
    "signed by another key": lambda c: revocation_list("auth", generate_key()),
    "of another authority": lambda c: revocation_list("seal", c.seal_key),
    "weak algorithm": lambda c: revocation_list("auth", c.auth_key, hash_=hashes.SHA384()),
    "delta": lambda c: revocation_list("auth", c.auth_key, extra=[(x509.DeltaCRLIndicator(1), True)]),
    "partial": lambda c: revocation_list(
        "auth",
        c.auth_key,
        extra=[
            (
                x509.IssuingDistributionPoint(
                    full_name=None,
                    relative_name=None,
                    only_contains_user_certs=False,
                    only_contains_ca_certs=True,
                    only_some_reasons=None,
                    indirect_crl=False,
                    only_contains_attribute_certs=False,
                ),
                True,
            )
        ],
    ),
}


@pytest.mark.parametrize("fault", USELESS_LISTS)
def test_without_a_fresh_list_of_the_issuer_nothing_is_accepted(country: Country, fault: str) -> None:
    """Failing to know is not knowing that all is well."""
    lists = [revocation_list("root", country.root_key), USELESS_LISTS[fault](country)]

    error = refused(country, country.auth, crls=lists)

    assert error.reason is Reason.CERTIFICATE_INVALID
    assert "no fresh revocation list" in str(error)


def test_no_lists_at_all_refuse(country: Country) -> None:
    """An empty configuration of lists fails closed."""
    assert refused(country, country.auth, crls=[]).reason is Reason.CERTIFICATE_INVALID


def test_a_list_made_later_is_welcome(country: Country) -> None:
    """Evidence of the past may be judged with what is known today."""
    later = [
        revocation_list(name, key, since=NOW + timedelta(days=1), until=NOW + timedelta(days=2))
        for name, key in (("root", country.root_key), ("auth", country.auth_key))
    ]

    assert verify(country, country.auth, crls=later).urn == GW1


def with_unknown_curve(certificate: x509.Certificate) -> x509.Certificate:
    """The same certificate on a curve that nobody has: 1.2.840.10045.3.1.127."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    p256 = bytes.fromhex("06082a8648ce3d030107")
    return x509.load_der_x509_certificate(der.replace(p256, p256[:-1] + b"\x7f"))


def test_keys_that_the_library_does_not_know_are_refused(country: Country) -> None:
    """An unknown curve in a leaf, an authority or a root is a refusal, not an internal error."""
    leaf, authority, root = country.auth.build(), country.auth_ca.build(), country.root.build()

    for chain in (
        (with_unknown_curve(leaf), authority, root),
        (leaf, with_unknown_curve(authority), root),
        (leaf, authority, with_unknown_curve(root)),
    ):
        with pytest.raises(ExchangeError) as caught:
            verify_chain(
                chain[0],
                intermediates=[chain[1]],
                roots=[chain[2]],
                crls=country.crls(),
                at=NOW,
                profile=Profile.AUTH,
            )
        assert caught.value.reason is Reason.CERTIFICATE_INVALID


def with_exchanged_oid(certificate: x509.Certificate) -> x509.Certificate:
    """Its extended key usage becomes a second subject alternative name."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    usage, names = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d11")
    return x509.load_der_x509_certificate(der.replace(usage, names))


def test_an_extension_that_is_there_twice_is_refused(country: Country) -> None:
    """Two readers could take two meanings from it."""
    leaf = with_exchanged_oid(country.auth.build())

    assert refused(country, leaf).reason is Reason.CERTIFICATE_INVALID


def test_a_critical_extension_that_only_the_library_knows_is_refused(country: Country) -> None:
    """What no rule here gives a meaning is not let pass because someone else could read it."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(country.leaf_key.public_key())
    leaf = country.auth.but(extra=[(identifier, True)])

    assert refused(country, leaf).reason is Reason.CERTIFICATE_INVALID


# --- A member's own authority for its programs -------------------------------------------------------------------

PROGRAM = "urn:passerelle:program:BJ/GOV/ANIP/RNPP/gestion"


def programs_ca(key: ec.EllipticCurvePrivateKey, member: str = "urn:passerelle:member:BJ/GOV/ANIP") -> Plan:
    return Plan(
        "programs",
        "programs",
        key,
        key,
        x509.BasicConstraints(True, 0),
        TLS,
        CA_USAGE,
        [uri(member)],
    )


def program(key: ec.EllipticCurvePrivateKey) -> Plan:
    return Plan(
        "gestion",
        "programs",
        generate_key(),
        key,
        x509.BasicConstraints(False, None),
        TLS[1:],
        frozenset({"digital_signature"}),
        [uri(PROGRAM)],
    )


def test_a_program_is_verified_under_its_members_own_authority(country: Country) -> None:
    """No revocation list is asked for: programs are admitted and removed by pinned thumbprint."""
    key = generate_key()

    verified = verify(
        country, program(key), profile=Profile.PROGRAM, root=programs_ca(key), intermediates=[], crls=[]
    )

    assert verified.urn == PROGRAM


def test_a_members_authority_cannot_name_programs_of_another(country: Country) -> None:
    """The authority's own name bounds what it may issue."""
    key = generate_key()
    other = programs_ca(key, "urn:passerelle:member:BJ/GOV/PNS")

    error = refused(country, program(key), profile=Profile.PROGRAM, root=other, intermediates=[])

    assert "not of the member" in str(error)


def test_a_gateway_is_not_verified_under_a_members_authority(country: Country) -> None:
    """A member's own CA is no authority for the road, even where its root is trusted by mistake."""
    key = generate_key()
    leaf = country.auth.but(issuer="programs", signer=key)

    error = refused(country, leaf, root=programs_ca(key), intermediates=[])

    assert "issued by" in str(error)


def test_the_issuing_ca_does_not_admit_programs(country: Country) -> None:
    """Nor can the country's CA speak for a member's programs."""
    leaf = program(country.auth_key).but(issuer="auth")

    assert refused(country, leaf, profile=Profile.PROGRAM).reason is Reason.CERTIFICATE_INVALID
