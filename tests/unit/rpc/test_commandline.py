"""What every command shares: languages, output, how errors are told."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from core.language import Language, Text
from core.reasons import Code, ExchangeError, Reason
from rpc.commandline import (
    Output,
    confirm,
    dry_run_option,
    fail,
    lang_option,
    language_from_environment,
    output_option,
    show_one,
    show_rows,
    yes_option,
)
from rpc.remote import RemoteError
from rpc.words import Coded, coded

COLUMNS = {"code": Text("Code", "Code"), "label": Text("Libellé", "Label")}
ROWS: list[dict[str, object]] = [
    {"code": "P01", "label": ["état civil", "identité"]},
    {"code": "P\x1b[2J\n", "label": None},
]


@click.command()
@lang_option
@output_option
@dry_run_option
@yes_option
def shown(lang: Language, output: Output, dry_run: bool, yes: bool) -> None:
    """Show rows as every command does."""
    confirm(Text("Continuer ?", "Go on?"), lang, yes=yes or dry_run)
    show_rows(ROWS, COLUMNS, output, lang)


@click.command()
@lang_option
@output_option
def single(lang: Language, output: Output) -> None:
    """Show one thing."""
    show_one(ROWS[0], COLUMNS, output, lang)


def run(command: click.Command, *arguments: str, answer: str = "") -> str:
    result = CliRunner().invoke(command, arguments, input=answer)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_and_csv_keys_are_never_translated() -> None:
    """Scripts read the same keys in every language."""
    for lang in ("fr", "en"):
        data = json.loads(run(shown, "--yes", "--output", "json", "--lang", lang))
        table = list(csv.reader(io.StringIO(run(shown, "--yes", "--output", "csv", "--lang", lang))))

        assert [list(row) for row in data] == [["code", "label"]] * 2
        assert table[0] == ["code", "label"]
        assert table[1] == ["P01", "état civil, identité"]


def test_tables_are_translated_and_harmless() -> None:
    """Headings speak the reader's language; what a stranger named cannot clear the screen."""
    french, english = run(shown, "--yes"), run(shown, "--yes", "--lang", "en")

    assert "Libellé" in french
    assert "Label" in english
    assert "\x1b" not in french
    assert "P\\x1b[2J\\x0a" in french


def test_one_thing_is_shown_in_each_form() -> None:
    """A line for each value, an object, a row."""
    assert run(single).splitlines() == ["Code     P01", "Libellé  état civil, identité"]
    assert json.loads(run(single, "--output", "json"))["code"] == "P01"
    assert run(single, "--output", "csv").splitlines()[0] == "code,label"


