"""What ANDF's register answers: parcels to everybody, ownership to a claim, holdings to whoever may list them."""

from typing import Any

import pytest

from adapters.context import serving
from adapters.kit.desk import Desk
from adapters.land.entitlements import is_notary
from adapters.land.parties import Party, PartyKind, party_message
from adapters.land.rights import merge_party
from adapters.land.service import LandService
from adapters.land.shares import WHOLE, Capacity, Holding
from adapters.land.tables import CLAIMS, CONSENTS, HOLDINGS
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import person_pb2
from bj.land.v1 import parcel_pb2 as pb
from core.clock import ManualClock
from core.reasons import ExchangeError, Reason
from tests.support.callers import NO_CONTEXT, caller
from tests.support.consents import BANK, give_lacking
from tests.support.land_book import AFI, BIO, CODJO, FIRM, NOTARY, STATE, LandBook, owner

LEGACY = ("GBEGAMEY", "2021", "P", "")


@pytest.fixture
def service(desk: Desk) -> LandService:
    """The servicer."""
    return LandService(desk)


def get(service: LandService, **request: Any) -> pb.GetParcelResponse:
    """GetParcel, without any purpose."""
    with serving(caller(purpose=None, issue=None)):
        return service.GetParcel(pb.GetParcelRequest(**request), NO_CONTEXT)


def check(
    service: LandService, nup: str, party: Party, purpose: str = "P01", consent_ref: str = "", **call: Any
) -> pb.CheckOwnershipResponse:
    """CheckOwnership."""
    request = pb.CheckOwnershipRequest(nup=nup, party=party_message(party), consent_ref=consent_ref)
    with serving(caller(purpose=purpose, **call)):
        return service.CheckOwnership(request, NO_CONTEXT)


def holdings(
    service: LandService, party: Party, purpose: str = "P07", **request: Any
) -> pb.ListHoldingsResponse:
    """ListHoldings."""
    with serving(caller(purpose=purpose)):
        return service.ListHoldings(pb.ListHoldingsRequest(party=party_message(party), **request), NO_CONTEXT)


def refused(call: Any, *arguments: Any, **named: Any) -> ProviderReason:
    """Why a call is refused."""
    with pytest.raises(ProviderError) as error:
        call(*arguments, **named)
    return error.value.reason


def reasons(answer: pb.CheckOwnershipResponse) -> list[str]:
    """What stands against a sale, without prefix."""
    return [pb.BlockingReason.Name(one).removeprefix("BLOCKING_REASON_") for one in answer.blocking_reasons]


