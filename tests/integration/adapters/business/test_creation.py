"""A firm is created: each step once, undone or tried again as it must be, on both databases."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from adapters.business.offices import CNSS, DGI, OfficeState
from adapters.business.tables import FIRM, OFFICE_NUMBER, PERSON
from adapters.context import serving
from adapters.kit.dossier import State
from adapters.reasons import ContendedError, InvalidFieldsError, ProviderError, ProviderReason
from adapters.validation import require_valid
from bj.business.v1 import business_pb2 as pb
from bj.business.v1 import formality_pb2
from bj.common.v1 import document_pb2, dossier_service_pb2, person_pb2
from tests.support.business import AFI, KOFFI, NO_CONTEXT, ROSINE, Apiex, caller, share
from tests.support.next_door import AnipNextDoor

DONE = dict.fromkeys(("identity", "name", "rccm", "ifu", "cnss"), "DONE")
DECEASED, UNKNOWN, MERGED, SURVIVING, LOCKED = (
    "0000000002",
    "0000000003",
    "0000000010",
    "0000000011",
    "0000000012",
)


@pytest.fixture
def anip(apiex: Apiex) -> AnipNextDoor:
    """ANIP, which the dossiers' first step asks."""
    return apiex.open_anip()


def manager(npi: str) -> dict[str, Any]:
    """Somebody else runs the firm."""
    return {"managers": [formality_pb2.ManagerRef(npi=npi)]}


def cancel(apiex: Apiex, reference: str) -> None:
    """The applicant gives it up."""
    request = dossier_service_pb2.CancelDossierRequest(idempotency_key=apiex.key(), reference=reference)
    with serving(caller()):
        apiex.dossiers.CancelDossier(request, NO_CONTEXT)


def test_a_company_is_created_from_its_name_to_its_papers(apiex: Apiex, anip: AnipNextDoor) -> None:
    """One file: register, tax number, CNSS, and a document for each."""
    filed = apiex.submit(apiex.creation())
    assert (State(filed.state), filed.fee.amount_xof) == (State.AWAITING_PAYMENT, 17_000)
    apiex.pay(filed)

    apiex.run()

    dossier = apiex.read(filed.reference)
    require_valid(dossier)
    assert State(dossier.state) is State.GRANTED
    assert apiex.steps(filed.reference) == DONE
    numbers = apiex.numbers(filed.reference)
    firm = apiex.firm(numbers["RCCM"])
    require_valid(firm)
    assert numbers == {"RCCM": firm.rccm, "IFU": firm.ifu, "CNSS_EMPLOYER_NO": firm.cnss_employer_no}
    assert firm.rccm.startswith("RB/COT/26 B 9")
    assert firm.ifu.startswith("32026")
    assert (firm.name, firm.capital_xof, firm.registered_on) == ("Fifamè Transit", 1_000_000, "2026-11-28")
    # The offices answer side by side: which certificate comes first is theirs to say.
    assert sorted(document.type for document in dossier.documents) == [
        document_pb2.DOCUMENT_TYPE_RCCM_EXTRACT,
        document_pb2.DOCUMENT_TYPE_IFU_CERTIFICATE,
        document_pb2.DOCUMENT_TYPE_CNSS_CERTIFICATE,
        document_pb2.DOCUMENT_TYPE_PROFESSIONAL_CARD,
    ]
    assert apiex.events() == [("REGISTERED", firm.rccm), ("MODIFIED", firm.rccm), ("MODIFIED", firm.rccm)]


def test_each_distinct_person_is_asked_of_anip_once_a_few_at_a_time(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Koffi is applicant, manager and partner: one call. For the duty to register, with the dossier's reference."""
    others = ["0000000004", "0000000005", "0000000006", ROSINE, "0000000008", "0000000009", "0000000013"]
    partners = [share(npi, 100_000) for npi in (KOFFI, *others)]

    reference = apiex.paid(apiex.creation(partners=partners, capital_xof=800_000))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    assert anip.asked == dict.fromkeys((KOFFI, *others), 1)
    assert anip.most_at_once <= 4
    assert anip.purposes == {("P02", reference)}


def test_a_sole_trader_gets_the_tax_number_of_a_person(apiex: Apiex, anip: AnipNextDoor) -> None:
    """By the sex that ANIP knows; the entry holds the birth that ANIP knows, too."""
    request = apiex.creation(
        application=apiex.application("PS90302"),
        legal_form=pb.LEGAL_FORM_EI,
        capital_xof=0,
        partners=[],
        name_token=apiex.reserve("Rosine Couture", pb.LEGAL_FORM_EI),
        **manager(ROSINE),
    )
    reference = apiex.paid(request)
    apiex.run()

    numbers = apiex.numbers(reference)
    assert numbers["RCCM"].startswith("RB/COT/26 A ")
    assert numbers["IFU"].startswith("22026")
    assert apiex.row(FIRM, rccm=numbers["RCCM"]).owner_birth_date == "1978-07-19"


# --- what is refused at once


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"capital_xof": 999_999}, "capital_xof"),
        ({"partners": [share(KOFFI, 1_000_000)]}, "partners"),
        ({"seat": person_pb2.AdministrativeUnit(code="LI")}, "seat.code"),
        ({"seat": person_pb2.AdministrativeUnit(code="XX-YYY")}, "seat.code"),
        ({"legal_form": pb.LEGAL_FORM_SNC, "name_token": None}, "legal_form"),
    ],
)
def test_what_cannot_be_registered_is_refused_by_its_field(
    apiex: Apiex, changes: dict[str, Any], field: str
) -> None:
    """Before a dossier is opened, and nothing of it stays: the name may be used again."""
    token = apiex.reserve("Fifamè Transit")
    request = apiex.creation(**{"name_token": token, **{k: v for k, v in changes.items() if v is not None}})

    with pytest.raises(InvalidFieldsError) as refused:
        apiex.submit(request)

    assert set(refused.value.violations) == {field}
    assert KOFFI not in str(refused.value.violations)
    assert State(apiex.submit(apiex.creation(name_token=token)).state) is State.AWAITING_PAYMENT


def test_the_service_must_fit_the_form(apiex: Apiex) -> None:
    """A company pays a company's fee."""
    for code in ("PS90302", "PS90303", "PS99999"):
        with pytest.raises(InvalidFieldsError) as refused:
            apiex.submit(apiex.creation(application=apiex.application(code), name_token="none"))
        assert set(refused.value.violations) == {"application.service_code"}


def test_a_name_kept_for_somebody_else_is_refused(apiex: Apiex, anip: AnipNextDoor) -> None:
    """An unknown token, another applicant's, one that another dossier uses."""
    token = apiex.reserve("Fifamè Transit")
    for request in (
        apiex.creation(name_token="never-given"),
        apiex.creation(name_token=token, application=apiex.application("PS90301", AFI)),
    ):
        with pytest.raises(ContendedError):
            apiex.submit(request)
    apiex.submit(apiex.creation(name_token=token))
    with pytest.raises(ContendedError):
        apiex.submit(apiex.creation(name_token=token))


def test_who_files_by_office_uses_the_name_of_one_whom_he_files_for(apiex: Apiex) -> None:
    """A notary has no number of his own in it."""
    token = apiex.reserve("Fifamè Transit")

    filed = apiex.submit(apiex.creation(name_token=token, application=apiex.application("PS90301", "")))

    assert State(filed.state) is State.AWAITING_PAYMENT


def test_formalities_are_for_the_duty_to_register(apiex: Apiex) -> None:
    """P02 alone."""
    with pytest.raises(ProviderError) as refused:
        apiex.submit(apiex.creation(), purpose="P01")

    assert refused.value.reason is ProviderReason.PURPOSE_NOT_ALLOWED


def test_a_filing_sent_twice_is_one_dossier_and_another_under_its_key_is_refused(apiex: Apiex) -> None:
    """One key, one intent."""
    request = apiex.creation()
    first = apiex.submit(request)

    assert apiex.submit(request) == first
    other = formality_pb2.SubmitFormalityRequest()
    other.CopyFrom(request)
    other.activity = "Import"
    with pytest.raises(ProviderError) as refused:
        apiex.submit(other)
    assert refused.value.reason is ProviderReason.DUPLICATE_REQUEST


