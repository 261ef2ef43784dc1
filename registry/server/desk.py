"""What the services share: who calls, the office behind, lists by pages, bounded texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import grpc
from sqlalchemy import Select
from sqlalchemy.orm import Session

from core.clock import Clock
from core.identifiers import UrnKind
from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import members_pb2
from pki.profiles import Profile
from registry.office import Actor, Office
from rpc.credentials import peer

DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000

# The certificates that may speak here, and the profile each must fulfil in full.
_PROFILES: Final[dict[UrnKind, Profile]] = {
    "operator": Profile.OPERATOR,
    "auditor": Profile.AUDITOR,
    "gateway": Profile.AUTH,
    "registry": Profile.REGISTRY,
}
STATES: Final = {
    "active": members_pb2.STATE_ACTIVE,
    "suspended": members_pb2.STATE_SUSPENDED,
    "revoked": members_pb2.STATE_REVOKED,
    "superseded": members_pb2.STATE_SUPERSEDED,
}

_Row = TypeVar("_Row")


class Door:
    """Tells who calls, judged anew on every call: chain, validity, revocation, role."""

    def __init__(self, office: Office, clock: Clock) -> None:
        self._office = office
        self._clock = clock

    def enter(self, context: grpc.ServicerContext) -> Actor:
        """The caller; raises ``ExchangeError`` for certificates that may not speak here."""
        found = peer(context, clock=self._clock)
        profile = _PROFILES.get(found.kind)
        if profile is None:
            raise ExchangeError(Reason.NOT_AUTHORISED, f"{found.urn} has nothing to ask of a registry")
        with self._office.sessions() as session:
            # TLS looks at no revocation list; a revoked operator must not get in by an open connection.
            self._office.judge.chain(session, found.certificate, profile, self._clock.now_ms())
        return Actor(found.kind, found.identifier, found.urn)


class Desk:
    """One service of the API. Every method enters by the door first, then asks the office."""

    def __init__(self, office: Office, door: Door) -> None:
        self._office = office
        self._door = door

    def _version(self, dry_run: bool) -> int:
        """The version that publishes what was just done; 0 if nothing was."""
        return 0 if dry_run else self._office.publisher.current.mark.version


def read_page(
    session: Session, query: Select[_Row], size: int, token: Callable[[_Row], str]
) -> tuple[list[_Row], str]:
    """One page of ``query``, and the token of its last row if more follow; 0 asks for the default size.

    Raises:
        ExchangeError: The page would be too long.
    """
    if size > MAX_PAGE:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"a page has at most {MAX_PAGE} entries")
    size = size or DEFAULT_PAGE
    found = list(session.scalars(query.limit(size + 1)))
    return found[:size], token(found[size - 1]) if len(found) > size else ""


def parse_number(token: str) -> int:
    """A number in a page token; raises ``ExchangeError``."""
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise ExchangeError(Reason.DOCUMENT_INVALID, "not a page token of this list")
    return int(token)


def require_bounded(text: str, longest: int, what: str) -> str:
    """A text of at most ``longest`` characters; raises ``ExchangeError``."""
    if len(text) > longest:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"{what} is longer than {longest} characters")
    return text
