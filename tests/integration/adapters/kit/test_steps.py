"""Steps: those that an officer ends (a survey, a visit), those that are tried again."""

import pytest
import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier, State
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.common.v1 import dossier_pb2
from tests.support.postal.ministry import PostOffice, Recorded, make_ministry

RUNNING, DONE = dossier_pb2.STEP_STATE_RUNNING, dossier_pb2.STEP_STATE_DONE


class Visited(Recorded):
    """Goes into arbitration after a visit."""

    def step_done(self, desk: Desk, tx: sa.Connection, dossier: Dossier, name: str) -> None:
        assert name == "visit"
        desk.dossiers.arbitrate(tx, dossier.reference)


def with_step(office: PostOffice, state: dossier_pb2.StepState.ValueType) -> str:
    """A dossier under review with a visit to be made."""
    reference = office.reviewed()
    office.desk.store.write(lambda tx: office.desk.dossiers.set_step(tx, reference, "visit", state))
    return reference


def finish(office: PostOffice, reference: str, name: str = "visit", officer: str = "agent-7") -> Dossier:
    """An officer says that it is done."""
    return office.desk.store.write(lambda tx: office.desk.dossiers.finish_step(tx, reference, name, officer))


def test_an_officer_ends_a_step_and_the_ministry_goes_on(office: PostOffice) -> None:
    """In one transaction: the step, and what waited for it."""
    office.desk.ministry = make_ministry(dict.fromkeys(office.desk.ministry.procedures, Visited()))
    reference = with_step(office, RUNNING)

    assert finish(office, reference).state is State.ARBITRATION

    assert [(step.name, step.state) for step in office.read(reference).steps] == [("visit", DONE)]


@pytest.mark.parametrize("state", [dossier_pb2.STEP_STATE_PENDING, DONE, dossier_pb2.STEP_STATE_FAILED])
def test_a_step_that_does_not_run_is_not_ended(
    office: PostOffice, state: dossier_pb2.StepState.ValueType
) -> None:
    """Neither twice, nor before its turn."""
    reference = with_step(office, state)
    before = office.read(reference)

    with pytest.raises(ProviderError) as refused:
        finish(office, reference)

    assert refused.value.reason is ProviderReason.STATE_CONFLICT
    assert office.read(reference) == before


def test_what_another_member_must_say_is_not_an_officers_to_say(office: PostOffice) -> None:
    """Else a register would write in somebody whom nobody has identified."""
    reference = office.reviewed()
    office.desk.store.write(lambda tx: office.desk.dossiers.set_step(tx, reference, "identity", RUNNING))

    with pytest.raises(ProviderError) as refused:
        finish(office, reference, "identity")

    assert refused.value.reason is ProviderReason.STATE_CONFLICT


def test_neither_an_unknown_step_nor_one_of_a_decided_dossier_is_ended(office: PostOffice) -> None:
    """What is final stays as it is."""
    reference = with_step(office, RUNNING)

    with pytest.raises(ProviderError):
        finish(office, reference, "survey")
    office.desk.store.write(lambda tx: office.desk.dossiers.reject(tx, reference, "agent-7", "no such box"))
    with pytest.raises(ProviderError) as refused:
        finish(office, reference)

    assert refused.value.reason is ProviderReason.STATE_CONFLICT


def test_an_officer_is_a_handle_here_too(office: PostOffice) -> None:
    """Not a personal number, which would be logged."""
    reference = with_step(office, RUNNING)

    with pytest.raises(InvalidFieldsError):
        finish(office, reference, officer="0000000001")


def test_that_a_step_is_tried_again_is_said_once(office: PostOffice) -> None:
    """Each attempt would be a version more, and news to the consumer; another cause is news."""
    reference = with_step(office, RUNNING)

    def show(detail: str) -> tuple[bool, int]:
        dossiers = office.desk.dossiers
        is_news = office.desk.store.write(lambda tx: dossiers.show_trying(tx, reference, "visit", detail))
        return is_news, office.read(reference).version

    before = office.read(reference).version
    assert [show("closed"), show("closed"), show("away")] == [
        (True, before + 1),
        (False, before + 1),
        (True, before + 2),
    ]
    (step,) = office.read(reference).steps
    assert (step.state, step.detail) == (RUNNING, "away")
