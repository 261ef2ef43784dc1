"""What a payment pays for begins after it is taken note of, at once if it can, and whenever it can if not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from adapters.context import CallerContext, serving
from adapters.kit import dossier_service
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import document_pb2, dossier_pb2, dossier_service_pb2, payment_pb2
from core.language import Text
from tests.support.neighbours import Neighbourhood
from tests.support.postal.ministry import BOX_FEE, CALLER, NO_CONTEXT, PostOffice

KEY = "report-of-a-payment-1"
CONFIRMED = payment_pb2.PAYMENT_STATE_CONFIRMED
FILED = dossier_pb2.DOSSIER_STATE_FILED
GRANTED = dossier_pb2.DOSSIER_STATE_GRANTED


def sign(desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
    """What is paid for: a document."""
    desk.documents.issue(
        tx,
        dossier.reference,
        document_pb2.DOCUMENT_TYPE_RESIDENCE,
        title=Text("Certificat de résidence", "Certificate of residence"),
        lines=[],
    )


@pytest.fixture
def signing(office: PostOffice) -> PostOffice:
    """An office that grants and signs as soon as it is paid. Nobody has given it its key yet."""
    office.procedure.then["filed"] = lambda desk, tx, dossier: desk.dossiers.grant(tx, dossier.reference)
    office.procedure.then["granted"] = sign
    return office


def give_key(office: PostOffice) -> None:
    """The key with which it signs."""
    Neighbourhood(office.directory, "BJ/GOV/LAPOSTE/BOITES").write_document_key(office.clock.now_ms())


def pay(office: PostOffice, reference: str, caller: CallerContext = CALLER) -> dossier_pb2.Dossier:
    """The portal tells that the fee was received."""
    request = dossier_service_pb2.ReportPaymentRequest(
        idempotency_key=KEY,
        reference=reference,
        payment=payment_pb2.Payment(payment_ref="MOMO-000001", state=CONFIRMED, amount_xof=BOX_FEE),
    )
    with serving(caller):
        return office.service.ReportPayment(request, NO_CONTEXT).dossier


def test_what_can_be_given_at_once_is_there_with_the_answer(signing: PostOffice) -> None:
    """Payment, grant and document; nothing is left to begin."""
    give_key(signing)

    paid = pay(signing, signing.awaiting())

    assert (paid.state, paid.fee.state, len(paid.documents)) == (GRANTED, CONFIRMED, 1)
    assert "begin" not in dict(signing.tasks())


def test_a_payment_stands_though_its_document_cannot_be_signed(signing: PostOffice) -> None:
    """Paid and filed, as everybody reads; granted as soon as the key works, without anybody asking again."""
    reference = signing.awaiting()

    paid = pay(signing, reference)
    signing.clock.advance(timedelta(seconds=2))
    signing.run_due()

    for told in (paid, signing.read(reference)):
        assert (told.state, told.fee.state, len(told.documents)) == (FILED, CONFIRMED, 0)

    give_key(signing)
    signing.clock.advance(timedelta(seconds=1))
    signing.run_due()

    assert (signing.state(reference), len(signing.read(reference).documents)) == (State.GRANTED, 1)


def test_what_died_after_the_payment_is_begun_by_the_repeat(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller got no answer; its second call, under the same key, begins the work, once."""

    def die(desk: Desk, reference: str) -> None:
        raise SystemExit

    reference = office.awaiting()
    with monkeypatch.context() as patched:
        patched.setattr(dossier_service, "begin_now", die)
        with pytest.raises(SystemExit):
            pay(office, reference)
    assert office.procedure.turns == []

    assert pay(office, reference).state == pay(office, reference).state == FILED
    assert office.procedure.turns == [("filed", reference)]


def test_what_died_after_the_payment_is_begun_without_a_repeat(office: PostOffice) -> None:
    """By the task, once its head start is over."""
    reference = office.awaiting()
    office.procedure.then["filed"] = lambda desk, tx, dossier: 1 // 0
    pay(office, reference)
    office.procedure.then.clear()

    office.run_due()
    assert office.procedure.turns == [("filed", reference)]
    office.clock.advance(timedelta(seconds=2))
    office.run_due()

    assert office.procedure.turns == [("filed", reference)] * 2
    assert "begin" not in dict(office.tasks())


def test_nobody_takes_up_what_has_not_begun(signing: PostOffice) -> None:
    """An officer would leave out what the procedure does first; to reject needs none of it, and ends it."""
    reference = signing.awaiting()
    pay(signing, reference)
    dossiers = signing.desk.dossiers
    moves: list[Callable[[sa.Connection], object]] = [
        lambda tx: dossiers.review(tx, reference, "agent-7"),
        lambda tx: dossiers.grant(tx, reference, "agent-7"),
    ]

    for move in moves:
        with pytest.raises(ProviderError) as refused:
            signing.desk.store.write(move)
        assert refused.value.reason is ProviderReason.STATE_CONFLICT
    signing.desk.store.write(lambda tx: dossiers.reject(tx, reference, "agent-7", "le plan manque"))
    give_key(signing)
    signing.clock.advance(timedelta(seconds=2))
    signing.run_due()

    assert signing.state(reference) is State.REJECTED
    assert not signing.read(reference).documents


def test_call_backs_at_once_begin_once(signing: PostOffice) -> None:
    """All see what was given; it is given once."""
    give_key(signing)
    reference = signing.awaiting()

    states = [told.state for told in signing.race(*[lambda: pay(signing, reference)] * 4)]

    assert states == [GRANTED] * 4
    assert len(signing.read(reference).documents) == 1


@pytest.mark.parametrize("method", ["ReportPayment", "CancelDossier"])
def test_a_repeat_is_no_way_around_the_purpose(office: PostOffice, method: str) -> None:
    """What a key gave for one purpose it does not give for another."""
    reference = office.awaiting()
    requests = {
        "ReportPayment": dossier_service_pb2.ReportPaymentRequest(
            idempotency_key=KEY,
            reference=reference,
            payment=payment_pb2.Payment(payment_ref="MOMO-000001", state=CONFIRMED, amount_xof=BOX_FEE),
        ),
        "CancelDossier": dossier_service_pb2.CancelDossierRequest(idempotency_key=KEY, reference=reference),
    }
    call = getattr(office.service, method)
    with serving(CALLER):
        call(requests[method], NO_CONTEXT)

    with serving(replace(CALLER, purpose="P06")), pytest.raises(ProviderError) as refused:
        call(requests[method], NO_CONTEXT)

    assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED
