"""Whatever is asked of a dossier in whatever order: it is where a model of it is, and what ended stays."""

from collections.abc import Callable
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from adapters.context import serving
from adapters.kit.dossier import State
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import dossier_service_pb2, payment_pb2
from tests.support.postal.ministry import BOX_FEE, CALLER, NO_CONTEXT, PostOffice

# The model, written from bj/common/v1/dossier.proto and DOMAIN section 3, not from ``dossier.MOVES``.
ENDED = {State.GRANTED, State.REJECTED, State.CANCELLED, State.EXPIRED}
WAITING = {
    State.CORRECTION_REQUESTED,
    State.INTERVIEW_REQUIRED,
    State.OPPOSITION_PERIOD,
    State.ARBITRATION,
}
TAKEN_UP = {State.UNDER_REVIEW, State.INTERVIEW_REQUIRED, State.OPPOSITION_PERIOD, State.ARBITRATION}
FROM = {
    "review": {State.FILED} | WAITING,
    "ask_correction": {State.UNDER_REVIEW},
    "ask_interview": {State.UNDER_REVIEW},
    "open_notice": {State.UNDER_REVIEW, State.ARBITRATION},
    "arbitrate": {State.UNDER_REVIEW, State.OPPOSITION_PERIOD},
    "resume": WAITING,
    "correct": {State.CORRECTION_REQUESTED},
    "grant": {State.FILED} | TAKEN_UP,
    "reject": {State.FILED, State.CORRECTION_REQUESTED} | TAKEN_UP,
    "cancel": set(State) - ENDED,
    "expire": {State.AWAITING_PAYMENT, State.CORRECTION_REQUESTED},
}
TO = {
    "review": State.UNDER_REVIEW,
    "ask_correction": State.CORRECTION_REQUESTED,
    "ask_interview": State.INTERVIEW_REQUIRED,
    "open_notice": State.OPPOSITION_PERIOD,
    "arbitrate": State.ARBITRATION,
    "resume": State.UNDER_REVIEW,
    "correct": State.UNDER_REVIEW,
    "grant": State.GRANTED,
    "reject": State.REJECTED,
    "cancel": State.CANCELLED,
    "expire": State.EXPIRED,
}
DAY_MS = 24 * 3600 * 1000


class DossierMachine(RuleBasedStateMachine):
    """One dossier and its model; all are of one office, where time goes on."""

    def __init__(self, office: PostOffice) -> None:
        super().__init__()
        self.office = office

    @initialize(has_fee=st.booleans())
    def opened(self, has_fee: bool) -> None:
        self.reference = self.office.awaiting() if has_fee else self.office.filed()
        self.state = State.AWAITING_PAYMENT if has_fee else State.FILED
        self.version, self.notice_ends, self.reports = 1, 0, 0
        self.is_settled = not has_fee

    def _refusal(self, act: Callable[[], object]) -> ProviderReason | None:
        try:
            act()
        except ProviderError as refused:
            return refused.reason
        return None

    @rule(name=st.sampled_from(sorted(FROM)))
    def move(self, name: str) -> None:
        dossiers, now = self.office.desk.dossiers, self.office.clock.now_ms()
        arguments: dict[str, tuple[object, ...]] = {
            "review": ("agent-7",),
            "ask_correction": ("agent-7", "le plan manque"),
            "ask_interview": ("agent-7", "lundi 9 h au guichet"),
            "open_notice": (now + 15 * DAY_MS, "agent-7"),
            "correct": ("le voici", ["ab" * 32]),
            "grant": ("agent-7",),
            "reject": ("agent-7", "hors délai"),
        }
        within = name == "resume" and self.state is State.ARBITRATION and self.notice_ends > now
        # Until a notice ends nothing is granted, and nobody ends it before.
        barred = {State.GRANTED, State.UNDER_REVIEW} if self.notice_ends > now else set()
        allowed = self.state in FROM[name] and (within or TO[name] not in barred)
        refusal = self._refusal(
            lambda: self.office.desk.store.write(
                lambda tx: getattr(dossiers, name)(tx, self.reference, *arguments.get(name, ()))
            )
        )

        assert refusal is (None if allowed else ProviderReason.STATE_CONFLICT)
        if allowed:
            self.state = State.OPPOSITION_PERIOD if within else TO[name]
            self.version, self.reports = self.version + 1, self.reports + 1
            if name == "open_notice":
                self.notice_ends = now + 15 * DAY_MS

    @precondition(lambda self: not self.is_settled)
    @rule(
        state=st.sampled_from([1, 2, 3, 4, 5]),
        amount=st.sampled_from([BOX_FEE, 1]),
        payment=st.sampled_from("AB"),
        key=st.integers(0, 3),
    )
    def hear_of_payment(self, state: int, amount: int, payment: str, key: int) -> None:
        request = dossier_service_pb2.ReportPaymentRequest(
            idempotency_key=f"{self.reference}-{state}-{amount}-{payment}-{key}",
            reference=self.reference,
            payment=payment_pb2.Payment(
                payment_ref=f"MOMO-{self.reference}-{payment}",
                state=payment_pb2.PaymentState.ValueType(state),
                amount_xof=amount,
            ),
        )
        with serving(CALLER):
            self.office.service.ReportPayment(request, NO_CONTEXT)
        now = State(self.office.read(self.reference).state)
        if now is not self.state:
            # Nothing but a confirmed payment in full moves it, and it moves to one place only.
            assert (self.state, now) == (State.AWAITING_PAYMENT, State.FILED)
            assert (state, amount) == (payment_pb2.PAYMENT_STATE_CONFIRMED, BOX_FEE)
            self.state, self.is_settled, self.reports = now, True, self.reports + 1
        self.version = self.office.read(self.reference).version

    @rule(days=st.sampled_from([1, 15, 31]))
    def time_passes(self, days: int) -> None:
        self.office.clock.advance(timedelta(days=days))

    @invariant()
    def is_where_the_model_is(self) -> None:
        told = self.office.read(self.reference)
        assert State(told.state) is self.state
        assert told.version == self.version
        assert told.HasField("filed_at") == (self.state is not State.AWAITING_PAYMENT and self.is_settled)
        assert bool(told.reason) == (
            self.state in {State.REJECTED, State.CORRECTION_REQUESTED, State.INTERVIEW_REQUIRED}
        )
        assert self.office.tasks().count(("report_decision", self.reference)) == self.reports


def test_a_dossier_is_where_its_model_is(office: PostOffice) -> None:
    """Moves, payments and time in any order."""

    class Machine(DossierMachine):
        def __init__(self) -> None:
            super().__init__(office)

    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=20))
