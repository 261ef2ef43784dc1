"""The parcels: rights, holders, charges and dirt in the shares of DOMAIN section 6."""

from collections import Counter
from fractions import Fraction

import pytest

from adapters.world.parcels import Estate
from adapters.world.personas.land import ESTATES
from adapters.world.records.land import HolderCapacity, Parcel, ParcelEventKind, RightType
from adapters.world.sizes import Sizes
from adapters.world.world import World
from tests.support.world_country import Country, digest

DIGESTS_OF_2000 = {
    "parcels": "45f28ca322a89c44970e419a539ceca21d9fc7dbba62a609fb47580ccfe62877",
    "holdings": "48508fd6a97e9f0a31f0bca09b7c6ef80611d1e736a994609e071a5029333185",
}


@pytest.fixture(scope="module")
def estates(country: Country) -> list[Estate]:
    """All but the personas'."""
    return country.estates[len(ESTATES) :]


@pytest.fixture(scope="module")
def parcels(estates: list[Estate]) -> list[Parcel]:
    """Their parcels."""
    return [estate.parcel for estate in estates]


def test_a_seed_always_gives_the_same_land() -> None:
    """The digests are fixed: who changes the generator changes them on purpose."""
    world = World(sizes=Sizes.of(2_000))

    assert {"parcels": digest(world.parcels()), "holdings": digest(world.holdings())} == DIGESTS_OF_2000


def test_rights_are_of_every_kind(country: Country, parcels: list[Parcel]) -> None:
    """12,000 parcels: 30 % titled, 55 % presumed, 10 % of the State, 5 % customary, to the parcel."""
    kinds = Counter(parcel.right_type for parcel in parcels)

    assert len(country.estates) == 12_000
    assert [kinds[right] for right in (RightType.TITLED, RightType.PRESUMED)] == [3_594, 6_589]
    assert [kinds[right] for right in (RightType.STATE, RightType.CUSTOMARY)] == [1_198, 599]
    assert all(bool(parcel.title_no) == (parcel.right_type is RightType.TITLED) for parcel in parcels)


def test_most_parcels_have_no_nup_yet_and_are_known_by_what_they_were_called(parcels: list[Parcel]) -> None:
    """60 %; each of them has its reference of before."""
    without = [parcel for parcel in parcels if not parcel.nup]

    assert len(without) / len(parcels) == pytest.approx(0.60, abs=0.01)
    assert all(parcel.legacy for parcel in without)


def test_numbers_and_titles_are_unique(country: Country) -> None:
    """Of parcels that are and of those given up; titles in their land book."""
    parcels = country.parcels
    nups = [parcel.nup for parcel in parcels if parcel.nup]
    titles = [parcel.title_no for parcel in parcels if parcel.title_no]

    assert len(set(nups)) == len(nups)
    assert len(set(titles)) == len(titles)
    assert len({parcel.ordinal for parcel in parcels}) == len(parcels)


def test_a_few_references_of_before_name_two_parcels(parcels: list[Parcel]) -> None:
    """One in a hundred: who asks by it is told AMBIGUOUS."""
    references = Counter(parcel.legacy for parcel in parcels if parcel.legacy)

    assert Counter(references.values())[2] == pytest.approx(0.01 * len(references), rel=0.3)
    assert max(references.values()) <= 3


def test_some_files_have_shortcomings(parcels: list[Parcel]) -> None:
    """6 %."""
    assert sum(bool(p.shortcomings) for p in parcels) / len(parcels) == pytest.approx(0.06, abs=0.006)


def test_some_titles_are_held_by_the_dead(country: Country, estates: list[Estate]) -> None:
    """3 % of the titles; of no other parcel."""
    dead = [
        estate.parcel.right_type
        for estate in estates
        for holding in estate.holdings
        if holding.npi and country.persons[holding.npi].is_deceased
    ]

    assert set(dead) == {RightType.TITLED}
    assert len(dead) / 3_594 == pytest.approx(0.03, abs=0.006)


def test_shares_sum_to_the_whole(country: Country) -> None:
    """One denominator, whoever shares."""
    for estate in country.estates:
        if estate.holdings:
            shares = [Fraction(holding.numerator, holding.denominator) for holding in estate.holdings]
            assert sum(shares) == 1
            assert [holding.rank for holding in estate.holdings] == list(range(1, len(shares) + 1))
            assert estate.parcel.party_exists


