"""Plans are compiled from descriptors: what a path grants, and which paths are refused."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, struct_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from bj.identity.v1.identity_pb2 import GetPersonResponse
from core.reasons import Reason
from core.wire import LEAF, Rule
from rpc.plans import PlanError, find_messages, load_descriptors, mask_plan, whole_plan

_PERSON = GetPersonResponse.DESCRIPTOR


def test_a_path_grants_what_it_names() -> None:
    """A field, and of a message within all that the descriptors know."""
    assert mask_plan(_PERSON, ["npi", "record_version"]) == ({10: Rule(), 128: Rule()},)
    assert mask_plan(_PERSON, ["residence"]) == (
        {74: Rule(1)},
        {number << 3 | 2: Rule() for number in range(1, 7)},
    )
    assert mask_plan(_PERSON, ["residence.town"]) == ({74: Rule(1)}, {26: Rule()})


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
    with pytest.raises(PlanError, match="cannot be read"):
        load_descriptors(b"\xff")
