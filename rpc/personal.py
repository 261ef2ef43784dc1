"""What descriptors say of persons, field by field, and what they forgot to say (PROTOCOL M13).

The options are those of ``bj.common.v1``: ``data_subject`` marks a field that holds a personal number; ``sensitivity``
and ``fields_sensitivity`` say of which class a value is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from bj.common.v1 import options_pb2, rules_pb2
from buf.validate import validate_pb2
from core.language import Text
from rpc.descriptors import link_descriptors, read_descriptors

# What these packages hold is nobody's register: points in time, health, reflection.
_GENERAL: Final = ("google.", "buf.", "grpc.")

_NO_SUBJECT: Final = Text(
    "Numéros personnels sans (bj.common.v1.data_subject) : aucun journal ne dira de qui l'appel parlait.",
    "Personal numbers without (bj.common.v1.data_subject): no log will tell whom a call was about.",
)
_NO_CLASS: Final = Text(
    "Champs sans classe (bj.common.v1.sensitivity, ou fields_sensitivity du message) : ils compteront comme publics.",
    "Fields without a class (bj.common.v1.sensitivity, or the message's fields_sensitivity): they will count as public.",
)


@dataclass(frozen=True, slots=True)
class Unsaid:
    """Fields of which descriptors do not say what a gateway needs to know, by their full names, in order.

    Attributes:
        subjects: They keep the rule of the personal number, and no log will tell that a call was about that person.
        classes: They have no class, and the log counts them as public.
    """

    subjects: tuple[str, ...]
    classes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.subjects or self.classes)

    def lines(self) -> Iterator[Text]:
        """What to tell who is about to publish them: for each kind what comes of it, then its fields, one a line."""
        for heading, fields in ((_NO_SUBJECT, self.subjects), (_NO_CLASS, self.classes)):
            if fields:
                yield heading
                yield from (Text(f"  {field}", f"  {field}") for field in fields)


def unsaid(data: bytes, services: Collection[str] = ()) -> Unsaid:
    """What a descriptor set forgot of the messages that its services take and give; of all services if none is named.

    Raises:
        MalformedError: ``DOCUMENT_INVALID``: it cannot be read or linked.
    """
    files = read_descriptors(data)
    pool = link_descriptors(files)
    found: dict[str, Descriptor] = {}
    for file in files.file:
        for service in file.service:
            name = f"{file.package}.{service.name}" if file.package else service.name
            if not services or name in services:
                for method in pool.FindServiceByName(name).methods:
                    _collect(method.input_type, found)
                    _collect(method.output_type, found)
    fields = [field for message in found.values() for field in message.fields if _is_value(field)]
    return Unsaid(
        tuple(sorted(one.full_name for one in fields if _keeps_npi_rule(one) and not is_data_subject(one))),
        tuple(sorted(one.full_name for one in fields if not sensitivity(one))),
    )


def is_data_subject(field: FieldDescriptor) -> bool:
    """Whether a field holds the personal number of a person concerned."""
    is_text = field.type == FieldDescriptor.TYPE_STRING
    return is_text and bool(field.GetOptions().Extensions[options_pb2.data_subject])


def sensitivity(field: FieldDescriptor) -> int:
    """The class of a field's value, its own or else its message's; ``SENSITIVITY_UNSPECIFIED`` (0) if nothing is said."""
    own = int(field.GetOptions().Extensions[options_pb2.sensitivity])
    holder = field.containing_type
    if own or holder is None:
        return own
    return int(holder.GetOptions().Extensions[options_pb2.fields_sensitivity])


def _collect(message: Descriptor, found: dict[str, Descriptor]) -> None:
    """A message and all that it may hold, at any depth."""
    pending = [message]
    while pending:
        one = pending.pop()
        if one.full_name not in found and not one.full_name.startswith(_GENERAL):
            found[one.full_name] = one
            pending.extend(_inner(one))


def _inner(message: Descriptor) -> Iterator[Descriptor]:
    for field in message.fields:
        if field.message_type is not None:
            yield field.message_type


def _is_value(field: FieldDescriptor) -> bool:
    """Whether a field holds a value itself; a point in time is a value, too. An entry of a map is its map's."""
    holder = field.containing_type
    if holder is not None and holder.GetOptions().map_entry:
        return False
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        inner = inner.fields_by_name["value"].message_type
    return inner is None or inner.full_name.startswith(_GENERAL)


def _keeps_npi_rule(field: FieldDescriptor) -> bool:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    strings = rules.repeated.items.string if field.is_repeated else rules.string
    return bool(strings.Extensions[rules_pb2.npi])
