"""What is personal says so: who reads descriptors alone knows whom a message is about and what it gives away."""

import re
from collections.abc import Iterable

import pytest
from google.protobuf.descriptor import FieldDescriptor

from bj.common.v1 import options_pb2
from tests.support import ministry_protos

# A field whose name holds one of these words is about a person, whatever its message says.
PERSONAL = re.compile(
    r"(^|_)(npi|last_name|first_names?|marital_name|birth_(date|place|country|year)|sex|nationality"
    r"|phone|email|salary|medical|jpeg|holders?|qr_jwt)(_|$)"
)
# Each of these is the harm of class S3 in DOMAIN, section 3.
HARMFUL = re.compile(r"(^|_)(jpeg|salary|medical|disputes|ground)(_|$)")

LEAVES = [field for field in ministry_protos.fields() if ministry_protos.is_leaf(field)]


def names(fields: Iterable[FieldDescriptor]) -> list[str]:
    """How a test names fields: none is what it hopes for."""
    return [field.full_name for field in fields]


def test_the_walk_reaches_every_ministry() -> None:
    """What follows says nothing about a package that is not there."""
    packages = {".".join(leaf.full_name.split(".")[:3]) for leaf in LEAVES}

    assert packages == {f"bj.{name}.v1" for name in ("business", "common", "identity", "labour", "land")}


def test_every_value_has_a_class() -> None:
    """A field that nobody classified is not public: it is forgotten."""
    assert names(leaf for leaf in LEAVES if ministry_protos.sensitivity(leaf) == ministry_protos.UNSAID) == []


def test_what_is_personal_is_not_public() -> None:
    """Names, numbers, dates of birth, contacts and the rest are S1 at least."""
    personal = [leaf for leaf in LEAVES if PERSONAL.search(leaf.name)]

    assert len(personal) > 50
    assert (
        names(leaf for leaf in personal if ministry_protos.sensitivity(leaf) < options_pb2.SENSITIVITY_S1)
        == []
    )


def test_what_harms_is_of_the_highest_class() -> None:
    """Photograph, salary, fitness, disputes, mortgages."""
    harmful = [leaf for leaf in LEAVES if HARMFUL.search(leaf.name) or ".Mortgage." in leaf.full_name]

    assert len(harmful) > 5
    assert (
        names(leaf for leaf in harmful if ministry_protos.sensitivity(leaf) != options_pb2.SENSITIVITY_S3)
        == []
    )


def test_a_pseudonym_is_taken_of_personal_numbers_and_of_nothing_else() -> None:
    """``data_subject`` stands at each field that keeps the rule of the NPI, and at no other."""
    subjects = names(leaf for leaf in LEAVES if ministry_protos.is_data_subject(leaf))

    assert subjects == names(leaf for leaf in LEAVES if ministry_protos.rule(leaf) == "npi")
    assert "bj.identity.v1.GetPersonRequest.npi" in subjects


def test_a_personal_number_keeps_its_rule_under_every_name() -> None:
    """Whatever is called npi is one, but for what is masked."""
    called = [leaf for leaf in LEAVES if re.search(r"(^|_)npis?$", leaf.name)]

    assert names(leaf for leaf in called if ministry_protos.rule(leaf) != "npi") == []


@pytest.mark.parametrize(
    ("suffix", "rule"),
    [
        ("ifu", "ifu"),
        ("rccm", "rccm"),
        ("nups?", "nup"),
        ("title_no", "title_no"),
        ("cnss_employer_no", "cnss_employer_no"),
        ("cnss_worker_no", "cnss_worker_no"),
        ("service_code", "service_code"),
        ("sha256", "sha256"),
        ("idempotency_key", "idempotency_key"),
        ("cursor", "cursor"),
        ("(consent|officer|mission|order|notary|surveyor)_ref", "handle"),
        ("(commune|inspectorate)_codes?", "administrative_code"),
        ("doc_(id|no)", "document_id"),
        ("payment_ref", "payment_reference"),
        ("_on|valid_until|reserved_until", "day"),
    ],
)
def test_an_identifier_keeps_its_rule_wherever_it_stands(suffix: str, rule: str) -> None:
    """One meaning of a name over all ministries, requests and answers alike."""
    found = [
        field
        for field in LEAVES
        if field.type == FieldDescriptor.TYPE_STRING and re.search(f"(^|_)({suffix})$", field.name)
    ]

    assert found
    assert names(field for field in found if ministry_protos.rule(field) != rule) == []
