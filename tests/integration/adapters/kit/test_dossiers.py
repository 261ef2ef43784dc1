"""Dossiers: opened, moved, due, read, and by whom."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from adapters.context import serving
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2, dossier_service_pb2
from core.identifiers import SubsystemId
from core.reasons import ExchangeError, Reason
from tests.support.postal.ministry import (
    BOX,
    BOX_FEE,
    BULK,
    CALLER,
    CERTIFICATE,
    MONDAY_MS,
    NO_CONTEXT,
    NPI,
    PostOffice,
)

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


def move(office: PostOffice, name: str, reference: str, *arguments: object) -> Dossier:
    """One move in a transaction of its own."""
    act: Callable[..., Dossier] = getattr(office.desk.dossiers, name)
    return office.desk.store.write(lambda tx: act(tx, reference, *arguments))


def refusal(office: PostOffice, name: str, reference: str, *arguments: object) -> ProviderReason:
    """Why a move is refused; it changes nothing."""
    before = office.read(reference)
    with pytest.raises(ProviderError) as refused:
        move(office, name, reference, *arguments)
    assert office.read(reference) == before
    return refused.value.reason


def test_a_dossier_with_a_fee_awaits_it(office: PostOffice) -> None:
    """Nothing runs before it is paid."""
    dossier = office.open(BOX)

    assert dossier.reference == "POST-202611-0001"
    assert dossier.state == dossier_pb2.DOSSIER_STATE_AWAITING_PAYMENT
    assert (dossier.fee.amount_xof, dossier.fee.payment_ref, dossier.version) == (BOX_FEE, "", 1)
    assert not dossier.HasField("filed_at")
    assert not dossier.HasField("due_at")
    assert office.procedure.turns == []
    assert office.tasks() == [("expire", dossier.reference)]


def test_a_free_dossier_is_filed_at_once(office: PostOffice) -> None:
    """Its promise runs from now, and its procedure hears of it."""
    dossier = office.open("PS90903")

    assert dossier.state == dossier_pb2.DOSSIER_STATE_FILED
    assert dossier.filed_at.ToMilliseconds() == MONDAY_MS
    assert dossier.due_at.ToMilliseconds() == MONDAY_MS + 120 * DAY_MS
    assert dossier.applicant_npi == NPI
    assert dossier.channel == dossier_pb2.DOSSIER_CHANNEL_ONLINE
    assert office.procedure.turns == [("filed", dossier.reference)]


def test_references_count_by_prefix_and_month(office: PostOffice) -> None:
    """Each prefix has its own row, each month begins anew."""
    first = office.filed("PS90902"), office.filed("PS90902"), office.filed("PS90903")
    office.clock.advance(timedelta(days=10))

    assert first == ("POST-202611-0001", "POST-202611-0002", "CONC-202611-0001")
    assert office.filed("PS90902") == "POST-202612-0001"


def test_an_undone_filing_leaves_no_gap(office: PostOffice) -> None:
    """The number is given back with the transaction."""

    def fail(desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        raise ProviderError(ProviderReason.IDENTITY_MISMATCH)

    office.procedure.then["filed"] = fail
    with pytest.raises(ProviderError):
        office.open(CERTIFICATE)
    office.procedure.then.clear()

    assert office.open(CERTIFICATE).reference == "POST-202611-0001"


def test_what_is_given_at_once_is_granted_when_it_is_filed(office: PostOffice) -> None:
    """The answer of the filing tells it."""
    office.procedure.then["filed"] = lambda desk, tx, dossier: desk.dossiers.grant(tx, dossier.reference)

    dossier = office.open(CERTIFICATE)

    assert dossier.state == dossier_pb2.DOSSIER_STATE_GRANTED
    assert dossier.due_at.ToMilliseconds() == MONDAY_MS
    assert office.procedure.turns == [("filed", dossier.reference), ("granted", dossier.reference)]


def test_the_ministry_writes_its_own_rows_before_the_procedure_hears(office: PostOffice) -> None:
    """A procedure finds what the filing was about."""
    seen: list[str] = []
    office.procedure.then["filed"] = lambda desk, tx, dossier: seen.append("filed")

    office.open(CERTIFICATE, prepare=lambda tx, dossier: seen.append("prepared"))

    assert seen == ["prepared", "filed"]


def test_a_fee_by_scale_is_the_ministrys_to_say(office: PostOffice) -> None:
    """The catalogue has none; forgetting it is a mistake of ours."""
    dossier = office.open(BULK, fee_xof=30_500)

    assert dossier.fee.amount_xof == 30_500
    with pytest.raises(ValueError, match="by scale"):
        office.open(BULK, key="key-of-a-filing-0002")


def test_a_service_that_the_ministry_does_not_give_is_refused(office: PostOffice) -> None:
    """The field is named."""
    with pytest.raises(InvalidFieldsError) as refused:
        office.open("PS00024")

    assert list(refused.value.violations) == ["application.service_code"]


def test_a_dossier_goes_its_way(office: PostOffice) -> None:
    """Reviewed, corrected, interviewed, granted: each move one version more, and told to the portal."""
    reference = office.filed()

    assert move(office, "review", reference, "agent-7").officer_ref == "agent-7"
    move(office, "ask_correction", reference, "agent-7", "le plan manque")
    assert office.read(reference).reason == "le plan manque"
    move(office, "correct", reference, "le voici", ["ab" * 32])
    assert office.read(reference).reason == ""
    move(office, "ask_interview", reference, "agent-7", "lundi 9 h au guichet")
    move(office, "resume", reference, "agent-7")
    granted = move(office, "grant", reference, "agent-7")

    assert (granted.state, granted.version) == (State.GRANTED, 7)
    assert [turn for turn, _ in office.procedure.turns] == ["filed", "asked", "corrected", "asked", "granted"]
    assert [kind for kind, _ in office.tasks()].count("report_decision") == 6


def test_without_a_token_nobody_is_told(office: PostOffice) -> None:
    """The consumer asks GetDossier instead."""
    reference = office.filed(token="")

    move(office, "review", reference, "agent-7")

    assert office.tasks() == []


@pytest.mark.parametrize("end", ["grant", "reject", "cancel"])
def test_a_final_dossier_allows_nothing(office: PostOffice, end: str) -> None:
    """Whatever ended it."""
    reference = office.reviewed()
    arguments = {"grant": ("agent-7",), "reject": ("agent-7", "hors délai"), "cancel": ()}[end]
    move(office, end, reference, *arguments)

    assert refusal(office, "review", reference, "agent-8") is ProviderReason.STATE_CONFLICT
    assert refusal(office, "grant", reference, "agent-8") is ProviderReason.STATE_CONFLICT
    assert refusal(office, "reject", reference, "agent-8", "hors délai") is ProviderReason.STATE_CONFLICT
    assert refusal(office, "cancel", reference) is ProviderReason.STATE_CONFLICT
    assert refusal(office, "expire", reference) is ProviderReason.STATE_CONFLICT


def test_a_rejection_needs_a_reason_that_says_something(office: PostOffice) -> None:
    """Five characters, blanks around it not counted."""
    reference = office.reviewed()

    assert refusal(office, "reject", reference, "agent-7", "  non  ") is ProviderReason.FORMAT_INVALID
    assert move(office, "reject", reference, "agent-7", " hors délai ").reason == "hors délai"


def test_an_officer_is_named_by_a_handle(office: PostOffice) -> None:
    """No personal number comes into the register by that way, nor into its logs."""
    reference = office.filed()

    assert refusal(office, "review", reference, "0000000001") is ProviderReason.FORMAT_INVALID
    assert refusal(office, "review", reference, "Jean Dossou") is ProviderReason.FORMAT_INVALID


def test_a_colleague_takes_a_dossier_over(office: PostOffice) -> None:
    """The state stays; to take over what one has is nothing."""
    reference = office.reviewed()

    taken = move(office, "review", reference, "agent-8")

    assert (taken.state, taken.officer_ref, taken.version) == (State.UNDER_REVIEW, "agent-8", 3)
    assert refusal(office, "review", reference, "agent-8") is ProviderReason.STATE_CONFLICT


def test_nothing_is_granted_before_a_notice_has_ended(office: PostOffice) -> None:
    """Nor does an officer end the notice early: whoever wants to oppose finds it open."""
    reference = office.reviewed()
    move(office, "open_notice", reference, office.clock.now_ms() + 15 * DAY_MS, "agent-7")

    for name in ("grant", "resume", "review"):
        assert refusal(office, name, reference, "agent-7") is ProviderReason.STATE_CONFLICT
    office.clock.advance(timedelta(days=15))
    assert move(office, "grant", reference, "agent-7").state is State.GRANTED


def test_the_clock_stands_still_in_arbitration(office: PostOffice) -> None:
    """As much time is left afterwards as was before; the notice goes on if it has not ended."""
    reference = office.reviewed()
    due = office.read(reference).due_at.ToMilliseconds()
    move(office, "open_notice", reference, office.clock.now_ms() + 15 * DAY_MS)
    office.clock.advance(timedelta(days=2))
    move(office, "arbitrate", reference, "", "opposition d'un voisin")
    office.clock.advance(timedelta(days=7))

    assert office.read(reference).due_at.ToMilliseconds() == due
    resumed = move(office, "resume", reference, "agent-7")

    assert resumed.state is State.OPPOSITION_PERIOD
    assert resumed.due_at == due + 7 * DAY_MS
    move(office, "arbitrate", reference)
    office.clock.advance(timedelta(days=30))
    assert move(office, "resume", reference).state is State.UNDER_REVIEW


def test_an_arbitration_of_a_working_hours_promise_leaves_working_hours(office: PostOffice) -> None:
    """Over a week-end, which is no working time."""
    reference = office.filed(BULK, fee_xof=0)
    office.desk.store.write(lambda tx: office.desk.dossiers.review(tx, reference, "agent-7"))
    move(office, "arbitrate", reference)
    left = office.desk.calendar.working_time(
        office.clock.now_ms(), office.read(reference).due_at.ToMilliseconds()
    )
    office.clock.advance(timedelta(days=6))
    due = move(office, "resume", reference).due_at

    assert office.desk.calendar.working_time(office.clock.now_ms(), due) == left


def test_only_who_opened_a_dossier_may_follow_it(office: PostOffice) -> None:
    """Somebody else's looks as one that never was."""
    reference = office.awaiting()
    stranger = replace(CALLER, client=SubsystemId.parse("BJ/GOV/PNS/AUTRE"))
    asked = dossier_service_pb2.GetDossierRequest(reference=reference)

    with serving(CALLER):
        assert office.service.GetDossier(asked, NO_CONTEXT).dossier.reference == reference
    for caller, unknown in ((stranger, reference), (CALLER, "POST-202611-9999")):
        with serving(caller), pytest.raises(ProviderError) as refused:
            office.service.GetDossier(dossier_service_pb2.GetDossierRequest(reference=unknown), NO_CONTEXT)
        assert refused.value.reason is ProviderReason.NOT_FOUND


