"""Caller tokens: a program without a client certificate of its own shows a short-lived JWT (PROTOCOL, Trust).

One kind, ``caller+jwt``, ES256 only. The key is chosen by the gateway's configuration; ``kid`` merely says which of
the known keys to try, and is compared, never used as a path, an address or part of a query. PyJWT checks signature
and times; what it leaves open (duplicate members, further headers, other spellings of base64) is settled before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.types import Options

from core.clock import Clock
from core.documents import MalformedDocumentError, decode_strict
from core.heads import MalformedHeadError, unb64url
from core.identifiers import GatewayId, ProgramId
from core.reasons import MalformedError, Reason
from pki.keys import key_thumbprint

TYPE: Final = "caller+jwt"
MAX_LIFETIME: Final = timedelta(minutes=5)
MAX_SKEW: Final = timedelta(seconds=60)
MAX_TOKEN_BYTES: Final = 4096

_JTI = re.compile(r"[A-Za-z0-9_-]{16,64}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class TokenError(MalformedError):
    """A token that admits nobody."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.TOKEN_INVALID, why)

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
    aud: str
    iat: int
    exp: int
    jti: str
    cnf: _Confirmation | None = None


@dataclass(frozen=True, slots=True)
class CallerToken:
    """Who calls, proven by a token.

    Attributes:
        program: The program that signed it.
        key: Thumbprint of its key, as ``caller: jwt:…`` of a statement names it.
        token_id: ``jti``.
        expires_at: UTC seconds.
    """

    program: ProgramId
    key: str
    token_id: str
    expires_at: int


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
    claims: dict[str, Any] = {
        "iss": str(program),
        "aud": str(audience),
        "iat": now,
        "exp": now + int(lifetime.total_seconds()),
        "jti": token_id,
    }
    if certificate_thumbprint is not None:
        claims["cnf"] = {"x5t#S256": certificate_thumbprint}
    header = {"typ": TYPE, "kid": key_thumbprint(key.public_key())}
    return jwt.encode(claims, key, algorithm="ES256", headers=header)


def verify_token(
    token: str,
    key_of: Callable[[str], ec.EllipticCurvePublicKey | None],
    audience: GatewayId,
    *,
    clock: Clock,
    certificate_thumbprint: str | None,
) -> CallerToken:
    """Check a token that was shown to ``audience``.

    Args:
        token: Compact JWS.
        key_of: The registered key of a thumbprint; None if there is none.
        audience: This gateway.
        clock: What time it is.
        certificate_thumbprint: ``x5t#S256`` of the certificate that TLS verified, None without one.

    Raises:
        TokenError: It is refused, and why.
    """
    # 1 Form: three canonical parts, exactly our members, each once.
    header, claims = _parse(token)
    # 2 Kind and algorithm: one of each.
    if header.typ != TYPE:
        raise TokenError(f"not a {TYPE}")
    if header.alg != "ES256":
        raise TokenError("not signed with ES256")
    # 3 The key is a registered one, and the one that is named.
    key = key_of(header.kid) if _THUMBPRINT.fullmatch(header.kid) else None
    if key is None or key_thumbprint(key) != header.kid:
        raise TokenError("signed by a key that is not registered")
    # 4 The signature.
    _require_signature(token, key)
    # 5 For this gateway, now, and not for longer than a token may live.
    if claims.aud != str(audience):
        raise TokenError("addressed to another gateway")
    _require_times(claims, clock.now_ms() // 1000)
    if not _JTI.fullmatch(claims.jti):
        raise TokenError("malformed jti")
    # 6 Bound to a certificate: only over a connection that shows it.
    if claims.cnf is not None and claims.cnf.thumbprint != certificate_thumbprint:
        raise TokenError("bound to another certificate than the one shown")
    try:
        program = ProgramId.parse(claims.iss)
    except ValueError:
        raise TokenError("iss is no program") from None
    return CallerToken(program, header.kid, claims.jti, claims.exp)


def _parse(token: str) -> tuple[_Header, _Claims]:
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise TokenError("too long or not ASCII")
    parts = token.encode("ascii").split(b".")
    if len(parts) != 3:
        raise TokenError("not a compact JWS")
    try:
        header, claims, _ = map(unb64url, parts)
        return (
            decode_strict(header, _Header, max_bytes=MAX_TOKEN_BYTES),
            decode_strict(claims, _Claims, max_bytes=MAX_TOKEN_BYTES),
        )
    except (MalformedHeadError, MalformedDocumentError) as error:
        raise TokenError(str(error)) from None


def _require_signature(token: str, key: ec.EllipticCurvePublicKey) -> None:
    """PyJWT with one key and one algorithm; times are checked by our own clock, not by its."""
    unchecked: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    try:
        jwt.decode(token, key, algorithms=["ES256"], options=unchecked)
    except jwt.PyJWTError:
        raise TokenError("the signature does not verify") from None


def _require_times(claims: _Claims, now: int) -> None:
    lifetime = claims.exp - claims.iat
    if not 0 < lifetime <= MAX_LIFETIME.total_seconds():
        raise TokenError("lives longer than 5 minutes, or not at all")
    if claims.iat > now + MAX_SKEW.total_seconds():
        raise TokenError("issued in the future")
    # No grace at the end: a lifetime is short because a stolen token must not live longer.
    if now >= claims.exp:
        raise TokenError("expired")
