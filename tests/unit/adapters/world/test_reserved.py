"""Nothing that can be somebody's leaves the world: every number, telephone and e-mail is checked."""

from itertools import chain

import pytest

from adapters.world import world as world_module
from adapters.world.personas.firms import ENTRIES
from adapters.world.personas.land import ESTATES
from adapters.world.personas.people import record_of
from adapters.world.personas.work import EMPLOYERS, HIRINGS, SEEKERS
from adapters.world.reserved import ReservedRangeError, require_reserved
from adapters.world.sizes import Sizes
from adapters.world.world import World

PERSON = record_of("0000000001")
FIRM = ENTRIES[0].firm
RELATION = ENTRIES[0].relations[0]
PARCEL, TITLE, HOLDING = ESTATES[0].parcel, ESTATES[0].title, ESTATES[0].holdings[0]
CONTRACT = HIRINGS[2].contract
PERMIT = HIRINGS[2].permits[0]

OUTSIDE = [
    (PERSON, {"npi": "1234567890"}),
    (PERSON, {"npi": "0001234567\n"}),
    (PERSON, {"npi": "000123456"}),
    (PERSON, {"merged_into": "1234567890"}),
    (PERSON, {"phone": "0197000000"}),
    (PERSON, {"phone": "97000000"}),
    (PERSON, {"phone_cc": "+228"}),
    (PERSON, {"email": "koffi@gouv.bj"}),
    (PERSON, {"email": "koffi@example.bj.com"}),
    (FIRM, {"rccm": "RB/COT/25 B 40056"}),
    (FIRM, {"rccm": "RB/COT/25 B 899999"}),
    (FIRM, {"ifu": "3202012345618"}),
    (FIRM, {"ifu": "3202090000125"}),
    (FIRM, {"cnss_employer_no": "1000001"}),
    (FIRM, {"phone": "+2290197000000"}),
    (FIRM, {"email": "contact@gouv.bj"}),
    (FIRM, {"seat_nup": "123456789"}),
    (RELATION, {"npi": "1234567890"}),
    (RELATION, {"ifu": "3202012345618"}),
    (PARCEL, {"nup": "100000001"}),
    (PARCEL, {"title_no": "TF/COT/1234"}),
    (PARCEL, {"predecessor_nups": ("900000001", "100000001")}),
    (PARCEL, {"successor_nups": ("100000001",)}),
    (TITLE, {"title_no": "TF/COT/90001"}),
    (HOLDING, {"npi": "1234567890"}),
    (HOLDING, {"ifu": "4200612345610"}),
    (CONTRACT, {"worker_npi": "1234567890"}),
    (CONTRACT, {"employer_ifu": "3202012345618"}),
    (CONTRACT, {"cnss_worker_no": "12345678"}),
    (CONTRACT, {"work_permit_no": "PT-2026-000123"}),
    (PERMIT, {"number": "PT-2026-000123"}),
    (SEEKERS[0], {"seeker_no": "DE-2026-000123"}),
    (EMPLOYERS[0], {"cnss_employer_no": "10000010"}),
]


@pytest.mark.parametrize(("record", "change"), OUTSIDE)
def test_whatever_is_outside_the_reserved_ranges_is_refused(
    record: tuple[object, ...], change: dict[str, object]
) -> None:
    """No seed can slip in what may be somebody's, and the refusal does not repeat it."""
    planted = record._replace(**change)  # type: ignore[attr-defined]  # every record is a NamedTuple

    with pytest.raises(ReservedRangeError) as refused:
        require_reserved(planted)

    assert str(next(iter(change.values()))).strip() not in str(refused.value)


def test_a_planted_record_stops_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check stands at the door of the world, whoever asks and whatever for."""
    planted = PERSON._replace(npi="1234567890")
    monkeypatch.setattr(world_module, "_PERSONS", (planted,))

    with pytest.raises(ReservedRangeError):
        list(World(sizes=Sizes.of(200)).persons())


def test_everything_that_the_world_tells_is_inside_the_reserved_ranges() -> None:
    """Of all lists, in a small country."""
    world = World(sizes=Sizes.of(500))
    told = chain(
        world.persons(), world.person_events(), world.parcels(), world.titles(), world.holdings(),
        world.mortgages(), world.restrictions(), world.disputes(), world.belonging_certificates(),
        world.notices(), world.oppositions(), world.parcel_events(), world.firms(), world.relations(),
        world.registry_events(), world.employers(), world.affiliations(), world.work_permits(),
        world.contracts(), world.job_seekers(), world.visa_events(),
    )  # fmt: skip

    assert sum(require_reserved(record) is record for record in told) > 1_200
