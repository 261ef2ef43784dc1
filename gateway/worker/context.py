"""The metadata of a call: what the program claims, what the adapter is told, what passes through untouched.

Reserved names (``x-road-*``) never pass a border: the consumer's gateway takes them off the program's call, the
provider's gateway writes its own from the verified statement (DESIGN, invariant 7). Nor does anything that some
program takes for an identity: proxies' headers, credentials, and reserved names spelt with ``_``, which many
frameworks fold into ``-``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from core.identifiers import SubsystemId, require_handle, require_purpose
from core.payloads import Metadata
from core.reasons import Reason
from core.statements import AgreementMark, Statement, User

RESERVED: Final = b"x-road-"

# Of the HTTP request itself, or consumed at the door; everything else belongs to the two programs.
_OWN: Final = frozenset(
    {
        b"te",
        b"content-type",
        b"grpc-timeout",
        b"grpc-encoding",
        b"connection",
        b"host",
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
        # Who came through which proxy: no proxy stands here, so whoever says so made it up.
        b"forwarded",
        b"via",
        b"x-real-ip",
    }
)
_FORWARDED: Final = b"x-forwarded-"

_CLIENT = b"x-road-client"
_SERVICE = b"x-road-service"
_PURPOSE = b"x-road-purpose"
_ISSUE = b"x-road-issue"
_USER = b"x-road-userid"
_REFERENCE = b"x-road-id"
_REPRESENTED = b"x-road-represented-party"
_KNOWN: Final = frozenset({_CLIENT, _SERVICE, _PURPOSE, _ISSUE, _USER, _REFERENCE, _REPRESENTED})

_subsystem = lru_cache(4096)(SubsystemId.parse)
_purpose = lru_cache(256)(require_purpose)


@dataclass(slots=True)
class Claims:
    """What a program says of its call. ``client`` still has to be the program's own; ``passed`` is what travels on."""

    client: str | None
    service: str | None
    purpose: str | None
    issue: str | None
    user: User | None
    reference: str | None
    represented: str | None
    passed: Metadata = ()
    objection: Reason | None = None


NO_CLAIMS: Final = Claims(None, None, None, None, None, None, None)


@lru_cache(4096)
def _stays_here(name: bytes) -> bool:
    """Whether no border lets an entry of this name pass."""
    folded = name.replace(b"_", b"-")
    # The prefix is looked for before the suffix goes: ``x-road-bin`` is reserved too.
    return folded.startswith((RESERVED, _FORWARDED)) or folded.removesuffix(b"-bin") in _OWN


def passed_on(metadata: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """What travels to the other side: all but reserved names, the call's own headers, credentials and identities."""
    return tuple([one for one in metadata if not _stays_here(one[0])])


def read_claims(metadata: Iterable[tuple[bytes, bytes]], personal_number: re.Pattern[str]) -> Claims:
    """Read the reserved entries of a program's call, strictly: known ones once each, each in its grammar.

    A value that is refused is not kept: it must not be logged (PROTOCOL M2).
    """
    found: dict[bytes, str] = {}
    passed: list[tuple[bytes, bytes]] = []
    objection = None
    for entry in metadata:
        name, value = entry
        if not _stays_here(name):
            passed.append(entry)
        elif name in _KNOWN:
            text = value.decode("ascii", "replace")
            reason = Reason.METADATA_INVALID if name in found else _check(name, text, personal_number)
            if reason is None:
                found[name] = text
            else:
                objection = objection or reason
                found.setdefault(name, "")
    if not found.get(_CLIENT):
        objection = objection or Reason.METADATA_INVALID
    user = found.get(_USER)
    return Claims(
        client=found.get(_CLIENT) or None,
        service=found.get(_SERVICE) or None,
        purpose=found.get(_PURPOSE) or None,
        issue=found.get(_ISSUE) or None,
        user=User(user, "claimed") if user else None,
        reference=found.get(_REFERENCE) or None,
        represented=found.get(_REPRESENTED) or None,
        passed=tuple(passed),
        objection=objection,
    )


def _check(name: bytes, text: str, personal_number: re.Pattern[str]) -> Reason | None:
    try:
        if name in (_CLIENT, _SERVICE):
            _subsystem(text)
        elif name == _PURPOSE:
            _purpose(text)
        else:
            require_handle(text)
            if personal_number.search(text):
                return Reason.PERSONAL_NUMBER_IN_METADATA
    except ValueError:
        return Reason.METADATA_INVALID
    return None


def has_personal_number(statement: Statement, personal_number: re.Pattern[str]) -> bool:
    """Whether a handle of a peer's statement holds what looks like a personal number (PROTOCOL M13)."""
    for handle in (statement.reference, statement.issue, statement.represented):
        if handle is not None and personal_number.search(handle):
            return True
    return statement.user is not None and personal_number.search(statement.user.id) is not None


def caller_context(statement: Statement, request_hash: str) -> Metadata:
    """What the adapter is told of the caller, from the verified request statement."""
    entries = [
        (_ISSUE, statement.issue),
        (_REFERENCE, statement.reference),
        (_REPRESENTED, statement.represented),
        (b"x-road-exchange-id", statement.exchange),
        (b"x-road-request-hash", request_hash),
        (b"x-road-issued-at", str(statement.issued_at)),
    ]
    if statement.user:
        entries += [(_USER, statement.user.id), (b"x-road-userid-basis", statement.user.basis)]
    recurring = _recurring_context(
        statement.client, statement.service, statement.purpose, statement.agreement
    )
    return recurring + tuple([(name, value.encode("ascii")) for name, value in entries if value is not None])


@lru_cache(4096)
def _recurring_context(
    client: str | None, service: str | None, purpose: str | None, agreement: AgreementMark | None
) -> Metadata:
    entries = [(_CLIENT, client), (_SERVICE, service), (_PURPOSE, purpose)]
    if agreement:
        entries.append((b"x-road-agreement", f"{agreement.id}/{agreement.version}"))
    return tuple((name, value.encode("ascii")) for name, value in entries if value is not None)
