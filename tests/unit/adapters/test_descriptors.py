"""The published descriptors of a service need nothing beside them."""

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from adapters.descriptors import STANDARD_SERVICES, descriptor_set, missing_comments, standard_set
from bj.identity.v1 import identity_pb2
from tests.support.forgetful import FILE, without_marks

SERVICE = "bj.identity.v1.IdentityService"


@pytest.fixture
def pool() -> descriptor_pool.DescriptorPool:
    """An empty pool, filled from the published bytes alone, file by file in their order."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set(SERVICE)).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def test_the_set_is_self_contained_and_in_order(pool: descriptor_pool.DescriptorPool) -> None:
    """Every import of every file is in the set, before the file."""
    files = [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set(SERVICE)).file]

    assert files[-1] == "bj/identity/v1/identity.proto"
    assert {
        "google/protobuf/descriptor.proto",
        "buf/validate/validate.proto",
        "bj/common/v1/rules.proto",
    } < set(files)
    assert {method.name for method in pool.FindServiceByName(SERVICE).methods} == {
        "GetPerson",
        "VerifyPerson",
        "SearchPerson",
    }


def test_the_set_is_the_same_every_time() -> None:
    """Its digest stands in the configuration and in statements."""
    assert descriptor_set(SERVICE) == descriptor_set(SERVICE)


def test_a_stranger_with_the_set_only_reads_messages_and_rules(pool: descriptor_pool.DescriptorPool) -> None:
    """Gateway and developer understand fields, and the rules of validation travel along."""
    request = message_factory.GetMessageClass(pool.FindMessageTypeByName("bj.identity.v1.GetPersonRequest"))
    wire = identity_pb2.GetPersonRequest(npi="12").SerializeToString()

    violations = protovalidate.Validator().collect_violations(request.FromString(wire))

    assert [violation.proto.rule_id for violation in violations] == ["npi"]


def test_reads_are_marked_as_safe_to_repeat(pool: descriptor_pool.DescriptorPool) -> None:
    """All methods only read: the layer may send them again."""
    for method in pool.FindServiceByName(SERVICE).methods:
        options = descriptor_pb2.MethodOptions.FromString(method.GetOptions().SerializeToString())

        assert options.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS


def test_a_proto_of_a_ministry_without_its_comments_is_named() -> None:
    """Comments are the manual; what comes with the language has none, and nobody is told of it."""
    assert missing_comments(descriptor_set(SERVICE)) == ()
    assert missing_comments(without_marks()) == (FILE,)


def test_an_unknown_service_has_no_descriptors() -> None:
    """Only what is imported can be published."""
    with pytest.raises(KeyError):
        descriptor_set("bj.identity.v1.NoService")


@pytest.mark.parametrize(
    ("kind", "methods"), [("health", {"Check", "Watch"}), ("reflection", {"ServerReflectionInfo"})]
)
def test_health_and_reflection_have_sets_of_their_own(kind: str, methods: set[str]) -> None:
    """Under the names that clients ask for; a stranger can link them."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(standard_set(kind)).file:
        pool.AddSerializedFile(file.SerializeToString())

    found = {method.name for method in pool.FindServiceByName(STANDARD_SERVICES[kind]).methods}

    assert methods <= found
    assert b"v1alpha" not in standard_set(kind)
    with pytest.raises(KeyError):
        standard_set("channelz")
