"""The form of a request: the ``buf.validate`` rules of its proto, checked before the service sees it."""

from __future__ import annotations

from typing import Final

import protovalidate
from google.protobuf.message import Message
from protovalidate import Violation

from adapters.reasons import InvalidFieldsError

# Compiles the rules of each message once and keeps them; safe to use from several threads.
_VALIDATOR: Final = protovalidate.Validator()


def require_valid(message: Message) -> None:
    """Return if ``message`` keeps all its rules.

    Raises:
        InvalidFieldsError: Per field that does not, its path and the rule; never its value.
    """
    violations = _VALIDATOR.collect_violations(message)
    if violations:
        raise InvalidFieldsError({_path(violation): violation.proto.message for violation in violations})


def _path(violation: Violation) -> str:
    """The field as ``BadRequest`` names it, ``residence.country``; empty for a rule over the message."""
    field = violation.proto.field
    return ".".join(element.field_name for element in field.elements) if field else ""
