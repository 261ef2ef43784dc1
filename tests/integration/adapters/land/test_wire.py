"""ANDF's adapter over real mTLS: answers, statuses, streams, and ANIP at the other end of the road."""

from concurrent import futures
from datetime import timedelta
from threading import Barrier
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from adapters.kit.dossier import State
from adapters.land.parties import Party, party_message
from bj.common.v1 import dossier_pb2
from bj.land.v1 import events_pb2, parcel_pb2, transfer_pb2
from tests.support.labour.office import Refusal
from tests.support.land_book import AFI, BIO, CODJO, NOTARY, owner
from tests.support.land_served import SUBSYSTEM, ServedLand

TITLE = "TF/COT/900001"
MINUTES = timedelta(minutes=5)


def sale(nup: str, buyer: Party, key: str, **changes: Any) -> transfer_pb2.FileTransferRequest:
    """Afi sells a parcel."""
    values: dict[str, Any] = {
        "application": dossier_pb2.Application(
            idempotency_key=key, application_id="APP-1", service_code="PS01427"
        ),
        "notary_ref": NOTARY,
        "nup": nup,
        "seller": party_message(AFI),
        "buyer": party_message(buyer),
        "price_xof": 8_000_000,
        "deed_sha256": "ab" * 32,
        **changes,
    }
    return transfer_pb2.FileTransferRequest(**values)


def refusal(served: ServedLand, method: Any, request: Any, purpose: str | None = None) -> Refusal:
    """Make a call that must be refused."""
    with pytest.raises(grpc.RpcError) as failed:
        served.call(method, request, purpose)
    return Refusal.of(failed.value)


def test_a_parcel_is_public_without_purpose_or_dossier(served: ServedLand) -> None:
    """And nothing in the answer's bytes, or in the log, says whose it is."""
    nup = served.book.parcel(owner(AFI), title_no=TITLE)

    with capture_logs() as events:
        answer = served.call(served.land.GetParcel, parcel_pb2.GetParcelRequest(nup=nup, with_polygon=True))

    assert (answer.title_no, answer.party_exists) == (TITLE, True)
    for secret in (AFI.number, "NOM-DE"):
        assert secret.encode() not in answer.SerializeToString()
        assert secret not in str(events)


def test_each_refusal_has_its_status(served: ServedLand) -> None:
    """As the protos promise: code, reason, and whose it is."""
    nup = served.book.parcel(owner(AFI), title_no=TITLE)
    served.call(served.opens.FileTransfer, sale(nup, BIO, "key-of-a-sale-000001"), "P02")
    land, opens = served.land, served.opens
    code = grpc.StatusCode
    claim = parcel_pb2.CheckOwnershipRequest(nup=nup, party=party_message(AFI))
    title = parcel_pb2.GetTitleRequest(nup=nup, requester_npi=BIO.number)
    legacy = parcel_pb2.LegacyParcelRef(commune_code="LI-COT")
    opposed = transfer_pb2.LodgeOppositionRequest(
        idempotency_key="key-of-an-opposition", nup=nup, opponent=party_message(BIO), ground="sans motif"
    )
    cases: list[tuple[Any, Any, str | None, grpc.StatusCode, str]] = [
        (land.GetParcel, parcel_pb2.GetParcelRequest(nup="900000999"), None, code.NOT_FOUND, "NOT_FOUND"),
        (land.GetParcel, parcel_pb2.GetParcelRequest(nup="12"), None, code.INVALID_ARGUMENT, "FORMAT_INVALID"),
        (land.GetParcel, parcel_pb2.GetParcelRequest(legacy=legacy), None, code.INVALID_ARGUMENT, "FORMAT_INVALID"),
        (land.CheckOwnership, claim, None, code.INVALID_ARGUMENT, "PURPOSE_REQUIRED"),
        (land.CheckOwnership, claim, "P02", code.PERMISSION_DENIED, "PURPOSE_NOT_ALLOWED"),
        (land.CheckOwnership, claim, "P03", code.PERMISSION_DENIED, "CONSENT_REQUIRED"),
        (land.GetTitle, title, "P01", code.NOT_FOUND, "NOT_FOUND"),
        (opens.FileTransfer, sale(nup, CODJO, "key-of-a-sale-000002"), "P02", code.ABORTED, "STATE_CONFLICT"),
        (opens.FileTransfer, sale(nup, CODJO, "key-of-a-sale-000001"), "P02", code.ALREADY_EXISTS, "DUPLICATE_REQUEST"),
        (
            opens.FileTransfer, sale(nup, CODJO, "key-of-a-sale-000003", seller=party_message(BIO)), "P02",
            code.FAILED_PRECONDITION, "IDENTITY_MISMATCH",
        ),
        (
            opens.FileTransfer, sale(nup, CODJO, "key-of-a-sale-000004", notary_ref="NOT-COT-0002"), "P02",
            code.PERMISSION_DENIED, "PURPOSE_NOT_ALLOWED",
        ),
        (opens.LodgeOpposition, opposed, "P01", code.FAILED_PRECONDITION, "STATE_CONFLICT"),
    ]  # fmt: skip

    for method, request, purpose, status, reason in cases:
        refused = refusal(served, method, request, purpose)

        assert (refused.code, refused.reason) == (status, reason)
        layer = reason == "PURPOSE_REQUIRED"
        assert refused.domain == "passerelle" if layer else refused.domain.startswith(SUBSYSTEM)


