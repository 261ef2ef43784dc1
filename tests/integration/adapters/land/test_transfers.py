"""A sale on its way: paid, its parties looked up at ANIP, decided by an officer, written into the book."""

from datetime import timedelta
from fractions import Fraction

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from adapters.kit.dossier import State
from adapters.kit.road import Away
from adapters.kit.tasks import TryAgain
from adapters.land.identity_step import KIND, check_identity
from adapters.land.parties import Party, PartyKind
from adapters.land.rights import merge_party
from adapters.land.shares import WHOLE, Capacity, Holding
from adapters.land.tables import CERTIFICATES, CLAIMS, HOLDINGS, PARCELS, TRANSFERS
from adapters.reasons import ProviderReason
from bj.common.v1 import document_pb2, dossier_pb2
from bj.land.v1 import events_pb2, parcel_pb2
from core.clock import ManualClock
from tests.support.anip_road import AnipRoad
from tests.support.land_book import AFI, BIO, CODJO, FIRM, LandBook, owner
from tests.support.land_desk import LandDesk
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("signing")

TITLE = "TF/COT/900001"
DECEASED, UNKNOWN, MERGED, STANDING, LOCKED = (
    Party(PartyKind.PERSON, f"00000000{number:02d}") for number in (2, 3, 10, 11, 12)
)


def paid(land: LandDesk, nup: str, seller: Party, buyer: Party, share: tuple[int, int] | None = None) -> str:
    """The reference of a sale whose fee is received."""
    return land.pay(land.transfer(nup, seller, buyer, share=share), purpose="P02").reference


def held(land: LandDesk, book: LandBook, nup: str) -> set[tuple[str, Fraction, str]]:
    """Who holds what of a parcel today."""
    query = sa.select(HOLDINGS).where(HOLDINGS.c.parcel_id == book.id_of(nup), HOLDINGS.c.to_ms.is_(None))
    return {
        (row.party_number, Fraction(row.numerator, row.denominator), row.capacity) for row in land.rows(query)
    }


def claimed(land: LandDesk) -> bool:
    """Whether any parcel is held by a dossier."""
    return bool(land.rows(sa.select(CLAIMS)))


