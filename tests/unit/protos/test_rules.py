"""Each rule of ``bj/common/v1/rules.proto`` takes what is well formed, and nothing else."""

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from buf.validate import validate_pb2
from tests.support import ministry_protos

RULES = list(ministry_protos.RULES)
VALIDATOR = protovalidate.Validator()

# What each rule lets through, as a pattern to draw from; a rule without one has no test and fails the first.
VALID = {
    "administrative_code": r"[A-Z]{2}(-[A-Z]{3}(-[0-9]{2}(-[0-9]{3})?)?)?",
    "cnss_employer_no": r"[0-9]{7,10}",
    "cnss_worker_no": r"[0-9]{8,12}",
    "country": r"[A-Z]{3}",
    "court": r"[A-Z]{3,8}",
    "cursor": r"[A-Za-z0-9_-]{1,64}",
    "day": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    "document_id": r"[A-Z0-9]([A-Z0-9-]){4,38}[A-Z0-9]",
    "dossier_reference": r"[A-Z]{3,6}-[0-9]{4}(0[1-9]|1[0-2])-[0-9]{4,8}",
    "handle": r"[A-Za-z._:/-]{1,64}",
    "idempotency_key": r"[A-Za-z0-9._-]{16,64}",
    "ifu": r"[1-6]20(0[6-9]|1[0-9]|2[0-6])[0-9]{8}",
    "npi": r"[0-9]{10}",
    "nup": r"[1-9][0-9]{7}[1-9]",
    "occupation_code": r"[A-Z][0-9]{4}",
    "partial_date": r"[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?",
    "payment_reference": r"[A-Za-z0-9._-]{6,64}",
    "phone": r"(\+229)?(01)?[0-9]{8}",
    "rccm": r"RB/[A-Z]{3,8}/[0-9]{2} ?[A-Z] ?[0-9]{3,6}|BJ-[A-Z]{3}-[0-9]{2}-[0-9]{4}-[A-Z][0-9]{2}-[0-9]{5,6}",
    "seeker_no": r"DE-20[0-9]{2}-[0-9]{4,8}",
    "service_code": r"PS[0-9]{5}",
    "sha256": r"[0-9a-f]{64}",
    "title_no": r"TF/[A-Z]{3}/[0-9]{1,6}",
    "work_permit_no": r"PT-20[0-9]{2}-[0-9]{4,8}",
}

INVALID = {
    "administrative_code": ["L", "LIT", "li", "LI-", "LI-COTO", "LI-COT-5", "LI-COT-05-12", "LI_COT"],
    "cnss_employer_no": ["123456", "12345678901", "12345 78", "1234567a"],
    "cnss_worker_no": ["1234567", "1234567890123", "12345678-"],
    "country": ["BJ", "ben", "BENIN", "204"],
    "court": ["CO", "cot", "COTONOUVI", "C0T"],
    "cursor": ["a" * 65, "a=", "é", "a b"],
    "day": ["2026", "2026-11", "2026-13-01", "2026-00-01", "2026-11-32", "28/11/2026", "2026-11-28T00:00:00Z"],
    "document_id": ["A-1", "-AAAAAA", "AAAAAA-", "aaaaaa", "A" * 41, "AAA AAA"],
    "dossier_reference": ["RC-202611-0001", "RCCM-202613-0001", "RCCM-202600-0001", "RCCM-202611-001", "rccm-2026110001"],
    "handle": ["a" * 65, "a b", "é", "0000000001", "npi:0000000001", "0000000001/x"],
    "idempotency_key": ["a" * 15, "a" * 65, "a" * 15 + "/", "a" * 15 + "é"],
    # Before the first one (2006), a year to come, no such kind of holder, twelve and fourteen digits.
    "ifu": ["3200512345678", "3209912345678", "0202012345678", "7202012345678", "320201234567", "32020123456789"],
    "npi": ["1", "000000001", "00000000011", "000000000a", "0000 00001", "\uff10000000001"],
    "nup": ["100000000", "000000001", "12345678", "1234567890", "12345678a", "123 456 789"],
    "occupation_code": ["M160", "1607", "m1607", "M16070"],
    "partial_date": ["87", "1987-4", "1987-13", "1987-04-32", "12/04/1987", "1987-"],
    "payment_reference": ["a" * 5, "a" * 65, "aaaaa ", "aaaaa/"],
    "phone": ["9700000", "970000000", "+22897000000", "0022997000000", "+229 01 97 00 00 00", "0297000000"],
    "rccm": ["RB/CO/25 B 40056", "RB/COT/2025 B 40056", "RB/COT/25b40056", "RB/COT/25 X 40", "CI-ABJ-03-2024-B12-09431"],
    "seeker_no": ["DE-1999-0001", "DE-2026-001", "de-2026-0001"],
    "service_code": ["PS0002", "PS000240", "ps00024", "IN00148"],
    "sha256": ["a" * 63, "a" * 65, "A" * 64, "g" * 64],
    "title_no": ["TF/CO/1", "TF/COT/", "TF/COT/1234567", "TF/cot/1", "1234"],
    "work_permit_no": ["PT-1999-0001", "PT-2026-001", "PT/2026/0001"],
}  # fmt: skip


