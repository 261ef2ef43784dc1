"""One key, one effect, one answer."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from adapters.context import CallerContext, serving
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_service_pb2
from core.identifiers import SubsystemId
from tests.support.postal.ministry import BOXES, CALLER, NO_CONTEXT, PostOffice

KEY = "one-intended-write-01"


def cancel(office: PostOffice, reference: str, key: str = KEY) -> int:
    """Give a dossier up; the version that was answered."""
    request = dossier_service_pb2.CancelDossierRequest(idempotency_key=key, reference=reference)
    with serving(CALLER):
        return office.service.CancelDossier(request, NO_CONTEXT).dossier.version


def test_the_same_request_gets_the_same_answer(office: PostOffice) -> None:
    """Also when the dossier looks otherwise by now."""
    reference = office.reviewed()

    first = cancel(office, reference)

    assert cancel(office, reference) == first == 3
    assert [turn for turn, _ in office.procedure.turns].count("cancelled") == 1


def test_the_same_key_for_another_request_is_refused(office: PostOffice) -> None:
    """And the other request is not done."""
    first, second = office.reviewed(), office.reviewed()
    cancel(office, first)

    with pytest.raises(ProviderError) as refused:
        cancel(office, second)

    assert refused.value.reason is ProviderReason.DUPLICATE_REQUEST
    assert cancel(office, second, key="one-intended-write-02") == 3


def test_a_method_sees_what_it_answered_before_it_asks_anybody(office: PostOffice) -> None:
    """The answer of the first time, nothing for a new key, a refusal for another request under a used one."""
    first, second = office.reviewed(), office.reviewed()
    request = dossier_service_pb2.CancelDossierRequest(idempotency_key=KEY, reference=first)
    other = dossier_service_pb2.CancelDossierRequest(idempotency_key=KEY, reference=second)
    kind = dossier_service_pb2.CancelDossierResponse

    with serving(CALLER):
        assert office.desk.answered_before(KEY, request, kind) is None
        answer = office.service.CancelDossier(request, NO_CONTEXT)
        assert office.desk.answered_before(KEY, request, kind) == answer
        with pytest.raises(ProviderError) as refused:
            office.desk.answered_before(KEY, other, kind)

    assert refused.value.reason is ProviderReason.DUPLICATE_REQUEST


def test_a_key_is_each_clients_and_each_methods_own(office: PostOffice) -> None:
    """Two portals, or two methods, that draw the same key do not meet."""
    reference = office.reviewed()
    cancel(office, reference)
    correction = dossier_service_pb2.CorrectDossierRequest(
        idempotency_key=KEY, reference=reference, answer="le voici"
    )
    other = replace(CALLER, client=SubsystemId.parse("BJ/GOV/PNS/AUTRE"))
    asked = dossier_service_pb2.CancelDossierRequest(idempotency_key=KEY, reference=reference)

    with serving(CALLER), pytest.raises(ProviderError) as another_method:
        office.service.CorrectDossier(correction, NO_CONTEXT)
    with serving(other), pytest.raises(ProviderError) as another_client:
        office.service.CancelDossier(asked, NO_CONTEXT)

    assert another_method.value.reason is ProviderReason.STATE_CONFLICT
    assert another_client.value.reason is ProviderReason.NOT_FOUND


def test_a_refused_request_keeps_no_key(office: PostOffice) -> None:
    """Once the cause is mended, the same key serves."""
    with pytest.raises(ProviderError):
        cancel(office, "CONC-202611-0001")
    reference = office.reviewed()

    assert reference == "CONC-202611-0001"
    assert cancel(office, reference) == 3


def test_one_key_sent_at_once_has_one_effect(office: PostOffice) -> None:
    """All get the answer of the first, whoever that is."""
    filings: Callable[[], str] = lambda: office.open("PS90903").reference  # noqa: E731

    references = office.race(*[filings] * 8)

    assert set(references) == {"CONC-202611-0001"}
    assert office.procedure.turns == [("filed", "CONC-202611-0001")]


def test_writers_of_many_keys_at_once_all_get_through(office: PostOffice) -> None:
    """No number twice, none left out."""
    outcomes = office.race(
        *(
            lambda number=number: office.open("PS90903", key=f"key-of-writer-{number:08d}").reference
            for number in range(12)
        )
    )

    assert sorted(outcomes) == [f"CONC-202611-{number:04d}" for number in range(1, 13)]


def test_a_transaction_that_was_ended_for_anothers_sake_is_run_again(office: PostOffice) -> None:
    """Two that lock the same two rows in opposite orders: PostgreSQL ends one, SQLite lets one wait."""
    with office.desk.store.writing() as tx:
        tx.execute(BOXES.insert(), [{"number": name, "holder": ""} for name in ("A", "B")])

    both_have_one = threading.Barrier(2)

    def lock_both(*names: str) -> str:
        attempts = iter(range(10))

        def work(tx: sa.Connection) -> str:
            attempt = next(attempts)
            for name in names:
                tx.execute(sa.select(BOXES).where(BOXES.c.number == name).with_for_update()).one()
                tx.execute(BOXES.update().where(BOXES.c.number == name).values(holder=BOXES.c.holder + "x"))
                if office.desk.store.is_postgresql and attempt == 0 and name == names[0]:
                    both_have_one.wait()
            return "done"

        return office.desk.store.write(work)

    outcomes = office.race(lambda: lock_both("A", "B"), lambda: lock_both("B", "A"))

    assert outcomes == ["done", "done"]
    with office.desk.store.reading() as tx:
        assert {row.holder for row in tx.execute(sa.select(BOXES))} == {"xx"}


def test_who_asks_is_who_calls(office: PostOffice) -> None:
    """The work gets the context of the call."""
    seen: list[CallerContext] = []

    def respond(tx: sa.Connection, caller: CallerContext) -> dossier_service_pb2.GetDossierResponse:
        seen.append(caller)
        return dossier_service_pb2.GetDossierResponse()

    with serving(CALLER):
        office.desk.once(KEY, dossier_service_pb2.GetDossierRequest(), respond)

    assert seen == [CALLER]
