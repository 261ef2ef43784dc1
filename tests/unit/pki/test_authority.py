"""Keys, profiles, authorities on files: what is issued, what is refused, what is revoked."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from core.identifiers import MemberId
from core.reasons import ExchangeError, MalformedError, Reason
from pki.authority import Authority, found, found_programs_authority, read_issuer
from pki.chain import verify_chain
from pki.keys import (
    certificate_pem,
    generate_key,
    key_pem,
    key_thumbprint,
    load_chain,
    load_public_key,
    public_key_pem,
    read_key,
    write_key,
)
from pki.profiles import (
    AuthorityKind,
    Issuer,
    Profile,
    authority_kind,
    build_csr,
    issue,
    member_of,
    profile_of,
    read_csr,
    utc,
)
from rpc.names import identity_host, urn_of
from tests.support.certificates import GW1, NOW, NOW_MS, Country, named, uri

NAMES = {
    Profile.AUTH: GW1,
    Profile.SEAL: GW1,
    Profile.MEMBER: "urn:passerelle:member:BJ/GOV/ANIP",
    Profile.PROGRAM: "urn:passerelle:program:BJ/GOV/ANIP/RNPP/gestion",
    Profile.PROGRAMS_DOOR: GW1,
    Profile.ADAPTER: "urn:passerelle:adapter:BJ/GOV/ANIP/RNPP",
    Profile.DOCUMENT: "urn:passerelle:adapter:BJ/GOV/ANIP/RNPP",
    Profile.OPERATOR: "urn:passerelle:operator:BJ/GOV/ASIN/akossou",
    Profile.AUDITOR: "urn:passerelle:auditor:BJ/GOV/ASIN/dossa",
    Profile.REGISTRY: "urn:passerelle:registry:BJ/GOV/ASIN/registre",
    Profile.REGISTRY_SEAL: "urn:passerelle:registry:BJ/GOV/ASIN/registre",
}
MEMBER = MemberId.parse("BJ/GOV/ANIP")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca")
    found(path, "BJ", now_ms=NOW_MS)
    return path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    path = tmp_path_factory.mktemp("keys")
    return found_programs_authority(path / "programs.key", path / "programs.crt", MEMBER, now_ms=NOW_MS)


def issuer_of(profile: Profile, directory: Path, programs: Issuer) -> Issuer:
    kind = profile.rules.issuer
    return programs if kind is AuthorityKind.PROGRAMS else Authority.open(directory, kind).issuer


def hosts_of(profile: Profile) -> tuple[str, ...]:
    return ("gw1.anip.bj", "192.0.2.7", "2001:db8::7") if profile.rules.hosts else ()


def revocation_lists(directory: Path) -> list[x509.CertificateRevocationList]:
    kinds = (AuthorityKind.ROOT, AuthorityKind.AUTH, AuthorityKind.SEAL)
    return [Authority.open(directory, kind).crl() for kind in kinds]


@pytest.mark.parametrize("profile", list(Profile))
def test_what_a_profile_issues_the_chain_verifies(
    profile: Profile, directory: Path, programs: Issuer
) -> None:
    """Issuing and verifying follow the same table, for every profile."""
    issuer = issuer_of(profile, directory, programs)
    key = generate_key().public_key()

    certificate = issue(profile, issuer, key, NAMES[profile], now_ms=NOW_MS, hosts=hosts_of(profile))

    own = profile.rules.issuer is AuthorityKind.PROGRAMS
    roots = [issuer.certificate] if own else [Authority.open(directory, AuthorityKind.ROOT).certificate]
    verified = verify_chain(
        certificate,
        intermediates=[] if own else [issuer.certificate],
        roots=roots,
        crls=revocation_lists(directory),
        at=NOW,
        profile=profile,
    )
    assert verified.urn == NAMES[profile]
    assert profile_of(certificate) is profile
    assert certificate.public_key() == key


def test_a_tls_server_names_its_hosts_and_its_identity_host(directory: Path) -> None:
    """Stock clients find the address or the identity, whichever they ask for."""
    issuer = Authority.open(directory, AuthorityKind.AUTH).issuer

    certificate = issue(
        Profile.AUTH,
        issuer,
        generate_key().public_key(),
        GW1,
        now_ms=NOW_MS,
        hosts=["gw1.anip.bj", "192.0.2.7"],
    )

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [identity_host(GW1), "gw1.anip.bj"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]


def test_identity_hosts_keep_case_and_slashes_apart() -> None:
    """Host names are compared without case; identities are not."""
    one, other = identity_host(GW1), identity_host(GW1.replace("ANIP", "anip"))

    assert one != other
    assert len(one.partition(".")[0]) <= 63


REFUSED: dict[str, Callable[[Issuer], object]] = {
    "name of another kind": lambda ca: make(ca, urn=NAMES[Profile.OPERATOR]),
    "no urn": lambda ca: make(ca, urn="BJ/GOV/ANIP/gw1"),
    "no hosts": lambda ca: make(ca, hosts=()),
    "too many hosts": lambda ca: make(ca, hosts=[f"h{n}.bj" for n in range(17)]),
    "wildcard": lambda ca: make(ca, hosts=["*.anip.bj"]),
    "blank": lambda ca: make(ca, hosts=["anip bj"]),
    "empty host": lambda ca: make(ca, hosts=[""]),
    "upper case": lambda ca: make(ca, hosts=["ANIP.bj"]),
    "line end": lambda ca: make(ca, hosts=["anip.bj\n"]),
    "identity host": lambda ca: make(ca, hosts=[identity_host("urn:passerelle:gateway:BJ/GOV/PNS/gw1")]),
    "longer than the profile": lambda ca: make(ca, lifetime=timedelta(days=10_000)),
    "no lifetime": lambda ca: make(ca, lifetime=timedelta(0)),
    "profile of another authority": lambda ca: make(ca, profile=Profile.SEAL, hosts=()),
    "profile of a member's authority": lambda ca: make(ca, profile=Profile.PROGRAMS_DOOR),
    "hosts without a server": lambda ca: make(ca, profile=Profile.OPERATOR, urn=NAMES[Profile.OPERATOR]),
}


def make(
    issuer: Issuer,
    profile: Profile = Profile.AUTH,
    urn: str = GW1,
    hosts: object = ("gw1.anip.bj",),
    lifetime: timedelta | None = None,
) -> x509.Certificate:
    return issue(
        profile,
        issuer,
        generate_key().public_key(),
        urn,
        now_ms=NOW_MS,
        hosts=list(hosts),  # type: ignore[call-overload]  # sequences of hosts, written briefly
        lifetime=lifetime,
    )


@pytest.mark.parametrize("fault", REFUSED)
def test_what_does_not_fit_the_profile_is_not_issued(fault: str, directory: Path) -> None:
    """The authority refuses; it does not correct."""
    with pytest.raises(ExchangeError):
        REFUSED[fault](Authority.open(directory, AuthorityKind.AUTH).issuer)


def test_a_members_authority_issues_for_its_own_member_only(programs: Issuer) -> None:
    """ANIP's CA cannot make a program of PNS."""
    with pytest.raises(ExchangeError, match="another member"):
        issue(
            Profile.PROGRAM,
            programs,
            generate_key().public_key(),
            "urn:passerelle:program:BJ/GOV/PNS/PORTAIL/web",
            now_ms=NOW_MS,
        )


