"""États descriptifs: for whom, paid, signed once, and the same answer for unknown and forbidden."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.kit.dossier import State
from adapters.land.parties import Party, party_message
from adapters.land.rights import merge_party
from adapters.land.shares import WHOLE, Capacity, Holding
from adapters.land.tables import CONSENTS, HOLDINGS, KIT, RESTRICTIONS, TITLES
from adapters.reasons import ProviderReason
from bj.common.v1 import document_pb2, dossier_pb2
from bj.land.v1 import parcel_pb2 as pb
from core.clock import ManualClock
from core.reasons import ExchangeError, Reason
from tests.support.land_book import AFI, BIO, CODJO, NOTARY_NPI, LandBook, owner
from tests.support.land_desk import LandDesk
from tests.support.refusals import fields, refused

pytestmark = pytest.mark.usefixtures("signing")

TITLE = "TF/COT/900001"
BANK = "BJ/COM/BANQUE/CREDIT"
BANKER = "0000000006"


def burdened(book: LandBook) -> str:
    """A titled parcel of two, with a usufruct, a mortgage, a restriction and a dispute on it, and some of the past."""
    nup = book.parcel(
        owner(AFI, 1, 3), owner(BIO, 2, 3), Holding(CODJO, WHOLE, Capacity.USUFRUCT), title_no=TITLE
    )
    book.mortgage(nup, rank=2)
    book.mortgage(nup, rank=1)
    book.mortgage(nup, rank=3, released_on="2025-01-31")
    book.dispute(nup)
    book.dispute(nup, settled_on="2025-01-31")
    book.write(RESTRICTIONS, nup, text="servitude de passage", since="2020-01-01")
    return nup


def granted(land: LandDesk, npi: str, **asked: Any) -> str:
    """The reference of a state of a title that is paid, and so signed."""
    client = {"client": asked["client"]} if "client" in asked else {}
    dossier = land.title_state(npi, **asked)
    return land.pay(dossier, purpose="P01", **client).reference


def test_a_holder_reads_all_of_his_title(land: LandDesk, book: LandBook, clock: ManualClock) -> None:
    """Holders with shares, what is lent by rank, limits, disputes; what is past is not there."""
    nup = burdened(book)
    reference = granted(land, AFI.number, nup=nup)

    answer = land.title(AFI.number, reference, title_no=TITLE)

    document = answer.document
    lent, since = "Banque fictive du Littoral", "2024-02-19"
    assert answer == pb.GetTitleResponse(
        title_no=TITLE,
        nup=nup,
        holders=[
            pb.Holder(
                party=party_message(party), share=pb.Share(numerator=part, denominator=of), capacity=capacity
            )
            for party, part, of, capacity in (
                (AFI, 1, 3, pb.HOLDER_CAPACITY_OWNER),
                (BIO, 2, 3, pb.HOLDER_CAPACITY_OWNER),
                (CODJO, 1, 1, pb.HOLDER_CAPACITY_USUFRUCT),
            )
        ],
        origin="Immatriculation sur convention de vente",
        mortgages=[
            pb.Mortgage(creditor=lent, rank=rank, amount_xof=8_000_000, registered_on=since)
            for rank in (1, 2)
        ],
        restrictions=["servitude de passage"],
        disputes=["contestation de limites"],
        book="Livre foncier de Cotonou",
        issued_at=answer.issued_at,
        document=document,
    )
    assert answer.issued_at.ToMilliseconds() == clock.now_ms()
    assert document.type == document_pb2.DOCUMENT_TYPE_TITLE_STATE
    assert [one.doc_id for one in land.read(reference).documents] == [document.doc_id]


def test_it_costs_5500_francs_is_due_in_24_hours_and_granted_when_paid(
    land: LandDesk, book: LandBook
) -> None:
    """The book is at hand: nobody has to look."""
    burdened(book)

    dossier = land.title_state(AFI.number, title_no=TITLE)

    assert dossier.fee.amount_xof == 5_500
    assert dossier.state == dossier_pb2.DOSSIER_STATE_AWAITING_PAYMENT
    paid = land.pay(dossier, purpose="P01")
    assert paid.state == dossier_pb2.DOSSIER_STATE_GRANTED
    day = timedelta(days=1) // timedelta(milliseconds=1)
    assert paid.due_at.ToMilliseconds() - paid.filed_at.ToMilliseconds() == day


def test_unpaid_it_is_not_read(land: LandDesk, book: LandBook) -> None:
    """PAYMENT_REQUIRED, to who asked for it."""
    nup = burdened(book)
    dossier = land.title_state(AFI.number, nup=nup)

    assert refused(land.title, AFI.number, dossier.reference, nup=nup) is ProviderReason.PAYMENT_REQUIRED


def test_what_was_signed_does_not_change_with_the_book(
    land: LandDesk, book: LandBook, clock: ManualClock
) -> None:
    """The state of another day is another dossier's; fields and paper never differ."""
    nup = burdened(book)
    reference = granted(land, AFI.number, nup=nup)
    first = land.title(AFI.number, reference, nup=nup)
    book.mortgage(nup, rank=4)
    clock.advance(timedelta(days=3))

    assert land.title(AFI.number, reference, nup=nup) == first

    later = land.title(AFI.number, granted(land, AFI.number, nup=nup), nup=nup)
    assert len(later.mortgages) == len(first.mortgages) + 1
    assert later.document.doc_id != first.document.doc_id


