"""Bad input, field by field: refused before the service sees it, named by field, its value not repeated."""

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from adapters.reasons import InvalidFieldsError, ProviderReason
from adapters.validation import require_valid
from bj.identity.v1 import identity_pb2 as pb

NPI = "0000000001"


def violations(message: Message) -> dict[str, str]:
    """The fields of a message that is refused."""
    with pytest.raises(InvalidFieldsError) as refused:
        require_valid(message)
    assert refused.value.reason is ProviderReason.FORMAT_INVALID
    return refused.value.violations


@pytest.mark.parametrize(
    "message",
    [
        pb.GetPersonRequest(npi=NPI),
        pb.GetPersonRequest(npi="9999999999", profile=pb.PERSON_PROFILE_CIVIL),
        pb.VerifyPersonRequest(npi=NPI, last_name="N'Tcha"),
        pb.VerifyPersonRequest(npi=NPI, first_names="a" * 200),
        pb.VerifyPersonRequest(npi=NPI, birth_date="1987"),
        pb.VerifyPersonRequest(npi=NPI, birth_date="1987-04"),
        pb.VerifyPersonRequest(npi=NPI, birth_date="1987-04-12"),
        pb.VerifyPersonRequest(npi=NPI, sex=pb.SEX_FEMALE),
        pb.VerifyPersonRequest(npi=NPI, mother_last_name="Dossou", consent_ref="CST/2026-11:0001_a.b"),
    ],
)
def test_a_well_formed_request_passes(message: Message) -> None:
    """The rules let through what the proto promises."""
    require_valid(message)


@pytest.mark.parametrize(
    "npi",
    [
        "",
        "1",
        "000000001",
        "00000000011",
        "000000000a",
        "0000 00001",
        "0000000001\n",
        " 0000000001",
        "\uff10000000001",
    ],
)
def test_a_number_that_is_no_npi_is_refused(npi: str) -> None:
    """Ten ASCII digits, nothing else."""
    assert list(violations(pb.GetPersonRequest(npi=npi))) == ["npi"]
    # Without a number the request as a whole is at fault: a candidate's token would do as well.
    assert list(violations(pb.VerifyPersonRequest(npi=npi, last_name="A"))) == (["npi"] if npi else [""])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("last_name", "a" * 101),
        ("first_names", "a" * 201),
        ("mother_last_name", "a" * 101),
        ("birth_date", "12/04/1987"),
        ("birth_date", "1987-4-12"),
        ("birth_date", "1987-13"),
        ("birth_date", "1987-04-32"),
        ("birth_date", "1987-04-12T00:00:00Z"),
        ("consent_ref", "a" * 65),
        ("consent_ref", "a b"),
        ("consent_ref", "é"),
        ("consent_ref", "npi:0000000001"),
        ("consent_ref", "0000000001"),
    ],
)
def test_a_malformed_claim_is_refused_by_field(field: str, value: str) -> None:
    """The refusal names the field and the rule, not what was in it."""
    request = pb.VerifyPersonRequest(npi=NPI, sex=pb.SEX_MALE)
    setattr(request, field, value)

    found = violations(request)

    assert list(found) == [field]
    assert value not in found[field]


def test_enum_values_that_do_not_exist_are_refused() -> None:
    """proto3 carries any number; the service sees only defined ones."""
    profile = pb.GetPersonRequest.FromString(pb.GetPersonRequest(npi=NPI).SerializeToString() + b"\x10\x63")
    sex = pb.VerifyPersonRequest.FromString(pb.VerifyPersonRequest(npi=NPI).SerializeToString() + b"\x28\x63")

    assert list(violations(profile)) == ["profile"]
    assert list(violations(sex)) == ["sex"]


def test_a_verification_without_any_claim_is_refused() -> None:
    """Nothing claimed is nothing to verify: the rule is over the whole message."""
    assert violations(pb.VerifyPersonRequest(npi=NPI)) == {"": "at least one claim is needed"}


def test_all_malformed_fields_are_named_at_once() -> None:
    """A developer corrects them in one go."""
    found = violations(pb.VerifyPersonRequest(npi="1", birth_date="x", consent_ref="é"))

    assert set(found) == {"npi", "birth_date", "consent_ref"}


@given(st.text(max_size=20))
def test_only_ten_digits_are_a_number(text: str) -> None:
    """The rule and its words agree for every text."""
    well_formed = len(text) == 10 and all(letter in "0123456789" for letter in text)
    refused = False

    try:
        require_valid(pb.GetPersonRequest(npi=text))
    except InvalidFieldsError:
        refused = True

    assert refused is not well_formed