class TestGetParcel:
    """Public, and without a name."""

    def test_a_parcel_is_read_field_by_field(self, service: LandService, book: LandBook) -> None:
        nup = book.parcel(owner(AFI), title_no="TF/COT/900001", legacy=LEGACY, shortcomings='["limites"]')

        answer = get(service, nup=nup, with_polygon=True)

        assert answer.SerializeToString(deterministic=True) == pb.GetParcelResponse(
            nup=nup,
            legacy=pb.LegacyParcelRef(
                commune_code="LI-COT", lotissement="GBEGAMEY", ilot="2021", parcelle="P"
            ),
            calculated_area_m2=500.25,
            surveyed_area_m2=499.5,
            nature=pb.PARCEL_NATURE_INDIVIDUAL,
            register_type=pb.REGISTER_TYPE_LAND_BOOK,
            ba_unit_type=pb.BA_UNIT_TYPE_PROPERTY,
            right_type=pb.RIGHT_TYPE_TITLED,
            title_no="TF/COT/900001",
            unit=person_pb2.AdministrativeUnit(
                code="LI-COT-01-001",
                department="Littoral",
                commune="Cotonou",
                arrondissement="1er arrondissement",
                quarter="Gare",
            ),
            centroid=pb.Point(x=430_000.5, y=703_000.25),
            polygon=[pb.Point(x=1, y=2), pb.Point(x=3, y=4), pb.Point(x=5, y=6.5)],
            party_exists=True,
            shortcomings=["limites"],
            valid_from=answer.valid_from,
        ).SerializeToString(deterministic=True)
        assert answer.valid_from.ToMilliseconds() == 1_700_000_000_000
        assert not answer.HasField("valid_to")

    def test_the_boundary_is_sent_to_who_asks_for_it(self, service: LandService, book: LandBook) -> None:
        assert not get(service, nup=book.parcel()).polygon

    def test_whether_there_is_a_holder_is_told_and_never_who(
        self, service: LandService, book: LandBook
    ) -> None:
        held, empty = book.parcel(owner(AFI)), book.parcel()

        answers = [get(service, nup=nup, with_polygon=True) for nup in (held, empty)]

        assert [answer.party_exists for answer in answers] == [True, False]
        for answer in answers:
            assert AFI.number not in str(answer)
            assert "NOM-DE" not in str(answer)

    def test_an_unknown_number_is_not_found(self, service: LandService, book: LandBook) -> None:
        assert refused(get, service, nup="900000999") is ProviderReason.NOT_FOUND

    def test_a_number_given_up_leads_to_those_that_took_its_place(
        self, service: LandService, book: LandBook
    ) -> None:
        old = book.parcel(is_superseded=True)
        new = [book.parcel(owner(AFI)), book.parcel(owner(AFI))]
        for nup in new:
            book.succession(old, nup)

        given_up = get(service, nup=old)

        assert list(given_up.successor_nups) == sorted(new)
        assert given_up.HasField("valid_to")
        assert list(get(service, nup=new[0]).predecessor_nups) == [old]

    def test_a_parcel_without_number_is_found_by_what_it_was_called(
        self, service: LandService, book: LandBook
    ) -> None:
        """Accents, capitals and blanks are no matter; what is left out may be anything."""
        book.parcel(nup=None, legacy=LEGACY)
        book.parcel(nup=None, legacy=("GBEGAMEY", "2022", "P", ""))
        said = pb.LegacyParcelRef(commune_code="LI-COT", lotissement=" gbégamey ", ilot="2021", parcelle="p")

        assert get(service, legacy=said).legacy.ilot == "2021"
        said.ilot = ""
        assert refused(get, service, legacy=said) is ProviderReason.AMBIGUOUS
        said.lotissement = "Zongo"
        assert refused(get, service, legacy=said) is ProviderReason.NOT_FOUND
        said.lotissement, said.commune_code = "Gbégamey", "OU-PNO"
        assert refused(get, service, legacy=said) is ProviderReason.NOT_FOUND

    def test_a_commune_is_not_listed_by_a_reference_that_names_nothing(
        self, service: LandService, book: LandBook
    ) -> None:
        book.parcel(nup=None, legacy=LEGACY)

        for said in (
            pb.LegacyParcelRef(commune_code="LI-COT"),
            pb.LegacyParcelRef(commune_code="LI-COT", lotissement="GBEGAMEY"),
            pb.LegacyParcelRef(commune_code="LI-COT", parcelle="P"),
        ):
            with pytest.raises(InvalidFieldsError) as error:
                get(service, legacy=said)

            assert list(error.value.violations) == ["legacy"]


