"""Which names of firms are one name, which are too near, which nobody may take."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.business.names import MAX_SIMILAR, NameRules, distance, name_key, name_rules, nearest, traces
from bj.business.v1 import business_pb2 as pb

RULES = name_rules()

_WORD = st.text("abcdefghijklmnopqrstuvwxyzéèêàçïôùɖɛɔ", min_size=2, max_size=9).filter(
    lambda word: bool(RULES.words(word))
)
_WORDS = st.lists(_WORD, min_size=1, max_size=4)
_FORM = st.sampled_from(
    ["SARL", "S.A.R.L.", "sarl", "SA", "S.A.", "Ets", "Établissements", "Société", "GIE", "SAS"]
)
_GLUE = st.sampled_from([" ", " - ", ", ", ". ", " & ", "  ", "/"])


def words(name: str) -> tuple[str, ...]:
    """The words that make a difference."""
    return RULES.words(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sènan Services", "SENAN SERVICES SARL"),
        ("Sènan Services", "Services Sènan"),
        ("Société Sènan Services", "ETS SENAN-SERVICES"),
        ("Sènan & Services", "Sènan et Services S.A."),
        ("B.T.P. du Littoral", "BTP Littoral"),
        ("B T P Littoral", "Littoral BTP, S. A. R. L."),
        ("N'Tcha Transport", "NTCHA TRANSPORT"),
        ("L'Étoile du Nord", "L Etoile Nord"),
        ("L'Étoile du Nord", "LETOILE NORD"),
        ("Béninsoft", "Benin Soft"),
        ("Ɖɔsu Mɛtɔ", "DOSU METO"),
    ],
)
def test_writing_order_and_legal_form_make_no_difference(one: str, other: str) -> None:
    """Who changes these has not found another name."""
    assert distance(words(one), words(other)) == 0
    assert traces(words(one)) & traces(words(other))


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("Transport Adjovi", "Transports Adjovi", 1),
        ("Kpadonou Import", "Kpadonau Import", 1),
        ("Kpadonou Import", "Kpadonouimport Export", None),
        ("Sodji", "Sodja", None),
        ("Adjovi Transport", "Dossou Transport", None),
        ("Zinsou BTP", "Zinsou ATP", 1),
    ],
)
def test_one_letter_tells_long_names_apart_no_more(one: str, other: str, near: int | None) -> None:
    """In a short name a letter makes another word, in a long one a misprint."""
    assert distance(words(one), words(other)) == near
    assert distance(words(other), words(one)) == near


@given(_WORDS, st.data())
def test_a_name_stays_the_same_however_it_is_written(parts: list[str], data: st.DataObject) -> None:
    """Case, accents, punctuation, order and a legal form at either end lead to the same key."""
    shuffled = data.draw(st.permutations(parts))
    glue = data.draw(_GLUE)
    form = data.draw(_FORM)
    written = [glue.join(shuffled).upper(), form]
    if data.draw(st.booleans()):
        written.reverse()

    assert name_key(words(" ".join(written))) == name_key(words(" ".join(parts)))


@given(_WORDS, st.data())
def test_names_one_letter_apart_meet_in_a_trace(parts: list[str], data: st.DataObject) -> None:
    """What the rule calls near, the store finds."""
    letters = "".join(words(" ".join(parts)))
    place = data.draw(st.integers(0, len(letters)))
    letter = data.draw(st.sampled_from("abcxyz"))
    change = data.draw(st.sampled_from(["insert", "delete", "replace"]))
    rest = letters[place:] if change == "insert" else letters[place + 1 :]
    other = words(letters[:place] + ("" if change == "delete" else letter) + rest)
    one = words(" ".join(parts))

    if distance(one, other) is not None:
        assert traces(one) & traces(other)


@given(_WORDS, _WORDS)
def test_names_in_conflict_meet_in_a_trace(one: list[str], other: list[str]) -> None:
    """And so for any two names."""
    mine, theirs = words(" ".join(one)), words(" ".join(other))

    if distance(mine, theirs) is not None:
        assert traces(mine) & traces(theirs)


@pytest.mark.parametrize(
    "name",
    [
        "Police Services",
        "Ministère des Affaires",
        "République du Bénin Import",
        "CROIX-ROUGE Transit",
        "B.C.E.A.O. Change",
    ],
)
def test_nobody_may_pass_for_the_state(name: str) -> None:
    """Forbidden whatever the form."""
    assert not any(RULES.may_carry(name, form) for form in pb.LegalForm.values() if form)


@pytest.mark.parametrize("name", ["SARL", "S.A.", "Les Établissements", "!!!", "  ", "Société & Cie"])
def test_a_name_needs_a_word_of_its_own(name: str) -> None:
    """A legal form and links are no name."""
    assert words(name) == ()
    assert not RULES.may_carry(name, pb.LEGAL_FORM_SARL)


def test_names_of_licensed_trades_are_for_the_forms_that_may_carry_them() -> None:
    """A bank is an SA, or not called so."""
    assert RULES.may_carry("Banque du Littoral", pb.LEGAL_FORM_SA)
    assert not RULES.may_carry("Banque du Littoral", pb.LEGAL_FORM_EI)
    assert RULES.may_carry("Mutuelle Sènami", pb.LEGAL_FORM_COOP)
    assert not RULES.may_carry("Mutuelle Sènami", pb.LEGAL_FORM_SARL)


def test_a_forbidden_word_within_another_is_another_word() -> None:
    """Polices of insurance are sold, the police is not."""
    assert RULES.may_carry("Policet Transit", pb.LEGAL_FORM_SARL)
    assert RULES.may_carry("Croix Blanche", pb.LEGAL_FORM_SARL)


def test_the_nearest_names_come_first_and_no_more_than_ten() -> None:
    """The same name before a near one; each once."""
    others = [
        ("Transports Adjovi", words("Transports Adjovi")),
        ("ADJOVI TRANSPORT", words("ADJOVI TRANSPORT")),
    ]
    others += [(f"Transport Adjov{letter}", words(f"Transport Adjov{letter}")) for letter in "abcdefghjklm"]

    found = nearest(words("Transport Adjovi"), [*others, *others])

    assert found[0] == "ADJOVI TRANSPORT"
    assert len(found) == len(set(found)) == MAX_SIMILAR


def test_a_list_that_would_never_be_met_is_refused(tmp_path: Path) -> None:
    """A word with an accent, or a form that does not exist, is a mistake of whoever edits the lists."""
    lists = tmp_path / "names.toml"
    lists.write_text('forms=["société"]\nlinks=[]\nforbidden=[]\nlicensed=[]\n', encoding="utf-8")
    with pytest.raises(ValueError, match="not written folded"):
        NameRules.load(lists)

    lists.write_text(
        'forms=[]\nlinks=[]\nforbidden=[]\n[[licensed]]\nphrases=["banque"]\nforms=["SRL"]\n',
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="unknown legal form"):
        NameRules.load(lists)
