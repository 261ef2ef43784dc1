"""What descriptors forgot to say of persons is found before they are published."""

import pytest

import adapters.identity.service  # noqa: F401 - fills the pool of descriptors
from adapters.descriptors import STANDARD_SERVICES, descriptor_set, standard_set
from core.reasons import MalformedError
from rpc.personal import Unsaid, unsaid
from tests.support.forgetful import without_marks

SERVICE = "bj.identity.v1.IdentityService"


def test_a_service_that_says_everything_has_forgotten_nothing() -> None:
    """As the ministries here do."""
    assert unsaid(descriptor_set(SERVICE)) == Unsaid((), ())


def test_a_number_that_is_not_marked_and_a_field_without_a_class_are_named() -> None:
    """By the full name of each field; a class of its own counts where the message has none."""
    found = unsaid(without_marks())

    assert found.subjects == ("bj.identity.v1.GetPersonRequest.npi",)
    assert found.classes
    assert all(name.startswith("bj.identity.v1.VerifyPersonRequest.") for name in found.classes)
    assert [line.fr.strip() for line in found.lines()][1] == found.subjects[0]


def test_messages_of_other_services_of_the_file_are_not_judged() -> None:
    """They are not published."""
    assert unsaid(without_marks(), ["bj.identity.v1.Another"]) == Unsaid((), ())


@pytest.mark.parametrize("kind", STANDARD_SERVICES)
def test_health_and_reflection_are_nobodys_register(kind: str) -> None:
    """Their protos are not ours to mark."""
    assert not unsaid(standard_set(kind))


def test_bytes_that_are_no_descriptors_are_refused() -> None:
    """Nothing is said of what cannot be read."""
    with pytest.raises(MalformedError):
        unsaid(b"\xff")
