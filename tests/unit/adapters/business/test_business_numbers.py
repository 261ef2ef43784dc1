"""Numbers of firms: one written form, letters and digits that agree with the form."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.business.forms import FORMS, LegalForm
from adapters.business.numbers import (
    Ifu,
    canonical_rccm,
    euid,
    make_rccm,
    rccm_court,
    rccm_letter,
    require_ifu_of,
)
from adapters.validation import require_valid
from bj.business.v1 import business_pb2 as pb

TODAY = date(2026, 11, 28)
_FORMS = st.sampled_from(sorted(FORMS))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("RB/COT/25 B 40056", "RB/COT/25 B 40056"),
        ("RB/COT/25B40056", "RB/COT/25 B 40056"),
        ("RB/COT/25 B40056", "RB/COT/25 B 40056"),
        ("BJ-COT-01-2024-B12-09431", "BJ-COT-01-2024-B12-09431"),
    ],
)
def test_two_spellings_are_one_firm(written: str, canonical: str) -> None:
    """The register keeps and answers one of them."""
    assert canonical_rccm(written) == canonical
    assert rccm_letter(written) == "B"
    assert rccm_court(written) == "COT"


@pytest.mark.parametrize(
    "written",
    ["", "RB/CO/25 B 40056", "RB/COT/25 B 40", "rb/cot/25 b 40056", "RB/COT/25 B 4005600", "TF/COT/12"],
)
def test_what_is_no_number_is_refused_without_being_repeated(written: str) -> None:
    """Errors reach logs."""
    with pytest.raises(ValueError) as refused:
        canonical_rccm(written)

    assert not written or written not in str(refused.value)


@given(st.sampled_from(["COT", "PNO", "PARAKOU"]), st.integers(2006, 2099), _FORMS, st.integers(1, 999_999))
def test_a_number_that_the_register_makes_keeps_the_rules_of_the_proto(
    court: str, year: int, legal_form: LegalForm, rank: int
) -> None:
    """Form, letter, identifier: as GetBusiness must answer them."""
    rccm = make_rccm(court, year, legal_form, rank)

    assert canonical_rccm(rccm.replace(" ", "")) == rccm
    assert rccm_letter(rccm) == FORMS[legal_form].letter
    require_valid(
        pb.GetBusinessResponse(
            rccm=rccm, euid=euid(rccm), legal_form=legal_form, court=court, registered_on="2026-11-28"
        )
    )


def test_the_european_identifier_is_the_number_without_blanks_and_slashes() -> None:
    """As the proto says."""
    assert euid("RB/COT/25B40056") == "BJRCCM.RBCOT25B40056"
    assert euid("BJ-COT-01-2024-B12-09431") == "BJRCCM.BJ-COT-01-2024-B12-09431"


@pytest.mark.parametrize("rank", [0, -1, 1_000_000])
def test_a_rank_that_has_no_six_digits_makes_no_number(rank: int) -> None:
    """A full book stops, it does not write longer numbers."""
    with pytest.raises(ValueError):
        make_rccm("COT", 2026, pb.LEGAL_FORM_EI, rank)


def test_a_tax_number_is_read_in_its_parts() -> None:
    """Holder, year, rank, branch; of the last digit nothing is said."""
    assert Ifu.parse("3202690000117") == Ifu("3", 2026, 900001, "1")


@pytest.mark.parametrize(
    "text", ["", "7202690000117", "3200590000117", "320269000011", "32026900001177", "3199990000117"]
)
def test_what_is_no_tax_number_is_refused(text: str) -> None:
    """Kind of holder 1 to 6, a year from 2006, thirteen digits."""
    with pytest.raises(ValueError):
        Ifu.parse(text)


@pytest.mark.parametrize(
    ("text", "legal_form", "owner"),
    [
        ("1202690000100", pb.LEGAL_FORM_EI, "1"),
        ("2202690000100", pb.LEGAL_FORM_ENTREPRENANT, "2"),
        ("3202690000117", pb.LEGAL_FORM_SARL, ""),
    ],
)
def test_the_first_digit_agrees_with_the_holder(text: str, legal_form: LegalForm, owner: str) -> None:
    """A woman's trade is not taxed as a man's, nor a company's as a person's."""
    require_ifu_of(text, legal_form, owner, TODAY)

    for other in "123456".replace(text[0], ""):
        with pytest.raises(ValueError, match="first digit"):
            require_ifu_of(other + text[1:], legal_form, owner, TODAY)


def test_a_tax_number_of_a_year_to_come_is_refused() -> None:
    """Nobody was registered tomorrow."""
    with pytest.raises(ValueError, match="year"):
        require_ifu_of("3202790000117", pb.LEGAL_FORM_SARL, "", TODAY)
