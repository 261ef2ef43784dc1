"""Who calls, for what: the context that the member's own gateway vouches for.

The provider's gateway strips all ``x-road-*`` metadata that a program sent and writes its own, from the
statement it has verified and logged (step 10 of ``docs/protocol/exchange.md``). An adapter believes these
entries because they came over a connection whose certificate it has checked, and for no other reason: see
``adapters.admission``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, cast

from core.identifiers import (
    GatewayId,
    SubsystemId,
    require_exchange_id,
    require_handle,
    require_log_id,
    require_purpose,
)
from core.reasons import ExchangeError, Reason

CLIENT: Final = "x-road-client"
SERVICE: Final = "x-road-service"
EXCHANGE_ID: Final = "x-road-exchange-id"
REQUEST_HASH: Final = "x-road-request-hash"
AGREEMENT: Final = "x-road-agreement"
PURPOSE: Final = "x-road-purpose"
ISSUE: Final = "x-road-issue"
USER: Final = "x-road-userid"
USER_BASIS: Final = "x-road-userid-basis"
REFERENCE: Final = "x-road-id"
REPRESENTED_PARTY: Final = "x-road-represented-party"
ISSUED_AT: Final = "x-road-issued-at"

Basis = Literal["claimed", "verified"]

_AGREEMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[1-9][0-9]{0,8}")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,15}")


def _require_agreement(text: str) -> None:
    if not _AGREEMENT.fullmatch(text):
        raise ValueError("not an agreement and its version")


def _require_milliseconds(text: str) -> None:
    if not _MILLISECONDS.fullmatch(text):
        raise ValueError("not a time in milliseconds")


def _require_basis(text: str) -> None:
    if text not in ("claimed", "verified"):
        raise ValueError("not a basis")


# Names recur from call to call.
_subsystem = lru_cache(4096)(SubsystemId.parse)

_REQUIRED: Final = (CLIENT, SERVICE, EXCHANGE_ID, REQUEST_HASH, AGREEMENT, ISSUED_AT)
_GRAMMAR: Final[dict[str, Callable[[str], object]]] = {
    CLIENT: _subsystem,
    SERVICE: _subsystem,
    EXCHANGE_ID: require_exchange_id,
    REQUEST_HASH: require_log_id,
    ISSUED_AT: _require_milliseconds,
    AGREEMENT: _require_agreement,
    PURPOSE: require_purpose,
    ISSUE: require_handle,
    USER: require_handle,
    USER_BASIS: _require_basis,
    REFERENCE: require_handle,
    REPRESENTED_PARTY: require_handle,
}


@dataclass(frozen=True, slots=True)
class User:
    """Who acts at the consumer: an opaque handle, claimed by the program or verified by its gateway."""

    id: str
    basis: Basis


@dataclass(frozen=True, slots=True)
class CallerContext:
    """One call as the member's own gateway verified it.

    Attributes:
        gateway: The gateway of this member that the call came through.
        client: Consumer subsystem, ``BJ/GOV/PNS/PORTAIL``.
        service: Provider subsystem, ``BJ/GOV/ANIP/RNPP``.
        exchange_id: UUIDv7 of the exchange, the same in both gateways' logs.
        request_hash: Leaf hash of the request statement, 64 hex digits: names the evidence.
        agreement: Agreement acted under and its version, ``CV-0042/3``.
        issued_at_ms: When the consumer's gateway wrote the request, UTC milliseconds by its clock.
        purpose: Purpose code, ``P01``; the agreement grants it.
        issue: Dossier reference.
        user: Who acts.
        reference: The program's own reference.
        represented_party: On whose behalf the consumer acts.
    """

    gateway: GatewayId
    client: SubsystemId
    service: SubsystemId
    exchange_id: str
    request_hash: str
    agreement: str
    issued_at_ms: int
    purpose: str | None = None
    issue: str | None = None
    user: User | None = None
    reference: str | None = None
    represented_party: str | None = None

    def require_purpose(self) -> str:
        """The purpose; raises ``PURPOSE_REQUIRED`` if the call names none."""
        if self.purpose is None:
            raise ExchangeError(Reason.PURPOSE_REQUIRED)
        return self.purpose


def parse_context(gateway: GatewayId, metadata: Iterable[tuple[str, str | bytes]]) -> CallerContext:
    """Read the context from the metadata of one call; what is not ours is passed over.

    Raises:
        ExchangeError: An entry is missing, repeated or malformed (METADATA_INVALID). It names the entry only.
    """
    entries: dict[str, str] = {}
    for key, value in metadata:
        require = _GRAMMAR.get(key)
        if require is None:
            continue
        if key in entries:
            raise ExchangeError(Reason.METADATA_INVALID, f"{key} is repeated")
        try:
            require(value if isinstance(value, str) else "")
        except ValueError:
            raise ExchangeError(Reason.METADATA_INVALID, f"{key} is malformed") from None
        entries[key] = cast(str, value)
    for key in _REQUIRED:
        if key not in entries:
            raise ExchangeError(Reason.METADATA_INVALID, f"{key} is missing")
    return CallerContext(
        gateway=gateway,
        client=_subsystem(entries[CLIENT]),
        service=_subsystem(entries[SERVICE]),
        exchange_id=entries[EXCHANGE_ID],
        request_hash=entries[REQUEST_HASH],
        agreement=entries[AGREEMENT],
        issued_at_ms=int(entries[ISSUED_AT]),
        purpose=entries.get(PURPOSE),
        issue=entries.get(ISSUE),
        user=_user(entries.get(USER), entries.get(USER_BASIS)),
        reference=entries.get(REFERENCE),
        represented_party=entries.get(REPRESENTED_PARTY),
    )


def _user(identifier: str | None, basis: str | None) -> User | None:
    if (identifier is None) != (basis is None):
        raise ExchangeError(Reason.METADATA_INVALID, f"{USER} and {USER_BASIS} go together")
    return User(identifier, cast(Basis, basis)) if identifier is not None else None


_current: ContextVar[CallerContext] = ContextVar("caller")


def current_caller() -> CallerContext:
    """The context of the call that is being served; ``LookupError`` outside of one."""
    return _current.get()


@contextmanager
def serving(caller: CallerContext) -> Iterator[None]:
    """Serve one call: inside, ``current_caller`` returns ``caller``. So a test calls a servicer, too."""
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)
