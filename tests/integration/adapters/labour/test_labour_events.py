"""Events of visas: who hears of what, page by page and as a stream, and what they never say."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from structlog.testing import capture_logs

from adapters.labour.tables import CONTRACTS, INSPECTORATES
from bj.common.v1 import event_pb2
from bj.labour.v1 import events_pb2 as pb
from tests.support.labour.office import ANIP, FOREIGNER, IFU, KOFFI, LabourOffice, Refusal, contract_request

DOMAIN = "BJ/GOV/MTFP/TRAVAIL/bj.labour.v1.VisaEventService"
INSPECTION = "BJ/GOV/MTFP/INSPECTION"
OTHER = "3202690000118"


def listed(office: LabourOffice, purpose: str = "P02", client: str = "", **chosen: Any) -> list[pb.VisaEvent]:
    """All events that a client may hear, in pages of two."""
    said = {"x_road_client": client} if client else {}
    events: list[pb.VisaEvent] = []
    page = event_pb2.EventPage(size=2)
    request = pb.ListVisaChangesRequest(page=page, filter=pb.VisaEventFilter(**chosen))
    while True:
        found = office.call(office.events.ListVisaChanges, request, purpose, **said)
        events += found.events
        if not found.has_more:
            return events
        request.page.since_cursor = found.next_cursor


def kinds(events: Iterable[pb.VisaEvent]) -> list[str]:
    """What they tell."""
    return [pb.VisaEventType.Name(one.type).removeprefix("VISA_EVENT_TYPE_") for one in events]


def correct_and_interview(office: LabourOffice) -> str:
    """A contract whose applicant was asked for both."""
    reference = office.file().dossier.reference
    office.run_due()
    office.decide("review", reference)
    office.decide("ask_correction", reference, "la durée du travail manque")
    office.desk.store.write(lambda tx: office.desk.dossiers.correct(tx, reference, "voici", ["cd" * 32]))
    office.decide("ask_interview", reference, "lundi 9 h à l'inspection")
    return reference


def test_what_an_officer_asks_is_told(office: LabourOffice) -> None:
    """By the names of what changed; what he asks stands in the dossier."""
    reference = correct_and_interview(office)

    events = listed(office)

    assert kinds(events) == ["FILED", "CORRECTION_REQUESTED", "INTERVIEW_REQUIRED"]
    assert {(one.reference, one.employer_ifu, one.inspectorate_code, one.visa_no) for one in events} == {
        (reference, IFU, "LI", "")
    }
    assert [list(one.header.changed_fields) for one in events] == [
        ["state"],
        ["state", "reason"],
        ["state", "reason"],
    ]
    with office.desk.store.reading() as tx:
        assert tx.execute(CONTRACTS.select()).one().contract_sha256 == "cd" * 32


def test_a_subsystem_hears_of_what_it_handed_in_and_of_nothing_else(office: LabourOffice) -> None:
    """Whatever it filters for."""
    office.file()

    assert kinds(listed(office)) == ["FILED"]
    choices: tuple[dict[str, Any], ...] = ({}, {"employer_ifu": IFU}, {"inspectorate_code": "LI"})
    for chosen in choices:
        assert listed(office, client="BJ/COM/BANQUE/RH", **chosen) == []
        assert listed(office, "P04", **chosen) == []


def test_an_inspectorate_hears_of_its_district(office: LabourOffice) -> None:
    """Which one a subsystem speaks for, the ministry has entered; for another purpose it hears nothing."""
    office.apiex.enter(OTHER)
    first = office.file().dossier.reference
    office.file(key="key-of-a-contract-0002", employer_ifu=OTHER)
    values = {"client": INSPECTION, "inspectorate_code": "LI"}
    office.desk.store.write(lambda tx: tx.execute(INSPECTORATES.insert(), values))

    heard = listed(office, "P04", INSPECTION)

    assert [one.reference for one in heard] == [first]
    assert listed(office, "P02", INSPECTION) == []
    assert listed(office, "P04", INSPECTION, inspectorate_code="AQ") == []
    values = {"client": INSPECTION, "inspectorate_code": "AQ"}
    office.desk.store.write(lambda tx: tx.execute(INSPECTORATES.insert(), values))
    assert len(listed(office, "P04", INSPECTION)) == 2
    assert len(listed(office, "P04", INSPECTION, inspectorate_code="AQ")) == 1


def test_filters_hold_all_together(office: LabourOffice) -> None:
    """Types, inspectorate, employer."""
    correct_and_interview(office)
    asked = [pb.VISA_EVENT_TYPE_CORRECTION_REQUESTED, pb.VISA_EVENT_TYPE_FILED]

    assert kinds(listed(office, types=asked)) == ["FILED", "CORRECTION_REQUESTED"]
    assert kinds(listed(office, types=asked, employer_ifu=IFU, inspectorate_code="LI")) == [
        "FILED",
        "CORRECTION_REQUESTED",
    ]
    assert listed(office, types=asked, employer_ifu=OTHER) == []
    assert listed(office, types=asked, inspectorate_code="AQ") == []
    assert listed(office, types=[pb.VISA_EVENT_TYPE_VISED]) == []


def test_the_stream_tells_what_the_list_tells_and_goes_on(office: LabourOffice) -> None:
    """The same events by the same cursors; a stream begun after one of them goes on from there, to what comes."""
    correct_and_interview(office)
    events = listed(office)

    for number in range(len(events) + 1):
        since = events[number - 1].header.cursor if number else ""
        request = pb.WatchVisaEventsRequest(since_cursor=since)
        call = office.events.WatchVisaEvents(request, metadata=office.said(), timeout=30)
        told = [next(call).event for _ in events[number:]]
        assert told == events[number:]
        call.cancel()
    last = pb.WatchVisaEventsRequest(since_cursor=events[-1].header.cursor)
    call = office.events.WatchVisaEvents(last, metadata=office.said(), timeout=30)
    office.file(key="key-of-a-contract-0002")
    assert kinds([next(call).event]) == ["FILED"]
    call.cancel()


def test_streams_take_no_thread_from_calls(office: LabourOffice) -> None:
    """More of them open than the server has threads for calls: each is told, and calls are answered."""
    office.file()
    bank = "BJ/COM/BANQUE/RH"
    office.call(
        office.filings.SubmitContractVisa,
        contract_request(key="key-of-a-contract-0002"),
        x_road_client=bank,
    )

    def watch(count: int, timeout: float, **said: str) -> list[Any]:
        request = pb.WatchVisaEventsRequest()
        return [
            office.events.WatchVisaEvents(request, metadata=office.said(**said), timeout=timeout)
            for _ in range(count)
        ]

    # The first outlast the deadlines of all that come after them: whoever waited for one would not be answered.
    watchers = watch(8, 60)
    assert {kind for call in watchers for kind in kinds([next(call).event])} == {"FILED"}
    watchers += watch(2, 20, x_road_client=bank)

    assert len(watchers) > office.settings.limits.threads
    assert kinds(listed(office)) == ["FILED"]
    assert {kind for call in watchers[8:] for kind in kinds([next(call).event])} == {"FILED"}
    for call in watchers:
        call.cancel()


def test_a_filter_for_no_type_at_all_is_refused(steady: LabourOffice) -> None:
    """By list and stream, and so is a cursor that was never given."""
    no_type = pb.VisaEventFilter(types=[pb.VISA_EVENT_TYPE_UNSPECIFIED])
    listing = pb.ListVisaChangesRequest(filter=no_type)
    assert steady.refused(steady.events.ListVisaChanges, listing).fields == {"filter.types"}
    for request, fields in (
        (pb.WatchVisaEventsRequest(filter=no_type), {"filter.types"}),
        (pb.WatchVisaEventsRequest(since_cursor="00000000-1"), {"since_cursor"}),
    ):
        call = steady.events.WatchVisaEvents(request, metadata=steady.said(), timeout=20)
        with pytest.raises(grpc.RpcError) as failed:
            next(call)
        refused = Refusal.of(failed.value)
        assert (refused.reason, refused.fields, refused.domain) == ("FORMAT_INVALID", fields, DOMAIN)


@pytest.mark.parametrize("purpose", ["P01", "P03", "P05", "P06", "P07", "P08"])
def test_other_purposes_hear_nothing(steady: LabourOffice, purpose: str) -> None:
    """Neither by list nor as a stream."""
    refused = steady.refused(steady.events.ListVisaChanges, pb.ListVisaChangesRequest(), purpose)
    assert refused.reason == "PURPOSE_NOT_ALLOWED"
    request = pb.WatchVisaEventsRequest()
    with pytest.raises(grpc.RpcError) as failed:
        next(steady.events.WatchVisaEvents(request, metadata=steady.said(purpose), timeout=20))
    assert Refusal.of(failed.value).reason == "PURPOSE_NOT_ALLOWED"


def test_the_end_of_a_permit_is_told_sixty_days_before_and_again_for_its_renewal(
    office: LabourOffice,
) -> None:
    """Of a contract that has its visa and runs; once for each permit."""
    office.enter_permit("PT-2026-900016", FOREIGNER, "2026-06-01", "2027-05-31")
    vised = {
        "reference": "DGT-202606-0001",
        "employer_id": office.employer.id,
        "worker_npi": FOREIGNER,
        "worker_name": "MENSAH KOSSI",
        "work_permit_no": "PT-2026-900016",
        "type": "foreign",
        "post": "Comptable",
        "signed_on": "2026-06-01",
        "start_date": "2026-06-01",
        "end_date": "2028-05-31",
        "left_on": "",
        "is_full_time": True,
        "salary_xof": 80_000,
        "is_fit": True,
        "contract_sha256": "0" * 64,
        "state": "vised",
        "visa_no": "VISA-202606-0001",
        "changed_at": 0,
    }
    inspectorate = {"client": INSPECTION, "inspectorate_code": "LI"}

    def enter(tx: Any) -> None:
        tx.execute(CONTRACTS.insert(), vised)
        tx.execute(INSPECTORATES.insert(), inspectorate)
        office.desk.tasks.add(tx, "visa.permit", "DGT-202606-0001")

    office.desk.store.write(enter)

    def told_after(days: int) -> int:
        office.clock.advance(timedelta(days=days))
        office.run_due()
        return len(listed(office, "P04", INSPECTION))

    # From 23 November to 1 April: 129 days.
    assert (told_after(0), told_after(128), told_after(1), told_after(30)) == (0, 0, 1, 1)
    office.enter_permit("PT-2027-900016", FOREIGNER, "2027-06-01", "2028-05-30")
    # Looked at again on 1 June, when the first one has ended; sixty days before the second one ends, 304 days later.
    assert (told_after(31), told_after(303), told_after(1), told_after(61)) == (1, 1, 2, 2)
    assert kinds(listed(office, "P04", INSPECTION)) == ["PERMIT_EXPIRING"] * 2
    assert {one.visa_no for one in listed(office, "P04", INSPECTION)} == {"VISA-202606-0001"}
    assert office.tasks() == set()


def test_neither_event_nor_log_tells_salary_health_or_number_of_the_worker(office: LabourOffice) -> None:
    """Whatever happens to a contract: filed, refused, tried again, asked back, overdue, rejected."""
    with capture_logs() as logs:
        reference = correct_and_interview(office)
        too_low = contract_request(key="key-of-a-contract-0002", salary_xof=51_999)
        office.refused(office.filings.SubmitContractVisa, too_low)
        office.gateway.away.add(ANIP)
        office.file(key="key-of-a-contract-0003")
        for _ in range(20):
            office.clock.advance(timedelta(days=1))
            office.run_due()
        office.decide("reject", reference, "contrat non conforme")

    told = json.dumps([json_format.MessageToDict(one) for one in listed(office)])
    assert "REJECTED" in told
    assert "OVERDUE" in told
    for text in (told, json.dumps(logs, default=str)):
        for secret in (KOFFI, "987654", "51999", "ADJOVI", "medical", "is_fit", "salary"):
            assert secret not in text