@pytest.mark.parametrize("requester", [BIO.number, CODJO.number, NOTARY_NPI])
def test_co_owners_users_and_notaries_read_it_too(land: LandDesk, book: LandBook, requester: str) -> None:
    """All of it."""
    nup = burdened(book)
    reference = granted(land, requester, nup=nup)

    assert land.title(requester, reference, nup=nup).disputes


def test_a_bank_reads_with_a_holders_consent_what_it_needs(land: LandDesk, book: LandBook) -> None:
    """Neither how the title came to be nor what is disputed, in the answer as on the paper."""
    nup = burdened(book)
    book.consent("C-GOOD", BIO, BANK)
    reference = granted(land, BANKER, nup=nup, consent_ref="C-GOOD", client=BANK)

    answer = land.title(BANKER, reference, nup=nup, client=BANK)

    assert len(answer.mortgages) == 2
    assert len(answer.holders) == 3
    assert (answer.origin, list(answer.disputes)) == ("", [])


def test_a_consent_taken_back_ends_the_reading(land: LandDesk, book: LandBook, clock: ManualClock) -> None:
    """At once; what was signed looks as if it had never been."""
    nup = burdened(book)
    book.consent("C-GOOD", BIO, BANK)
    reference = granted(land, BANKER, nup=nup, consent_ref="C-GOOD", client=BANK)
    with land.desk.store.writing() as tx:
        tx.execute(CONSENTS.update().values(revoked_at_ms=clock.now_ms()))

    assert refused(land.title, BANKER, reference, nup=nup, client=BANK) is ProviderReason.NOT_FOUND


def test_a_consent_taken_back_before_it_is_paid_ends_the_dossier(
    land: LandDesk, book: LandBook, clock: ManualClock
) -> None:
    """Nothing is signed for who may not see it any more."""
    nup = burdened(book)
    book.consent("C-GOOD", BIO, BANK)
    dossier = land.title_state(BANKER, nup=nup, consent_ref="C-GOOD", client=BANK)
    with land.desk.store.writing() as tx:
        tx.execute(CONSENTS.update().values(revoked_at_ms=clock.now_ms()))

    paid = land.pay(dossier, purpose="P01", client=BANK)

    assert State(paid.state) is State.REJECTED
    assert land.rows(sa.select(KIT.document)) == []


