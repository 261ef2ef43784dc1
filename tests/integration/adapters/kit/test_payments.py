"""What is heard of payments: in time, late, twice, out of order, of the wrong amount, or never."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.context import CallerContext, serving
from adapters.kit.payments import Refund
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2, dossier_service_pb2, payment_pb2
from core.identifiers import SubsystemId
from tests.support.postal.ministry import BOX_FEE, CALLER, NO_CONTEXT, PostOffice

NOT_TOLD = payment_pb2.PAYMENT_STATE_UNSPECIFIED
INITIATED = payment_pb2.PAYMENT_STATE_INITIATED
PENDING = payment_pb2.PAYMENT_STATE_PENDING
CONFIRMED = payment_pb2.PAYMENT_STATE_CONFIRMED
FAILED = payment_pb2.PAYMENT_STATE_FAILED
REFUNDED = payment_pb2.PAYMENT_STATE_REFUNDED
AWAITING = dossier_pb2.DOSSIER_STATE_AWAITING_PAYMENT
FILED = dossier_pb2.DOSSIER_STATE_FILED
EXPIRED = dossier_pb2.DOSSIER_STATE_EXPIRED
_KEYS = itertools.count()


def report(
    office: PostOffice,
    reference: str,
    state: payment_pb2.PaymentState.ValueType,
    payment_ref: str = "MOMO-000001",
    amount: int = BOX_FEE,
    key: str = "",
    caller: CallerContext = CALLER,
) -> dossier_pb2.Dossier:
    """The portal tells what became of a payment."""
    request = dossier_service_pb2.ReportPaymentRequest(
        idempotency_key=key or f"report-of-payment-{next(_KEYS)}",
        reference=reference,
        payment=payment_pb2.Payment(
            payment_ref=payment_ref,
            channel=payment_pb2.PAYMENT_CHANNEL_MTN_MOMO,
            state=state,
            amount_xof=amount,
            receipt_no="QUITTANCE-1" if state == CONFIRMED else "",
        ),
    )
    with serving(caller):
        return office.service.ReportPayment(request, NO_CONTEXT).dossier


def refunds(office: PostOffice) -> list[tuple[str, Refund | None]]:
    """What is to be given back, and why."""
    with office.desk.store.reading() as tx:
        return [(payment.payment_ref, payment.refund) for payment in office.desk.payments.refunds(tx)]


def test_a_payment_in_full_files_the_dossier(office: PostOffice) -> None:
    """The promise runs from the moment it was heard of."""
    reference = office.awaiting()

    started = report(office, reference, INITIATED)
    office.clock.advance(timedelta(hours=1))
    paid = report(office, reference, CONFIRMED)

    assert (started.state, started.fee.state) == (AWAITING, INITIATED)
    assert (paid.state, paid.fee.state, paid.fee.payment_ref) == (FILED, CONFIRMED, "MOMO-000001")
    assert paid.filed_at.ToMilliseconds() == office.clock.now_ms()
    assert paid.due_at.ToMilliseconds() == office.clock.now_ms() + 72 * 3600 * 1000
    assert office.procedure.turns == [("filed", reference)]
    assert refunds(office) == []


def test_a_call_back_that_comes_twice_changes_nothing(office: PostOffice) -> None:
    """Neither under its own key nor under a new one; the procedure hears once."""
    reference = office.awaiting()
    key = "report-of-payment-twice"
    paid = report(office, reference, CONFIRMED, key=key)

    assert report(office, reference, CONFIRMED, key=key) == paid
    assert report(office, reference, CONFIRMED) == paid
    assert office.procedure.turns == [("filed", reference)]
    assert refunds(office) == []


def test_states_that_come_late_do_not_go_back(office: PostOffice) -> None:
    """PENDING and FAILED after CONFIRMED, CONFIRMED after REFUNDED, say nothing new."""
    reference = office.awaiting()
    paid = report(office, reference, CONFIRMED)

    for late in (INITIATED, PENDING, FAILED):
        assert report(office, reference, late) == paid
    given_back = report(office, reference, REFUNDED)
    assert (given_back.fee.state, given_back.state) == (REFUNDED, FILED)
    assert report(office, reference, CONFIRMED) == given_back


def test_money_that_arrives_after_a_failure_is_money(office: PostOffice) -> None:
    """A collector gave up waiting, and was paid all the same."""
    reference = office.awaiting()
    assert report(office, reference, FAILED).state == AWAITING

    assert report(office, reference, CONFIRMED).state == FILED


def test_another_payment_may_be_started_after_a_failure(office: PostOffice) -> None:
    """The fee then shows the new one."""
    reference = office.awaiting()
    report(office, reference, FAILED)

    started = report(office, reference, PENDING, "MOMO-000002")

    assert (started.fee.payment_ref, started.fee.state) == ("MOMO-000002", PENDING)
    assert report(office, reference, CONFIRMED, "MOMO-000002").state == FILED


@pytest.mark.parametrize("amount", [0, BOX_FEE - 1, BOX_FEE + 1, 2**64 - 1])
def test_another_amount_than_the_fee_files_nothing_and_is_given_back(office: PostOffice, amount: int) -> None:
    """Too little, too much, absurdly much."""
    reference = office.awaiting()

    answered = report(office, reference, CONFIRMED, amount=amount)

    assert answered.state == AWAITING
    assert (answered.fee.payment_ref, answered.fee.state) == ("MOMO-000001", NOT_TOLD)
    assert refunds(office) == [("MOMO-000001", Refund.AMOUNT)]
    assert report(office, reference, CONFIRMED, "MOMO-000002").state == FILED
    report(office, reference, REFUNDED)
    assert refunds(office) == []
    assert office.read(reference).fee.payment_ref == "MOMO-000002"


def test_who_pays_twice_gets_one_back(office: PostOffice) -> None:
    """The second payment of a settled dossier; what is shown stays the first."""
    reference = office.awaiting()
    paid = report(office, reference, CONFIRMED)

    assert report(office, reference, CONFIRMED, "MOMO-000002") == paid
    assert refunds(office) == [("MOMO-000002", Refund.TWICE)]


def test_money_for_a_dossier_that_has_ended_is_given_back(office: PostOffice) -> None:
    """It expired while the call-back was on its way; finals do not change."""
    reference = office.awaiting()
    report(office, reference, PENDING)
    office.clock.advance(timedelta(days=30))
    office.run_due()

    late = report(office, reference, CONFIRMED)

    assert late.state == EXPIRED
    assert refunds(office) == [("MOMO-000001", Refund.ENDED)]
    assert ("filed", reference) not in office.procedure.turns


def test_money_for_what_costs_nothing_is_given_back(office: PostOffice) -> None:
    """A free service is not paid for."""
    reference = office.filed()

    report(office, reference, CONFIRMED)

    assert refunds(office) == [("MOMO-000001", Refund.FREE)]


def test_one_payment_settles_one_dossier(office: PostOffice) -> None:
    """For another one it is refused, also when both come at once."""
    first, second = office.awaiting(), office.awaiting()

    outcomes = office.race(
        lambda: report(office, first, CONFIRMED).state, lambda: report(office, second, CONFIRMED).state
    )

    assert sorted(map(str, outcomes)) == sorted(["3", "DUPLICATE_REQUEST"])
    assert {office.read(first).state, office.read(second).state} == {AWAITING, FILED}


def test_what_one_client_names_a_payment_is_its_own(office: PostOffice) -> None:
    """Another's payment of that name is another payment: neither refused nor shown, given back for itself."""
    other = replace(CALLER, client=SubsystemId.parse("BJ/COL/COTONOU/GUICHET"))
    mine = office.awaiting()
    theirs = office.open(key="key-of-another-client", caller=other).reference

    assert report(office, mine, CONFIRMED).state == FILED
    assert report(office, theirs, CONFIRMED, amount=1, caller=other).state == AWAITING

    with office.desk.store.reading() as tx:
        (refund,) = office.desk.payments.refunds(tx)
    assert (refund.client, refund.reference) == (str(other.client), theirs)
    assert report(office, theirs, CONFIRMED, "MOMO-000002", caller=other).state == FILED
    assert [office.read(one).fee.payment_ref for one in (mine, theirs)] == ["MOMO-000001", "MOMO-000002"]


