"""What becomes of records, for those who are linked to their persons."""

from typing import Any

import pytest
import sqlalchemy as sa

from adapters.identity.tables import LINKS
from adapters.identity.telling import link, tell
from bj.common.v1 import event_pb2
from bj.identity.v1 import events_pb2 as pb
from bj.identity.v1 import identity_pb2
from tests.support.identity_office import CHANTAL, CHANTALE, KOFFI, IdentityOffice, act_request

NO_TYPE = pb.PERSON_EVENT_TYPE_UNSPECIFIED
STRANGER = "BJ/GOV/DGI/CFISC"


def die(office: IdentityOffice) -> None:
    """Koffi's death is recorded."""

    def work(tx: sa.Connection) -> None:
        tell(office.desk, tx, pb.PERSON_EVENT_TYPE_DEATH_RECORDED, KOFFI, "life_status")

    office.desk.store.write(work)


def test_the_seed_tells_of_the_last_year(office: IdentityOffice) -> None:
    """The persona that was merged is told with the number that stands."""
    (merged,) = [one for one in office.told() if one.npi == CHANTALE]

    assert (merged.type, merged.surviving_npi) == (pb.PERSON_EVENT_TYPE_NPI_MERGED, CHANTAL)
    assert list(merged.header.changed_fields) == ["npi"]


def test_whoever_opened_a_dossier_hears_of_the_person(office: IdentityOffice) -> None:
    """Once, and a stranger hears nothing at all."""
    office.ask()
    office.ask(key="key-of-an-act-00002")
    before = office.told()

    die(office)

    (event,) = office.told(since=before[-1].header.cursor)
    assert (event.type, event.npi) == (pb.PERSON_EVENT_TYPE_DEATH_RECORDED, KOFFI)
    assert office.told(client=STRANGER) == []


def test_reading_a_record_links_nobody(office: IdentityOffice) -> None:
    """Only dossiers do."""
    before = office.rows(LINKS)
    office.call(office.identity.GetPerson, identity_pb2.GetPersonRequest(npi=KOFFI), "P02")

    assert office.rows(LINKS) == before


def test_a_stream_goes_on_with_what_is_recorded(office: IdentityOffice) -> None:
    """What is there first, then what comes."""
    office.desk.store.write(lambda tx: link(tx, KOFFI, STRANGER))
    said = office.said("P02", x_road_client=STRANGER)
    stream = office.events.WatchPersonChanges(pb.WatchPersonChangesRequest(), metadata=said, timeout=20)

    die(office)

    assert next(stream).event.npi == KOFFI
    stream.cancel()


def test_a_filter_chooses_among_types(office: IdentityOffice) -> None:
    """Only those that are asked for."""
    request = pb.ListPersonChangesRequest()
    request.filter.types.append(pb.PERSON_EVENT_TYPE_NPI_MERGED)

    found = office.call(office.events.ListPersonChanges, request, "P02").events

    assert {one.type for one in found} == {pb.PERSON_EVENT_TYPE_NPI_MERGED}


@pytest.mark.parametrize(
    ("request_", "purpose", "reason"),
    [
        (pb.ListPersonChangesRequest(), "P01", "PURPOSE_NOT_ALLOWED"),
        (pb.ListPersonChangesRequest(filter=pb.PersonEventFilter(types=[NO_TYPE])), "P02", "FORMAT_INVALID"),
        (
            pb.ListPersonChangesRequest(page=event_pb2.EventPage(since_cursor="00000000-1")),
            "P02",
            "FORMAT_INVALID",
        ),
    ],
)
def test_what_cannot_be_followed(steady: IdentityOffice, request_: Any, purpose: str, reason: str) -> None:
    """Another purpose, no type, a cursor of elsewhere."""
    assert steady.refused(steady.events.ListPersonChanges, request_, purpose).reason == reason


def test_a_refused_request_links_nobody(steady: IdentityOffice) -> None:
    """The link comes with the dossier or not at all."""
    before = steady.rows(LINKS)

    steady.refused(steady.acts.SubmitActRequest, act_request(npi="0000000003"))

    assert steady.rows(LINKS) == before
