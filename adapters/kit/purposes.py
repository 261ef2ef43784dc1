"""Purposes of DOMAIN section 3, and what each may see.

The agreement decides who may call a method and for which purposes, and the gateway has checked it. A method says here
which purposes it is open to at all, before its register is read, and which fields of its answer each may have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from google.protobuf.message import Message

from adapters.context import current_caller
from adapters.reasons import ProviderError, ProviderReason
from core.reasons import ExchangeError, Reason

# The citizen's own dossier.
SERVICE_DELIVERY: Final = "P01"
# A duty to register: commerce, labour, land.
REGISTRATION_DUTY: Final = "P02"
# A private check, with a consent reference.
PRIVATE_KYC: Final = "P03"
# Sworn officers, with a mission.
INSPECTION: Final = "P04"
# A court, with its order.
JUDICIAL: Final = "P05"
# Aggregates only.
STATISTICS: Final = "P06"
# The person's own data.
SUBJECT_ACCESS: Final = "P07"
# Metadata only, never a payload.
AUDIT: Final = "P08"

# All that there are.
PURPOSES: Final = frozenset(
    {
        SERVICE_DELIVERY,
        REGISTRATION_DUTY,
        PRIVATE_KYC,
        INSPECTION,
        JUDICIAL,
        STATISTICS,
        SUBJECT_ACCESS,
        AUDIT,
    }
)

# The fields of a message that a purpose may see; "residence.town" for one of a message inside.
Profile: TypeAlias = frozenset[str]


def require_purpose(granted: frozenset[str]) -> str:
    """The purpose of the call that is being served, if the method is open to it.

    Raises:
        ExchangeError: The call names none (PURPOSE_REQUIRED).
        ProviderError: The method is not open to it (PURPOSE_NOT_ALLOWED).
    """
    purpose = current_caller().require_purpose()
    if purpose not in granted:
        raise ProviderError(ProviderReason.PURPOSE_NOT_ALLOWED)
    return purpose


def require_issue() -> str:
    """The dossier that the call names in ``x-road-issue``.

    Raises:
        ExchangeError: It names none (ISSUE_REQUIRED).
    """
    issue = current_caller().issue
    if issue is None:
        raise ExchangeError(Reason.ISSUE_REQUIRED)
    return issue


def trim(message: Message, profile: Profile) -> None:
    """Clear every field of ``message`` that ``profile`` does not name; a message named whole stays whole."""
    for field, value in message.ListFields():
        if field.name in profile:
            continue
        inner = frozenset(_below(field.name, profile))
        if not inner or field.message_type is None:
            message.ClearField(field.name)
        else:
            for one in value if field.is_repeated else (value,):
                trim(one, inner)


def _below(name: str, profile: Iterable[str]) -> Iterable[str]:
    prefix = f"{name}."
    return (path.removeprefix(prefix) for path in profile if path.startswith(prefix))
