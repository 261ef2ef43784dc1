"""Every trick that JWTs are known for, at each of our verifiers: 0 accepted, and each refused by name.

A new verifier is one entry of ``VERIFIERS``: what it takes, and a function that does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from core.documents import encode
from core.heads import MalformedHeadError, TreeHead, b64url, encode_head, head_header, unb64url
from core.identifiers import GatewayId
from core.jws import DocumentKind, document_header
from core.reasons import ExchangeError
from core.registrations import MemberSuccessor
from pki.documents import verify_document
from pki.heads import verify_head
from pki.jws import CALLER, HEAD, JWS_KINDS, verify_jws
from pki.keys import (
    BadSignatureError,
    certificate_thumbprint,
    generate_key,
    key_thumbprint,
    public_key_der,
    public_key_pem,
    sign_es256,
    verify_es256,
    verify_jws_es256,
)
from pki.tokens import ProgramKey, verify_token
from tests.support.certificates import NOW, Country

VECTORS = Path(__file__).parents[2] / "vectors"
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

COUNTRY = Country()
KEY = COUNTRY.leaf_key
CERTIFICATE = COUNTRY.seal.build()
THUMBPRINT = certificate_thumbprint(CERTIFICATE)
KID = key_thumbprint(KEY.public_key())
OTHER = generate_key()

HEAD_PAYLOAD = encode_head(
    TreeHead(1, "ab" * 32, "BJ/GOV/ANIP/gw1", 3, "cd" * 32, int(NOW.timestamp()), None)
)
SUCCESSOR_PAYLOAD = encode(MemberSuccessor(1, "BJ/GOV/ANIP", KID, "B" * 43, "2026-11-23T00:00:00Z"))
PROGRAM = ProgramKey("BJ/GOV/PNS/PORTAIL/web", KEY.public_key())
CLAIMS = json.dumps(
    {
        "iss": PROGRAM.program,
        "sub": PROGRAM.program,
        "aud": "BJ/GOV/PNS/gw1",
        "iat": 1,
        "nbf": 1,
        "exp": 2,
        "jti": "0" * 16,
    }
).encode()
CALLER_HEADER = b'{"alg":"ES256","typ":"caller+jwt","kid":"%s"}' % KID.encode()


@dataclass(frozen=True)
class Verifier:
    """One of our verifiers, and the one header and a payload that it takes.

    ``is_exact``: it compares the header as bytes and wants the low s; callers' own JWT libraries may write neither.
    """

    header: bytes
    payload: bytes
    verify: Callable[[bytes], object]
    is_exact: bool = True


def _document(kind: DocumentKind, payload: bytes = b"{}") -> Verifier:
    return Verifier(
        document_header(kind, KID),
        payload,
        lambda jws: verify_document(kind, jws.decode("latin-1"), KEY.public_key()),
    )


def _by_command(typ: str, header: bytes, payload: bytes) -> Verifier:
    named: dict[str, Any] = {"certificate": CERTIFICATE} if typ == HEAD else {"key": KEY.public_key()}
    return Verifier(header, payload, lambda jws: verify_jws(jws, typ, **named), typ != CALLER)


VERIFIERS: Final = {
    "heads": Verifier(
        head_header(THUMBPRINT), HEAD_PAYLOAD, lambda jws: verify_head(jws, {THUMBPRINT: CERTIFICATE})
    ),
    **{f"documents: {kind}": _document(kind) for kind in DocumentKind},
    "verify-jws: heads": _by_command(HEAD, head_header(THUMBPRINT), HEAD_PAYLOAD),
    "verify-jws: successors": _by_command(
        DocumentKind.MEMBER_SUCCESSOR,
        document_header(DocumentKind.MEMBER_SUCCESSOR, KID),
        SUCCESSOR_PAYLOAD,
    ),
    "verify-jws: callers": _by_command(CALLER, CALLER_HEADER, CLAIMS),
    "callers at the door": Verifier(
        CALLER_HEADER,
        CLAIMS,
        lambda jws: verify_token(jws, {KID: PROGRAM}.get, GatewayId.parse("BJ/GOV/PNS/gw1")),
        is_exact=False,
    ),
}


def compact(header: bytes, payload: bytes, signature: bytes | None = None) -> bytes:
    """A compact JWS; signed with the right key over whatever it says, unless a signature is given."""
    signing_input = b64url(header) + b"." + b64url(payload)
    if signature is None:
        signature = sign_es256(KEY, signing_input)
    return signing_input + b"." + b64url(signature)


def good(verifier: Verifier) -> bytes:
    return compact(verifier.header, verifier.payload)


def parts(verifier: Verifier) -> tuple[bytes, bytes, bytes]:
    one, two, three = good(verifier).split(b".")
    return one, two, three


Trick = Callable[[Verifier], bytes]


def header_with(**members: Any) -> Trick:
    """Members changed or added; the signature over it is good."""

    def trick(verifier: Verifier) -> bytes:
        header = json.loads(verifier.header) | members
        return compact(json.dumps(header, separators=(",", ":")).encode(), verifier.payload)

    return trick


def header_as(edit: Callable[[bytes], bytes]) -> Trick:
    return lambda verifier: compact(edit(verifier.header), verifier.payload)


def signature_as(edit: Callable[[bytes], bytes]) -> Trick:
    def trick(verifier: Verifier) -> bytes:
        return compact(verifier.header, verifier.payload, edit(unb64url(parts(verifier)[2])))

    return trick


def text_as(edit: Callable[[bytes], bytes]) -> Trick:
    return lambda verifier: edit(good(verifier))


def keyed_with(secret: bytes, algorithm: str = "HS256") -> Trick:
    """The public key, which everybody has, as the secret of an HMAC."""

    def trick(verifier: Verifier) -> bytes:
        header = json.dumps(json.loads(verifier.header) | {"alg": algorithm}, separators=(",", ":")).encode()
        mac = hmac.new(secret, b64url(header) + b"." + b64url(verifier.payload), hashlib.sha256).digest()
        return compact(header, verifier.payload, mac)

    return trick


def without_signature(algorithm: str) -> Trick:
    def trick(verifier: Verifier) -> bytes:
        header = json.dumps(json.loads(verifier.header) | {"alg": algorithm}, separators=(",", ":")).encode()
        return compact(header, verifier.payload, b"")

    return trick


def high_s(signature: bytes) -> bytes:
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def as_der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def padded(jws: bytes) -> bytes:
    return b".".join(part + b"=" * (-len(part) % 4 or 4) for part in jws.split(b"."))


def other_last_character(jws: bytes) -> bytes:
    """64 bytes leave four bits of the last character unused: another one decodes to the same bytes."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return jws[:-1] + alphabet[alphabet.index(jws[-1]) + 1 :][:1]


