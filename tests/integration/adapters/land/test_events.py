"""What happens to parcels, as a list: for everybody, by commune, parcel and kind, without names."""

from typing import Any

import pytest

from adapters.context import serving
from adapters.kit.desk import Desk
from adapters.land.events import ParcelEventService, tell
from adapters.land.parcels import find_parcel
from bj.common.v1 import event_pb2
from bj.land.v1 import events_pb2 as pb
from tests.support.callers import NO_CONTEXT, caller
from tests.support.land_book import AFI, LandBook, owner
from tests.support.refusals import fields

ISSUED, TRANSFERRED, SPLIT = (
    pb.PARCEL_EVENT_TYPE_TITLE_ISSUED,
    pb.PARCEL_EVENT_TYPE_TRANSFERRED,
    pb.PARCEL_EVENT_TYPE_SPLIT,
)


def page(desk: Desk, cursor: str = "", size: int = 0, **wanted: Any) -> pb.ListParcelChangesResponse:
    """ListParcelChanges, for no purpose."""
    request = pb.ListParcelChangesRequest(
        page=event_pb2.EventPage(since_cursor=cursor, size=size), filter=pb.ParcelEventFilter(**wanted)
    )
    with serving(caller(purpose=None, issue=None)):
        return ParcelEventService(desk).ListParcelChanges(request, NO_CONTEXT)


@pytest.fixture
def nups(desk: Desk, book: LandBook) -> list[str]:
    """Three parcels, two in Cotonou and one in Porto-Novo, to which something happened."""
    nups = [book.parcel(owner(AFI)), book.parcel(owner(AFI)), book.parcel(owner(AFI), commune_code="OU-PNO")]
    for kind, nup, related in ((ISSUED, 0, ()), (TRANSFERRED, 1, ()), (ISSUED, 2, ()), (SPLIT, 0, (1,))):
        with desk.store.writing() as tx:
            parcel = find_parcel(tx, nups[nup])
            assert parcel
            tell(
                desk,
                tx,
                kind,
                parcel,
                ("holders",),
                title_no="TF/COT/900001",
                related_nups=[nups[i] for i in related],
            )
    return nups


def test_events_come_in_the_order_of_their_commits_with_all_that_is_public(
    desk: Desk, nups: list[str]
) -> None:
    """Kind, parcel, commune, title, and the names of what changed."""
    answer = page(desk)

    assert [(one.type, one.nup) for one in answer.events] == [
        (ISSUED, nups[0]), (TRANSFERRED, nups[1]), (ISSUED, nups[2]), (SPLIT, nups[0]),
    ]  # fmt: skip
    last = answer.events[-1]
    assert (last.commune_code, last.title_no, list(last.related_nups)) == (
        "LI-COT", "TF/COT/900001", [nups[1]],
    )  # fmt: skip
    assert list(last.header.changed_fields) == ["holders"]
    assert (answer.next_cursor, answer.has_more) == (last.header.cursor, False)


def test_the_conditions_of_a_filter_all_hold(desk: Desk, nups: list[str]) -> None:
    """Of these kinds, in this commune, of these parcels."""

    def found(**wanted: Any) -> list[int]:
        return [nups.index(one.nup) for one in page(desk, **wanted).events]

    assert found(commune_code="OU-PNO") == [2]
    assert found(commune_code="LI-COT") == [0, 1, 0]
    assert found(nups=[nups[1], nups[2]]) == [1, 2]
    assert found(types=[ISSUED]) == [0, 2]
    assert found(types=[ISSUED], commune_code="LI-COT", nups=[nups[0], nups[2]]) == [0]
    assert found(commune_code="AL-KAN") == []


def test_pages_go_on_where_the_last_one_ended(desk: Desk, nups: list[str]) -> None:
    """By cursor, with a filter too."""
    first = page(desk, size=1, commune_code="LI-COT")
    second = page(desk, first.next_cursor, size=1, commune_code="LI-COT")
    third = page(desk, second.next_cursor, size=1, commune_code="LI-COT")

    assert [len(one.events) for one in (first, second, third)] == [1, 1, 1]
    assert [one.has_more for one in (first, second, third)] == [True, True, False]
    assert page(desk, third.next_cursor).events == []


@pytest.mark.parametrize("code", ["LI", "LI-COT-05", "LI-COT-05-012"])
def test_a_commune_is_meant_and_no_other_unit(desk: Desk, code: str) -> None:
    """An arrondissement would find nothing, which is worse than being told."""
    assert fields(page, desk, commune_code=code) == ["filter.commune_code"]


def test_a_cursor_that_was_never_given_is_refused_by_name(desk: Desk, nups: list[str]) -> None:
    """As the kit does."""
    assert len(fields(page, desk, "nonsense")) == 1