class TestCheckOwnership:
    """A claim is answered; a stranger learns nothing of what burdens a parcel."""

    def test_the_sole_owner_of_a_clear_title_can_sell(self, service: LandService, book: LandBook) -> None:
        nup = book.parcel(owner(AFI), title_no="TF/COT/900001")

        answer = check(service, nup, AFI)

        assert (answer.result, answer.can_sell) == (pb.OWNERSHIP_RESULT_YES, True)
        assert reasons(answer) == []

    def test_firms_own_too(self, service: LandService, book: LandBook) -> None:
        nup = book.parcel(owner(FIRM), title_no="TF/COT/900001")

        assert check(service, nup, FIRM).can_sell
        assert check(service, nup, Party(PartyKind.PERSON, FIRM.number[:10])).result == pb.OWNERSHIP_RESULT_NO

    def test_a_co_owner_can_sell_what_is_his(self, service: LandService, book: LandBook) -> None:
        nup = book.parcel(owner(AFI, 1, 3), owner(BIO, 2, 3), title_no="TF/COT/900001")

        answer = check(service, nup, BIO)

        assert (answer.result, answer.can_sell) == (pb.OWNERSHIP_RESULT_CO_OWNER, True)

    def test_a_register_that_knows_no_holder_says_so(self, service: LandService, book: LandBook) -> None:
        answer = check(service, book.parcel(), AFI)

        assert (answer.result, answer.can_sell) == (pb.OWNERSHIP_RESULT_UNKNOWN, False)
        assert reasons(answer) == ["NO_TITLE"]

    def test_whoever_only_uses_it_does_not_own_it(self, service: LandService, book: LandBook) -> None:
        nup = book.parcel(owner(AFI), Holding(BIO, WHOLE, Capacity.USUFRUCT), title_no="TF/COT/900001")

        assert check(service, nup, BIO).result == pb.OWNERSHIP_RESULT_NO

    def test_a_stranger_and_somebody_unknown_look_the_same(
        self, service: LandService, book: LandBook
    ) -> None:
        """NO, and not a word of mortgages or disputes."""
        nup = book.parcel(owner(AFI))
        book.mortgage(nup)
        book.dispute(nup)

        for party in (BIO, Party(PartyKind.PERSON, "0009999999")):
            assert check(service, nup, party) == pb.CheckOwnershipResponse(result=pb.OWNERSHIP_RESULT_NO)

    def test_all_that_stands_against_a_sale_is_told_to_a_claim_that_holds(
        self, service: LandService, book: LandBook, desk: Desk
    ) -> None:
        nup = book.parcel(owner(AFI), title_no="", is_superseded=True)
        book.mortgage(nup)
        book.dispute(nup)
        book.write(CLAIMS, nup, reference="ANDF-202611-0001", kind="transfer")
        with desk.store.writing() as tx:
            tx.execute(HOLDINGS.update().values(is_deceased=True))

        answer = check(service, nup, AFI)

        assert (answer.result, answer.can_sell) == (pb.OWNERSHIP_RESULT_YES, False)
        assert reasons(answer) == [
            "NO_TITLE", "DISPUTE", "MORTGAGE", "TRANSFER_PENDING", "HOLDER_DECEASED", "SUPERSEDED",
        ]  # fmt: skip

    def test_a_title_that_is_asked_for_may_be_opposed(self, service: LandService, book: LandBook) -> None:
        nup = book.parcel(owner(AFI))
        book.write(CLAIMS, nup, reference="ANDF-202611-0001", kind="title_request")

        assert reasons(check(service, nup, AFI)) == ["NO_TITLE", "OPPOSITION_OPEN"]

    def test_what_is_released_settled_or_ended_stands_against_nothing(
        self, service: LandService, book: LandBook
    ) -> None:
        nup = book.parcel(owner(AFI), title_no="TF/COT/900001")
        book.mortgage(nup, released_on="2025-01-31")
        book.dispute(nup, settled_on="2025-01-31")

        assert check(service, nup, AFI).can_sell

    def test_a_certificate_of_belonging_does_for_a_year_and_for_one_sale(
        self, service: LandService, book: LandBook, clock: ManualClock
    ) -> None:
        """To the end of its last day, Porto-Novo's."""
        valid, used, over = (book.parcel(owner(AFI)) for _ in range(3))
        book.certificate(valid, AFI, "2026-11-12")
        book.certificate(used, AFI, "2026-11-12", used_by="ANDF-202611-0001")
        book.certificate(over, AFI, "2026-11-11")

        assert check(service, valid, AFI).can_sell
        assert reasons(check(service, used, AFI)) == ["NO_TITLE"]
        assert reasons(check(service, over, AFI)) == ["NO_TITLE"]

    def test_an_unknown_parcel_is_not_found(self, service: LandService, book: LandBook) -> None:
        assert refused(check, service, "900000999", AFI) is ProviderReason.NOT_FOUND

    def test_a_number_that_anip_merged_means_the_one_that_stands(
        self, service: LandService, book: LandBook, desk: Desk
    ) -> None:
        """Whichever of the two is asked for, through any number of mergers."""
        nup = book.parcel(owner(AFI), title_no="TF/COT/900001")
        with desk.store.writing() as tx:
            merge_party(tx, AFI, BIO)
            merge_party(tx, BIO, CODJO)

        for party in (AFI, BIO, CODJO):
            assert check(service, nup, party).can_sell

    def test_a_consent_follows_its_person_through_mergers(
        self, service: LandService, book: LandBook, desk: Desk
    ) -> None:
        """Whichever number it was given under, and whichever is asked for."""
        nup = book.parcel(owner(AFI), title_no="TF/COT/900001")
        book.consent("C-GOOD", AFI, BANK)
        with desk.store.writing() as tx:
            merge_party(tx, AFI, BIO)

        for party in (AFI, BIO):
            assert check(service, nup, party, "P03", "C-GOOD", client=BANK).can_sell

    @pytest.mark.parametrize("purpose", ["P02", "P04", "P05", "P06", "P07", "P08"])
    def test_other_purposes_learn_nothing(self, service: LandService, book: LandBook, purpose: str) -> None:
        for nup in (book.parcel(owner(AFI)), "900000999"):
            assert refused(check, service, nup, AFI, purpose) is ProviderReason.PURPOSE_NOT_ALLOWED

    def test_a_call_without_purpose_is_refused_as_one(self, service: LandService, book: LandBook) -> None:
        with serving(caller(purpose=None)), pytest.raises(ExchangeError) as error:
            service.CheckOwnership(
                pb.CheckOwnershipRequest(nup="900000999", party=party_message(AFI)), NO_CONTEXT
            )

        assert error.value.reason is Reason.PURPOSE_REQUIRED

    def test_a_private_body_needs_a_consent_of_that_person_to_it_that_holds(
        self, service: LandService, book: LandBook, clock: ManualClock
    ) -> None:
        nup = book.parcel(owner(AFI), title_no="TF/COT/900001")
        book.consent("C-GOOD", AFI, BANK)
        lacking = give_lacking(book.store, CONSENTS, AFI.number, BIO.number, clock.now_ms())

        assert check(service, nup, AFI, "P03", "C-GOOD", client=BANK).can_sell
        for reference in lacking:
            assert (
                refused(check, service, nup, AFI, "P03", reference, client=BANK)
                is ProviderReason.CONSENT_REQUIRED
            )