def signed_by_another(verifier: Verifier) -> bytes:
    signing_input = b64url(verifier.header) + b"." + b64url(verifier.payload)
    return signing_input + b"." + b64url(sign_es256(OTHER, signing_input))


def with_key_inside(verifier: Verifier) -> bytes:
    """The attacker's own key in the header, and a signature that it made."""
    numbers = OTHER.public_key().public_numbers()
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": b64url(numbers.x.to_bytes(32, "big")).decode(),
        "y": b64url(numbers.y.to_bytes(32, "big")).decode(),
    }
    header = json.dumps(json.loads(verifier.header) | {"jwk": jwk}, separators=(",", ":")).encode()
    return signed_by_another(replace(verifier, header=header))


def as_json(verifier: Verifier) -> bytes:
    one, two, three = (part.decode() for part in parts(verifier))
    return json.dumps({"payload": two, "signatures": [{"protected": one, "signature": three}]}).encode()


def name_of(header: bytes) -> bytes:
    """The member that names key or certificate."""
    return b'"kid"' if b'"kid"' in header else b'"x5t#S256"'


PUBLIC = KEY.public_key()
POINT = PUBLIC.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
BASE = (1).to_bytes(32, "big")

TRICKS: dict[str, Trick] = {
    "none": without_signature("none"),
    "None": without_signature("None"),
    "NONE": without_signature("NONE"),
    "no algorithm": without_signature(""),
    "none with the signature left": header_with(alg="none"),
    "HS256 with the public key, PEM": keyed_with(public_key_pem(PUBLIC).encode()),
    "HS256 with the public key, DER": keyed_with(public_key_der(PUBLIC)),
    "HS256 with the point": keyed_with(POINT),
    "HS256 with nothing": keyed_with(b""),
    "HS256, but says ES256": keyed_with(public_key_pem(PUBLIC).encode(), "ES256"),
    "ES384": header_with(alg="ES384"),
    "ES256K": header_with(alg="ES256K"),
    "RS256": header_with(alg="RS256"),
    "lower case": header_with(alg="es256"),
    "algorithms": header_with(alg=["ES256"]),
    "path as kid": header_with(kid="../../../../../dev/null"),
    "query as kid": header_with(kid="x' UNION SELECT 'AAAA' --"),
    "command as kid": header_with(kid="key|/usr/bin/id"),
    "address as kid": header_with(kid="https://attacker.example/key"),
    "kid of another key": header_with(kid=key_thumbprint(OTHER.public_key())),
    "kid and line end": header_with(kid=KID + "\n"),
    "kid and zero": header_with(kid=KID + "\0"),
    "kid as number": header_with(kid=0),
    "no kid": header_with(kid=None),
    "jku": header_with(jku="https://attacker.example/keys"),
    "x5u": header_with(x5u="https://attacker.example/certificate"),
    "jwk": with_key_inside,
    "x5c": header_with(x5c=["MIIB"]),
    "crit": header_with(crit=["exp"]),
    "crit, empty": header_with(crit=[]),
    "b64": header_with(b64=False, crit=["b64"]),
    "zip": header_with(zip="DEF"),
    "cty": header_with(cty="JWT"),
    "one member more": header_with(note=""),
    "no kind": header_as(lambda header: header.replace(b'"typ":', b'"type":')),
    "upper case kind": header_as(lambda header: header.replace(b"+jwt", b"+JWT")),
    "JWT": header_with(typ="JWT"),
    "kind with blanks": header_as(lambda header: header.replace(b'+jwt"', b'+jwt "')),
    "algorithm twice": header_as(lambda header: header.replace(b'{"alg"', b'{"alg":"none","alg"')),
    "algorithm twice, the other last": header_as(
        lambda header: header.replace(b'"ES256"', b'"ES256","alg":"none"')
    ),
    "name twice": header_as(
        lambda header: header.replace(
            name_of(header), name_of(header) + b':"%s",' % (b"B" * 43) + name_of(header)
        )
    ),
    "escaped twin": header_as(lambda header: header.replace(b'{"alg"', b'{"\\u0061lg":"none","alg"')),
    "byte order mark": header_as(lambda header: b"\xef\xbb\xbf" + header),
    "zero behind": header_as(lambda header: header + b"\0"),
    "second document": header_as(lambda header: header + b"{}"),
    "no object": header_as(lambda _: b"[]"),
    "no JSON": header_as(lambda _: b"ES256"),
    "deep": header_as(lambda _: b"[" * 5000),
    "not UTF-8": header_as(lambda header: header.replace(b"ES256", b"ES256\xff")),
    "empty header": header_as(lambda _: b""),
    "DER": signature_as(as_der),
    "one byte short": signature_as(lambda signature: signature[:-1]),
    "one byte long": signature_as(lambda signature: signature + b"\0"),
    "zero in front": signature_as(lambda signature: b"\0" + signature),
    "empty": signature_as(lambda _: b""),
    "zeros": signature_as(lambda _: bytes(64)),
    "r zero": signature_as(lambda signature: bytes(32) + signature[32:]),
    "s zero": signature_as(lambda signature: signature[:32] + bytes(32)),
    "r is the order": signature_as(lambda signature: ORDER.to_bytes(32, "big") + signature[32:]),
    "r and s one": signature_as(lambda _: BASE + BASE),
    "all ones": signature_as(lambda _: b"\xff" * 32 + b"\x7f" + b"\xff" * 31),
    "swapped": signature_as(lambda signature: signature[32:] + signature[:32]),
    "one bit": signature_as(lambda signature: bytes([signature[0] ^ 1]) + signature[1:]),
    "of another key": signed_by_another,
    "padded": text_as(padded),
    "padded signature": text_as(lambda jws: jws + b"=="),
    "other alphabet": text_as(lambda jws: jws.translate(bytes.maketrans(b"-_", b"+/")) + b"+"),
    "stray bits": text_as(other_last_character),
    "line end": text_as(lambda jws: jws + b"\n"),
    "blank in front": text_as(lambda jws: b" " + jws),
    "blank inside": text_as(lambda jws: jws.replace(b".", b" .", 1)),
    "line end inside": text_as(lambda jws: jws[:20] + b"\n" + jws[20:]),
    "zero inside": text_as(lambda jws: jws[:20] + b"\0" + jws[20:]),
    "fourth part": text_as(lambda jws: jws + b"."),
    "fourth part in front": text_as(lambda jws: b"." + jws),
    "two parts": text_as(lambda jws: jws.rpartition(b".")[0]),
    "five parts, as if encrypted": text_as(lambda jws: jws + b".AA.AA"),
    "nothing": text_as(lambda _: b""),
    "dots": text_as(lambda _: b".."),
    "not ASCII": text_as(lambda jws: jws + b"\xc3\xa9"),
    "JSON form": as_json,
    "payload exchanged": lambda verifier: b".".join(
        (parts(verifier)[0], b64url(verifier.payload + b" "), parts(verifier)[2])
    ),
    "payload away": lambda verifier: b".".join((parts(verifier)[0], b"", parts(verifier)[2])),
    "over-long": text_as(lambda jws: jws + b"A" * (9 * 1024 * 1024)),
}