def test_call_backs_at_once_file_once(office: PostOffice) -> None:
    """Eight of them, of two payments: one settles, the other is given back."""
    reference = office.awaiting()

    office.race(
        *(
            lambda number=number: report(office, reference, CONFIRMED, f"MOMO-00000{number % 2}").state
            for number in range(8)
        )
    )

    assert office.procedure.turns == [("filed", reference)]
    assert [why for _, why in refunds(office)] == [Refund.TWICE]


def test_a_report_without_a_state_is_malformed(office: PostOffice) -> None:
    """It would say nothing."""
    with pytest.raises(ProviderError) as refused:
        report(office, office.awaiting(), payment_pb2.PAYMENT_STATE_UNSPECIFIED)

    assert refused.value.reason is ProviderReason.FORMAT_INVALID


def test_what_is_not_paid_is_not_handed_out(office: PostOffice) -> None:
    """Nor what was given back."""
    reference = office.awaiting()

    def is_paid() -> bool:
        with office.desk.store.reading() as tx:
            dossier = office.desk.dossiers.follow(tx, reference, CALLER)
            try:
                office.desk.payments.require_paid(tx, dossier)
            except ProviderError as refused:
                return refused.reason is not ProviderReason.PAYMENT_REQUIRED
            return True

    assert not is_paid()
    report(office, reference, CONFIRMED, amount=1)
    assert not is_paid()
    report(office, reference, CONFIRMED, "MOMO-000002")
    assert is_paid()
    report(office, reference, REFUNDED, "MOMO-000002")
    assert not is_paid()