def test_a_dossier_is_followed_for_the_purposes_of_its_opening(office: PostOffice) -> None:
    """Another purpose, or none, is refused."""
    asked = dossier_service_pb2.GetDossierRequest(reference=office.awaiting())

    with serving(replace(CALLER, purpose="P03")), pytest.raises(ProviderError) as refused:
        office.service.GetDossier(asked, NO_CONTEXT)
    assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED
    with serving(replace(CALLER, purpose=None)), pytest.raises(ExchangeError) as unsaid:
        office.service.GetDossier(asked, NO_CONTEXT)
    assert unsaid.value.reason is Reason.PURPOSE_REQUIRED


def test_steps_and_numbers_hang_on_a_dossier(office: PostOffice) -> None:
    """In the order in which they were first set; each change is a version more; a number twice is once."""
    reference = office.reviewed()
    dossiers = office.desk.dossiers

    def work(tx: sa.Connection) -> None:
        dossiers.set_step(tx, reference, "rccm", dossier_pb2.STEP_STATE_RUNNING)
        dossiers.set_step(tx, reference, "ifu", dossier_pb2.STEP_STATE_PENDING)
        dossiers.set_step(tx, reference, "rccm", dossier_pb2.STEP_STATE_DONE)
        dossiers.issue_number(tx, reference, dossier_pb2.ISSUED_NUMBER_TYPE_RCCM, "RB/COT/26 B 900001")
        dossiers.issue_number(tx, reference, dossier_pb2.ISSUED_NUMBER_TYPE_RCCM, "RB/COT/26 B 900001")

    office.desk.store.write(work)
    told = office.read(reference)

    assert [(step.name, step.state) for step in told.steps] == [
        ("rccm", dossier_pb2.STEP_STATE_DONE),
        ("ifu", dossier_pb2.STEP_STATE_PENDING),
    ]
    assert [number.value for number in told.issued] == ["RB/COT/26 B 900001"]
    assert told.version == 2 + 4


def test_a_dossier_expires_when_it_is_neither_paid_nor_corrected(office: PostOffice) -> None:
    """Thirty days for each, by default; what was paid or answered in time does not."""
    unpaid, asked, answered = office.awaiting(), office.reviewed(), office.reviewed()
    for reference in (asked, answered):
        move(office, "ask_correction", reference, "agent-7", "le plan manque")
    move(office, "correct", answered, "le voici", [])
    office.clock.advance(timedelta(days=29))
    office.run_due()
    assert office.state(unpaid) is State.AWAITING_PAYMENT
    assert office.state(asked) is State.CORRECTION_REQUESTED
    office.clock.advance(timedelta(days=1))

    office.run_due()

    assert office.state(unpaid) is office.state(asked) is State.EXPIRED
    assert office.state(answered) is State.UNDER_REVIEW
    assert [turn for turn, _ in office.procedure.turns].count("expired") == 2


def test_two_officers_who_decide_at_once_do_not_both(office: PostOffice) -> None:
    """The second finds the dossier final."""
    references = [office.reviewed() for _ in range(5)]

    outcomes = office.race(
        *(
            lambda reference=reference, name=name, arguments=arguments: (
                move(office, name, reference, *arguments).state
            )
            for reference in references
            for name, arguments in (("grant", ("agent-7",)), ("reject", ("agent-8", "hors délai")))
        )
    )

    for index, reference in enumerate(references):
        pair = outcomes[2 * index : 2 * index + 2]
        assert pair.count(ProviderReason.STATE_CONFLICT) == 1
        assert office.state(reference) in pair
    assert len([turn for turn, _ in office.procedure.turns if turn in ("granted", "rejected")]) == 5


def test_no_dossier_shows_a_personal_number_when_it_is_printed(office: PostOffice) -> None:
    """Tracebacks and logs print what is at hand."""
    reference = office.filed()
    with office.desk.store.reading() as tx:
        shown = repr(office.desk.dossiers.get(tx, reference))

    assert reference in shown
    assert NPI not in shown
    assert "t0ken" not in shown