# The same meaning, written otherwise: an exact header has one form, and what is kept has one signature.
OTHER_SPELLINGS: dict[str, Trick] = {
    "high s": signature_as(high_s),
    "blanks": header_as(lambda header: header.replace(b",", b", ")),
    "other order": header_as(
        lambda header: json.dumps(dict(reversed(json.loads(header).items())), separators=(",", ":")).encode()
    ),
    "escaped slash": header_as(lambda header: header.replace(b"+jwt", b"\\u002bjwt")),
}


@pytest.mark.parametrize("name", VERIFIERS)
def test_what_is_right_is_taken(name: str) -> None:
    """The refusals below are about the tricks."""
    VERIFIERS[name].verify(good(VERIFIERS[name]))


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("name", VERIFIERS)
def test_no_trick_is_taken(name: str, trick: str) -> None:
    """Whatever header, signature or text: a named refusal."""
    verifier = VERIFIERS[name]
    hostile = TRICKS[trick](verifier)
    assert hostile != good(verifier)

    with pytest.raises(ExchangeError):
        verifier.verify(hostile)


@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
@pytest.mark.parametrize("name", [name for name, one in VERIFIERS.items() if one.is_exact])
def test_what_is_kept_has_one_written_form(name: str, spelling: str) -> None:
    """Heads and documents are named by digests of their bytes: a twin that also verified would be another."""
    verifier = VERIFIERS[name]

    with pytest.raises(ExchangeError):
        verifier.verify(OTHER_SPELLINGS[spelling](verifier))


