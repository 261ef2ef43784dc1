"""Protobuf's JSON form, read strictly and written, by descriptors at run time (https://protobuf.dev/programming-guides/json/).

What a reader of JSON may take one way or another is refused: a key that stands twice, a field that the message has not,
``NaN``, a byte order mark, text behind the object, bytes that are not UTF-8. No error names a value: the body may be
about a person.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from core.reasons import ExchangeError, Reason
from gateway.worker.jsonforms import JsonForms

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

MAX_JSON_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
_MAX_NUMBER: Final = 64  # characters: above the longest that any field of a message needs

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_FAILED = re.compile(r"Failed to parse ([A-Za-z_][A-Za-z0-9_]{0,63}) field", re.ASCII)


class JsonRefusedError(ExchangeError):
    """A body that is no request of its method.

    Attributes:
        field: Where, ``profile`` or ``persons[2].npi``; empty if it is the body as a whole.
        text: What is wrong, without any value.
    """

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(Reason.JSON_INVALID, f"{field}: {text}" if field else text)
        self.field = field
        self.text = text


@dataclass(frozen=True, slots=True)
class MessageTypes:
    """The two messages of one method, the pool that they are of, and the forms of its messages in JSON."""

    request: type[Message]
    response: type[Message]
    pool: DescriptorPool
    forms: JsonForms


def types_of(method: str, descriptors: DescriptorPool) -> MessageTypes:
    """The messages of ``bj.identity.v1.IdentityService/GetPerson``; raises ``KeyError``."""
    from google.protobuf.message_factory import GetMessageClass

    found = descriptors.FindMethodByName(method.replace("/", "."))
    forms = JsonForms(JsonRefusedError, descriptors.FindMessageTypeByName)
    return MessageTypes(
        GetMessageClass(found.input_type), GetMessageClass(found.output_type), descriptors, forms
    )


def read_json(body: bytes, types: MessageTypes) -> bytes:
    """The request that a JSON body means, serialised.

    Raises:
        JsonRefusedError: It is no JSON object, not one meaning, or no such message.
    """
    from google.protobuf import json_format
    from google.protobuf.message import EncodeError

    parsed = _parse(body)
    request = types.request()
    try:
        types.forms.require(parsed, request.DESCRIPTOR)  # type: ignore[arg-type]  # upb's is one
        message = json_format.ParseDict(
            parsed, request, descriptor_pool=types.pool, max_recursion_depth=MAX_DEPTH
        )
        written: bytes = message.SerializeToString(deterministic=True)
    except json_format.ParseError as error:
        # What it says quotes values: of that, only the names of fields.
        raise JsonRefusedError(
            "a value does not fit its field", ".".join(_FAILED.findall(str(error)))
        ) from None
    except EncodeError:
        raise JsonRefusedError("a required field is missing") from None
    except RecursionError:
        raise JsonRefusedError("the body is nested too deeply") from None
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError):
        # Which of them it is depends on the field; protobuf's reader lets some through.
        raise JsonRefusedError("a value does not fit its field") from None
    return written


def write_json(message: bytes, types: MessageTypes) -> bytes:
    """The JSON form of a serialised response; fields that the descriptors do not know are left out.

    Raises:
        ValueError: The bytes are no such message, or hold what has no JSON form.
    """
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    try:
        text = json_format.MessageToJson(
            types.response.FromString(message), indent=None, ensure_ascii=False, descriptor_pool=types.pool
        )
        return text.encode("utf-8")
    except (
        json_format.Error,
        DecodeError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ValueError(f"no JSON form: {type(error).__name__}") from None


def _parse(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
        found: object = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_fraction,
        )
    except UnicodeDecodeError:
        raise JsonRefusedError("the body is not UTF-8") from None
    except RecursionError:
        raise JsonRefusedError("the body is nested too deeply") from None
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise JsonRefusedError(f"the body is not JSON{where}") from None
    if not isinstance(found, dict):
        raise JsonRefusedError("the body is not a JSON object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        # One pass: a body may have a hundred thousand keys.
        if name in found:
            raise JsonRefusedError("a key stands twice", name if _NAME.fullmatch(name) else "")
        found[name] = value
    return found


def _constant(_: str) -> NoReturn:
    raise JsonRefusedError("NaN and Infinity are not JSON; protobuf writes them as strings")


def _integer(text: str) -> int:
    return int(_bounded(text))


def _fraction(text: str) -> float:
    return float(_bounded(text))


def _bounded(text: str) -> str:
    if len(text) > _MAX_NUMBER:
        raise JsonRefusedError("a number is too long")
    return text