class TestUnknownAndForbiddenLookTheSame:
    """Nobody learns from a refusal whether there is such a title, and nobody pays to learn it."""

    def test_when_it_is_asked_for(self, land: LandDesk, book: LandBook, clock: ManualClock) -> None:
        nup = burdened(book)
        untitled = book.parcel(owner(AFI))
        book.consent("C-OF-ANOTHER", Party(AFI.kind, BANKER), BANK)
        book.consent("C-TO-ANOTHER", AFI, "BJ/COM/BANQUE/AUTRE")
        book.consent("C-OVER", AFI, BANK, until_ms=clock.now_ms())
        book.consent("C-FOR-A-CHECK", AFI, BANK, purposes="P03")
        asked: list[dict[str, Any]] = [
            {"nup": nup},
            {"title_no": TITLE},
            {"title_no": "TF/COT/999999"},
            {"nup": "900000999"},
            {"nup": untitled},
            *(
                {"nup": nup, "consent_ref": one}
                for one in ("C-NEVER", "C-OF-ANOTHER", "C-TO-ANOTHER", "C-OVER", "C-FOR-A-CHECK")
            ),
        ]

        for one in asked:
            assert refused(land.title_state, BANKER, client=BANK, **one) is ProviderReason.NOT_FOUND
        assert land.rows(sa.select(KIT.dossier)) == []

    def test_when_it_is_read(self, land: LandDesk, book: LandBook) -> None:
        """Another dossier, another consumer, another requester, another title."""
        nup = burdened(book)
        other = book.parcel(owner(AFI), title_no="TF/COT/900002")
        mine = granted(land, AFI.number, nup=nup)
        sale = land.transfer(other, AFI, BIO).reference

        for npi, issue, asked in (
            (AFI.number, "ANDF-202611-9999", {"nup": nup}),
            (AFI.number, "DOS-1", {"nup": nup}),
            (AFI.number, sale, {"nup": other}),
            (AFI.number, mine, {"nup": nup, "client": "BJ/GOV/DGI/CFISC"}),
            (BIO.number, mine, {"nup": nup}),
            (BANKER, mine, {"nup": nup}),
            (AFI.number, mine, {"nup": other}),
            (AFI.number, mine, {"title_no": "TF/COT/900002"}),
            (AFI.number, mine, {"nup": "900000999"}),
        ):
            assert refused(land.title, npi, issue, **asked) is ProviderReason.NOT_FOUND

    def test_even_before_it_is_paid(self, land: LandDesk, book: LandBook) -> None:
        """A stranger is not told that somebody's fee is not paid."""
        nup = burdened(book)
        mine = land.title_state(AFI.number, nup=nup).reference

        assert refused(land.title, BIO.number, mine, nup=nup) is ProviderReason.NOT_FOUND


def test_who_sold_since_may_read_what_was_signed_and_ask_for_no_more(
    land: LandDesk, book: LandBook, clock: ManualClock
) -> None:
    """The paper is his; the title is not."""
    nup = burdened(book)
    reference = granted(land, AFI.number, nup=nup)
    with land.desk.store.writing() as tx:
        tx.execute(
            HOLDINGS.update().where(HOLDINGS.c.party_number == AFI.number).values(to_ms=clock.now_ms())
        )

    assert land.title(AFI.number, reference, nup=nup).title_no == TITLE
    assert refused(land.title_state, AFI.number, nup=nup) is ProviderReason.NOT_FOUND


def test_a_holder_by_a_merged_number_is_known(land: LandDesk, book: LandBook) -> None:
    """By either."""
    nup = burdened(book)
    standing = Party(AFI.kind, "0000000011")
    with land.desk.store.writing() as tx:
        merge_party(tx, AFI, standing)

    for npi in (AFI.number, standing.number):
        assert land.title(npi, granted(land, npi, nup=nup), nup=nup).title_no == TITLE


@pytest.mark.parametrize("purpose", ["P02", "P03", "P04", "P05", "P06", "P07", "P08"])
def test_a_title_is_read_in_ones_own_dossier(land: LandDesk, book: LandBook, purpose: str) -> None:
    """P01 and no other purpose, for asking and for reading."""
    nup = burdened(book)
    reference = granted(land, AFI.number, nup=nup)

    assert (
        refused(land.title_state, AFI.number, nup=nup, purpose=purpose) is ProviderReason.PURPOSE_NOT_ALLOWED
    )
    assert (
        refused(land.title, AFI.number, reference, nup=nup, purpose=purpose)
        is ProviderReason.PURPOSE_NOT_ALLOWED
    )


def test_a_call_that_names_no_dossier_is_told_to(land: LandDesk, book: LandBook) -> None:
    """The layer's own reason."""
    nup = burdened(book)

    with pytest.raises(ExchangeError) as error:
        land.title(AFI.number, None, nup=nup)

    assert error.value.reason is Reason.ISSUE_REQUIRED


def test_somebody_asks(land: LandDesk, book: LandBook) -> None:
    """And for this service."""
    nup = burdened(book)

    assert fields(land.title_state, "", nup=nup) == ["application.applicant_npi"]
    assert fields(land.title_state, AFI.number, nup=nup, service_code="PS01427") == [
        "application.service_code"
    ]


def test_a_title_of_a_parcel_without_number_is_found_by_its_own(land: LandDesk, book: LandBook) -> None:
    """Some were titled before the NUP."""
    book.parcel(owner(AFI), nup=None, title_no=TITLE)
    reference = granted(land, AFI.number, title_no=TITLE)

    assert land.title(AFI.number, reference, title_no=TITLE).nup == ""
    assert len(land.rows(sa.select(TITLES))) == 1
