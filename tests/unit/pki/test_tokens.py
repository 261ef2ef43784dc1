"""Caller tokens: every confusion that JWTs are known for, and none accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
from datetime import timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import ManualClock
from core.heads import b64url, head_header, parse_head
from core.identifiers import GatewayId, ProgramId
from core.jws import DocumentKind
from core.reasons import MalformedError, Reason
from pki.documents import sign_document, verify_document
from pki.keys import generate_key, key_pem, key_thumbprint, public_key_pem, sign_es256
from pki.tokens import (
    MAX_LIFETIME,
    CallerToken,
    ProgramKey,
    TokenError,
    TokenFault,
    issue_token,
    verify_token,
)

KEY = generate_key()
KID = key_thumbprint(KEY.public_key())
GATEWAY = GatewayId.parse("BJ/GOV/ANIP/gw1")
PROGRAM = ProgramId.parse("BJ/GOV/ANIP/RNPP/gestion")
JTI = "0123456789abcdef"
KEYS = {KID: ProgramKey(str(PROGRAM), KEY.public_key())}
CERTIFICATE = "A" * 43
NOW_MS = 1_790_000_000_000
NOW = NOW_MS // 1000


def token(**changes: Any) -> str:
    options: dict[str, Any] = {"clock": ManualClock(NOW_MS), "token_id": JTI, **changes}
    return issue_token(KEY, PROGRAM, GATEWAY, **options)


def verify(text: str, *, certificate: str | None = None, later: timedelta = timedelta(0)) -> CallerToken:
    found = verify_token(text.encode(), KEYS.get, GATEWAY)
    found.require_usable(NOW_MS + int(later.total_seconds() * 1000), certificate)
    return found


def crafted(header: str | dict[str, Any], claims: str | dict[str, Any] | None = None) -> str:
    """A token with a good signature over whatever it says."""
    said = CLAIMS if claims is None else claims
    parts = [one if isinstance(one, str) else json.dumps(one) for one in (header, said)]
    signing_input = b".".join(b64url(part.encode()) for part in parts)
    return (signing_input + b"." + b64url(sign_es256(KEY, signing_input))).decode()


HEADER = {"alg": "ES256", "typ": "caller+jwt", "kid": KID}
CLAIMS = {
    "iss": str(PROGRAM),
    "sub": str(PROGRAM),
    "aud": str(GATEWAY),
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 300,
    "jti": JTI,
}


def test_a_good_token_tells_who_calls() -> None:
    """What the gateway learns is the registered program and its key."""
    found = verify(token())

    assert found == CallerToken(str(PROGRAM), KID, NOW, NOW + 300, None)


def test_tokens_made_by_hand_are_taken_when_they_are_right() -> None:
    """The refusals below are about what is wrong, not about who built the token."""
    assert verify(crafted(HEADER)).program == str(PROGRAM)


def test_tokens_of_an_ordinary_jwt_library_are_taken() -> None:
    """PyJWT, like most, leaves s as it falls: half of its tokens would be refused by the rule for heads."""
    for number in range(16):
        made = jwt.encode(
            {**CLAIMS, "jti": f"{number:016}"}, key_pem(KEY), "ES256", {"typ": "caller+jwt", "kid": KID}
        )

        assert verify(made).program == str(PROGRAM)


HEADERS: dict[str, str | dict[str, Any]] = {
    "none": {**HEADER, "alg": "none"},
    "None": {**HEADER, "alg": "None"},
    "HS256": {**HEADER, "alg": "HS256"},
    "ES384": {**HEADER, "alg": "ES384"},
    "JWT": {**HEADER, "typ": "JWT"},
    "another kind": {**HEADER, "typ": "agreement+jwt"},
    "a head": {**HEADER, "typ": "tree-head+jwt"},
    "upper case kind": {**HEADER, "typ": "CALLER+JWT"},
    "no kind": {"alg": "ES256", "kid": KID},
    "no kid": {"alg": "ES256", "typ": "caller+jwt"},
    "no algorithm": {"typ": "caller+jwt", "kid": KID},
    "a path": {**HEADER, "kid": "../../../../dev/null"},
    "a query": {**HEADER, "kid": "x' UNION SELECT 'key' --"},
    "an address": {**HEADER, "kid": "https://attacker.example/key"},
    "an unknown key": {**HEADER, "kid": "B" * 43},
    "kid and line end": {**HEADER, "kid": KID + "\n"},
    "kid as list": {**HEADER, "kid": [KID]},
    "jku": {**HEADER, "jku": "https://attacker.example/"},
    "jwk": {**HEADER, "jwk": {"kty": "EC"}},
    "x5c": {**HEADER, "x5c": []},
    "x5u": {**HEADER, "x5u": "https://attacker.example/"},
    "crit": {**HEADER, "crit": ["exp"]},
    "b64": {**HEADER, "b64": False},
    "member twice": f'{{"alg":"none","alg":"ES256","typ":"caller+jwt","kid":"{KID}"}}',
    "not an object": "[]",
    "not JSON": "ES256",
    "deep": "[" * 200,
}


@pytest.mark.parametrize("name", HEADERS)
def test_every_other_header_is_refused(name: str) -> None:
    """The header chooses nothing: it is exactly what it must be, or the token is refused."""
    with pytest.raises(TokenError) as caught:
        verify(crafted(HEADERS[name]))

    assert caught.value.reason is Reason.TOKEN_INVALID


CLAIM_FAULTS: dict[str, str | dict[str, Any]] = {
    "another gateway": {**CLAIMS, "aud": "BJ/GOV/PNS/gw1"},
    "several audiences": {**CLAIMS, "aud": [str(GATEWAY)]},
    "no audience": {k: v for k, v in CLAIMS.items() if k != "aud"},
    "no end": {k: v for k, v in CLAIMS.items() if k != "exp"},
    "no beginning": {k: v for k, v in CLAIMS.items() if k != "iat"},
    "no id": {k: v for k, v in CLAIMS.items() if k != "jti"},
    "no issuer": {k: v for k, v in CLAIMS.items() if k != "iss"},
    "no subject": {k: v for k, v in CLAIMS.items() if k != "sub"},
    "no first moment": {k: v for k, v in CLAIMS.items() if k != "nbf"},
    "another program": {**CLAIMS, "iss": "BJ/GOV/ANIP/RNPP/web", "sub": "BJ/GOV/ANIP/RNPP/web"},
    "subject is another program": {**CLAIMS, "sub": "BJ/GOV/ANIP/RNPP/web"},
    "a program of another member": {**CLAIMS, "iss": "BJ/GOV/PNS/PORTAIL/web"},
    "a second too long": {**CLAIMS, "exp": NOW + 301},
    "valid before it was issued": {**CLAIMS, "nbf": NOW - 1},
    "no lifetime": {**CLAIMS, "exp": NOW},
    "ends before it begins": {**CLAIMS, "iat": NOW + 10, "exp": NOW + 5},
    "expired": {**CLAIMS, "iat": NOW - 200, "nbf": NOW - 200, "exp": NOW},
    "of the future": {**CLAIMS, "iat": NOW + 61, "nbf": NOW + 61, "exp": NOW + 100},
    "not valid yet": {**CLAIMS, "nbf": NOW + 61},
    "end as text": {**CLAIMS, "exp": str(NOW + 300)},
    "end as fraction": {**CLAIMS, "exp": NOW + 299.5},
    "endless": {**CLAIMS, "exp": 2**63},
    "short id": {**CLAIMS, "jti": "x"},
    "id with blanks": {**CLAIMS, "jti": "0123456789 abcdef"},
    "issuer is no program": {**CLAIMS, "iss": str(GATEWAY)},
    "one claim more": {**CLAIMS, "admin": True},
    "bound to nothing": {**CLAIMS, "cnf": None},
    "bound to a key": {**CLAIMS, "cnf": {"jwk": {}}},
    "bound twice": {**CLAIMS, "cnf": {"x5t#S256": CERTIFICATE, "jkt": "x"}},
    "claim twice": json.dumps(CLAIMS)[:-1] + f',"exp":{NOW + 100}}}',
    "NaN": json.dumps(CLAIMS).replace(str(NOW + 300), "NaN"),
    "not an object": "[]",
}


@pytest.mark.parametrize("name", CLAIM_FAULTS)
def test_every_wrong_claim_is_refused(name: str) -> None:
    """A signature over a wrong claim does not make it right."""
    with pytest.raises(TokenError):
        verify(crafted(HEADER, CLAIM_FAULTS[name]))


def test_the_public_key_is_no_shared_secret() -> None:
    """HS256 with the public key as secret, in the spellings that libraries have fallen for."""
    for secret in (public_key_pem(KEY.public_key()).encode(), KID.encode(), b""):
        head = b64url(json.dumps({**HEADER, "alg": "HS256"}).encode())
        signing_input = head + b"." + b64url(json.dumps(CLAIMS).encode())
        mac = hmac.new(secret, signing_input, hashlib.sha256).digest()

        with pytest.raises(TokenError):
            verify((signing_input + b"." + b64url(mac)).decode())


def test_unsigned_tokens_are_refused() -> None:
    """Neither an empty signature nor none at all."""
    head, claims, _ = token().split(".")

    for text in (f"{head}.{claims}.", f"{head}.{claims}", jwt.encode(CLAIMS, "", algorithm="none")):
        with pytest.raises(TokenError):
            verify(text)


def test_another_registered_key_is_not_the_one_named() -> None:
    """The key store's answer is compared with the name that was asked for."""
    other = ProgramKey(str(PROGRAM), generate_key().public_key())

    with pytest.raises(TokenError, match="not registered"):
        verify_token(token().encode(), lambda _kid: other, GATEWAY)