class TestIdentity:
    """Nobody is written in whom ANIP does not know, alive, by the number that stands."""

    def test_paid_a_sale_is_looked_up_once_for_each_person(
        self, land: LandDesk, book: LandBook, anip: AnipRoad
    ) -> None:
        """For the duty to register, under the reference of the consumer's own case; then it waits for an officer."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        assert land.steps(reference) == {"identity": "RUNNING"}

        land.run_due()

        assert anip.asked == [AFI.number, BIO.number]
        assert anip.purposes == [{"x-road-purpose": "P02", "x-road-issue": "DOS-202611-0001"}] * 2
        assert land.steps(reference) == {"identity": "DONE"}
        assert land.state(reference) is State.UNDER_REVIEW

    def test_it_is_promised_in_72_working_hours_from_its_payment(
        self, land: LandDesk, book: LandBook
    ) -> None:
        """Thursday 10:00 to Tuesday 10:00."""
        dossier = land.pay(land.transfer(book.parcel(owner(AFI), title_no=TITLE), AFI, BIO), purpose="P02")

        assert dossier.due_at.ToMilliseconds() - dossier.filed_at.ToMilliseconds() == 5 * 24 * 3600 * 1000

    def test_firms_are_not_asked_of_anip(self, land: LandDesk, book: LandBook, anip: AnipRoad) -> None:
        reference = paid(land, book.parcel(owner(FIRM), title_no=TITLE), FIRM, BIO)

        land.run_due()

        assert anip.asked == [BIO.number]
        assert land.state(reference) is State.UNDER_REVIEW

    def test_anip_away_is_asked_again_and_the_dossier_says_so(
        self, land: LandDesk, book: LandBook, anip: AnipRoad, clock: ManualClock
    ) -> None:
        """Nothing is granted meanwhile; nothing is lost."""
        nup = book.parcel(owner(AFI), title_no=TITLE)
        reference = paid(land, nup, AFI, BIO)
        anip.is_away = True

        land.run_due()
        land.run_due()

        (step,) = land.read(reference).steps
        assert step.state == dossier_pb2.STEP_STATE_RUNNING
        assert "ANIP" in step.detail
        assert land.state(reference) is State.FILED
        assert refused(land.grant, reference) is ProviderReason.STATE_CONFLICT
        assert held(land, book, nup) == {(AFI.number, WHOLE, "OWNER")}
        version = land.read(reference).version
        for _ in range(3):
            clock.advance(timedelta(minutes=1))
            land.run_due()
        assert land.read(reference).version == version

        anip.is_away = False
        clock.advance(timedelta(minutes=5))
        land.run_due()

        assert land.steps(reference) == {"identity": "DONE"}
        assert land.read(reference).steps[0].detail == ""

    def test_a_dossier_given_up_while_anip_is_asked_says_nothing_of_waiting(
        self, land: LandDesk, book: LandBook, anip: AnipRoad, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It stays as it ended."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        ended: list[dossier_pb2.Dossier] = []

        def give_up_meanwhile(*_: object, **__: object) -> None:
            land.cancel(reference)
            ended.append(land.read(reference))
            raise Away("connection refused")

        monkeypatch.setattr(anip, "GetPerson", give_up_meanwhile)
        land.run_due()

        assert [land.read(reference)] == ended

    @pytest.mark.parametrize("refusal", ["NO_AGREEMENT", "NOT_FOUND"])
    def test_a_refusal_of_the_road_is_no_fault_of_the_parties(
        self, land: LandDesk, book: LandBook, anip: AnipRoad, clock: ManualClock, refusal: str
    ) -> None:
        """No agreement yet, or a service that the layer does not find: asked again until there is one."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        anip.refusal = refusal
        land.run_due()
        assert land.state(reference) is State.FILED

        anip.refusal = ""
        clock.advance(timedelta(minutes=5))
        land.run_due()

        assert land.state(reference) is State.UNDER_REVIEW

    @pytest.mark.parametrize(
        ("seller", "buyer"), [(UNKNOWN, BIO), (AFI, UNKNOWN), (DECEASED, BIO), (AFI, DECEASED)]
    )
    def test_a_party_unknown_or_dead_ends_the_dossier(
        self, land: LandDesk, book: LandBook, seller: Party, buyer: Party
    ) -> None:
        """With a reason that names nobody; the parcel is free again."""
        reference = paid(land, book.parcel(owner(seller), title_no=TITLE), seller, buyer)

        land.run_due()

        dossier = land.read(reference)
        assert dossier.state == dossier_pb2.DOSSIER_STATE_REJECTED
        assert dossier.steps[0].state == dossier_pb2.STEP_STATE_FAILED
        assert len(dossier.reason) > 5
        assert not {seller.number, buyer.number} & set(dossier.reason.split())
        assert not claimed(land)

    def test_a_dead_holder_is_known_as_one_from_then_on(self, land: LandDesk, book: LandBook) -> None:
        """No second notary finds out anew."""
        nup = book.parcel(owner(DECEASED), title_no=TITLE)
        paid(land, nup, DECEASED, BIO)

        land.run_due()

        answer = land.owns(nup, DECEASED)
        assert list(answer.blocking_reasons) == [parcel_pb2.BLOCKING_REASON_HOLDER_DECEASED]
        assert not answer.can_sell

    def test_a_merged_number_is_followed(self, land: LandDesk, book: LandBook) -> None:
        """What was held by the old number is held by the one that stands; both are understood."""
        nup = book.parcel(owner(MERGED), title_no=TITLE)
        reference = paid(land, nup, MERGED, BIO, (1, 2))

        land.run_due()

        assert held(land, book, nup) == {(STANDING.number, WHOLE, "OWNER")}
        assert land.owns(nup, MERGED).result == parcel_pb2.OWNERSHIP_RESULT_YES
        land.grant(reference)
        half = Fraction(1, 2)
        assert held(land, book, nup) == {(STANDING.number, half, "OWNER"), (BIO.number, half, "OWNER")}

    def test_a_number_merged_while_an_officer_decides_is_followed(
        self, land: LandDesk, book: LandBook
    ) -> None:
        """Another dossier found out: this one still knows its seller and its buyer."""
        nup = book.parcel(owner(AFI), title_no=TITLE)
        reference = paid(land, nup, AFI, BIO)
        land.run_due()
        with land.desk.store.writing() as tx:
            merge_party(tx, AFI, CODJO)
            merge_party(tx, BIO, Party(PartyKind.PERSON, "0000000006"))

        land.grant(reference)

        assert held(land, book, nup) == {("0000000006", WHOLE, "OWNER")}

    def test_who_sells_to_himself_by_two_numbers_is_found_out(self, land: LandDesk, book: LandBook) -> None:
        reference = paid(land, book.parcel(owner(MERGED), title_no=TITLE), MERGED, STANDING)

        land.run_due()

        assert land.state(reference) is State.REJECTED

    def test_a_locked_record_waits_for_an_officer_and_is_asked_again_on_correction(
        self, land: LandDesk, book: LandBook, anip: AnipRoad
    ) -> None:
        """ANIP examines the record: the dossier is neither rejected nor granted."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, LOCKED)
        land.run_due()

        assert land.state(reference) is State.UNDER_REVIEW
        assert land.steps(reference) == {"identity": "FAILED"}
        assert refused(land.grant, reference) is ProviderReason.STATE_CONFLICT

        land.act("ask_correction", reference, "AGENT-0007", "se présenter à l'ANIP")
        land.act("correct", reference, "c'est fait", [])
        land.run_due()

        assert anip.asked == [AFI.number, LOCKED.number] * 2

    @pytest.mark.parametrize("turn", [("ask_interview", "AGENT-0007", "se présenter mardi"), ("arbitrate",)])
    def test_an_interview_or_arbitration_puts_the_question_off(
        self, land: LandDesk, book: LandBook, anip: AnipRoad, clock: ManualClock, turn: tuple[str, ...]
    ) -> None:
        """Not dropped: when the dossier is taken up again, ANIP is asked, and it can be granted."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        land.review(reference)
        act, *said = turn
        land.act(act, reference, *said)
        land.run_due()
        assert anip.asked == []
        assert land.steps(reference) == {"identity": "RUNNING"}

        land.act("resume", reference)
        clock.advance(timedelta(minutes=5))
        land.run_due()

        assert anip.asked == [AFI.number, BIO.number]
        assert land.steps(reference) == {"identity": "DONE"}
        land.grant(reference)
        assert land.state(reference) is State.GRANTED

    def test_an_interview_asked_for_while_anip_answers_puts_its_answer_off(
        self, land: LandDesk, book: LandBook, anip: AnipRoad, clock: ManualClock
    ) -> None:
        """What was found is not written then, and asked for anew afterwards."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        land.review(reference)
        with land.desk.store.reading() as tx:
            (task,) = [one for one in land.desk.tasks.due(tx) if one.kind == KIND]
        finish = check_identity(land.desk, task)
        assert finish is not None
        land.act("ask_interview", reference, "AGENT-0007", "se présenter mardi")

        with pytest.raises(TryAgain):
            land.desk.store.write(finish)

        assert land.steps(reference) == {"identity": "RUNNING"}
        land.act("resume", reference)
        land.run_due()
        assert land.steps(reference) == {"identity": "DONE"}

    def test_after_a_correction_anip_is_asked_by_one_task_alone(
        self, land: LandDesk, book: LandBook, anip: AnipRoad, clock: ManualClock
    ) -> None:
        """The one that was put off before goes."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        land.review(reference)
        anip.is_away = True
        land.run_due()
        anip.is_away = False
        anip.asked.clear()

        land.act("ask_correction", reference, "AGENT-0007", "acte illisible")
        land.act("correct", reference, "le voici", [])
        clock.advance(timedelta(minutes=5))
        land.run_due()

        assert anip.asked == [AFI.number, BIO.number]
        assert land.steps(reference) == {"identity": "DONE"}

    def test_a_dossier_given_up_meanwhile_is_not_looked_up(
        self, land: LandDesk, book: LandBook, anip: AnipRoad
    ) -> None:
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        land.cancel(reference)

        land.run_due()

        assert anip.asked == []
        assert land.state(reference) is State.CANCELLED


