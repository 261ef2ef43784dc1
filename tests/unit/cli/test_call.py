"""``passerelle call``: what it says before anything is called."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.call import _requests, call
from core.reasons import ExchangeError, Reason
from gateway.hints import ProgramHints


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


@pytest.mark.parametrize("many", [False, True])
def test_data_that_is_not_utf_8_is_told_as_that(tmp_path: Path, many: bool) -> None:
    """Else a call with a stream ends without a word of what was wrong with the file."""
    file = tmp_path / "data.json"
    file.write_bytes(b'{"name": "\xe9"}\n')

    with pytest.raises(ExchangeError, match="not UTF-8") as error:
        list(_requests(f"@{file}", many=many))

    assert error.value.reason is Reason.DOCUMENT_INVALID