def test_a_signature_of_another_key_is_refused() -> None:
    """Naming a registered key is not having it."""
    head, claims, _ = token().split(".")
    forged = b64url(sign_es256(generate_key(), f"{head}.{claims}".encode())).decode()

    with pytest.raises(TokenError, match="does not verify"):
        verify(f"{head}.{claims}.{forged}")


def test_padding_and_other_spellings_are_refused() -> None:
    """One token, one spelling of each part."""
    good = token()
    head, claims, signature = good.split(".")
    padded = base64.urlsafe_b64encode(base64.urlsafe_b64decode(claims + "==")).decode()
    variants = [
        f"{head}.{claims}.{signature}==",
        f" {good}",
        f"{good}\n",
        f"{good}.",
        f"{head}.{claims}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",
        good.replace("_", "/", 1) if "_" in good else f"{head}/.{claims}.{signature}",
        f"é{good}",
        "x" * 5000,
    ]
    if "=" in padded:
        variants.append(f"{head}.{padded}.{signature}")

    for variant in variants:
        with pytest.raises(TokenError):
            verify(variant)


@pytest.mark.parametrize(
    ("later", "good"),
    [
        (timedelta(0), True),
        (MAX_LIFETIME - timedelta(seconds=1), True),
        (MAX_LIFETIME, False),
        (timedelta(seconds=-60), True),
        (timedelta(seconds=-61), False),
    ],
)
def test_a_token_lives_five_minutes(later: timedelta, good: bool) -> None:
    """Not a second longer; a gateway whose clock is a minute behind still takes it."""
    text = token()

    if good:
        assert verify(text, later=later).program == str(PROGRAM)
    else:
        with pytest.raises(TokenError) as caught:
            verify(text, later=later)
        is_over = caught.value.fault is TokenFault.EXPIRED
        assert is_over == (later > timedelta(0))
        assert caught.value.reason is (Reason.TOKEN_EXPIRED if is_over else Reason.TOKEN_INVALID)


