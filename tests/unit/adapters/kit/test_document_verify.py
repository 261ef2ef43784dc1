"""``passerelle document verify``: every way in which a document may not be what it says, and what is told then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from adapters.document_commands import document
from adapters.kit.pdf import Line, Sheet, blanked, make_pdf, read_jws
from core.clock import SystemClock
from core.documents import MalformedDocumentError, encode
from core.heads import b64url, unb64url
from core.jws import DocumentKind
from core.language import Text
from core.official import OfficialClaims
from pki.anchor import SPKI_MEMBER, Anchor, spki_digest
from pki.documents import sign_document
from pki.keys import certificate_pem, chain_pem, generate_key, sign_es256
from pki.official import sign_official
from pki.profiles import AuthorityKind, Issuer, Profile, issue, issue_authority, utc
from tests.support.certificates import revoked_entry

DAY: Final = timedelta(days=1)
DAY_MS: Final = 24 * 3600 * 1000
NOW_MS: Final = SystemClock().now_ms()
# The country is older than any of its documents.
FOUNDED_MS: Final = NOW_MS - 6 * 366 * DAY_MS
ANDF, ANIP = "BJ/GOV/ANDF/CADASTRE", "BJ/GOV/ANIP/RNPP"
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def authority(kind: AuthorityKind, issuer: Issuer | None) -> Issuer:
    key = generate_key()
    return Issuer(key, issue_authority(kind, issuer, key, f"test {kind}", now_ms=FOUNDED_MS))


@dataclass(frozen=True)
class Signer:
    """A key, and the certificate that somebody shows for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def sign(self, **changes: Any) -> str:
        """The code of a document: of ANDF, for ever, signed yesterday, but for what ``changes`` says."""
        return sign_official(claims(**changes), self.key)


def claims(**changes: Any) -> OfficialClaims:
    values: dict[str, Any] = {
        "iss": ANDF,
        "doc_id": "ANDF-CADASTRE-2026-00000001",
        "type": "TITLE_STATE",
        "iat": NOW_MS // 1000 - 86_400,
        "sha256": "0" * 64,
        "names": ("ADJOVI Sènan",),
    }
    return OfficialClaims(**values | changes)


@dataclass
class Land:
    """A country whose agencies give out documents, in files."""

    directory: Path
    root: Issuer = field(default_factory=lambda: authority(AuthorityKind.ROOT, None))

    def __post_init__(self) -> None:
        self.seal = authority(AuthorityKind.SEAL, self.root)
        self.andf = self.signer()
        signed = {"_type": "root", "version": 1, SPKI_MEMBER: spki_digest(self.root.certificate)}
        anchor = Anchor(self.root.certificate, json.dumps({"signed": signed}).encode())
        anchor.write(self.directory / "anchor.pem")

    def signer(
        self,
        subsystem: str = ANDF,
        *,
        profile: Profile = Profile.DOCUMENT,
        urn: str = "",
        since_ms: int = NOW_MS - 366 * DAY_MS,
        lifetime: timedelta | None = None,
    ) -> Signer:
        """Somebody whom the seal CA certified."""
        key = generate_key()
        name = urn or f"urn:passerelle:adapter:{subsystem}"
        certificate = issue(profile, self.seal, key.public_key(), name, now_ms=since_ms, lifetime=lifetime)
        return Signer(key, certificate)

    def file(self, name: str, data: bytes) -> str:
        """The path of a file with that in it."""
        path = self.directory / name
        path.write_bytes(data)
        return str(path)

    def verify(
        self,
        jws: str = "",
        *,
        pdf: bytes | None = None,
        issuer: Sequence[x509.Certificate] | None = None,
        anchor: str = "anchor.pem",
        crls: Sequence[bytes] = (),
    ) -> dict[str, str]:
        """What the command tells of a code, or of a file, as a program reads it; its exit agrees with its verdict."""
        asked = ["--qr", jws] if pdf is None else [self.file("document.pdf", pdf)]
        shown = issuer or (self.andf.certificate, self.seal.certificate)
        asked += ["--issuer", self.file("document.crt", chain_pem(shown))]
        for number, crl in enumerate(crls):
            asked += ["--crl", self.file(f"{number}.crl", crl)]
        asked += ["--anchor", str(self.directory / anchor), "--output", "json", "--lang", "en"]
        done = CliRunner().invoke(document, ["verify", *asked])
        told: dict[str, str] = json.loads(done.output)
        assert (done.exit_code, told["verdict"]) in ((0, "GOOD"), (1, "REFUSED")), done.output
        return told


