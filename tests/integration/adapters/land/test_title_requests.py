"""A title on its way: identity, survey, notice, oppositions, decision."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from adapters.kit.dossier import State
from adapters.land.parties import Party, PartyKind
from adapters.land.tables import CLAIMS, HOLDINGS, OPPOSITIONS, PARCELS, TITLES
from adapters.reasons import ProviderReason
from bj.common.v1 import document_pb2, dossier_pb2
from bj.land.v1 import parcel_pb2
from core.clock import ManualClock
from tests.support.land_book import AFI, BIO, CODJO, FIRM, LandBook, owner
from tests.support.land_desk import LandDesk
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("signing")

DAY = timedelta(days=1)
FEE_XOF = 100_000


def surveyed(land: LandDesk, nup: str, holder: Party = AFI) -> str:
    """The reference of a title request whose notice has just opened."""
    reference = identified(land, nup, holder)
    land.survey(reference)
    return reference


def identified(land: LandDesk, nup: str, holder: Party = AFI) -> str:
    """The reference of one that waits for its survey."""
    reference = land.pay(land.title_request(nup, holder), purpose="P02").reference
    land.run_due()
    return reference


def close(land: LandDesk, clock: ManualClock) -> None:
    """Let the notice end."""
    clock.advance(15 * DAY)
    land.run_due()


def test_a_title_goes_its_whole_way(land: LandDesk, book: LandBook, clock: ManualClock) -> None:
    """Filed, identified, surveyed, noticed, granted; each step in its turn."""
    nup = book.parcel(owner(AFI))
    dossier = land.title_request(nup, AFI)
    reference = dossier.reference
    assert dossier.fee.amount_xof == FEE_XOF
    assert list(land.steps(reference).items()) == [
        ("identity", "PENDING"), ("survey", "PENDING"), ("notice", "PENDING"),
    ]  # fmt: skip

    land.pay(dossier, purpose="P02")
    assert land.steps(reference)["identity"] == "RUNNING"
    land.run_due()
    assert list(land.steps(reference).values()) == ["DONE", "RUNNING", "PENDING"]
    assert land.state(reference) is State.UNDER_REVIEW

    land.survey(reference)
    assert list(land.steps(reference).values()) == ["DONE", "DONE", "RUNNING"]
    assert land.state(reference) is State.OPPOSITION_PERIOD
    assert land.told() == [("NOTICE_OPENED", nup)]

    close(land, clock)
    assert list(land.steps(reference).values()) == ["DONE", "DONE", "DONE"]
    assert land.state(reference) is State.UNDER_REVIEW

    land.grant(reference)
    assert land.told() == [("NOTICE_OPENED", nup), ("NOTICE_CLOSED", nup), ("TITLE_ISSUED", nup)]
    assert land.owns(nup, AFI).can_sell


def test_the_title_is_written_into_the_book_of_its_commune(
    land: LandDesk, book: LandBook, clock: ManualClock
) -> None:
    """The parcel is titled, its holder holds it whole, the paper is signed."""
    nup = book.parcel(owner(BIO, 1, 2), owner(CODJO, 1, 2), commune_code="OU-PNO")
    reference = surveyed(land, nup, BIO)
    close(land, clock)

    land.grant(reference)

    (title,) = land.rows(sa.select(TITLES))
    assert (title.title_no, title.book, title.issued_on) == (
        "TF/PNO/1", "Livre foncier de Cotonou", "2026-11-27",
    )  # fmt: skip
    assert reference in title.origin
    (parcel,) = land.rows(sa.select(PARCELS))
    assert (parcel.right_type, parcel.register_type, parcel.nature) == ("TITLED", "LAND_BOOK", "INDIVIDUAL")
    (holding,) = land.rows(sa.select(HOLDINGS).where(HOLDINGS.c.to_ms.is_(None)))
    assert (holding.party_number, holding.numerator, holding.denominator) == (BIO.number, 1, 1)
    dossier = land.read(reference)
    assert [one.value for one in dossier.issued] == ["TF/PNO/1"]
    assert [one.type for one in dossier.documents] == [document_pb2.DOCUMENT_TYPE_LAND_TITLE]
    assert land.rows(sa.select(CLAIMS)) == []


def test_titles_of_a_book_are_numbered_without_holes(
    land: LandDesk, book: LandBook, clock: ManualClock
) -> None:
    """A title that was rejected takes no number."""
    references = [surveyed(land, book.parcel(owner(AFI))) for _ in range(3)]
    close(land, clock)

    land.grant(references[0])
    land.reject(references[1])
    land.grant(references[2])

    assert sorted(row.title_no for row in land.rows(sa.select(TITLES))) == ["TF/COT/1", "TF/COT/2"]


def test_a_title_is_promised_in_120_days(land: LandDesk, book: LandBook) -> None:
    """Days of the calendar, from its payment."""
    dossier = land.pay(land.title_request(book.parcel(owner(AFI)), AFI), purpose="P02")

    assert dossier.due_at.ToMilliseconds() - dossier.filed_at.ToMilliseconds() == 120 * DAY // timedelta(
        milliseconds=1
    )


def test_a_firm_may_hold_a_title(land: LandDesk, book: LandBook, clock: ManualClock) -> None:
    """ANIP is not asked."""
    nup = book.parcel(owner(FIRM))
    reference = surveyed(land, nup, FIRM)
    close(land, clock)

    land.grant(reference)

    assert land.owns(nup, FIRM).result == parcel_pb2.OWNERSHIP_RESULT_YES


def test_no_title_is_granted_before_its_time(land: LandDesk, book: LandBook, clock: ManualClock) -> None:
    """Neither before the survey nor within the notice."""
    reference = identified(land, book.parcel(owner(AFI)))
    assert refused(land.grant, reference) is ProviderReason.STATE_CONFLICT

    land.survey(reference)
    clock.advance(15 * DAY - timedelta(milliseconds=1))
    land.run_due()

    assert refused(land.grant, reference) is ProviderReason.STATE_CONFLICT
    assert land.rows(sa.select(TITLES)) == []


def test_a_survey_is_done_once_and_after_the_holder_is_known(land: LandDesk, book: LandBook) -> None:
    """The step runs, or nothing happens."""
    dossier = land.pay(land.title_request(book.parcel(owner(AFI)), AFI), purpose="P02")
    assert refused(land.survey, dossier.reference) is ProviderReason.STATE_CONFLICT
    land.run_due()
    land.survey(dossier.reference)

    assert refused(land.survey, dossier.reference) is ProviderReason.STATE_CONFLICT


def test_a_holder_unknown_to_anip_ends_the_request(land: LandDesk, book: LandBook) -> None:
    """And frees the parcel for another."""
    nup = book.parcel()
    reference = identified(land, nup, Party(PartyKind.PERSON, "0000000003"))

    assert land.state(reference) is State.REJECTED
    assert land.title_request(nup, AFI).state == dossier_pb2.DOSSIER_STATE_AWAITING_PAYMENT


class TestOpposition:
    """Anybody may oppose while the notice is open; who, is told to nobody but ANDF."""

    def test_an_opposition_leads_into_arbitration(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(owner(AFI))
        reference = surveyed(land, nup)

        taken = land.oppose(nup, BIO)

        assert taken.opposition_ref == "OPP-202611-0001"
        assert land.state(reference) is State.ARBITRATION
        assert land.told()[-1] == ("OPPOSITION", nup)
        (row,) = land.rows(sa.select(OPPOSITIONS))
        assert (row.party_number, row.ground, row.reference) == (
            BIO.number, "les limites empiètent", reference,
        )  # fmt: skip

    def test_who_opposes_and_why_is_not_told_to_the_applicant(self, land: LandDesk, book: LandBook) -> None:
        """Neither in the dossier nor in the event."""
        nup = book.parcel(owner(AFI))
        reference = surveyed(land, nup)
        land.oppose(nup, BIO)

        told = str(land.read(reference)) + str(land.events())

        assert BIO.number not in told
        assert "empiètent" not in told

    def test_others_may_oppose_too_until_the_notice_ends(
        self, land: LandDesk, book: LandBook, clock: ManualClock
    ) -> None:
        """The notice runs on in arbitration."""
        nup = book.parcel(owner(AFI))
        reference = surveyed(land, nup)
        land.oppose(nup, BIO)
        land.oppose(nup, CODJO)
        assert len(land.rows(sa.select(OPPOSITIONS))) == 2

        close(land, clock)

        assert refused(land.oppose, nup, FIRM) is ProviderReason.STATE_CONFLICT
        assert land.state(reference) is State.ARBITRATION
        assert land.told()[-1] == ("NOTICE_CLOSED", nup)

    def test_the_clock_stands_still_in_arbitration(
        self, land: LandDesk, book: LandBook, clock: ManualClock
    ) -> None:
        """Forty days of arbitration are forty days more."""
        nup = book.parcel(owner(AFI))
        reference = surveyed(land, nup)
        due = land.read(reference).due_at.ToMilliseconds()
        land.oppose(nup, BIO)
        clock.advance(40 * DAY)
        land.run_due()

        land.act("resume", reference, "AGENT-0007")

        assert land.state(reference) is State.UNDER_REVIEW
        assert land.read(reference).due_at.ToMilliseconds() - due == 40 * DAY // timedelta(milliseconds=1)
        land.grant(reference)
        assert land.told()[-1] == ("TITLE_ISSUED", nup)

    def test_dismissed_within_the_notice_it_is_open_again(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(owner(AFI))
        reference = surveyed(land, nup)
        land.oppose(nup, BIO)

        land.act("resume", reference, "AGENT-0007")

        assert land.state(reference) is State.OPPOSITION_PERIOD
        land.oppose(nup, CODJO)
        assert land.state(reference) is State.ARBITRATION

    def test_upheld_it_ends_the_request(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(owner(AFI))
        reference = surveyed(land, nup)
        land.oppose(nup, BIO)

        land.reject(reference, "opposition fondée")

        assert refused(land.oppose, nup, CODJO) is ProviderReason.STATE_CONFLICT
        assert land.title_request(nup, AFI).reference != reference

    def test_without_an_open_notice_there_is_nothing_to_oppose(self, land: LandDesk, book: LandBook) -> None:
        """Nobody asks for a title, or the survey is not done, or a sale is under way."""
        quiet, waiting = book.parcel(owner(AFI)), book.parcel(owner(AFI))
        sold = book.parcel(owner(AFI), title_no="TF/COT/900001")
        identified(land, waiting)
        land.transfer(sold, AFI, BIO)

        for nup in (quiet, waiting, sold):
            assert refused(land.oppose, nup, BIO) is ProviderReason.STATE_CONFLICT

    def test_an_opposition_sent_twice_is_lodged_once(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(owner(AFI))
        surveyed(land, nup)

        first, second = (land.oppose(nup, BIO, key="key-of-an-opposition") for _ in range(2))

        assert first == second
        assert len(land.rows(sa.select(OPPOSITIONS))) == 1
        assert (
            refused(land.oppose, nup, BIO, key="key-of-an-opposition", ground="un tout autre motif")
            is ProviderReason.DUPLICATE_REQUEST
        )

    @pytest.mark.parametrize("purpose", ["P02", "P03", "P04", "P05", "P06", "P07", "P08"])
    def test_opposing_is_a_citizens_own_matter(self, land: LandDesk, book: LandBook, purpose: str) -> None:
        assert refused(land.oppose, "900000999", BIO, purpose=purpose) is ProviderReason.PURPOSE_NOT_ALLOWED


def test_a_notice_ends_on_its_day_and_once(land: LandDesk, book: LandBook, clock: ManualClock) -> None:
    """Tasks come at least once, and may come early."""
    nup = book.parcel(owner(AFI))
    reference = surveyed(land, nup)
    for due_at_ms in (clock.now_ms(), clock.now_ms() + 15 * 24 * 3600 * 1000):
        land.desk.store.write(
            lambda tx, due_at_ms=due_at_ms: land.desk.tasks.add(  # type: ignore[misc]
                tx, "close_notice", reference, due_at_ms=due_at_ms
            )
        )
    land.run_due()
    assert land.state(reference) is State.OPPOSITION_PERIOD

    close(land, clock)

    assert [kind for kind, _ in land.told()] == ["NOTICE_OPENED", "NOTICE_CLOSED"]


def test_a_request_given_up_in_its_notice_closes_it(
    land: LandDesk, book: LandBook, clock: ManualClock
) -> None:
    """Whoever follows the parcel knows that there is nothing to oppose any more."""
    nup = book.parcel(owner(AFI))
    reference = surveyed(land, nup)

    land.cancel(reference)
    close(land, clock)

    assert land.state(reference) is State.CANCELLED
    assert land.told() == [("NOTICE_OPENED", nup), ("NOTICE_CLOSED", nup)]
    assert list(land.owns(nup, AFI).blocking_reasons) == [parcel_pb2.BLOCKING_REASON_NO_TITLE]