def test_of_two_sales_sent_at_once_one_is_taken(served: ServedLand) -> None:
    """Over the wire, by two threads of the server."""
    nup = served.book.parcel(owner(AFI), title_no=TITLE)
    ready = Barrier(2)

    def file(number: int) -> str:
        request = sale(nup, (BIO, CODJO)[number], f"key-of-a-sale-00000{number}")
        ready.wait()
        try:
            return str(served.call(served.opens.FileTransfer, request, "P02").dossier.reference)
        except grpc.RpcError as error:
            return Refusal.of(error).reason

    with futures.ThreadPoolExecutor(2) as pool:
        answers = set(pool.map(file, range(2)))

    assert answers == {"STATE_CONFLICT", "ANDF-202611-0001"}


def test_parties_are_looked_up_at_anip_through_the_own_gateway(served: ServedLand) -> None:
    """One call for each person, for P02, under the consumer's case; ANIP away is asked again."""
    nup = served.book.parcel(owner(AFI), title_no=TITLE)
    dossier = served.call(served.opens.FileTransfer, sale(nup, BIO, "key-of-a-sale-000001"), "P02").dossier
    served.office.pay(dossier, purpose="P02")
    served.gateway.away.add("BJ/GOV/ANIP/RNPP")
    served.office.run_due()
    assert served.office.state(dossier.reference) is State.FILED
    served.gateway.away.clear()
    served.gateway.heard.clear()
    served.clock.advance(MINUTES)

    served.office.run_due()

    assert [(one[0], *one[2:]) for one in served.gateway.heard] == [
        ("BJ/GOV/ANIP/RNPP", "P02", "ACT-202611-0001")
    ] * 2
    assert served.office.state(dossier.reference) is State.UNDER_REVIEW


def test_a_stream_tells_what_is_committed_and_a_list_the_same(served: ServedLand) -> None:
    """The same events by the same cursors, of the commune that is asked for."""
    nup = served.book.parcel(owner(AFI))
    other = served.book.parcel(owner(AFI), commune_code="OU-PNO")
    wanted = events_pb2.ParcelEventFilter(commune_code="LI-COT")
    stream = served.events.WatchParcelEvents(
        events_pb2.WatchParcelEventsRequest(filter=wanted), metadata=served.said(), timeout=30
    )
    for parcel in (other, nup):
        dossier = served.office.title_request(parcel, AFI)
        served.office.pay(dossier, purpose="P02")
        served.office.run_due()
        served.office.survey(dossier.reference)

    told = next(iter(stream)).event
    listed = served.call(served.events.ListParcelChanges, events_pb2.ListParcelChangesRequest(filter=wanted))

    assert (told.nup, told.type) == (nup, events_pb2.PARCEL_EVENT_TYPE_NOTICE_OPENED)
    assert list(listed.events) == [told]
    stream.cancel()
    again = served.events.WatchParcelEvents(
        events_pb2.WatchParcelEventsRequest(since_cursor=told.header.cursor, filter=wanted),
        metadata=served.said(),
        timeout=30,
    )
    served.office.oppose(nup, BIO)
    assert next(iter(again)).event.type == events_pb2.PARCEL_EVENT_TYPE_OPPOSITION
    again.cancel()
