"""Step 1: which program of our member calls, proven by its certificate or by a caller token.

What a stranger sends costs it more than us: nothing is logged, nothing is kept, and only a token that names a
registered key costs a verification.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.clock import Clock
from core.identifiers import GatewayId
from core.payloads import Metadata
from core.reasons import Reason
from gateway.worker.trust import TrustView
from pki.tokens import MAX_TOKEN_BYTES, CallerToken, ProgramKey, TokenError, TokenFault, verify_token

# ``caller`` of statements behind which no certificate and no key stands (docs/protocol/statement.md).
LOOPBACK: Final = "loopback"

_AUTHORIZATION: Final = b"authorization"
_SCHEME: Final = b"bearer "  # RFC 6750; schemes are compared without case (RFC 9110, section 11.1)


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that the administrator admitted.

    Attributes:
        program: ``BJ/GOV/PNS/PORTAIL/web``.
        credential: How it was authenticated, as ``caller`` of its statements: ``mtls:…``, ``jwt:…``, or ``loopback``
            where nobody was asked (PROTOCOL M14).
    """

    program: str
    credential: str


def is_admitted(view: TrustView, caller: Caller) -> bool:
    """Whether the credential that a stream began with is still registered for its program; a token may have expired.

    Behind a loopback route there is none: the settings admitted it, and they last as long as this process.
    """
    kind, _, name = caller.credential.partition(":")
    if kind == LOOPBACK:
        return True
    if kind == "mtls":
        return view.programs.get(name) == caller.program
    key = view.program_keys.get(name)
    return key is not None and key.program == caller.program


class Callers:
    """Tells who calls; remembers verified tokens.

    Args:
        gateway: The audience that tokens must name.
        clock: What time it is.
        max_tokens: How many verified tokens are remembered; the least recently used goes first.
        count: Counts why tokens are refused.
    """

    def __init__(self, gateway: str, *, clock: Clock, max_tokens: int, count: Callable[[str], None]) -> None:
        self._gateway = GatewayId.parse(gateway)
        self._clock = clock
        self._max_tokens = max_tokens
        self._count = count
        # By digest, so that what is remembered cannot be shown to anyone.
        self._verified: OrderedDict[bytes, CallerToken] = OrderedDict()

    def identify(
        self, view: TrustView | None, metadata: Metadata, certificate: str, unasked: Caller | None = None
    ) -> Caller | Reason:
        """The program behind a call, or why it is refused; asked again for every call.

        Args:
            view: The configuration in force.
            metadata: All metadata of the call.
            certificate: x5t#S256 of the client certificate that TLS verified; empty without one.
            unasked: Who it is where the door asks nobody: a loopback route. A token that is shown there counts.
        """
        if view is None:
            return Reason.CONFIG_MISSING
        shown = [value for name, value in metadata if name == _AUTHORIZATION]
        program = view.programs.get(certificate)
        if not shown and unasked is not None:
            return unasked
        if not shown:
            return Caller(program, f"mtls:{certificate}") if program else Reason.PROGRAM_UNKNOWN
        try:
            token = self._token(view, shown)
            token.require_usable(self._clock.now_ms(), certificate or None)
            if certificate and program != token.program:
                raise TokenError(TokenFault.CERTIFICATE, "beside a certificate of another program")
        except TokenError as error:
            self._count(f"token_refused_{error.fault}")
            return error.reason
        return Caller(token.program, f"jwt:{token.key}")

    def _token(self, view: TrustView, shown: list[bytes]) -> CallerToken:
        token = _bearer(shown)
        digest = hashlib.sha256(token).digest()
        found = self._verified.get(digest)
        if found is None:
            found = verify_token(token, view.program_keys.get, self._gateway)
            self._verified[digest] = found
            if len(self._verified) > self._max_tokens:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(digest)
            _require_registered(view.program_keys.get(found.key), found)
        return found


def _bearer(shown: list[bytes]) -> bytes:
    """The one token in the values of ``authorization``."""
    value = shown[0]
    if len(shown) > 1 or len(value) > MAX_TOKEN_BYTES + len(_SCHEME) or value[:7].lower() != _SCHEME:
        raise TokenError(TokenFault.FORM, "not exactly one bearer token")
    return value[7:]


def _require_registered(key: ProgramKey | None, token: CallerToken) -> None:
    """A remembered token ends with its key, not with its own lifetime."""
    if key is None or key.program != token.program:
        raise TokenError(TokenFault.KEY, "signed by a key that is not registered any more")