class TestGrant:
    """The register's change, its history, the title, the event: all in one commit."""

    def test_granted_the_buyer_holds_and_the_seller_did(
        self, land: LandDesk, book: LandBook, clock: ManualClock
    ) -> None:
        nup = book.parcel(owner(AFI), title_no=TITLE)
        reference = paid(land, nup, AFI, BIO)
        land.run_due()

        land.grant(reference)

        assert held(land, book, nup) == {(BIO.number, WHOLE, "OWNER")}
        (ended,) = land.rows(sa.select(HOLDINGS).where(HOLDINGS.c.to_ms.is_not(None)))
        assert (ended.party_number, ended.to_ms, ended.ended_by) == (AFI.number, clock.now_ms(), reference)
        (begun,) = land.rows(sa.select(HOLDINGS).where(HOLDINGS.c.to_ms.is_(None)))
        assert (begun.party_name, begun.from_ms, begun.by_reference) == (
            "CHABI MOUSSA", clock.now_ms(), reference,
        )  # fmt: skip
        assert not claimed(land)
        assert land.owns(nup, BIO).can_sell
        assert land.owns(nup, AFI).result == parcel_pb2.OWNERSHIP_RESULT_NO

    def test_its_outcome_is_the_title(self, land: LandDesk, book: LandBook) -> None:
        """The number in ``issued``, the paper in ``documents``, with the new holder's name."""
        reference = paid(land, book.parcel(owner(AFI), title_no=TITLE), AFI, BIO)
        land.run_due()
        land.grant(reference)

        dossier = land.read(reference)

        assert dossier.state == dossier_pb2.DOSSIER_STATE_GRANTED
        assert [(one.type, one.value) for one in dossier.issued] == [
            (dossier_pb2.ISSUED_NUMBER_TYPE_TITLE_NO, TITLE)
        ]
        assert [one.type for one in dossier.documents] == [document_pb2.DOCUMENT_TYPE_LAND_TITLE]

    def test_it_is_told_to_everybody_without_a_name(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(owner(AFI), title_no=TITLE)
        reference = paid(land, nup, AFI, BIO)
        land.run_due()
        assert land.told() == []

        land.grant(reference)

        (event,) = land.events()
        assert (event.type, event.nup, event.commune_code, event.title_no) == (
            events_pb2.PARCEL_EVENT_TYPE_TRANSFERRED, nup, "LI-COT", TITLE,
        )  # fmt: skip
        assert list(event.header.changed_fields) == ["holders"]
        assert not {AFI.number, BIO.number, "CHABI"} & set(str(event).replace('"', " ").split())

    def test_a_share_is_sold_and_the_rest_kept(self, land: LandDesk, book: LandBook) -> None:
        """Who does not sell keeps his row; the parcel is of several from now on."""
        nup = book.parcel(owner(AFI, 1, 2), owner(CODJO, 1, 2), title_no=TITLE)
        reference = paid(land, nup, AFI, BIO, (1, 6))
        land.run_due()

        land.grant(reference)

        assert held(land, book, nup) == {
            (AFI.number, Fraction(1, 3), "OWNER"),
            (CODJO.number, Fraction(1, 2), "OWNER"),
            (BIO.number, Fraction(1, 6), "OWNER"),
        }
        (parcel,) = land.rows(sa.select(PARCELS))
        assert parcel.nature == "COLLECTIVE"
        ended = land.rows(sa.select(HOLDINGS).where(HOLDINGS.c.to_ms.is_not(None)))
        assert [row.party_number for row in ended] == [AFI.number]

    def test_a_usufruct_outlives_a_sale(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(
            Holding(AFI, WHOLE, Capacity.BARE_OWNER),
            Holding(CODJO, WHOLE, Capacity.USUFRUCT),
            title_no=TITLE,
        )
        reference = paid(land, nup, AFI, BIO)
        land.run_due()

        land.grant(reference)

        assert held(land, book, nup) == {
            (BIO.number, WHOLE, "BARE_OWNER"), (CODJO.number, WHOLE, "USUFRUCT"),
        }  # fmt: skip

    def test_a_certificate_is_used_up_by_the_sale(self, land: LandDesk, book: LandBook) -> None:
        """Without a title there is none to sign; the buyer asks for his own."""
        nup = book.parcel(owner(AFI))
        book.certificate(nup, AFI, "2027-01-15")
        reference = paid(land, nup, AFI, BIO)
        land.run_due()

        land.grant(reference)

        assert [row.used_by for row in land.rows(sa.select(CERTIFICATES))] == [reference]
        assert list(land.owns(nup, BIO).blocking_reasons) == [parcel_pb2.BLOCKING_REASON_NO_TITLE]
        assert not land.read(reference).documents

    @pytest.mark.parametrize("burden", ["mortgage", "dispute"])
    def test_what_came_against_a_sale_since_it_was_filed_stops_it(
        self, land: LandDesk, book: LandBook, burden: str
    ) -> None:
        """The officer cannot grant; nothing is half done."""
        nup = book.parcel(owner(AFI), title_no=TITLE)
        reference = paid(land, nup, AFI, BIO)
        land.run_due()
        getattr(book, burden)(nup)

        assert refused(land.grant, reference) is ProviderReason.STATE_CONFLICT

        assert land.state(reference) is State.UNDER_REVIEW
        assert held(land, book, nup) == {(AFI.number, WHOLE, "OWNER")}
        assert land.told() == []
        assert claimed(land)

    def test_rejected_it_gives_the_parcel_back(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(owner(AFI), title_no=TITLE)
        reference = paid(land, nup, AFI, BIO)
        land.run_due()

        land.reject(reference)

        assert not claimed(land)
        assert held(land, book, nup) == {(AFI.number, WHOLE, "OWNER")}
        assert land.told() == []
        assert land.owns(nup, AFI).can_sell

    def test_unpaid_it_expires_and_gives_the_parcel_back(self, land: LandDesk, book: LandBook) -> None:
        nup = book.parcel(owner(AFI), title_no=TITLE)
        dossier = land.transfer(nup, AFI, BIO)

        land.act("expire", dossier.reference)

        assert land.owns(nup, AFI).can_sell


def test_no_number_and_no_name_is_logged_on_the_way(
    land: LandDesk, book: LandBook, anip: AnipRoad, clock: ManualClock
) -> None:
    """Trouble with ANIP included."""
    nup = book.parcel(owner(AFI), title_no=TITLE)
    with capture_logs() as events:
        reference = paid(land, nup, AFI, BIO)
        anip.is_away = True
        land.run_due()
        anip.is_away = False
        clock.advance(timedelta(minutes=5))
        land.run_due()
        land.grant(reference)

    assert events
    for secret in (AFI.number, BIO.number, "CHABI", "MOUSSA", "NOM-DE"):
        assert secret not in str(events)
    assert len(land.rows(sa.select(TRANSFERS))) == 1