@pytest.mark.parametrize(
    ("output", "lang", "state", "listed"),
    [
        ("table", "fr", "révoqué (revoked)", "gw1 : actif (active)"),
        ("table", "en", "revoked", "gw1 (active)"),
        ("csv", "fr", "revoked", "gw1 (active)"),
        ("json", "fr", "revoked", "gw1 (active)"),
    ],
)
def test_a_code_has_its_word_in_front_of_people_only(
    output: Output, lang: Language, state: str, listed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In lists as in single values; a code without a word stands alone."""
    gateway = Coded("gw1 (active)", Text("gw1 : actif (active)", "gw1 (active)"))
    row: dict[str, object] = {"state": coded("revoked"), "log": coded("FORKED"), "gateways": [gateway]}
    columns = {key: Text(key, key) for key in row}

    show_rows([row], columns, output, lang)
    rows = capsys.readouterr().out
    show_one(row, columns, output, lang)
    one = capsys.readouterr().out

    for told in (rows, one):
        assert listed in told
        assert re.search(rf"(?<![(\w]){re.escape(state)}", told)
        assert "FORKED" in told
    if output == "json":
        assert json.loads(one) == {"state": "revoked", "log": "FORKED", "gateways": ["gw1 (active)"]}


def test_a_verdict_keeps_its_reason() -> None:
    """The word is that of the verdict."""
    assert coded("refused:NO_AGREEMENT").shown == Text(
        "refusé (refused:NO_AGREEMENT)", "refused:NO_AGREEMENT"
    )


def test_what_cannot_be_undone_is_asked() -> None:
    """In the reader's language; a no ends it."""
    assert "Continuer ? [o/N]" in run(shown, answer="y\n")
    assert "P01" in run(shown, answer="oui\n")
    refused = CliRunner().invoke(shown, ["--lang", "en"], input="n\n")

    assert refused.exit_code == 1
    assert "Go on?" in refused.stdout


def test_language_has_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """PASSERELLE_LANG, the configuration, LC_ALL, LANG, French."""
    assert language_from_environment() == "fr"
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    assert language_from_environment() == "en"
    monkeypatch.setenv("LC_ALL", "fr_BJ.UTF-8")
    assert language_from_environment() == "fr"
    assert language_from_environment("en") == "en"
    monkeypatch.setenv("PASSERELLE_LANG", "fr")
    assert language_from_environment("en") == "fr"
    monkeypatch.setenv("PASSERELLE_LANG", "de")
    monkeypatch.setenv("LC_ALL", "C")
    assert language_from_environment() == "en"


@pytest.mark.parametrize(("lang", "remedy"), [("fr", "Remède"), ("en", "Remedy")])
def test_an_error_is_told_with_its_remedy(
    lang: Language, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reason, sentence, detail, remedy; on standard error; exit code 1."""
    code = fail(ExchangeError(Reason.NO_AGREEMENT, "for BJ/GOV/PNS"), lang)

    told = capsys.readouterr()
    assert code == 1
    assert told.out == ""
    assert "NO_AGREEMENT" in told.err
    assert "for BJ/GOV/PNS" in told.err
    assert remedy in told.err


def test_an_error_may_know_better_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own remedy stands in the place of the reason's."""
    fail(ExchangeError(Reason.NOT_FOUND, "no gateway runs", remedy=Text("la lancer", "start it")), "fr")

    told = capsys.readouterr().err
    assert "Remède : la lancer" in told
    assert Reason.NOT_FOUND.entry.remedy.fr not in told


def test_a_remote_error_is_told_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """With its own reason, or with the code alone."""
    text = Text("propriétaire décédé", "owner deceased")
    fail(RemoteError(Code.NOT_FOUND, "m", reason="OWNER_DECEASED", text=text), "fr")
    fail(RemoteError(Code.UNAVAILABLE, "closed"), "en")

    told = capsys.readouterr().err
    assert "OWNER_DECEASED: propriétaire décédé" in told
    assert "UNAVAILABLE: nobody answers at this address, or the connection is refused (closed)" in told
    assert "see whether it runs (a gateway: `passerelle doctor`)" in told


def test_a_providers_reason_has_no_remedy_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """Two reasons may have one name; and a remedy that the sentence tells is not told again."""
    text = Text("introuvable", "not found")
    fail(RemoteError(Code.NOT_FOUND, "m", reason="NOT_FOUND", domain="BJ/GOV/ANIP/RNPP/s", text=text), "fr")
    assert "Remède" not in capsys.readouterr().err

    remedy = Reason.PURPOSE_REQUIRED.entry.remedy
    said = Text(f"x ; {remedy.fr}", f"x; {remedy.en}")
    fail(RemoteError(Code.INVALID_ARGUMENT, "m", reason="PURPOSE_REQUIRED", text=said), "fr")
    assert capsys.readouterr().err.count(remedy.fr) == 1


def test_a_table_too_wide_for_the_terminal_is_told_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets whole lines of any length; a narrow terminal a line for each value."""
    rows: list[dict[str, object]] = [{"code": "P01", "label": "x" * 300}]

    @click.command()
    def wide() -> None:
        show_rows(rows, COLUMNS, "table", "fr")

    assert "x" * 300 in run(wide)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("rpc.commandline._is_terminal", lambda: True)
    assert run(wide).split() == ["Code", "P01", "Libellé", "x" * 300]


def test_nothing_heavy_is_loaded() -> None:
    """Help must be there in a blink: no grpcio, no tables."""
    script = "import sys, rpc.commandline, rpc.settings; print('grpc' in sys.modules, 'rich' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == "False False\n"
