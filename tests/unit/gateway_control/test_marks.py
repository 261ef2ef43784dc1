"""What descriptors say of persons becomes plans for the workers (M13)."""

from __future__ import annotations

import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message
from hypothesis import given, settings

from bj.business.v1 import business_pb2
from bj.common.v1 import person_pb2
from bj.identity.v1 import identity_pb2
from bj.land.v1 import parcel_pb2
from core.configuration import Marks, decode_current, encode_current
from core.marks import Notes
from core.wire import unpack_plan, walk
from rpc.plans import whole_plan
from tests.support.persons import descriptors, marked, marks_of
from tests.support.wire_messages import messages
from tests.support.worker_country import WorkerCountry

IDENTITY = "bj.identity.v1.IdentityService"
LAND = "bj.land.v1.LandService"
PERSON, OTHER = "4999999901", "4999999902"
BUSINESS = marks_of(descriptors(business_pb2.DESCRIPTOR), "bj.business.v1.BusinessService", "GetBusiness")


def identity(*methods: str) -> Marks:
    return marks_of(descriptors(), IDENTITY, *methods)


def subjects(marks: Marks, number: int | None, data: bytes) -> list[str]:
    assert number is not None
    return [one.decode() for one in noted(marks, number, data).subjects]


def noted(marks: Marks, number: int | None, data: bytes) -> Notes:
    found = Notes(10_000)
    found.take(unpack_plan(marks.plans[number or 0]), data)
    return found


def test_a_method_is_marked_as_its_descriptors_say() -> None:
    """The number asked for, those in the answer; one record."""
    found = identity("GetPerson")

    (method,) = found.methods
    assert (method.subsystem, method.method) == ("BJ/GOV/ANIP/RNPP", f"{IDENTITY}/GetPerson")
    assert (method.names_persons, method.is_list) == (True, False)
    request = identity_pb2.GetPersonRequest(npi=PERSON).SerializeToString()
    answer = identity_pb2.GetPersonResponse(npi=PERSON, merged_npi=OTHER, last_name="A").SerializeToString()
    assert subjects(found, method.asked, request) == [PERSON]
    assert subjects(found, method.named, answer) == [PERSON, OTHER]


def test_persons_in_messages_within_messages_are_found() -> None:
    """A title names its holders, each in a message of its own."""
    found = marks_of(descriptors(parcel_pb2.DESCRIPTOR), LAND, "GetTitle")
    holders = [
        parcel_pb2.Holder(party=person_pb2.Party(npi=PERSON)),
        parcel_pb2.Holder(party=person_pb2.Party(ifu="3202600000001")),
        parcel_pb2.Holder(party=person_pb2.Party(npi=OTHER)),
    ]
    answer = parcel_pb2.GetTitleResponse(holders=holders).SerializeToString()

    method = marked(found, "GetTitle")

    assert subjects(found, method.named, answer) == [PERSON, OTHER]
    assert not method.is_list


@pytest.mark.parametrize(
    ("answer", "highest"),
    [
        (identity_pb2.GetPersonResponse(record_version=3), 0),
        (identity_pb2.GetPersonResponse(npi=PERSON), 1),
        (identity_pb2.GetPersonResponse(npi=PERSON, phone="90000000"), 2),
    ],
)
def test_the_class_of_a_field_is_its_own_else_its_message_s(
    answer: identity_pb2.GetPersonResponse, highest: int
) -> None:
    """Of the fields that stand in the answer."""
    found = identity("GetPerson")

    notes = noted(found, marked(found, "GetPerson").returned, answer.SerializeToString())

    assert notes.sensitivity == highest


def test_an_answer_that_lists_has_a_record_for_each() -> None:
    """Its field 1 is a repeated message; another list in it counts for nothing."""
    found = identity("SearchPerson")
    method = marked(found, "SearchPerson")
    answer = identity_pb2.SearchPersonResponse(candidates=[identity_pb2.PersonCandidate()] * 3)

    notes = noted(found, method.returned, answer.SerializeToString())

    assert (method.is_list, notes.records) == (True, 3)
    assert not marked(marks_of(descriptors(parcel_pb2.DESCRIPTOR), LAND, "GetParcel"), "GetParcel").is_list


def test_only_methods_that_an_agreement_names_are_compiled() -> None:
    """What the country has besides is nobody's business here."""
    assert [one.method.rpartition("/")[2] for one in identity("VerifyPerson").methods] == ["VerifyPerson"]


def test_a_method_of_which_nothing_is_said_costs_nothing() -> None:
    """No entry: workers do not even look."""
    published = FileDescriptorSet.FromString(descriptors())
    for file in published.file:
        for message in file.message_type:
            message.ClearField("options")
            for field in message.field:
                field.ClearField("options")

    found = marks_of(published.SerializeToString(), IDENTITY, "GetPerson")

    assert found == Marks([], [])


@settings(max_examples=50)
@given(messages(business_pb2.GetBusinessResponse.DESCRIPTOR))
def test_ways_that_lead_to_no_mark_are_passed_over(answer: Message) -> None:
    """In one step; and every field that the descriptors know is known."""
    plan = unpack_plan(BUSINESS.plans[marked(BUSINESS, "GetBusiness").returned or 0])

    whole, pruned = Notes(10_000), Notes(10_000)
    whole.take(whole_plan(business_pb2.GetBusinessResponse.DESCRIPTOR), answer.SerializeToString())
    pruned.take(plan, answer.SerializeToString())

    assert walk(plan, answer.SerializeToString()).cut == 0
    assert pruned.fields_left >= whole.fields_left


def test_messages_that_cannot_be_read_by_their_bytes_are_known_as_such() -> None:
    """Groups: nobody may take them for messages about nobody."""
    published = FileDescriptorSet.FromString(descriptors())
    (file,) = [one for one in published.file if one.name.endswith("identity.proto")]
    (message,) = [one for one in file.message_type if one.name == "GetPersonRequest"]
    group = message.nested_type.add(name="Old")
    group.field.add(name="x", number=1, type=FieldDescriptorProto.TYPE_INT32, label=1)
    message.field.add(
        name="old",
        number=99,
        type=FieldDescriptorProto.TYPE_GROUP,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type_name=".bj.identity.v1.GetPersonRequest.Old",
    )
    file.syntax = "proto2"

    found = marks_of(published.SerializeToString(), IDENTITY, "GetPerson")

    method = marked(found, "GetPerson")
    assert method.names_persons
    assert found.plans[method.asked or 0] == []


def test_descriptors_that_cannot_be_linked_are_known_as_such() -> None:
    """Nobody can say that their methods name nobody."""
    published = FileDescriptorSet.FromString(descriptors())
    del published.file[0]

    found = marks_of(published.SerializeToString(), IDENTITY, "GetPerson")

    method = marked(found, "GetPerson")
    assert method.names_persons
    assert found.plans == [[]]


def test_marks_reach_the_worker_by_the_file_of_the_configuration() -> None:
    """Written, read back, and asked by provider and method."""
    country = WorkerCountry()
    current = msgspec.structs.replace(country.current(), marks=identity("GetPerson"))

    assert decode_current(encode_current(current)).marks == current.marks
