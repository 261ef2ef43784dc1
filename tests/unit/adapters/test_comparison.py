"""What VerifyPerson takes for the same name and the same date."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.folding import fold
from adapters.identity.comparison import (
    Claim,
    Comparison,
    Match,
    compare,
    compare_dates,
    is_date,
    is_same_name,
    search_words,
)
from adapters.identity.seed import record_of

KOFFI = replace(
    record_of("0000000001"),
    last_name="N'TCHA",
    first_names="KOFFI JEAN-BAPTISTE",
    birth_date="1987-04-12",
    mother_last_name="DOSSOU",
)

_NAMES = st.text(st.characters(codec="utf-8"), max_size=40)
_WORD = st.text("abcdefghijklmnopqrstuvwxyzéèêàçïôùɖɛɔ", min_size=1, max_size=8)
_WORDS = st.lists(_WORD, min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Adjovi", "ADJOVI"),
        ("Aïcha", "AICHA"),
        ("Sènan", "SENAN"),
        ("N'Tcha", "N\u2019TCHA"),
        ("N'TCHA", "NTCHA"),
        ("N' Tcha", "N'TCHA"),
        ("Jean-Baptiste", "JEAN BAPTISTE"),
        ("Jean-Baptiste", "JEANBAPTISTE"),
        ("Koffi, Jean", "JEAN KOFFI"),
        ("\u0189\u0254su", "DOSU"),
        ("s\u025b\u0300nan", "senan"),
        ("Cœur", "COEUR"),
        ("E\u0301mile", "\u00c9MILE"),
    ],
)
def test_ways_to_write_one_name_are_the_same_name(one: str, other: str) -> None:
    """Accents, case, apostrophes, hyphens and order make no difference."""
    assert is_same_name(fold(one), fold(other))


@pytest.mark.parametrize(
    ("one", "other"), [("ADJOVI", "ADJOVIE"), ("KOFFI", "KOFI"), ("SENAN", "SENAMI"), ("A B", "A C")]
)
def test_different_names_stay_different(one: str, other: str) -> None:
    """Folding does not guess: one letter more is another name."""
    assert not is_same_name(fold(one), fold(other))


@given(_NAMES)
def test_folding_twice_changes_nothing(name: str) -> None:
    """A folded name is its own folding, whatever letters came in."""
    once = fold(name)

    assert fold(" ".join(once)) == once


@given(_NAMES, _NAMES)
def test_a_register_finds_people_by_the_words_that_folding_leaves(one: str, other: str) -> None:
    """Names are folded part by part, once each: that must be the folding of the whole."""
    name = f"{one} {other}"

    assert search_words(name) == {*fold(name), "".join(fold(name))} - {""}


@given(_WORDS.flatmap(lambda words: st.tuples(st.just(words), st.permutations(words))))
def test_order_and_case_of_words_do_not_matter(orders: tuple[list[str], list[str]]) -> None:
    """Any order of the same words, in capitals or not, is the same name."""
    words, shuffled = orders

    assert is_same_name(fold(" ".join(words)), fold(" - ".join(shuffled).upper()))


def test_a_full_agreement_scores_100() -> None:
    """Everything claimed as registered is YES and weighs all."""
    claim = Claim("n'tcha", "Jean-Baptiste Koffi", "1987-04-12", "M", "dossou")

    outcome = compare(claim, KOFFI)

    assert outcome == Comparison(Match.YES, Match.YES, Match.YES, Match.YES, Match.YES, score=100)


def test_what_is_not_claimed_is_not_compared() -> None:
    """An empty claim, or one of punctuation only, is neither right nor wrong."""
    outcome = compare(Claim(last_name="N'Tcha", first_names=" - "), KOFFI)

    assert outcome.first_names is Match.NOT_COMPARED
    assert outcome.birth_date is Match.NOT_COMPARED
    assert outcome.score == 100


def test_nothing_comparable_scores_nothing() -> None:
    """Without anything compared there is no agreement to speak of."""
    outcome = compare(Claim(mother_last_name="Dossou"), replace(KOFFI, mother_last_name=""))

    assert outcome.mother_last_name is Match.UNKNOWN
    assert outcome.score == 0


def test_some_of_several_first_names_are_enough_but_weigh_less() -> None:
    """People use one of their first names; the score shows that it was not all of them."""
    outcome = compare(Claim(first_names="Koffi"), KOFFI)

    assert outcome.first_names is Match.YES
    assert outcome.score == 33


def test_a_first_name_too_many_disagrees() -> None:
    """A first name that the register does not have is a NO."""
    assert compare(Claim(first_names="Koffi Brice"), KOFFI).first_names is Match.NO


def test_exchanged_last_and_first_names_agree() -> None:
    """Names in each other's place, in the claim or in the register, are recognised."""
    claim = Claim(last_name="Koffi Jean Baptiste", first_names="N'Tcha")

    outcome = compare(claim, KOFFI)

    assert (outcome.last_name, outcome.first_names) == (Match.YES, Match.YES)


@pytest.mark.parametrize("claimed", ["Adjovi", "Dossou", "Adjovi Dossou", "DOSSOU-ADJOVI"])
def test_a_married_woman_may_give_either_name(claimed: str) -> None:
    """Last name at birth, by marriage, or both: each is hers."""
    married = replace(KOFFI, last_name="ADJOVI", marital_name="DOSSOU", sex="F")

    assert compare(Claim(last_name=claimed), married).last_name is Match.YES


@pytest.mark.parametrize(
    ("claimed", "registered", "outcome"),
    [
        ("1987-04-12", "1987-04-12", Match.YES),
        ("1987-04", "1987-04-12", Match.YES),
        ("1987", "1987-04-12", Match.YES),
        ("1987-04-13", "1987-04-12", Match.NO),
        ("1987-05", "1987-04-12", Match.NO),
        ("1987-04-12", "1987", Match.UNKNOWN),
        ("1986-04-12", "1987", Match.NO),
        ("1987-04-12", "", Match.UNKNOWN),
        ("", "1987-04-12", Match.NOT_COMPARED),
    ],
)
def test_dates_are_compared_as_far_as_both_are_known(claimed: str, registered: str, outcome: Match) -> None:
    """The register confirms no day that it does not know."""
    assert compare_dates(claimed, registered) is outcome


@pytest.mark.parametrize("text", ["1987", "1987-04", "1987-04-12", "2024-02-29"])
def test_a_date_of_the_calendar_is_a_date(text: str) -> None:
    """Year, month or day, as far as known."""
    assert is_date(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "87",
        "1987-4-1",
        "1987-13",
        "1987-00",
        "2023-02-29",
        "1987-04-31",
        "0000",
        "1987-04-12 ",
        "１９８７",
    ],
)
def test_what_the_calendar_does_not_have_is_no_date(text: str) -> None:
    """Impossible days, other digits and loose forms are refused."""
    assert not is_date(text)