# --- identity


def test_while_anip_is_away_the_step_is_tried_again_and_who_answered_is_not_asked_anew(
    apiex: Apiex, anip: AnipNextDoor
) -> None:
    """The dossier shows that it waits; nobody is rejected for it."""
    reference = apiex.paid(apiex.creation())
    anip.answers_left = 1
    apiex.run()

    waiting = apiex.read(reference)
    assert State(waiting.state) is State.UNDER_REVIEW
    assert apiex.steps(reference)["identity"] == "RUNNING"
    assert "ANIP" in waiting.steps[0].detail
    version = waiting.version
    for _ in range(3):
        apiex.clock.advance(timedelta(minutes=10))
        apiex.run()
    assert apiex.read(reference).version == version

    anip.answers_left = None
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    assert min(anip.asked.values()) == 1


def test_an_identity_of_yesterday_is_asked_anew(apiex: Apiex, anip: AnipNextDoor) -> None:
    """What ANIP said is good for a day."""
    reference = apiex.paid(apiex.creation())
    anip.answers_left = 1
    apiex.run()
    (answered,) = [npi for npi, _ in anip.asked.items() if npi in _remembered(apiex)]
    anip.answers_left = None
    anip.asked.clear()

    apiex.clock.advance(timedelta(hours=25))
    apiex.run()

    assert anip.asked[answered] == 1
    assert apiex.state(reference) is State.GRANTED


def _remembered(apiex: Apiex) -> set[str]:
    with apiex.desk.store.reading() as tx:
        return set(tx.execute(sa.select(PERSON.c.asked_npi)).scalars())


@pytest.mark.parametrize(("npi", "reason"), [(UNKNOWN, "IDENTITY_MISMATCH"), (DECEASED, "DECEASED")])
def test_a_person_whom_anip_knows_otherwise_ends_the_dossier(
    apiex: Apiex, anip: AnipNextDoor, npi: str, reason: str
) -> None:
    """With the reason, without the person; the name is the applicant's again."""
    request = apiex.creation(**manager(npi))
    reference = apiex.paid(request)
    apiex.run()

    rejected = apiex.read(reference)
    require_valid(rejected)
    assert State(rejected.state) is State.REJECTED
    assert rejected.reason.startswith(reason)
    assert npi not in rejected.reason
    assert apiex.steps(reference) == {
        "identity": "FAILED", "name": "PENDING", "rccm": "PENDING", "ifu": "PENDING", "cnss": "PENDING",
    }  # fmt: skip
    assert apiex.events() == []
    assert State(apiex.submit(apiex.creation(name_token=request.name_token)).state) is State.AWAITING_PAYMENT


def test_a_record_that_anip_examines_is_waited_for(apiex: Apiex, anip: AnipNextDoor) -> None:
    """It is neither unknown nor refused."""
    reference = apiex.paid(apiex.creation(**manager(LOCKED)))
    apiex.run()
    assert apiex.state(reference) is State.UNDER_REVIEW

    anip.unlock(LOCKED)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED


def test_a_number_merged_meanwhile_is_followed(apiex: Apiex, anip: AnipNextDoor) -> None:
    """The register has the number that stands; two that became one person are one partner with both shares."""
    partners = [share(KOFFI, 500_000), share(MERGED, 200_000), share(SURVIVING, 300_000)]
    reference = apiex.paid(apiex.creation(partners=partners, **manager(MERGED)))

    apiex.run()

    rccm = apiex.numbers(reference)["RCCM"]
    with serving(caller("P02")):
        found = apiex.business.ListRelations(pb.ListRelationsRequest(rccm=rccm), NO_CONTEXT).relations
    assert sorted((one.role, one.npi) for one in found) == [
        (pb.RELATION_ROLE_MANAGER, SURVIVING),
        (pb.RELATION_ROLE_PARTNER, KOFFI),
        (pb.RELATION_ROLE_PARTNER, SURVIVING),
    ]


