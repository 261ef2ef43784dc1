"""Sales that are filed: by whom, of what, for how much; and never two of one parcel."""

from collections.abc import Callable
from concurrent import futures
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.kit.dossier import State
from adapters.land.claims import claim_parcel
from adapters.land.parties import Party, PartyKind
from adapters.land.shares import WHOLE, Capacity, Holding
from adapters.land.tables import CLAIMS, KIT, TRANSFERS
from adapters.reasons import ContendedError, ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from core.reasons import Code
from tests.support.land_book import AFI, BIO, CODJO, FIRM, LandBook, owner
from tests.support.land_desk import LandDesk
from tests.support.refusals import fields, refused

TITLE = "TF/COT/900001"


def contended(call: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
    """Whether a call is refused because something stands in its way: ABORTED, STATE_CONFLICT."""
    with pytest.raises(ContendedError) as error:
        call(*arguments, **named)
    return (error.value.code, error.value.reason) == (Code.ABORTED, ProviderReason.STATE_CONFLICT)


def claims(land: LandDesk) -> list[str]:
    """Dossiers that hold a parcel."""
    return [row.reference for row in land.rows(sa.select(CLAIMS))]


@pytest.mark.parametrize(
    ("price", "fee"),
    [
        (10_000_000, 30_500),
        (10_000_001, 30_500),
        (50_000_000, 30_500),
        (50_000_001, 250_501),
        (60_000_000, 300_500),
    ],
)
def test_a_sale_costs_by_scale_and_waits_for_its_fee(
    land: LandDesk, book: LandBook, price: int, fee: int
) -> None:
    """Nothing is asked of ANIP before it is paid."""
    nup = book.parcel(owner(AFI), title_no=TITLE)

    dossier = land.transfer(nup, AFI, BIO, price_xof=price)

    assert dossier.fee.amount_xof == fee
    assert dossier.state == dossier_pb2.DOSSIER_STATE_AWAITING_PAYMENT
    assert dossier.reference == "ANDF-202611-0001"
    assert land.steps(dossier.reference) == {"identity": "PENDING"}
    assert claims(land) == [dossier.reference]


def test_a_sale_sent_twice_is_filed_once(land: LandDesk, book: LandBook) -> None:
    """The second answer is the first."""
    nup = book.parcel(owner(AFI), title_no=TITLE)

    first, second = (land.transfer(nup, AFI, BIO, key="key-of-one-filing-1") for _ in range(2))

    assert first == second
    assert len(land.rows(sa.select(TRANSFERS))) == 1
    assert (
        refused(land.transfer, nup, AFI, CODJO, key="key-of-one-filing-1") is ProviderReason.DUPLICATE_REQUEST
    )


def test_a_second_sale_of_a_parcel_is_refused_while_the_first_is_under_way(
    land: LandDesk, book: LandBook
) -> None:
    """By whichever notary, to whomever; once the first is given up the parcel is free."""
    nup = book.parcel(owner(AFI), title_no=TITLE)
    first = land.transfer(nup, AFI, BIO)

    assert contended(land.transfer, nup, AFI, CODJO)
    assert claims(land) == [first.reference]

    land.cancel(first.reference)

    assert claims(land) == []
    assert land.transfer(nup, AFI, CODJO).reference != first.reference


def test_of_two_sales_filed_at_once_one_is_taken(land: LandDesk, book: LandBook) -> None:
    """Whatever the two threads do first, on both databases; the other leaves nothing behind."""
    for _ in range(5):
        nup = book.parcel(owner(AFI), title_no=f"TF/COT/{book.id_of(book.parcel()):06d}")
        ready = Barrier(2)

        def file(buyer: Party, nup: str = nup, ready: Barrier = ready) -> str:
            ready.wait()
            try:
                return land.transfer(nup, AFI, buyer).reference
            except ContendedError:
                return ""

        with futures.ThreadPoolExecutor(2) as pool:
            filed = list(pool.map(file, (BIO, CODJO)))

        (reference,) = filter(None, filed)
        assert [
            row.reference for row in land.rows(sa.select(CLAIMS).where(CLAIMS.c.parcel_id == book.id_of(nup)))
        ] == [reference]
    assert len(land.rows(sa.select(KIT.dossier))) == 5
    assert len(land.rows(sa.select(TRANSFERS))) == 5


def test_the_database_itself_lets_no_two_dossiers_hold_a_parcel(land: LandDesk, book: LandBook) -> None:
    """Even if both had found it free: each waits until the other has committed."""
    parcel_id = book.id_of(book.parcel(owner(AFI), title_no=TITLE))
    ready = Barrier(2)

    def claim(reference: str) -> bool:
        def work(tx: sa.Connection) -> None:
            claim_parcel(tx, parcel_id, reference, "transfer")

        ready.wait()
        try:
            land.desk.store.write(work)
        except ContendedError:
            return False
        return True

    with futures.ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(claim, ("ANDF-202611-0001", "ANDF-202611-0002"))) == [False, True]
    assert len(claims(land)) == 1


