"""What stands on the papers that ANDF signs."""

from adapters.kit.purposes import trim
from adapters.land.book import TitleState
from adapters.land.papers import title_state_lines
from adapters.land.title_states import _PROFILES, Quality
from bj.common.v1 import person_pb2
from bj.land.v1 import parcel_pb2


def state(quality: Quality) -> TitleState:
    """A burdened title, as somebody of that quality may see it."""
    answer = parcel_pb2.GetTitleResponse(
        title_no="TF/COT/900001",
        nup="900000001",
        book="Livre foncier de Cotonou",
        origin="Immatriculation sur convention de vente",
        holders=[
            parcel_pb2.Holder(
                party=person_pb2.Party(npi=f"000000000{number}"),
                share=parcel_pb2.Share(numerator=number, denominator=3),
                capacity=parcel_pb2.HOLDER_CAPACITY_OWNER,
            )
            for number in (1, 2)
        ],
        mortgages=[parcel_pb2.Mortgage(creditor="Banque fictive", rank=1, amount_xof=8_000_000)],
        restrictions=["servitude de passage"],
        disputes=["contestation de limites"],
    )
    trim(answer, _PROFILES[quality])
    return TitleState(answer, ["ADJOVI Koffi", "CHABI Moussa"])


def lines(quality: Quality) -> list[tuple[str, str]]:
    """French label and value of each line."""
    return [(line.label.fr, line.value) for line in title_state_lines(state(quality))]


def test_a_holder_has_all_that_is_written_on_paper() -> None:
    """Names and shares, what is lent, limits, disputes, origin."""
    told = dict(lines(Quality.HOLDER))

    assert told["Titulaire"] == "CHABI Moussa, 2/3, propriétaire"
    assert told["Hypothèque"] == "rang 1, Banque fictive, 8000000 F CFA"
    assert {"Origine", "Restriction", "Litige", "Livre foncier"} <= set(told)


def test_what_an_answer_does_not_tell_its_paper_does_not_either() -> None:
    """By a holder's consent: neither origin nor disputes."""
    assert {"Origine", "Litige"} & {label for label, _ in lines(Quality.CONSENT)} == set()


def test_no_paper_shows_a_personal_number() -> None:
    """Names are shown, numbers are not."""
    for quality in Quality:
        assert not any("000000000" in value for label, value in lines(quality) if label != "NUP")