@pytest.mark.parametrize("name", VERIFIERS)
def test_no_kind_is_taken_for_another(name: str) -> None:
    """Each header with a good signature, over each payload, at each other verifier."""
    verifier = VERIFIERS[name]
    for other in VERIFIERS.values():
        if other.header != verifier.header:
            for payload in (verifier.payload, other.payload):
                with pytest.raises(ExchangeError):
                    verifier.verify(compact(other.header, payload))


def test_every_kind_has_a_verifier_here() -> None:
    """A kind that is added meets all of this."""
    kinds = {json.loads(one.header)["typ"] for one in VERIFIERS.values()}

    assert kinds == set(JWS_KINDS)


def wycheproof(name: str) -> list[dict[str, Any]]:
    found = json.loads((VECTORS / name).read_text())
    assert isinstance(found, list)
    return found


def test_no_wycheproof_jws_is_taken_by_any_verifier() -> None:
    """401 JWS of other makers, valid ones too, are of no kind of ours; with the vector's own key where it is P-256."""
    taken = tried = 0
    for group in wycheproof("wycheproof_jws.json"):
        key = _key_of(group["key"])
        for test in group["tests"]:
            for kind in DocumentKind:
                taken += _takes(lambda t=test, k=kind, p=key: verify_document(k, t["jws"], p))  # type: ignore[misc]  # bound now
            for typ in JWS_KINDS:
                named: dict[str, Any] = {"certificate": CERTIFICATE} if typ == HEAD else {"key": key}
                taken += _takes(
                    lambda t=test, k=typ, n=named: verify_jws(t["jws"].encode(), k, **n)  # type: ignore[misc]  # bound now
                )
            tried += 1

    assert (tried, taken) == (401, 0)


