"""What holds for every method of every ministry."""

from collections.abc import Iterator

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from bj.common.v1 import event_pb2, options_pb2
from tests.support import ministry_protos

# DOMAIN, section 4. GetRequest, GetDocument, GetDossier and ReportPayment are one service for all ministries.
# RequestTitleState is not there: GetTitle costs 5,500 F, and something must open the dossier that is paid.
EXPECTED = {
    "bj.identity.v1": {
        "GetPerson", "VerifyPerson", "SearchPerson", "VerifyDocument", "GetPhoto", "WatchPersonChanges",
        "ListPersonChanges", "SubmitActRequest", "RequestCorrection",
    },
    "bj.land.v1": {
        "GetParcel", "GetTitle", "CheckOwnership", "ListHoldings", "RequestTitleState", "FileTransfer",
        "FileTitleRequest", "LodgeOpposition", "WatchParcelEvents", "ListParcelChanges",
    },
    "bj.business.v1": {
        "GetBusiness", "ListRelations", "CheckName", "ReserveName", "ListByPerson", "SubmitFormality",
        "IssueExtract", "WatchRegistryEvents", "ListRegistryChanges",
    },
    "bj.labour.v1": {
        "GetEmployer", "GetEmploymentStatus", "SubmitContractVisa", "SubmitNoticeHire", "SubmitNoticeLeave",
        "RequestAttestation", "RegisterJobSeeker", "GetJobSeeker", "WatchVisaEvents", "ListVisaChanges",
    },
    "bj.common.v1": {
        "GetDossier", "GetDocument", "ReportPayment", "CorrectDossier", "CancelDossier", "ReportDecision",
    },
}  # fmt: skip

METHODS = list(ministry_protos.methods())
WATCHES = [method for method in METHODS if method.name.startswith("Watch")]
# Reads that a second time are not what they were the first: a photograph is shown once for a dossier.
ONCE = {"GetPhoto"}


def named(method: MethodDescriptor) -> str:
    """How a test names a method."""
    return str(method.full_name)


def idempotency(method: MethodDescriptor) -> int:
    """What the proto says of sending it twice."""
    return descriptor_pb2.MethodOptions.FromString(method.GetOptions().SerializeToString()).idempotency_level


def inside(message: Descriptor, seen: frozenset[str] = frozenset()) -> Iterator[FieldDescriptor]:
    """Every field of ``message`` and of the messages in it."""
    if message.full_name in seen:
        return
    for field in message.fields:
        yield field
        if field.message_type:
            yield from inside(field.message_type, seen | {message.full_name})


def test_every_method_of_the_specification_is_there_and_no_other() -> None:
    """The list above is read off DOMAIN, section 4."""
    found: dict[str, set[str]] = {}
    for method in METHODS:
        found.setdefault(method.containing_service.file.package, set()).add(method.name)

    assert found == EXPECTED


@pytest.mark.parametrize("watch", WATCHES, ids=named)
def test_every_stream_has_a_list_of_the_same_events(watch: MethodDescriptor) -> None:
    """Whoever cannot hold a stream open (PHP, a nightly job) gets the same events by the same cursors."""
    service = watch.containing_service
    (twin,) = [method for method in service.methods if method.name.startswith("List")]
    streamed, listed = watch.output_type.fields_by_name, twin.output_type.fields_by_name

    assert watch.server_streaming
    assert not watch.client_streaming
    assert not twin.server_streaming
    assert twin.name.endswith("Changes")
    assert listed["events"].is_repeated
    assert listed["events"].message_type is streamed["event"].message_type
    assert streamed["heartbeat"].message_type is event_pb2.Heartbeat.DESCRIPTOR
    assert (
        watch.input_type.fields_by_name["filter"].message_type
        is twin.input_type.fields_by_name["filter"].message_type
    )
    assert "since_cursor" in watch.input_type.fields_by_name
    assert twin.input_type.fields_by_name["page"].message_type is event_pb2.EventPage.DESCRIPTOR


@pytest.mark.parametrize("method", [method for method in METHODS if method.server_streaming], ids=named)
def test_a_stream_sends_nothing_of_the_highest_class_and_is_a_watch(method: MethodDescriptor) -> None:
    """DOMAIN, section 3: S3 is never streamed."""
    assert method in WATCHES
    leaves = [field for field in inside(method.output_type) if ministry_protos.is_leaf(field)]

    assert max(map(ministry_protos.sensitivity, leaves)) < options_pb2.SENSITIVITY_S3


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_a_write_has_a_key_and_a_read_says_that_it_is_one(method: MethodDescriptor) -> None:
    """The layer may send again what the proto says is harmless; a write is, by its key."""
    names = {field.name for field in inside(method.input_type)}
    level = idempotency(method)

    if method.name in ONCE:
        assert level == descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN
    elif "idempotency_key" in names:
        assert level == descriptor_pb2.MethodOptions.IDEMPOTENT
    elif method.name == "ReportDecision":
        # Its key is the dossier's version: what is not above the last one heard changes nothing.
        assert level == descriptor_pb2.MethodOptions.IDEMPOTENT
        assert {"reference", "version"} <= names
    else:
        assert level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
