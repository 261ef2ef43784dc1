"""Plans are compiled from descriptors: what a path grants, and which paths are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, struct_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from adapters.descriptors import descriptor_set
from bj.identity.v1.identity_pb2 import GetPersonResponse
from core.reasons import Reason
from core.wire import LEAF, Rule
from rpc.descriptors import load_descriptors
from rpc.plans import (
    PlanError,
    find_messages,
    lost_field,
    mask_plan,
    outline_plan,
    whole_plan,
)

_PERSON = GetPersonResponse.DESCRIPTOR


def test_a_path_grants_what_it_names() -> None:
    """A field, and of a message within all that the descriptors know."""
    assert mask_plan(_PERSON, ["npi", "record_version"]) == ({10: Rule(), 128: Rule()},)
    assert mask_plan(_PERSON, ["residence"]) == (
        {74: Rule(1)},
        {number << 3 | 2: Rule() for number in range(1, 7)},
    )
    assert mask_plan(_PERSON, ["residence.town"]) == ({74: Rule(1)}, {26: Rule()})


def test_an_outline_does_not_look_into_what_is_granted_whole() -> None:
    """Descriptors to come may know more of it; of a message granted in part they can grant no more."""
    assert outline_plan(_PERSON, ["npi", "residence"]) == ({10: Rule(), 74: Rule()},)
    assert outline_plan(_PERSON, ["residence.town"]) == mask_plan(_PERSON, ["residence.town"])
    with pytest.raises(PlanError):
        outline_plan(_PERSON, ["residence.city"])


def test_the_wider_of_two_paths_stands() -> None:
    """In whatever order they come."""
    whole = mask_plan(_PERSON, ["residence"])

    assert mask_plan(_PERSON, ["residence", "residence.town"]) == whole
    assert mask_plan(_PERSON, ["residence.town", "residence"]) == whole


def test_repeated_numbers_are_granted_packed_and_not() -> None:
    """Readers take both, whatever the proto declares."""
    plan = mask_plan(descriptor_pb2.SourceCodeInfo.Location.DESCRIPTOR, ["path"])

    assert plan == ({8: Rule(), 10: Rule()},)


def test_messages_that_hold_their_own_kind_have_one_table_each() -> None:
    """A plan is finite, however deep the messages are."""
    assert len(whole_plan(struct_pb2.Struct.DESCRIPTOR)) == 4


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("surname", "has no field surname"),
        ("residence.city", "bj.identity.v1.Residence has no field city"),
        ("npi.digits", "is no message"),
        ("sex.male", "is no message"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, told: str) -> None:
    """With the path and the message, for who wrote the agreement."""
    with pytest.raises(PlanError, match=told) as refused:
        mask_plan(_PERSON, ["npi", path])

    assert refused.value.reason is Reason.TERM_NOT_SUPPORTED
    assert path in str(refused.value)


def test_a_path_is_looked_at_behind_a_wider_one_too() -> None:
    """Or a mistake would show only once the wider one is taken away."""
    with pytest.raises(PlanError):
        mask_plan(_PERSON, ["residence", "residence.city"])


def test_a_map_is_granted_as_a_whole() -> None:
    """Its keys would lead through names that no descriptor knows."""
    assert mask_plan(struct_pb2.Struct.DESCRIPTOR, ["fields"])[0] == {10: Rule(1)}
    with pytest.raises(PlanError, match="is no message"):
        mask_plan(struct_pb2.Struct.DESCRIPTOR, ["fields.value"])


# --- descriptors that change ---


def _changed(change: Callable[[FileDescriptorProto], None]) -> Descriptor:
    """What ``GetPerson`` returns after ``change`` to its file."""
    files = FileDescriptorSet.FromString(descriptor_set("bj.identity.v1.IdentityService"))
    [file] = [one for one in files.file if one.name == _PERSON.file.name]
    change(file)
    pool = load_descriptors(files.SerializeToString())
    return find_messages(pool, "bj.identity.v1.IdentityService", "GetPerson")[1]


def _message(file: FileDescriptorProto, name: str) -> DescriptorProto:
    return next(one for one in file.message_type if one.name == name)


def _drop(message: str, field: str) -> Callable[[FileDescriptorProto], None]:
    def change(file: FileDescriptorProto) -> None:
        fields = _message(file, message).field
        fields.remove(next(one for one in fields if one.name == field))

    return change


def _set(message: str, field: str, **changes: Any) -> Callable[[FileDescriptorProto], None]:
    def change(file: FileDescriptorProto) -> None:
        found = next(one for one in _message(file, message).field if one.name == field)
        for name, value in changes.items():
            setattr(found, name, value)

    return change


def _add(message: str) -> Callable[[FileDescriptorProto], None]:
    def change(file: FileDescriptorProto) -> None:
        _message(file, message).field.add(name="more", number=999, type=FieldDescriptorProto.TYPE_STRING)

    return change


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        pytest.param(_drop("GetPersonResponse", "last_name"), "last_name", id="dropped"),
        pytest.param(_set("GetPersonResponse", "last_name", number=998), "last_name", id="renumbered"),
        pytest.param(_set("GetPersonResponse", "last_name", name="surname"), "last_name", id="renamed"),
        pytest.param(_set("GetPersonResponse", "last_name", type=3), "last_name", id="an-int64-now"),
        pytest.param(_set("GetPersonResponse", "last_name", type=12), "last_name", id="bytes-now"),
        pytest.param(
            _set("GetPersonResponse", "record_version", type=4), "record_version", id="unsigned-now"
        ),
        pytest.param(
            _set("GetPersonResponse", "record_version", label=3), "record_version", id="repeated-now"
        ),
        pytest.param(_drop("Residence", "town"), "residence.town", id="dropped-within"),
        pytest.param(_set("Residence", "town", label=3), "residence.town", id="repeated-within"),
        pytest.param(_set("Residence", "town", number=998), "residence.town", id="renumbered-within"),
        pytest.param(_set("Residence", "town", name="city"), None, id="renamed-within"),
        pytest.param(_drop("GetPersonResponse", "first_names"), None, id="not-granted"),
        pytest.param(_add("GetPersonResponse"), None, id="added"),
        pytest.param(_add("Residence"), None, id="added-within"),
    ],
)
def test_a_field_that_is_granted_is_lost_when_readers_or_paths_find_it_no_more(
    change: Callable[[FileDescriptorProto], None], lost: str | None
) -> None:
    """What is granted whole is read by its numbers; where nothing is lost, the new plan lets through what the old did."""
    paths = ["last_name", "residence", "record_version"]
    newer = _changed(change)

    assert lost_field(_PERSON, newer, paths) == lost
    if lost is None:
        before, after = mask_plan(_PERSON, paths), mask_plan(newer, paths)
        assert all(old.keys() <= new.keys() for old, new in zip(before, after, strict=True))


def test_messages_that_hold_their_own_kind_are_compared_once() -> None:
    """However deep they are."""
    struct = struct_pb2.Struct.DESCRIPTOR

    assert lost_field(struct, struct, ["fields"]) is None


def _chain(length: int, last: str) -> Descriptor:
    """A message that holds a message that holds another, and so on; the innermost has one field, ``last``."""
    file = FileDescriptorProto(name="deep.proto", package="deep", syntax="proto3")
    for number in range(length):
        inner = file.message_type.add(name=f"M{number}").field.add(number=1, label=1)
        if number < length - 1:
            inner.name, inner.type_name = "m", f".deep.M{number + 1}"
            inner.type = FieldDescriptorProto.TYPE_MESSAGE
        else:
            inner.name, inner.type = last, FieldDescriptorProto.TYPE_STRING
    file.message_type.add(name="Outer").field.add(name="it", number=1, label=1, type=11, type_name=".deep.M0")
    pool = load_descriptors(FileDescriptorSet(file=[file]).SerializeToString())
    return pool.FindMessageTypeByName("deep.Outer")


def test_messages_are_compared_however_deep_they_lie() -> None:
    """As deep as a plan goes, and no deeper; a path that nobody would read is told by its end."""
    deep, renamed, deeper = _chain(1_900, "x"), _chain(1_901, "x"), _chain(2_100, "x")

    assert lost_field(deep, deep, ["it"]) is None
    assert re.fullmatch(r"…[m.]{199}x", lost_field(deep, renamed, ["it"]) or "")
    with pytest.raises(PlanError, match="more than 2000 messages"):
        lost_field(deeper, deeper, ["it"])


def test_groups_are_refused() -> None:
    """The layer does not know how to cut them."""
    file = FileDescriptorProto(name="old.proto", package="old", syntax="proto2")
    message = file.message_type.add(name="Old")
    message.nested_type.add(name="G")
    message.field.add(
        name="g",
        number=1,
        type=FieldDescriptorProto.TYPE_GROUP,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type_name=".old.Old.G",
    )
    pool = load_descriptors(FileDescriptorSet(file=[file]).SerializeToString())

    with pytest.raises(PlanError, match="group"):
        whole_plan(pool.FindMessageTypeByName("old.Old"))


def test_messages_are_found_by_the_method() -> None:
    """In the set that was published, or not at all."""
    file = FileDescriptorProto(name="a.proto", package="a", syntax="proto3")
    file.message_type.add(name="In")
    out = file.message_type.add(name="Out")
    out.field.add(name="x", number=1, type=FieldDescriptorProto.TYPE_DOUBLE)
    file.service.add(name="S").method.add(name="M", input_type=".a.In", output_type=".a.Out")
    pool = load_descriptors(FileDescriptorSet(file=[file]).SerializeToString())

    taken, returned = find_messages(pool, "a.S", "M")

    assert (taken.full_name, returned.full_name) == ("a.In", "a.Out")
    assert whole_plan(returned) == ({9: Rule(LEAF)},)
    for service, method in (("a.S", "N"), ("a.T", "M")):
        with pytest.raises(PlanError):
            find_messages(pool, service, method)