def revocations(
    issuer: Issuer,
    *revoked: x509.Certificate,
    next_update_ms: int = NOW_MS + DAY_MS,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """A list of ``issuer``, made an hour ago, as PEM; by default signed by its own key."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(utc(NOW_MS - 30 * DAY_MS)).next_update(utc(next_update_ms))
    for certificate in revoked:
        builder = builder.add_revoked_certificate(revoked_entry(certificate, utc(NOW_MS - 3600_000)))
    return builder.sign(key or issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Land:
    return Land(tmp_path_factory.mktemp("land"))


# --- revocation ---


def test_without_a_list_the_verdict_says_that_nobody_asked(land: Land) -> None:
    """With those of both authorities it says that it was asked."""
    both = (revocations(land.root), revocations(land.seal))

    alone, asked = land.verify(land.andf.sign()), land.verify(land.andf.sign(), crls=both)

    assert (alone["verdict"], alone["revocation"]) == ("GOOD", "not checked: give --crl")
    assert (asked["verdict"], asked["revocation"]) == ("GOOD", "checked")


@pytest.mark.parametrize("next_update_ms", [NOW_MS + DAY_MS, NOW_MS - DAY_MS], ids=["fresh", "old"])
def test_a_key_that_was_revoked_signs_nothing_ever(land: Land, next_update_ms: int) -> None:
    """Nor what it signed before: who stole it could write any date. An old list is enough to know."""
    lists = (
        revocations(land.root),
        revocations(land.seal, land.andf.certificate, next_update_ms=next_update_ms),
    )

    assert land.verify(land.andf.sign(), crls=lists)["reason"] == "CERTIFICATE_REVOKED"


def test_nor_does_what_an_authority_certified_that_was_revoked(land: Land) -> None:
    """The root's list has the seal CA."""
    lists = (revocations(land.root, land.seal.certificate), revocations(land.seal))

    assert land.verify(land.andf.sign(), crls=lists)["reason"] == "CERTIFICATE_REVOKED"


def test_lists_that_do_not_answer_are_no_answer(land: Land) -> None:
    """Out of date, of one authority only, or signed by another than whose name they bear: no verdict is good."""
    root, seal = revocations(land.root), revocations(land.seal)
    others = generate_key()
    unanswered = (
        (root, revocations(land.seal, next_update_ms=NOW_MS - DAY_MS)),
        (seal,),
        (root,),
        (root, revocations(land.seal, key=others)),
        # Whoever could revoke by a list of his own could make all documents worthless.
        (root, revocations(land.seal, land.andf.certificate, key=others)),
    )

    for lists in unanswered:
        told = land.verify(land.andf.sign(), crls=lists)
        assert told["reason"] == "CERTIFICATE_INVALID"
        assert "no fresh revocation list" in told["detail"]


# --- time ---


def test_a_certificate_counts_when_it_signed_not_when_it_is_read(land: Land) -> None:
    """A document outlives the certificate of its key, but is not younger than it, nor older."""
    since_ms = NOW_MS - 100 * DAY_MS
    then = land.signer(since_ms=since_ms, lifetime=10 * DAY)
    chain = (then.certificate, land.seal.certificate)

    def signed(days: int) -> dict[str, str]:
        return land.verify(then.sign(iat=since_ms // 1000 + days * 86_400), issuer=chain)

    assert signed(5)["verdict"] == "GOOD"
    assert signed(11)["reason"] == "CERTIFICATE_EXPIRED"
    assert signed(-1)["reason"] == "CERTIFICATE_EXPIRED"


def test_a_document_holds_as_long_as_it_says(land: Land) -> None:
    """What is past is told apart from what is forged; an issuer's clock may be five minutes ahead."""
    now = NOW_MS // 1000

    past = land.verify(land.andf.sign(iat=now - 100, exp=now - 10))
    held = land.verify(land.andf.sign(exp=now + 3600))
    ahead = land.verify(land.andf.sign(iat=now + 240))
    future = land.verify(land.andf.sign(iat=now + 3600))

    assert past["reason"] == "DOCUMENT_INVALID"
    assert "is genuine, but held until" in past["detail"]
    assert held["verdict"] == ahead["verdict"] == "GOOD"
    assert future["reason"] == "DOCUMENT_INVALID"
    assert "signed in the future" in future["detail"]


# --- whose it is ---


def test_an_agency_signs_for_itself(land: Land) -> None:
    """ANIP's document key gives out nothing of the land register; a document is not judged by another's certificate."""
    anip = land.signer(ANIP)
    theirs = (anip.certificate, land.seal.certificate)

    forged = land.verify(anip.sign(iss=ANDF), issuer=theirs)
    own = land.verify(anip.sign(iss=ANIP), issuer=theirs)
    crossed = land.verify(land.andf.sign(), issuer=theirs)

    assert forged["reason"] == "CERTIFICATE_INVALID"
    assert f"urn:passerelle:adapter:{ANIP} does not sign for {ANDF}" in forged["detail"]
    assert own["issuer"] == ANIP
    assert crossed["reason"] == "SIGNATURE_INVALID"


@pytest.mark.parametrize(
    ("profile", "urn"),
    [
        (Profile.SEAL, "urn:passerelle:gateway:BJ/GOV/ANDF/gw1"),
        (Profile.MEMBER, "urn:passerelle:member:BJ/GOV/ANDF"),
    ],
)
def test_a_key_for_other_things_gives_out_no_documents(land: Land, profile: Profile, urn: str) -> None:
    """Though the same authority certified it for the same ministry."""
    other = land.signer(profile=profile, urn=urn)

    told = land.verify(other.sign(), issuer=(other.certificate, land.seal.certificate))

    assert told["reason"] == "CERTIFICATE_INVALID"


def test_a_country_is_its_anchor(land: Land, tmp_path: Path) -> None:
    """The same names under another root are nobody; so is a certificate without its authority's."""
    abroad = Land(tmp_path)

    foreign = land.verify(abroad.andf.sign(), issuer=(abroad.andf.certificate, abroad.seal.certificate))
    own = land.verify(land.andf.sign(), issuer=(land.andf.certificate, abroad.seal.certificate))
    alone = land.verify(land.andf.sign(), issuer=(land.andf.certificate,))

    assert [one["reason"] for one in (foreign, own, alone)] == ["CERTIFICATE_INVALID"] * 3


# --- the JWT ---


def signed(land: Land, payload: bytes) -> str:
    """Any claims, really signed."""
    return sign_document(DocumentKind.OFFICIAL, payload, land.andf.key)


CLAIMS: Final[dict[str, Any]] = msgspec.to_builtins(claims())
WRONG_CLAIMS: Final = {
    "not JSON": b"{",
    "an array": b"[]",
    "not UTF-8": encode(claims()).replace(b"ADJOVI", b"\xff\xfeJOVI"),
    "half a character": encode(claims()).replace(b"ADJOVI", b"\\ud800"),
    "a claim twice": b'{"iss":"BJ/GOV/ANIP/RNPP",' + encode(claims())[1:],
    "a claim that is none": msgspec.json.encode(CLAIMS | {"nbf": 1}),
    **{
        f"no {name}": msgspec.json.encode({k: v for k, v in CLAIMS.items() if k != name})
        for name in CLAIMS
        if name != "names"
    },
    "an issuer that is a member": msgspec.json.encode(CLAIMS | {"iss": "BJ/GOV/ANDF"}),
    "a number with blanks": msgspec.json.encode(CLAIMS | {"doc_id": "ANDF 1"}),
    "a type in small letters": msgspec.json.encode(CLAIMS | {"type": "title"}),
    "a digest in capitals": msgspec.json.encode(CLAIMS | {"sha256": "A" * 64}),
    "a time as text": msgspec.json.encode(CLAIMS | {"iat": "1790000000"}),
    "a time before times": msgspec.json.encode(CLAIMS | {"iat": -1}),
    "a time without a date": msgspec.json.encode(CLAIMS | {"iat": 10**12}),
    "an end before the beginning": msgspec.json.encode(CLAIMS | {"exp": CLAIMS["iat"] - 1}),
    "an end that is null": msgspec.json.encode(CLAIMS | {"exp": None}),
    "one name that is no list": msgspec.json.encode(CLAIMS | {"names": "ADJOVI"}),
    "five names": msgspec.json.encode(CLAIMS | {"names": ["ADJOVI"] * 5}),
    "more than a code holds": msgspec.json.encode(CLAIMS | {"names": ["A" * 1200]}),
}


@pytest.mark.parametrize("wrong", WRONG_CLAIMS)
def test_claims_are_exactly_those_of_a_document(land: Land, wrong: str) -> None:
    """Though the agency's own key signed them."""
    assert land.verify(signed(land, WRONG_CLAIMS[wrong]))["reason"] == "DOCUMENT_INVALID"


def headed(land: Land, header: bytes) -> str:
    """A good document under another header, signed as such."""
    signing_input = b64url(header) + b"." + b64url(encode(claims()))
    return (signing_input + b"." + b64url(sign_es256(land.andf.key, signing_input))).decode()


def test_the_header_is_exactly_that_of_a_document(land: Land) -> None:
    """No other algorithm, kind, member or order; and nothing of it chooses the key."""
    good = unb64url(land.andf.sign().partition(".")[0].encode())
    assert land.verify(headed(land, good))["verdict"] == "GOOD"
    wrong = (
        good.replace(b"ES256", b"none"),
        good.replace(b"ES256", b"HS256"),
        good.replace(b"document+jwt", b"agreement+jwt"),
        good.replace(b"document+jwt", b"JWT"),
        good.replace(b'"typ"', b'"jku":"https://example.bj","typ"'),
        good.replace(b",", b", "),
        good[:-3] + b'"}',
        b"{}",
        b"",
        b"\xff",
    )

    for header in wrong:
        assert land.verify(headed(land, header))["reason"] == "DOCUMENT_INVALID", header


def test_a_key_that_nobody_knows_signs_nothing(land: Land) -> None:
    """Named truly or falsely."""
    stranger = Signer(generate_key(), land.andf.certificate)
    _, payload, signature = stranger.sign().split(".")
    header, _, _ = land.andf.sign().split(".")

    for jws in (stranger.sign(), f"{header}.{payload}.{signature}"):
        assert land.verify(jws)["reason"] == "SIGNATURE_INVALID"


def test_pieces_of_a_code_are_refused(land: Land) -> None:
    """As a bad camera reads them, or somebody who has a try."""
    good = land.andf.sign()
    header, payload, signature = good.split(".")
    raw = unb64url(signature.encode())
    r, s = (int.from_bytes(half) for half in (raw[:32], raw[32:]))
    twin = b64url(raw[:32] + (ORDER - s).to_bytes(32)).decode()
    der = b64url(encode_dss_signature(r, s)).decode()
    malformed = (
        *(".", "..", header, f"{header}.{payload}", f"{good}.", f".{payload}.{signature}"),
        *(f"{header}.{payload}.", f"{header}.{payload}=.{signature}", f"{header}.{payload} .{signature}"),
        *(f"{header}.{payload}.{signature[:-4]}", f"{good}AAAA", f"{header}.{payload}.{der}"),
        *(good.replace("A", "é", 1), "%" * 100, "é", "{}", "A" * 9_000_000),
    )

    for jws in malformed:
        assert land.verify(jws)["reason"] == "DOCUMENT_INVALID", jws[:300]
    for jws in (f"{header}..{signature}", f"{header}.{payload}.{twin}", f"{header}.{payload}.{'A' * 86}"):
        assert land.verify(jws)["reason"] == "SIGNATURE_INVALID", jws
    assert land.verify(f" {good}\n")["verdict"] == "GOOD"


# --- the file ---


@pytest.fixture(scope="module")
def papers(land: Land) -> list[tuple[bytes, str]]:
    """Two documents of ANDF, of as many bytes, and their codes."""

    def paper(doc_id: str) -> tuple[bytes, str]:
        sheet = Sheet(Text("État", "State"), ANDF, [Line(Text("N°", "No."), doc_id)])
        return make_pdf(sheet, lambda digest: land.andf.sign(doc_id=doc_id, sha256=digest))

    return [paper(f"ANDF-CADASTRE-2026-0000000{number}") for number in (1, 2)]


def code_of(pdf: bytes) -> bytes:
    """The QR code's hex digits, as they stand in a file."""
    return pdf.partition(b" ID\n")[2].partition(b">")[0]


def test_a_file_is_the_one_that_was_signed(land: Land, papers: list[tuple[bytes, str]]) -> None:
    """Each byte of it, also where nothing is drawn."""
    ((content, jws), _) = papers

    told = land.verify(pdf=content)

    assert (told["verdict"], told["doc_id"]) == ("GOOD", "ANDF-CADASTRE-2026-00000001")
    assert read_jws(content) == jws
    for place in range(0, len(content), 997):
        other = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert land.verify(pdf=other)["verdict"] == "REFUSED", place


def test_the_code_of_another_document_proves_nothing(land: Land, papers: list[tuple[bytes, str]]) -> None:
    """The text alone, the picture alone, or both, taken from a genuine document of the same agency."""
    ((content, jws), (other, other_jws)) = papers
    text = content.replace(jws.encode(), other_jws.encode())
    picture = content.replace(code_of(content), code_of(other))
    both = text.replace(code_of(content), code_of(other))

    assert land.verify(other_jws)["verdict"] == "GOOD"
    for altered in (text, picture, both):
        assert altered != content
        assert land.verify(pdf=altered)["reason"] == "DOCUMENT_INVALID"
    assert "not the one that was signed" in land.verify(pdf=both)["detail"]


def test_a_file_with_no_code_or_two_is_no_document(land: Land, papers: list[tuple[bytes, str]]) -> None:
    """And none of a document is one: a file that was cut, another that goes on, no PDF at all."""
    ((content, jws), _) = papers
    keywords = f"/Keywords ({jws})".encode()
    wrong = (
        *(
            b"",
            b"%PDF-1.4\n%%EOF\n",
            content.replace(keywords, b"/Keywords ()"),
            content[: len(content) // 2],
        ),
        *(
            content + content,
            content + keywords,
            content + b"\n",
            b"/Keywords (ey.a.b)",
            b"/Keywords (eyA.A.A)",
        ),
        content + b"%" * 8 * 1024 * 1024,
    )

    for data in wrong:
        assert land.verify(pdf=data)["verdict"] == "REFUSED", data[:40]


def test_a_code_longer_than_any_is_refused(papers: list[tuple[bytes, str]]) -> None:
    """A QR code holds some 2,300 bytes: what cannot be drawn stands in no document."""
    with pytest.raises(MalformedDocumentError):
        blanked(papers[0][0], f"ey.{'A' * 3000}.A")


# --- how it is asked ---


@pytest.mark.parametrize("wrong", ["issuer", "anchor", "crl"])
@pytest.mark.parametrize(
    "data", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff\0"]
)
def test_what_a_question_rests_on_accuses_no_document(land: Land, wrong: str, data: bytes) -> None:
    """A certificate, an anchor or a list that cannot be read: exit 2, and no verdict."""
    files = {
        "issuer": land.file("good.crt", chain_pem([land.andf.certificate, land.seal.certificate])),
        "anchor": str(land.directory / "anchor.pem"),
        "crl": land.file("good.crl", revocations(land.seal)),
    } | {wrong: land.file("wrong", data)}
    options = [part for name, path in files.items() for part in (f"--{name}", path)]

    done = CliRunner().invoke(document, ["verify", "--qr", land.andf.sign(), *options])

    assert done.exit_code == 2, done.output
    assert "VERDICT" not in done.output


def test_a_file_or_a_code_is_asked_about(land: Land) -> None:
    """Not both, not neither."""
    trusted = [
        "--issuer",
        land.file("one.crt", certificate_pem(land.andf.certificate)),
        "--anchor",
        str(land.directory / "anchor.pem"),
    ]
    paper = land.file("paper.pdf", b"")

    for asked in ([], [paper, "--qr", "a.b.c"]):
        assert CliRunner().invoke(document, ["verify", *asked, *trusted]).exit_code == 2