@pytest.mark.parametrize("kind", ["agreement", "registration", "member-successor"])
def test_a_token_is_no_document_and_no_document_is_a_token(kind: str) -> None:
    """Signed by one and the same key, each is still taken for what it is only."""
    document = sign_document(DocumentKind(f"{kind}+jwt"), json.dumps(CLAIMS).encode(), KEY)

    with pytest.raises(TokenError):
        verify(document)
    with pytest.raises(MalformedError):
        verify_document(DocumentKind(f"{kind}+jwt"), token(), KEY.public_key())


def test_a_token_is_no_head_and_no_head_is_a_token() -> None:
    """The seal key's kind neither."""
    signing_input = b64url(head_header(KID)) + b"." + b64url(json.dumps(CLAIMS).encode())
    head = signing_input + b"." + b64url(sign_es256(KEY, signing_input))

    with pytest.raises(TokenError):
        verify(head.decode())
    with pytest.raises(MalformedError):
        parse_head(token().encode())


def test_no_error_repeats_a_token() -> None:
    """A refused token may be good at another gateway: what is told of it, holds none of it."""
    for claims in CLAIM_FAULTS.values():
        text = crafted(HEADER, claims)
        with pytest.raises(TokenError) as caught:
            verify(text)
        told = "".join(traceback.format_exception(caught.value))
        assert JTI not in str(caught.value)
        assert not any(part in told for part in text.split("."))


def test_a_bound_token_needs_its_certificate() -> None:
    """Stolen from the wire or a log, it is worth nothing without the TLS key (RFC 8705)."""
    bound = token(certificate_thumbprint=CERTIFICATE)

    assert verify(bound, certificate=CERTIFICATE).program == str(PROGRAM)
    for other in (None, "B" * 43):
        with pytest.raises(TokenError, match="another certificate"):
            verify(bound, certificate=other)


@given(st.text(max_size=300))
def test_arbitrary_text_is_refused_with_one_error(text: str) -> None:
    """Nothing but a refusal comes out."""
    with pytest.raises(TokenError):
        verify(text)