def test_a_name_kept_under_a_number_that_was_merged_since_is_its_applicants(
    apiex: Apiex, anip: AnipNextDoor
) -> None:
    """He files under the number that stands; ANIP says that they are one, if it answers."""
    token = apiex.reserve("Fifamè Transit", npi=MERGED)
    request = apiex.creation(name_token=token, application=apiex.application("PS90301", SURVIVING))

    anip.is_away = True
    with pytest.raises(ProviderError) as away:
        apiex.submit(request)
    assert away.value.reason is ProviderReason.UPSTREAM_UNAVAILABLE
    anip.is_away = False

    assert State(apiex.submit(request).state) is State.AWAITING_PAYMENT
    # Sent again, it is answered as before, and nobody is asked.
    anip.is_away = True
    assert State(apiex.submit(request).state) is State.AWAITING_PAYMENT


# --- the offices


def test_while_dgi_is_closed_the_registration_stands_and_the_dossier_is_partial(
    apiex: Apiex, anip: AnipNextDoor
) -> None:
    """The CNSS does not wait for DGI; the firm is found without its tax number, and gets it later."""
    apiex.declare(DGI, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()

    partial = apiex.read(reference)
    assert State(partial.state) is State.UNDER_REVIEW
    assert apiex.steps(reference) == {**DONE, "ifu": "RUNNING"}
    assert "nouvel essai" in {step.name: step.detail for step in partial.steps}["ifu"]
    rccm = apiex.numbers(reference)["RCCM"]
    assert (apiex.firm(rccm).ifu, bool(apiex.firm(rccm).cnss_employer_no)) == ("", True)

    apiex.declare(DGI, OfficeState.OPEN)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    assert apiex.firm(rccm).ifu == apiex.numbers(reference)["IFU"]


def test_while_the_cnss_is_closed_dgi_does_not_wait(apiex: Apiex, anip: AnipNextDoor) -> None:
    """And the other way round."""
    apiex.declare(CNSS, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()

    assert apiex.steps(reference) == {**DONE, "cnss": "RUNNING"}


def test_if_dgi_refuses_for_good_the_registration_is_undone(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Struck off, its numbers given back and never given again, its name free, the reason told."""
    apiex.declare(DGI, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()
    rccm = apiex.numbers(reference)["RCCM"]

    apiex.declare(DGI, OfficeState.REFUSING, "le siège est celui d'une entreprise en fraude")
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    rejected = apiex.read(reference)
    assert State(rejected.state) is State.REJECTED
    assert "fraude" in rejected.reason
    assert apiex.steps(reference) == {
        "identity": "DONE", "name": "COMPENSATED", "rccm": "COMPENSATED", "ifu": "FAILED", "cnss": "COMPENSATED",
    }  # fmt: skip
    assert apiex.firm(rccm).status == pb.BUSINESS_STATUS_STRUCK_OFF
    assert apiex.row(OFFICE_NUMBER, office=CNSS, reference=reference).given_back
    assert apiex.events()[-1] == ("STRUCK_OFF", rccm)

    apiex.declare(DGI, OfficeState.OPEN)
    again = apiex.paid(apiex.creation())
    apiex.run()
    assert apiex.numbers(again)["RCCM"] != rccm


def test_what_the_closed_office_gave_is_given_back_when_it_opens(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Compensation, too, is tried again."""
    apiex.declare(DGI, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()
    apiex.declare(CNSS, OfficeState.CLOSED)
    apiex.declare(DGI, OfficeState.REFUSING, "refus définitif")
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()
    assert apiex.steps(reference)["cnss"] == "DONE"

    apiex.declare(CNSS, OfficeState.OPEN)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    assert apiex.steps(reference)["cnss"] == "COMPENSATED"


def test_a_firm_that_the_cnss_refuses_goes_without_its_number(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Only a firm with workers needs one: the registration stands, the step tells why."""
    apiex.declare(CNSS, OfficeState.REFUSING, "aucun travailleur déclaré")
    reference = apiex.paid(apiex.creation())
    apiex.run()

    dossier = apiex.read(reference)
    assert State(dossier.state) is State.GRANTED
    assert apiex.steps(reference) == {**DONE, "cnss": "FAILED"}
    assert set(apiex.numbers(reference)) == {"RCCM", "IFU"}


# --- an officer asks the applicant for something meanwhile


def ask(apiex: Apiex, turn: str, reference: str) -> None:
    """An officer asks for a correction, or for an interview."""
    apiex.desk.store.write(
        lambda tx: getattr(apiex.desk.dossiers, turn)(tx, reference, "agent-7", "pièce à compléter")
    )


def take_up(apiex: Apiex, turn: str, reference: str) -> None:
    """The applicant answers, or comes."""
    dossiers = apiex.desk.dossiers
    if turn == "ask_correction":
        apiex.desk.store.write(lambda tx: dossiers.correct(tx, reference, "la voici", []))
    else:
        apiex.desk.store.write(lambda tx: dossiers.resume(tx, reference, "agent-7"))


def test_a_registered_firm_whose_dossier_expires_is_undone(apiex: Apiex, anip: AnipNextDoor) -> None:
    """As if it were rejected: no firm stands in the register that nobody founded."""
    apiex.declare(DGI, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()
    rccm = apiex.numbers(reference)["RCCM"]
    ask(apiex, "ask_correction", reference)

    apiex.clock.advance(timedelta(days=60))
    apiex.run()
    apiex.declare(DGI, OfficeState.OPEN)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    assert apiex.state(reference) is State.EXPIRED
    assert apiex.firm(rccm).status == pb.BUSINESS_STATUS_STRUCK_OFF
    assert apiex.steps(reference) == {
        "identity": "DONE", "name": "COMPENSATED", "rccm": "COMPENSATED", "ifu": "FAILED", "cnss": "COMPENSATED",
    }  # fmt: skip
    assert apiex.row(OFFICE_NUMBER, office=CNSS, reference=reference).given_back
    assert apiex.events()[-1] == ("STRUCK_OFF", rccm)


@pytest.mark.parametrize("turn", ["ask_correction", "ask_interview"])
def test_numbers_that_come_while_the_applicant_is_asked_stand_and_the_decision_waits(
    apiex: Apiex, anip: AnipNextDoor, turn: str
) -> None:
    """No task fails for it; taken up again, the dossier is granted by itself."""
    apiex.declare(DGI, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()
    ask(apiex, turn, reference)
    asked = apiex.state(reference)

    apiex.declare(DGI, OfficeState.OPEN)
    apiex.clock.advance(timedelta(hours=1))
    with capture_logs() as logged:
        apiex.run()

    assert "task_failed" not in {entry["event"] for entry in logged}
    assert apiex.state(reference) is asked
    assert apiex.steps(reference) == DONE
    assert "IFU" in apiex.numbers(reference)

    take_up(apiex, turn, reference)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED


def test_an_answer_to_a_correction_is_acted_on_at_once(apiex: Apiex, anip: AnipNextDoor) -> None:
    """However long it was waited for."""
    apiex.declare(DGI, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()
    ask(apiex, "ask_correction", reference)
    apiex.declare(DGI, OfficeState.OPEN)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    take_up(apiex, "ask_correction", reference)
    apiex.run()

    assert apiex.state(reference) is State.GRANTED


@pytest.mark.parametrize("turn", ["ask_correction", "ask_interview"])
def test_nothing_is_registered_while_the_applicant_is_asked(
    apiex: Apiex, anip: AnipNextDoor, turn: str
) -> None:
    """ANIP's answer is kept; the entry follows when the dossier is taken up again."""
    reference = apiex.paid(apiex.creation())
    ask(apiex, turn, reference)

    apiex.run()

    assert apiex.numbers(reference) == {}
    assert apiex.steps(reference)["identity"] == "DONE"
    take_up(apiex, turn, reference)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()
    assert apiex.state(reference) is State.GRANTED


# --- once only


def test_a_task_that_runs_again_changes_nothing(apiex: Apiex, anip: AnipNextDoor) -> None:
    """At least once is at most one number: as after a death between the step and its end."""
    reference = apiex.paid(apiex.creation())
    apiex.run()
    numbers, version, events = apiex.numbers(reference), apiex.read(reference).version, apiex.events()

    for kind in apiex.desk.ministry.tasks:
        if not kind.endswith("_back"):
            apiex.desk.store.write(partial(apiex.desk.tasks.add, kind=kind, reference=reference))
    apiex.run()

    assert (apiex.numbers(reference), apiex.read(reference).version) == (numbers, version)
    assert apiex.events() == events


@pytest.mark.parametrize(
    ("state", "reason"), [(OfficeState.OPEN, ""), (OfficeState.REFUSING, "plus aucune immatriculation")]
)
def test_an_office_asked_again_for_the_same_dossier_gives_the_same_number(
    apiex: Apiex, anip: AnipNextDoor, monkeypatch: pytest.MonkeyPatch, state: OfficeState, reason: str
) -> None:
    """The number was given, and the process died before it was written down; also if the office refuses since."""
    reference = apiex.paid(apiex.creation())

    def die(*_: object) -> None:
        raise RuntimeError("as if killed")

    with monkeypatch.context() as dying:
        dying.setattr("adapters.business.numbering._number_firm", die)
        apiex.run()
    given = apiex.row(OFFICE_NUMBER, office=DGI, reference=reference).number
    apiex.declare(DGI, state, reason)
    apiex.clock.advance(timedelta(hours=1))
    apiex.run()

    assert apiex.numbers(reference)["IFU"] == given
    assert apiex.state(reference) is State.GRANTED


def test_numbers_of_two_firms_differ(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Also from those that the seed gave: the first rank of the book is taken here."""
    first, second = apiex.paid(apiex.creation("Aaa Transit")), apiex.paid(apiex.creation("Bbb Négoce"))
    apiex.run()

    one, other = apiex.numbers(first), apiex.numbers(second)
    assert all(one[kind] != other[kind] for kind in one)


def test_what_stands_in_the_register_is_not_given_up_but_struck_off(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Before it is registered it is given up, and the name is free to be used again."""
    token = apiex.reserve("Fifamè Transit")
    early = apiex.submit(apiex.creation(name_token=token)).reference
    cancel(apiex, early)
    apiex.declare(DGI, OfficeState.CLOSED)
    late = apiex.paid(apiex.creation(name_token=token))
    apiex.run()

    with pytest.raises(ProviderError) as refused:
        cancel(apiex, late)

    assert refused.value.reason is ProviderReason.STATE_CONFLICT
    assert apiex.state(early) is State.CANCELLED


def test_nobody_grants_what_is_not_done(apiex: Apiex, anip: AnipNextDoor) -> None:
    """An officer neither: no professional card without a tax number."""
    apiex.declare(DGI, OfficeState.CLOSED)
    reference = apiex.paid(apiex.creation())
    apiex.run()

    with pytest.raises(ProviderError) as refused:
        apiex.desk.store.write(lambda tx: apiex.desk.dossiers.grant(tx, reference, "agent-7"))

    assert refused.value.reason is ProviderReason.STATE_CONFLICT


def test_no_name_and_no_number_of_a_person_reaches_a_log(apiex: Apiex, anip: AnipNextDoor) -> None:
    """Whatever fails on the way."""
    apiex.declare(DGI, OfficeState.CLOSED)
    with capture_logs() as logged:
        anip.is_away = True
        apiex.paid(apiex.creation(**manager(UNKNOWN)))
        apiex.run()
        anip.is_away = False
        apiex.clock.advance(timedelta(hours=1))
        apiex.run()
        apiex.paid(apiex.creation("Aaa Transit"))
        apiex.run()

    assert logged
    for secret in (KOFFI, ROSINE, UNKNOWN, "ADJOVI", "Fifamè", "Aaa Transit"):
        assert secret not in str(logged)
