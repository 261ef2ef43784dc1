"""Caller tokens: a program without a client certificate shows a short-lived JWT (PROTOCOL, "Caller tokens").

``docs/protocol/caller-token.md`` fixes the form. One kind, ``caller+jwt``, and one algorithm. The key is chosen by the
gateway's configuration; ``kid`` merely says which of the known keys to try, and is compared, never used as a path, an
address or part of a query. As for heads there is no JWT library at this end: nothing is left to negotiate.

``verify_token`` establishes what stays true of the same bytes, and can be remembered. What changes with time and
connection, ``CallerToken.require_usable`` asks at every use.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from core.clock import Clock
from core.documents import MalformedDocumentError, decode_strict
from core.heads import MalformedHeadError, b64url, unb64url
from core.identifiers import GatewayId, ProgramId
from core.reasons import MalformedError, Reason
from pki.keys import BadSignatureError, key_thumbprint, sign_es256, verify_jws_es256

TYPE: Final = "caller+jwt"
MAX_LIFETIME: Final = timedelta(minutes=5)
MAX_SKEW: Final = timedelta(seconds=60)
MAX_TOKEN_BYTES: Final = 4096

_T = TypeVar("_T", bound=msgspec.Struct)
_JTI = re.compile(r"[A-Za-z0-9_-]{16,64}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class TokenFault(StrEnum):
    """Why a token admits nobody: for counters, which a stranger does not see."""

    FORM = "form"
    KEY = "key"
    SIGNATURE = "signature"
    AUDIENCE = "audience"
    LIFETIME = "lifetime"
    PROGRAM = "program"
    EARLY = "early"
    EXPIRED = "expired"
    CERTIFICATE = "certificate"


class TokenError(MalformedError):
    """A token that admits nobody. Only who holds a registered key can get ``TOKEN_EXPIRED``."""

    def __init__(self, fault: TokenFault, why: str) -> None:
        super().__init__(
            Reason.TOKEN_EXPIRED if fault is TokenFault.EXPIRED else Reason.TOKEN_INVALID, f"token: {why}"
        )
        self.fault = fault

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    typ: str
    kid: str


class _Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    thumbprint: str = msgspec.field(name="x5t#S256")


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    iss: str
    sub: str
    aud: str
    iat: int
    nbf: int
    exp: int
    jti: str
    cnf: _Confirmation | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class ProgramKey:
    """A key that the gateway's administrator registered for a program, ``BJ/GOV/PNS/PORTAIL/web``."""

    program: str
    key: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class CallerToken:
    """Who calls, proven by a token whose signature, audience and lifetime are right.

    Attributes:
        program: The program that signed it.
        key: Thumbprint of its key, as ``caller: jwt:…`` of a statement names it.
        not_before: UTC seconds; the later of ``iat`` and ``nbf``.
        expires_at: UTC seconds.
        certificate: The only TLS client certificate it may be shown with; ``None`` if it is not bound.
    """

    program: str
    key: str
    not_before: int
    expires_at: int
    certificate: str | None

    def require_usable(self, now_ms: int, certificate: str | None) -> None:
        """Check it for one call: now, over a connection that showed ``certificate`` (x5t#S256) or none.

        Raises:
            TokenError: It is not valid yet, not any more, or bound to another certificate.
        """
        now = now_ms // 1000
        if self.not_before > now + MAX_SKEW.total_seconds():
            raise TokenError(TokenFault.EARLY, "issued in the future")
        # No grace at the end: a lifetime is short because a stolen token must not live longer.
        if now >= self.expires_at:
            raise TokenError(TokenFault.EXPIRED, "expired")
        if self.certificate is not None and self.certificate != certificate:
            raise TokenError(TokenFault.CERTIFICATE, "bound to another certificate than the one shown")


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token in its form: exactly our members, each once, one kind, one algorithm. Nobody vouches for it yet.

    Attributes:
        token: Compact JWS.
        kid: The key that it names.
        claims: What it claims.
    """

    token: bytes
    kid: str
    claims: _Claims

    @property
    def payload(self) -> bytes:
        """The claims as they were signed."""
        return unb64url(self.token.split(b".")[1])

    def require_signature(self, key: ec.EllipticCurvePublicKey) -> None:
        """Check that ``key`` signed it.

        Raises:
            TokenError: It did not.
        """
        signing_input, _, signature = self.token.rpartition(b".")
        try:
            verify_jws_es256(key, signing_input, unb64url(signature))
        except (MalformedHeadError, BadSignatureError):
            raise TokenError(TokenFault.SIGNATURE, "the signature does not verify") from None


def parse_token(token: bytes) -> UnverifiedToken:
    """Read a token.

    Raises:
        TokenError: It is not in the one form that a token has.
    """
    parts = _split(token)
    header, claims = _read(parts[0], _Header), _read(parts[1], _Claims)
    if header.typ != TYPE or header.alg != "ES256":
        raise TokenError(TokenFault.FORM, f"not a {TYPE} signed with ES256")
    return UnverifiedToken(token, header.kid, claims)


def issue_token(
    key: ec.EllipticCurvePrivateKey,
    program: ProgramId,
    audience: GatewayId,
    *,
    clock: Clock,
    token_id: str,
    lifetime: timedelta = MAX_LIFETIME,
    certificate_thumbprint: str | None = None,
) -> str:
    """A token of ``program`` for one gateway; ``certificate_thumbprint`` binds it to a TLS certificate (RFC 8705)."""
    now = clock.now_ms() // 1000
    claims = _Claims(
        iss=str(program),
        sub=str(program),
        aud=str(audience),
        iat=now,
        nbf=now,
        exp=now + int(lifetime.total_seconds()),
        jti=token_id,
        cnf=_Confirmation(certificate_thumbprint) if certificate_thumbprint else msgspec.UNSET,
    )
    header = _Header(alg="ES256", typ=TYPE, kid=key_thumbprint(key.public_key()))
    signing_input = b".".join(b64url(msgspec.json.encode(one)) for one in (header, claims))
    return (signing_input + b"." + b64url(sign_es256(key, signing_input))).decode("ascii")


def verify_token(
    token: bytes, key_of: Callable[[str], ProgramKey | None], audience: GatewayId
) -> CallerToken:
    """Check what does not change while the same token is shown again.

    Args:
        token: Compact JWS.
        key_of: The registered key of a thumbprint; None if there is none.
        audience: This gateway.

    Raises:
        TokenError: It is refused, and why.
    """
    # 1 Form: three canonical parts, exactly our members, each once; one kind, one algorithm.
    unverified = parse_token(token)
    kid, claims = unverified.kid, unverified.claims
    # 2 The key is a registered one, and the one that is named.
    found = key_of(kid) if _THUMBPRINT.fullmatch(kid) else None
    if found is None or key_thumbprint(found.key) != kid:
        raise TokenError(TokenFault.KEY, "signed by a key that is not registered")
    # 3 The signature. From here on we speak to a program that the administrator knows, or to its thief.
    unverified.require_signature(found.key)
    # 4 For this gateway, and for no longer than a token may live.
    if claims.aud != str(audience):
        raise TokenError(TokenFault.AUDIENCE, "addressed to another gateway")
    if not _JTI.fullmatch(claims.jti):
        raise TokenError(TokenFault.FORM, "malformed jti")
    first, last = min(claims.iat, claims.nbf), max(claims.iat, claims.nbf)
    if claims.exp <= last or claims.exp - first > MAX_LIFETIME.total_seconds():
        raise TokenError(TokenFault.LIFETIME, "lives longer than 5 minutes, or not at all")
    # 5 The key speaks for its own program only.
    if claims.iss != found.program or claims.sub != found.program:
        raise TokenError(TokenFault.PROGRAM, "the key is registered for another program")
    bound_to = None if claims.cnf is msgspec.UNSET else claims.cnf.thumbprint
    return CallerToken(found.program, kid, last, claims.exp, bound_to)


def _split(token: bytes) -> list[bytes]:
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError(TokenFault.FORM, "too long")
    parts = token.split(b".")
    if len(parts) != 3:
        raise TokenError(TokenFault.FORM, "not a compact JWS")
    return parts


def _read(part: bytes, kind: type[_T]) -> _T:
    try:
        return decode_strict(unb64url(part), kind, max_bytes=MAX_TOKEN_BYTES)
    except (MalformedHeadError, MalformedDocumentError):
        # Not the parser's own words: they could quote the token.
        raise TokenError(TokenFault.FORM, "not the members that it must have") from None