def _carriers() -> dict[str, type[Message]]:
    """One message per rule, with a field ``value`` that keeps it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tests/rules.proto",
        package="tests.rules",
        dependency=["bj/common/v1/rules.proto"],
        syntax="proto3",
    )
    for name in RULES:
        field = file.message_type.add(name=name).field.add(name="value", number=1, type=9, label=1)
        string = field.options.Extensions[validate_pb2.field].string
        string.Extensions[ministry_protos.RULES[name]] = True
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tests.rules.{name}"))
        for name in RULES
    }


CARRIERS = _carriers()


def broken_rules(rule: str, value: str) -> list[str]:
    """Ids of the rules that ``value`` breaks in a field that keeps ``rule``."""
    found = VALIDATOR.collect_violations(CARRIERS[rule](value=value))
    return [violation.proto.rule_id for violation in found]


def test_every_rule_has_examples() -> None:
    """A rule that comes later comes with what it takes and what it refuses."""
    assert set(VALID) == set(INVALID) == set(RULES)


def test_every_rule_is_used() -> None:
    """A rule that no field keeps promises what nobody checks."""
    assert {ministry_protos.rule(field) for field in ministry_protos.fields()} - {None} == set(RULES)


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_what_is_well_formed_passes(rule: str, data: st.DataObject) -> None:
    """Whatever has the form that the specification gives."""
    value = data.draw(st.from_regex(f"(?a:{VALID[rule]})", fullmatch=True))

    assert broken_rules(rule, value) == []


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_one_stray_character_is_refused(rule: str, data: st.DataObject) -> None:
    """A blank, a line's end, a letter that is no ASCII, anywhere in a value that was well formed."""
    value = data.draw(st.from_regex(f"(?a:{VALID[rule]})", fullmatch=True))
    place = data.draw(st.integers(0, len(value)))
    stray = data.draw(st.sampled_from("\n\t\0é\uff10\u202e'\"%"))

    assert broken_rules(rule, value[:place] + stray + value[place:]) == [rule]


@pytest.mark.parametrize(
    ("rule", "value"), [(rule, value) for rule, values in INVALID.items() for value in ["", *values]]
)
def test_what_is_malformed_is_refused_under_the_rules_name(rule: str, value: str) -> None:
    """The violation names the rule; its text does not repeat the value."""
    violations = VALIDATOR.collect_violations(CARRIERS[rule](value=value))

    assert [violation.proto.rule_id for violation in violations] == [rule]
    assert not value or len(value) < 8 or value not in violations[0].proto.message


def test_a_real_number_of_each_kind_passes() -> None:
    """The examples that stand in the specification."""
    assert broken_rules("rccm", "RB/COT/25 B 40056") == []
    assert broken_rules("rccm", "RB/COT/25B40056") == []
    assert broken_rules("rccm", "BJ-COT-01-2024-B12-09431") == []
    assert broken_rules("nup", "100000001") == broken_rules("nup", "999999999") == []
    assert broken_rules("dossier_reference", "RCCM-202611-0001") == []
    assert broken_rules("phone", "97000000") == broken_rules("phone", "+2290197000000") == []
