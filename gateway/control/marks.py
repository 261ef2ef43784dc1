"""Compiles what descriptors say of persons, so that workers need none of them (PROTOCOL M13).

The options are those of ``bj.common.v1``: ``data_subject`` marks a field that holds a personal number; ``sensitivity``
and ``fields_sensitivity`` say of which class a value is, one of which nothing is said counts as S0. A method is marked by
the descriptors that its provider registered, whoever wrote them; a method of which they say nothing costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from bj.common.v1 import options_pb2
from core.agreements import parse_agreement
from core.configuration import MarkedMethod, Marks, MemberDocument, descriptors_target
from core.jws import DocumentKind, parse_document
from core.reasons import MalformedError
from core.wire import LEAF, Mark, PackedPlan, Plan, Rule, pack_plan
from rpc.descriptors import load_descriptors
from rpc.personal import is_data_subject, sensitivity
from rpc.plans import PlanError, find_messages, whole_plan

Marking = Callable[[FieldDescriptor], Mark | None]

_log = structlog.get_logger("gateway.control.configuration")

# The first field of an answer that lists (AIP-132): each of it is one record.
_LIST_FIELD: Final = 1
_UNREADABLE: Final[PackedPlan] = []


def compile_marks(members: Sequence[MemberDocument], documents: Mapping[str, bytes]) -> Marks:
    """What is noted of the messages of each method that an agreement names.

    Args:
        members: As they were judged: services with their descriptors, agreements of our own member.
        documents: All documents of the version, by target.
    """
    compiler = _Compiler(documents)
    named = sorted(set(_named(members)))
    for member in members:
        for service in member.services:
            for subsystem, name, method in named:
                if (service.subsystem, service.service) == (subsystem, name) and service.state == "active":
                    compiler.take(subsystem, name, method, service.descriptors)
    return Marks(compiler.methods, compiler.plans)


def _named(members: Sequence[MemberDocument]) -> Iterator[tuple[str, str, str]]:
    """Provider, service and method of each agreement that may still count."""
    for member in members:
        for entry in member.agreements:
            if entry.state != "revoked":
                payload = parse_document(DocumentKind.AGREEMENT, entry.provider_jws).unverified_payload
                terms = parse_agreement(payload)
                for method in terms.methods:
                    yield terms.provider.subsystem, terms.service, method


class _Compiler:
    """Plans under construction; messages of the same descriptors share theirs."""

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self._documents = documents
        self._pools: dict[str, DescriptorPool | None] = {}
        self._known: dict[tuple[str, str, Marking], int | None] = {}
        self.methods: list[MarkedMethod] = []
        self.plans: list[PackedPlan] = []

    def take(self, subsystem: str, service: str, method: str, descriptors: str) -> None:
        """Add a method, if its descriptors say something of its messages."""
        pool = self._pool(descriptors)
        try:
            if pool is None:
                raise PlanError("the descriptors cannot be linked")
            asked, answered = find_messages(pool, service, method)
        except PlanError as error:
            # Nobody can say that its messages name nobody.
            _log.error(
                "descriptors_not_read", subsystem=subsystem, service=service, method=method, why=str(error)
            )
            number = self._add(_UNREADABLE)
            self.methods.append(
                MarkedMethod(subsystem, f"{service}/{method}", number, number, number, True, False)
            )
            return
        found = MarkedMethod(
            subsystem=subsystem,
            method=f"{service}/{method}",
            asked=self._plan(descriptors, asked, _subject_mark),
            named=self._plan(descriptors, answered, _subject_mark),
            returned=self._plan(descriptors, answered, _class_mark),
            names_persons=_is_marked(asked, _subject_mark) or _is_marked(answered, _subject_mark),
            is_list=_is_list(answered),
        )
        if found.names_persons or found.returned is not None:
            self.methods.append(found)

    def _pool(self, descriptors: str) -> DescriptorPool | None:
        if descriptors not in self._pools:
            try:
                self._pools[descriptors] = load_descriptors(self._documents[descriptors_target(descriptors)])
            except MalformedError:
                self._pools[descriptors] = None
        return self._pools[descriptors]

    def _plan(self, descriptors: str, message: Descriptor, marking: Marking) -> int | None:
        key = (descriptors, message.full_name, marking)
        if key not in self._known:
            self._known[key] = self._compiled(message, marking) if _is_marked(message, marking) else None
        return self._known[key]

    def _compiled(self, message: Descriptor, marking: Marking) -> int:
        listed = message.fields_by_number[_LIST_FIELD].full_name if _is_list(message) else None

        def mark(field: FieldDescriptor) -> Mark | None:
            found = marking(field)
            if marking is _class_mark and field.full_name == listed:
                return Mark(found.sensitivity if found else 0, is_record=True)
            return found

        try:
            return self._add(pack_plan(_pruned(whole_plan(message, mark))))
        except PlanError:
            return self._add(_UNREADABLE)  # groups: no message of this kind can be read by its bytes

    def _add(self, plan: PackedPlan) -> int:
        self.plans.append(plan)
        return len(self.plans) - 1


def _subject_mark(field: FieldDescriptor) -> Mark | None:
    """A field that holds the personal number of a person concerned."""
    return Mark(is_subject=True) if is_data_subject(field) else None


def _class_mark(field: FieldDescriptor) -> Mark | None:
    """A field whose value has a class: its own, else its message's."""
    found = sensitivity(field)
    return Mark(found - options_pb2.SENSITIVITY_S0) if found else None


def _within(message: Descriptor) -> list[Descriptor]:
    """A message and all that it may hold, at any depth."""
    found = {message.full_name: message}
    pending = [message]
    while pending:
        for field in pending.pop().fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in found:
                found[inner.full_name] = inner
                pending.append(inner)
    return list(found.values())


def _is_marked(message: Descriptor, marking: Marking) -> bool:
    return any(marking(field) is not None for one in _within(message) for field in one.fields)


def _is_list(message: Descriptor) -> bool:
    """Whether an answer lists: its field 1 is a repeated message."""
    field = message.fields_by_number.get(_LIST_FIELD)
    return field is not None and field.is_repeated and field.message_type is not None


def _pruned(plan: Plan) -> Plan:
    """The plan without the ways that lead to no mark: what they hold is passed over in one step."""
    leads = [any(rule.mark is not None for rule in table.values()) for table in plan]
    changed = True
    while changed:
        changed = False
        for number, table in enumerate(plan):
            if not leads[number] and any(rule.into != LEAF and leads[rule.into] for rule in table.values()):
                leads[number] = changed = True
    return tuple(
        {
            tag: rule if rule.into == LEAF or leads[rule.into] else Rule(LEAF, rule.mark)
            for tag, rule in table.items()
        }
        for table in plan
    )