def test_wycheproof_jws_signatures_are_judged_as_they_must_be() -> None:
    """The layer below the header: of those signed for a P-256 key, no invalid one verifies, and the valid ones do."""
    judged = {"valid": [0, 0], "invalid": [0, 0]}
    for group in wycheproof("wycheproof_jws.json"):
        if group["key"] is None or "encryption" in group["comment"]:
            continue  # what a key is for, our configuration says and not the key
        key = _key_of(group["key"])
        for test in group["tests"]:
            judged[test["result"]][_takes(lambda t=test, p=key: _verify_es256_jws(t["jws"], p))] += 1  # type: ignore[misc]  # bound now

    assert judged == {"valid": [0, 2], "invalid": [37, 0]}


def test_wycheproof_es256_signatures_are_judged_as_they_must_be() -> None:
    """262 signatures over P-256: what is invalid is refused, what is valid is taken, and kept only with a low s."""
    wrong = []
    low = 0
    for group in wycheproof("wycheproof_es256.json"):
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(group["key"]))
        for test in group["tests"]:
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            valid = _takes(lambda k=key, m=message, s=signature: verify_jws_es256(k, m, s))  # type: ignore[misc]  # bound now
            kept = _takes(lambda k=key, m=message, s=signature: verify_es256(k, m, s))  # type: ignore[misc]  # bound now
            is_low = int.from_bytes(signature[32:], "big") <= ORDER // 2
            if valid != (test["result"] == "valid") or kept != (valid and is_low):
                wrong.append(test["id"])
            low += kept

    assert wrong == []
    assert 60 < low < 173


def _takes(verify: Callable[[], object]) -> bool:
    """Whether it is accepted; whatever is not a named refusal of ours fails the test."""
    try:
        verify()
    except ExchangeError:
        return False
    return True


def _key_of(jwk: dict[str, str] | None) -> ec.EllipticCurvePublicKey:
    if jwk is None:
        return KEY.public_key()
    x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="), "big") for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _verify_es256_jws(jws: str, key: ec.EllipticCurvePublicKey) -> None:
    """A compact JWS with the header that these vectors have, by our own base64 and signature code."""
    found = jws.encode().split(b".")
    if len(found) != 3:
        raise MalformedHeadError("not a compact JWS")
    header, _, signature = map(unb64url, found)
    if header != b'{"alg":"ES256","kid":"kid-ec-sign"}':
        raise MalformedHeadError("another header")
    verify_jws_es256(key, found[0] + b"." + found[1], signature)


def test_signatures_over_another_hash_are_refused() -> None:
    """A signature with the same key over SHA-384 of the same bytes is none."""
    verifier = VERIFIERS["heads"]
    signing_input = b64url(verifier.header) + b"." + b64url(verifier.payload)
    der = KEY.sign(signing_input, ec.ECDSA(hashes.SHA384()))
    raw = b"".join(one.to_bytes(32, "big") for one in decode_dss_signature(der))

    with pytest.raises(MalformedHeadError):
        verifier.verify(compact(verifier.header, verifier.payload, raw))
    with pytest.raises(BadSignatureError):
        verify_jws_es256(KEY.public_key(), signing_input, raw)
