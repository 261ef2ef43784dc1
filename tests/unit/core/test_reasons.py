"""Every reason is told in two languages, with a remedy; every error says its reason."""

from __future__ import annotations

import pickle

import pytest

from core.documents import MalformedDocumentError
from core.frames import MalformedFrameRecordError
from core.heads import MalformedHeadError
from core.identifiers import MalformedIdentifierError
from core.language import Text
from core.leaves import MalformedLeafError
from core.merkle import ProofError
from core.reasons import Code, ExchangeError, MalformedError, Reason, refuse
from core.statements import MalformedStatementError


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_told_in_both_languages(reason: Reason) -> None:
    """Code, sentence and remedy; lower case, no final period: it is put into other sentences."""
    entry = reason.entry

    assert isinstance(entry.code, Code)
    assert entry.code is not Code.OK
    for text in (entry.text, entry.remedy):
        for words in text:
            assert words.strip() == words
            assert words
            assert not words.endswith(".")
    assert entry.retry in ("safe", "ask", "no")
    assert str(reason) == reason.name


def test_no_caller_mistake_ends_as_internal() -> None:
    """INTERNAL is for faults of ours alone (invariant 5)."""
    assert [reason for reason in Reason if reason.entry.code is Code.INTERNAL] == [Reason.INTERNAL]


def test_an_error_says_its_reason() -> None:
    """With words of its own, or those of the table."""
    told = ExchangeError(Reason.NO_AGREEMENT, "no agreement lets A call B")
    plain = ExchangeError(Reason.NO_AGREEMENT)

    assert (told.reason, str(told)) == (Reason.NO_AGREEMENT, "no agreement lets A call B")
    assert str(plain) == Reason.NO_AGREEMENT.entry.text.en
    with pytest.raises(ExchangeError):
        refuse(Reason.CANCELLED)


ERRORS = [
    ExchangeError(Reason.CLOCK_SKEW, "ahead"),
    MalformedDocumentError("no document"),
    MalformedFrameRecordError("no record"),
    MalformedHeadError("no head"),
    MalformedIdentifierError("x", "no member"),
    MalformedLeafError("no leaf"),
    MalformedStatementError("no statement"),
    ProofError("no proof"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_can_be_handed_between_processes(error: ExchangeError) -> None:
    """Reason and text survive, and what was malformed still is."""
    again = pickle.loads(pickle.dumps(error))

    assert (again.reason, str(again)) == (error.reason, str(error))
    assert isinstance(again, ValueError) == isinstance(error, MalformedError)


def test_a_text_is_chosen_by_language() -> None:
    """French first."""
    text = Text("oui", "yes")

    assert (text.in_("fr"), text.in_("en")) == ("oui", "yes")
