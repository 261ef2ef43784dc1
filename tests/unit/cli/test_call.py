"""``passerelle call``: what it says before anything is called."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.call import _requests, _tell_failure, call
from core.reasons import Code, ExchangeError, Reason
from gateway.hints import ProgramHints
from rpc.commandline import Output
from rpc.remote import RemoteError, Violation


def test_the_directory_of_a_program_with_tokens_is_told_as_that(tmp_path: Path) -> None:
    """Nothing of it is lost: ``call`` needs a certificate, and the remedy gets one."""
    ProgramHints(
        subsystem="BJ/GOV/PNS/PORTAIL",
        gateway_id="BJ/GOV/PNS/gw1",
        gateway="127.0.0.1:1",
        directory="127.0.0.1:2",
    ).write(tmp_path)

    done = CliRunner().invoke(call, ["a.v1.S/M", "--identity", str(tmp_path)])

    error = done.exception
    assert isinstance(error, ExchangeError)
    assert error.reason is Reason.KEY_UNREADABLE
    assert "calls with tokens" in str(error)
    assert error.remedy is not None
    assert "passerelle program add BJ/GOV/PNS/PORTAIL NOM --out" in error.remedy.fr
    assert "passerelle program add BJ/GOV/PNS/PORTAIL NAME --out" in error.remedy.en


def test_an_identity_whose_key_was_lost_is_told_as_that(tmp_path: Path) -> None:
    """Its certificate is there: it is no program with tokens."""
    ProgramHints(
        subsystem="BJ/GOV/PNS/PORTAIL",
        gateway_id="BJ/GOV/PNS/gw1",
        gateway="127.0.0.1:1",
        directory="127.0.0.1:2",
    ).write(tmp_path)
    (tmp_path / "identity.crt").touch()

    done = CliRunner().invoke(call, ["a.v1.S/M", "--identity", str(tmp_path)])

    assert isinstance(done.exception, ExchangeError)
    assert "identity.key" in str(done.exception)


@pytest.mark.parametrize("output", ["table", "json"])
def test_the_fields_that_a_provider_refused_are_told(
    output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sentence says to correct the fields that BadRequest names: these must be seen."""
    refused = (Violation("npi", "dix chiffres"), Violation("", "nom ou numéro"))
    error = RemoteError(Code.INVALID_ARGUMENT, "refusé", reason="FORMAT_INVALID", violations=refused)

    _tell_failure(error, output, "fr", [])

    told = capsys.readouterr()
    assert "  npi: dix chiffres\n  –: nom ou numéro\n" in told.err
    if output == "json":
        assert json.loads(told.out)["violations"][0] == {"field": "npi", "description": "dix chiffres"}


def test_help_tells_about_streams_and_what_is_required() -> None:
    """In both languages, from the command alone."""
    shown = " ".join(CliRunner().invoke(call, ["--help"]).output.split())

    assert "si elle prend un flux, chaque ligne de --data est un message" in shown
    assert "of one that takes a stream, each line of --data is a message" in shown
    assert "requise si la convention l'exige" in shown
    assert "[required]" in shown


@pytest.mark.parametrize("many", [False, True])
def test_data_that_is_not_utf_8_is_told_as_that(tmp_path: Path, many: bool) -> None:
    """Else a call with a stream ends without a word of what was wrong with the file."""
    file = tmp_path / "data.json"
    file.write_bytes(b'{"name": "\xe9"}\n')

    with pytest.raises(ExchangeError, match="not UTF-8") as error:
        list(_requests(f"@{file}", many=many))

    assert error.value.reason is Reason.DOCUMENT_INVALID