def test_the_seller_must_hold_what_he_sells(land: LandDesk, book: LandBook) -> None:
    """A stranger, a user, a co-owner of less, and the heir of nobody are one answer."""
    nup = book.parcel(
        owner(AFI, 1, 3), owner(BIO, 2, 3), Holding(CODJO, WHOLE, Capacity.USUFRUCT), title_no=TITLE
    )

    for seller, share in ((CODJO, None), (FIRM, None), (AFI, (1, 2)), (BIO, (1, 1))):
        assert refused(land.transfer, nup, seller, Party(PartyKind.PERSON, "0000000006"), share=share) is (
            ProviderReason.IDENTITY_MISMATCH
        )
    assert land.transfer(nup, AFI, BIO, share=(1, 6)).fee.amount_xof == 24_500


def test_a_stranger_does_not_learn_what_burdens_a_parcel(land: LandDesk, book: LandBook) -> None:
    """Whether the seller holds is asked first."""
    nup = book.parcel(owner(AFI), title_no=TITLE)
    book.mortgage(nup)

    assert refused(land.transfer, nup, BIO, CODJO) is ProviderReason.IDENTITY_MISMATCH


@pytest.mark.parametrize("burden", ["mortgage", "dispute", "no title", "superseded", "title request"])
def test_what_stands_against_a_sale_stands_against_its_filing(
    land: LandDesk, book: LandBook, burden: str
) -> None:
    """The same reasons as CheckOwnership tells."""
    nup = book.parcel(
        owner(AFI),
        title_no="" if burden in ("no title", "title request") else TITLE,
        is_superseded=burden == "superseded",
    )
    if burden in ("mortgage", "dispute"):
        getattr(book, burden)(nup)
    if burden == "title request":
        land.title_request(nup, AFI)

    assert contended(land.transfer, nup, AFI, BIO)
    assert land.rows(sa.select(TRANSFERS)) == []


def test_a_certificate_of_belonging_does_instead_of_a_title(land: LandDesk, book: LandBook) -> None:
    """Exceptionally, for a year."""
    nup = book.parcel(owner(AFI))
    assert contended(land.transfer, nup, AFI, BIO)
    book.certificate(nup, AFI, "2027-01-15")

    assert land.state(land.transfer(nup, AFI, BIO).reference) is State.AWAITING_PAYMENT


def test_only_notaries_in_office_file(land: LandDesk, book: LandBook) -> None:
    """Before anything of the parcel is looked at."""
    for nup in (book.parcel(owner(AFI), title_no=TITLE), "900000999"):
        for reference in ("NOT-COT-0002", "NOT-COT-9999"):
            assert (
                refused(land.transfer, nup, AFI, BIO, notary_ref=reference)
                is ProviderReason.PURPOSE_NOT_ALLOWED
            )


@pytest.mark.parametrize("purpose", ["P01", "P03", "P04", "P05", "P06", "P07", "P08"])
def test_a_sale_is_a_duty_to_register(land: LandDesk, book: LandBook, purpose: str) -> None:
    """P02 and no other purpose; a title request alike."""
    nup = book.parcel(owner(AFI), title_no=TITLE)

    assert refused(land.transfer, nup, AFI, BIO, purpose=purpose) is ProviderReason.PURPOSE_NOT_ALLOWED
    assert refused(land.title_request, nup, AFI, purpose=purpose) is ProviderReason.PURPOSE_NOT_ALLOWED


def test_what_is_wrong_in_a_request_is_named(land: LandDesk, book: LandBook) -> None:
    """The field, never what it held."""
    nup = book.parcel(owner(AFI, 1, 999_983), owner(BIO, 999_982, 999_983), title_no=TITLE)

    assert fields(land.transfer, nup, AFI, AFI) == ["buyer"]
    assert fields(land.transfer, nup, BIO, AFI, share=(1, 7)) == ["share"]
    assert fields(land.transfer, nup, AFI, BIO, applicant_npi=AFI.number) == ["application.applicant_npi"]
    for code in ("PS00124", "PS90201", "PS00999"):
        assert fields(land.transfer, nup, AFI, BIO, service_code=code) == ["application.service_code"]
    for code in ("PS01427", "PS90201", "PS00999"):
        assert fields(land.title_request, nup, AFI, service_code=code) == ["application.service_code"]


def test_a_parcel_that_is_not_there_is_not_found(land: LandDesk) -> None:
    """Parcels are public: so is that there is none."""
    assert refused(land.transfer, "900000999", AFI, BIO) is ProviderReason.NOT_FOUND
    assert refused(land.title_request, "900000999", AFI) is ProviderReason.NOT_FOUND
    assert refused(land.oppose, "900000999", AFI) is ProviderReason.NOT_FOUND


def test_a_title_is_not_asked_for_where_there_is_one_or_can_be_none(land: LandDesk, book: LandBook) -> None:
    """Titled, the State's, given up, or somebody else asks already."""
    asked = book.parcel(owner(AFI))
    land.title_request(asked, AFI)
    for nup in (
        book.parcel(owner(AFI), title_no=TITLE),
        book.parcel(right_type="STATE"),
        book.parcel(owner(AFI), is_superseded=True),
        asked,
    ):
        assert contended(land.title_request, nup, AFI)


def test_a_refused_filing_leaves_its_key_free(land: LandDesk, book: LandBook) -> None:
    """What was refused may be filed under the same key once nothing stands against it."""
    nup = book.parcel(owner(AFI))
    with pytest.raises(ProviderError):
        land.transfer(nup, AFI, BIO, key="key-of-one-filing-1")
    book.certificate(nup, AFI, "2027-01-15")

    assert land.transfer(nup, AFI, BIO, key="key-of-one-filing-1").reference == "ANDF-202611-0001"