def test_many_share_and_some_of_them_as_heirs(estates: list[Estate]) -> None:
    """Two to four holders of one parcel in nine; undivided estates among them."""
    shared = [estate for estate in estates if len(estate.holdings) > 1]

    assert len(shared) / len(estates) == pytest.approx(0.09, abs=0.015)
    assert {len(estate.holdings) for estate in shared} == {2, 3, 4}
    assert {estate.holdings[0].capacity for estate in shared} == {HolderCapacity.OWNER, HolderCapacity.HEIR}


def test_there_are_mortgages_disputes_notices_oppositions_and_certificates(country: Country) -> None:
    """Everything that keeps a parcel from being sold occurs, in force and past."""
    today = country.world.day.isoformat()
    charges = [estate.charges for estate in country.estates]
    mortgages = [one for charge in charges for one in charge.mortgages]
    disputes = [one for charge in charges for one in charge.disputes]
    certificates = [charge.certificate for charge in charges if charge.certificate]
    notices = {charge.notice.parcel: charge.notice for charge in charges if charge.notice}

    assert {bool(one.released_on) for one in mortgages} == {True, False}
    assert max(one.rank for one in mortgages) == 2
    assert {bool(one.settled_on) for one in disputes} == {True, False}
    assert {one.valid_until >= today for one in certificates} == {True, False}
    assert all(one.opened_on <= today <= one.closes_on for one in notices.values())
    oppositions = [one for charge in charges for one in charge.oppositions]
    assert len(oppositions) > 10
    assert all(notices[one.parcel].opened_on <= one.lodged_on <= today for one in oppositions)
    assert all(notices[one.parcel].applicant_npi != one.opponent_npi for one in oppositions)


def test_no_day_is_after_the_worlds_day_but_ends(country: Country) -> None:
    """What was written was written by then."""
    today = country.world.day.isoformat()
    for estate in country.estates:
        days = [estate.parcel.valid_from, *(holding.since for holding in estate.holdings)]
        days += [one.registered_on for one in estate.charges.mortgages]
        days += [one.noted_on for one in estate.charges.disputes]
        assert max(days) <= today
        if estate.title:
            assert estate.title.issued_on <= estate.holdings[0].since


def test_given_up_numbers_lead_to_their_successors_and_back(country: Country) -> None:
    """Splits and mergers; nobody holds what was given up."""
    parcels = country.parcels
    by_nup = {parcel.nup: parcel for parcel in parcels if parcel.nup}
    given_up = [parcel for parcel in parcels if parcel.successor_nups]

    assert {len(parcel.successor_nups) for parcel in given_up} == {1, 2}
    for old in given_up:
        assert not old.party_exists
        assert old.valid_from < old.valid_to
        for nup in old.successor_nups:
            assert old.nup in by_nup[nup].predecessor_nups
            assert by_nup[nup].place.arrondissement_code == old.place.arrondissement_code
    for parcel in parcels:
        assert all(parcel.nup in by_nup[nup].successor_nups for nup in parcel.predecessor_nups)


def test_areas_are_those_of_the_polygons(parcels: list[Parcel]) -> None:
    """Computed from the boundary, to the rounding of centimetres."""
    for parcel in parcels[:2_000]:
        corners = parcel.polygon
        area = abs(
            sum(
                (one.x - corners[0].x) * (next_.y - corners[0].y)
                - (next_.x - corners[0].x) * (one.y - corners[0].y)
                for one, next_ in zip(corners, corners[1:] + corners[:1], strict=True)
            )
            / 2
        )
        assert parcel.calculated_area_m2 == pytest.approx(area, rel=0.002)


def test_events_of_a_year_are_told_in_order_by_the_records_themselves(country: Country) -> None:
    """Every kind; only of parcels that have a number."""
    told = list(country.world.parcel_events())

    assert [event.occurred_on for event in told] == sorted(event.occurred_on for event in told)
    assert all(event.nup and "2025-11-02" <= event.occurred_on <= "2026-11-01" for event in told)
    assert {event.kind for event in told} == set(ParcelEventKind) - {ParcelEventKind.NOTICE_CLOSED}