class TestListHoldings:
    """For himself, a court, the tax office."""

    def test_what_somebody_holds_is_listed_with_shares_and_capacities(
        self, service: LandService, book: LandBook
    ) -> None:
        titled = book.parcel(owner(AFI, 1, 3), owner(BIO, 2, 3), title_no="TF/COT/900001")
        book.parcel(owner(BIO))
        used = book.parcel(owner(STATE), Holding(AFI, WHOLE, Capacity.LONG_LEASE), right_type="STATE")
        book.parcel(owner(AFI), nup=None)

        answer = holdings(service, AFI)

        whole = pb.Share(numerator=1, denominator=1)
        assert list(answer.holdings) == [
            pb.Holding(share=whole, capacity=pb.HOLDER_CAPACITY_OWNER, right_type=pb.RIGHT_TYPE_PRESUMED),
            pb.Holding(
                nup=titled,
                title_no="TF/COT/900001",
                share=pb.Share(numerator=1, denominator=3),
                capacity=pb.HOLDER_CAPACITY_OWNER,
                right_type=pb.RIGHT_TYPE_TITLED,
            ),
            pb.Holding(
                nup=used,
                share=whole,
                capacity=pb.HOLDER_CAPACITY_LONG_LEASE,
                right_type=pb.RIGHT_TYPE_STATE,
            ),
        ]
        assert answer.next_page_token == ""

    def test_pages_follow_each_other_without_gap_or_repetition(
        self, service: LandService, book: LandBook
    ) -> None:
        for nup in (None, "", "", None, ""):
            book.parcel(owner(AFI), nup=nup)
        whole = list(holdings(service, AFI).holdings)

        for size in (1, 2, 3, 5):
            found: list[pb.Holding] = []
            token = ""
            while True:
                page = holdings(service, AFI, page_size=size, page_token=token)
                found += page.holdings
                token = page.next_page_token
                if not token:
                    break
                assert len(page.holdings) == size
            assert found == whole

    def test_nothing_held_and_nobody_are_both_an_empty_list(
        self, service: LandService, book: LandBook
    ) -> None:
        book.parcel(owner(AFI))

        for party in (BIO, Party(PartyKind.PERSON, "0009999999"), Party(PartyKind.FIRM, "3202590000999")):
            assert holdings(service, party) == pb.ListHoldingsResponse()

    @pytest.mark.parametrize("token", ["A", "nonsense", "OTAw", "LjE_", "9"])
    def test_a_token_that_was_never_given_is_refused_by_name(
        self, service: LandService, book: LandBook, token: str
    ) -> None:
        with pytest.raises(InvalidFieldsError) as error:
            holdings(service, AFI, page_token=token)

        assert list(error.value.violations) == ["page_token"]

    def test_a_court_names_its_order(self, service: LandService, book: LandBook) -> None:
        book.parcel(owner(AFI))

        assert len(holdings(service, AFI, "P05", order_ref="ORD-2026-17").holdings) == 1
        with pytest.raises(InvalidFieldsError) as error:
            holdings(service, AFI, "P05")
        assert list(error.value.violations) == ["order_ref"]

    @pytest.mark.parametrize("purpose", ["P01", "P02", "P03", "P04", "P06", "P08"])
    def test_nobody_else_lists_what_somebody_holds(
        self, service: LandService, book: LandBook, purpose: str
    ) -> None:
        for party in (AFI, BIO):
            assert refused(holdings, service, party, purpose) is ProviderReason.PURPOSE_NOT_ALLOWED


def test_only_a_notary_in_office_is_one(desk: Desk, book: LandBook) -> None:
    """Whoever has left his office files no more."""
    book.notaries()

    with desk.store.reading() as tx:
        assert is_notary(tx, NOTARY)
        assert not is_notary(tx, "NOT-COT-0002")
        assert not is_notary(tx, "NOT-COT-9999")