def test_no_certificate_outlives_its_authority(directory: Path) -> None:
    """The end of the authority is the end of what it issues; after that it issues nothing."""
    issuer = Authority.open(directory, AuthorityKind.AUTH).issuer
    end = issuer.certificate.not_valid_after_utc
    late = int(end.timestamp() * 1000)

    certificate = make_at(issuer, late - 86_400_000)

    assert certificate.not_valid_after_utc == end
    with pytest.raises(ExchangeError) as caught:
        make_at(issuer, late)
    assert caught.value.reason is Reason.CERTIFICATE_EXPIRED


def make_at(issuer: Issuer, now_ms: int) -> x509.Certificate:
    return issue(Profile.AUTH, issuer, generate_key().public_key(), GW1, now_ms=now_ms, hosts=["gw1.anip.bj"])


# --- Signing requests ---------------------------------------------------------------------------------------------


def test_extensions_of_a_request_are_ignored(directory: Path) -> None:
    """A request for CA rights, a wildcard and another's name gives what the profile gives."""
    key = generate_key()
    greedy = (
        x509.CertificateSigningRequestBuilder(named("root"))
        .add_extension(x509.BasicConstraints(True, 3), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([uri("urn:passerelle:gateway:BJ/GOV/PNS/gw1"), x509.DNSName("*")]),
            critical=True,
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    authority = Authority.open(directory, AuthorityKind.SEAL)

    certificate = authority.issue(Profile.SEAL, greedy, GW1, now_ms=NOW_MS)

    assert urn_of(certificate) == GW1
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.subject != named("root")
    assert profile_of(certificate) is Profile.SEAL


def tampered_request() -> bytes:
    """A request whose key was exchanged after it was signed."""
    der = x509.load_pem_x509_csr(build_csr(generate_key())).public_bytes(serialization.Encoding.DER)
    request = x509.load_der_x509_csr(der)
    info = request.tbs_certrequest_bytes
    old = request.public_key()
    assert isinstance(old, ec.EllipticCurvePublicKey)
    new = generate_key().public_key()
    form = (serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    changed = der.replace(info, info.replace(old.public_bytes(*form), new.public_bytes(*form)))
    return x509.load_der_x509_csr(changed).public_bytes(serialization.Encoding.PEM)


def request_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder(named("x"))
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


REQUESTS: dict[str, Callable[[], bytes]] = {
    "no proof of possession": tampered_request,
    "RSA": lambda: request_of(rsa.generate_private_key(65537, 2048)),
    "P-384": lambda: request_of(ec.generate_private_key(ec.SECP384R1())),
    "Ed25519": lambda: request_of(ed25519.Ed25519PrivateKey.generate()),
    "empty": lambda: b"",
    "a certificate": lambda: certificate_pem(Country().auth.build()),
    "cut": lambda: build_csr(generate_key())[:200],
    "too long": lambda: build_csr(generate_key()) + b"\n" * 20_000,
    "not PEM": lambda: b"\x30\x82" + bytes(100),
}


@pytest.mark.parametrize("fault", REQUESTS)
def test_a_bad_signing_request_is_refused(fault: str) -> None:
    """Whatever is wrong with it, the answer is one refusal."""
    with pytest.raises(MalformedError):
        read_csr(REQUESTS[fault]())


def test_a_request_that_the_library_cannot_judge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An algorithm that the library does not know is no internal error."""

    def unknown(_pem: bytes) -> None:
        raise UnsupportedAlgorithm("unknown")

    monkeypatch.setattr(x509, "load_pem_x509_csr", unknown)

    with pytest.raises(MalformedError):
        read_csr(b"")


# --- Authorities on files -----------------------------------------------------------------------------------------


def test_founding_twice_changes_nothing(tmp_path: Path) -> None:
    """A second founding would orphan every certificate of the country."""
    found(tmp_path, "BJ", now_ms=NOW_MS)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}

    with pytest.raises(ExchangeError) as caught:
        found(tmp_path, "BJ", now_ms=NOW_MS)

    assert caught.value.reason is Reason.ALREADY_EXISTS
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} == before


def test_keys_are_private_files(directory: Path) -> None:
    """Mode 0600 for keys, whatever the umask."""
    for kind in ("root", "auth", "seal"):
        assert (directory / f"{kind}.key").stat().st_mode & 0o777 == 0o600


def test_authorities_tell_what_they_are(directory: Path, programs: Issuer) -> None:
    """The three and a member's own are told apart by their certificates."""
    for kind in (AuthorityKind.ROOT, AuthorityKind.AUTH, AuthorityKind.SEAL):
        assert authority_kind(Authority.open(directory, kind).certificate) is kind
    assert authority_kind(programs.certificate) is AuthorityKind.PROGRAMS
    with pytest.raises(MalformedError):
        authority_kind(Country().auth.build())


def test_openssl_verifies_the_chain_and_the_lists(directory: Path, tmp_path: Path) -> None:
    """An independent implementation agrees: chain, usages, revocation."""
    authority = Authority.open(directory, AuthorityKind.AUTH)
    good = authority.issue(Profile.AUTH, build_csr(generate_key()), GW1, now_ms=NOW_MS, hosts=["gw1.anip.bj"])
    bad = authority.issue(Profile.AUTH, build_csr(generate_key()), GW1, now_ms=NOW_MS, hosts=["gw1.anip.bj"])
    authority.revoke(bad, "key-compromise", now_ms=NOW_MS)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(
        b"".join((directory / name).read_bytes() for name in ("root.crt", "root.crl", "auth.crl"))
    )

    def openssl(certificate: x509.Certificate, purpose: str) -> subprocess.CompletedProcess[str]:
        leaf = tmp_path / "leaf.pem"
        leaf.write_bytes(certificate_pem(certificate))
        options = ["-x509_strict", "-crl_check_all", "-purpose", purpose, "-attime", str(NOW_MS // 1000 + 60)]
        files = ["-CAfile", str(bundle), "-untrusted", str(directory / "auth.crt"), str(leaf)]
        return subprocess.run(
            ["openssl", "verify", *options, *files], capture_output=True, text=True, check=False
        )

    assert openssl(good, "sslserver").returncode == 0, openssl(good, "sslserver").stderr
    assert openssl(good, "sslclient").returncode == 0
    assert "certificate revoked" in openssl(bad, "sslserver").stderr


def test_revocation_is_for_ever_and_counted_once(tmp_path: Path) -> None:
    """A second revocation changes nothing; a renewed list keeps its entries and rises in number."""
    authority = found(tmp_path, "BJ", now_ms=NOW_MS)[AuthorityKind.SEAL]
    certificate = authority.issue(Profile.SEAL, build_csr(generate_key()), GW1, now_ms=NOW_MS)

    first = authority.revoke(
        certificate, "key-compromise", now_ms=NOW_MS, invalid_since=NOW - timedelta(days=1)
    )
    second = authority.revoke(certificate, "superseded", now_ms=NOW_MS + 1000)
    renewed = authority.renew_crl(now_ms=NOW_MS + 86_400_000)

    assert first == second
    assert len(renewed) == 1
    entry = renewed.get_revoked_certificate_by_serial_number(certificate.serial_number)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value == "keyCompromise"
    numbers = [
        crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (first, renewed)
    ]
    assert numbers == [2, 3]
    assert renewed.next_update_utc == utc(NOW_MS + 86_400_000) + timedelta(days=90)


def test_revocations_at_once_are_all_on_the_list(tmp_path: Path) -> None:
    """Two operators who revoke in the same second both succeed."""
    authority = found(tmp_path, "BJ", now_ms=NOW_MS)[AuthorityKind.SEAL]
    certificates = [
        authority.issue(Profile.SEAL, build_csr(generate_key()), GW1, now_ms=NOW_MS) for _ in range(6)
    ]
    threads = [
        threading.Thread(target=authority.revoke, args=(one, "superseded"), kwargs={"now_ms": NOW_MS})
        for one in certificates
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(authority.crl()) == 6


def test_only_what_the_authority_issued_can_be_revoked(directory: Path) -> None:
    """Neither a stranger's certificate nor one of the other CA, nor for a reason nobody knows."""
    authority = Authority.open(directory, AuthorityKind.SEAL)
    own = authority.issue(Profile.SEAL, build_csr(generate_key()), GW1, now_ms=NOW_MS)

    for certificate in (Country().seal.build(), authority.certificate):
        with pytest.raises(ExchangeError, match="not issued by"):
            authority.revoke(certificate, "superseded", now_ms=NOW_MS)
    with pytest.raises(ExchangeError, match="unknown revocation reason"):
        authority.revoke(own, "because", now_ms=NOW_MS)


def test_what_was_issued_is_on_record(directory: Path) -> None:
    """A certificate can be found again by its serial number, to be revoked years later."""
    authority = Authority.open(directory, AuthorityKind.SEAL)
    certificate = authority.issue(Profile.SEAL, build_csr(generate_key()), GW1, now_ms=NOW_MS)

    assert authority.issued(certificate.serial_number) == certificate
    with pytest.raises(ExchangeError, match="on record"):
        authority.issued(1)


def test_a_damaged_authority_says_what_is_wrong(tmp_path: Path) -> None:
    """Each file that is missing, unreadable or of another authority is named."""
    found(tmp_path, "BJ", now_ms=NOW_MS)
    (tmp_path / "auth.crl").write_bytes(b"nothing")

    with pytest.raises(MalformedError, match=r"auth\.crl"):
        Authority.open(tmp_path, AuthorityKind.AUTH).crl()
    with pytest.raises(ExchangeError, match="is not the key of"):
        read_issuer(tmp_path / "auth.key", tmp_path / "seal.crt")
    with pytest.raises(ExchangeError, match="no PEM certificate"):
        read_issuer(tmp_path / "auth.key", tmp_path / "auth.crl")
    with pytest.raises(ExchangeError, match="No such file"):
        read_issuer(tmp_path / "auth.key", tmp_path / "none.crt")


# --- Keys ---------------------------------------------------------------------------------------------------------


def test_a_key_is_written_once_and_read_back(tmp_path: Path) -> None:
    """A key is never overwritten: the old one may be the only copy."""
    path, key = tmp_path / "seal.key", generate_key()

    write_key(path, key)

    assert read_key(path).private_numbers() == key.private_numbers()
    with pytest.raises(ExchangeError) as caught:
        write_key(path, generate_key())
    assert caught.value.reason is Reason.ALREADY_EXISTS
    assert read_key(path).private_numbers() == key.private_numbers()


KEY_FILES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: private(path, b""),
    "a directory": lambda path: path.mkdir(),
    "not PEM": lambda path: private(path, b"\x00" * 50),
    "too long": lambda path: private(path, b"x" * 100_000),
    "P-384": lambda path: private(path, key_pem(ec.generate_private_key(ec.SECP384R1()))),
    "RSA": lambda path: private(path, pem_of(rsa.generate_private_key(65537, 2048))),
    "encrypted": lambda path: private(path, pem_of(generate_key(), b"secret")),
    "public": lambda path: private(path, public_key_pem(generate_key().public_key()).encode()),
    "readable by the group": lambda path: private(path, key_pem(generate_key()), 0o640),
    "readable by all": lambda path: private(path, key_pem(generate_key()), 0o604),
}


def private(path: Path, data: bytes, mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize("fault", KEY_FILES)
def test_a_bad_key_file_is_refused_and_not_quoted(fault: str, tmp_path: Path) -> None:
    """The error names the file and holds nothing of its content."""
    path = tmp_path / "seal.key"
    KEY_FILES[fault](path)

    with pytest.raises(ExchangeError) as caught:
        read_key(path)

    assert caught.value.reason is Reason.KEY_UNREADABLE
    assert "seal.key" in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_thumbprints_of_keys_follow_the_rule() -> None:
    """SHA-256 of the SubjectPublicKeyInfo, base64url, unpadded, as openssl would compute it."""
    key = ec.derive_private_key(1, ec.SECP256R1()).public_key()

    assert key_thumbprint(key) == "XNJS-wzokyQ2-vjM0QQJgbie5K1rn-niorfnGqyyfNM"
    assert load_public_key(public_key_pem(key)) == key


@pytest.mark.parametrize("pem", ["", "x", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "é"])
def test_a_bad_public_key_is_refused(pem: str) -> None:
    """One error for every text that is no P-256 key."""
    with pytest.raises(ValueError):
        load_public_key(pem)


def test_chains_that_cannot_be_read_are_refused() -> None:
    """No certificate, or half of one."""
    for pem in ("", "nothing", certificate_pem(Country().auth.build())[:300], "é"):
        with pytest.raises(MalformedError):
            load_chain(pem)


def test_names_belong_to_members() -> None:
    """A member is the first three parts of each of its names."""
    assert member_of(GW1) == "BJ/GOV/ANIP"
    assert member_of("urn:passerelle:program:BJ/GOV/ANIP/RNPP/gestion") == "BJ/GOV/ANIP"
    with pytest.raises(MalformedError):
        member_of("BJ/GOV/ANIP")


def test_certificates_of_no_profile_claim_none() -> None:
    """Something foreign is not mistaken for the nearest profile."""
    country = Country()

    assert profile_of(country.root.build()) is None
    assert profile_of(country.auth.but(usages=None).build()) is None
    assert profile_of(country.auth.but(names=[uri(NAMES[Profile.AUDITOR])]).build()) is None


def test_an_issuer_does_not_show_its_key(programs: Issuer) -> None:
    """It stands in error messages."""
    assert repr(programs) == "Issuer(CN=BJ/GOV/ANIP programs CA)"


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file that could not be made durable is removed: it must not look like a key."""

    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(OSError):
        write_key(tmp_path / "seal.key", generate_key())
    assert list(tmp_path.iterdir()) == []
