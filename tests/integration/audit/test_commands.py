"""An auditor's commands, on the directories of two real gateways with every process dead."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit.commands import audit
from core.merkle import leaf_hash
from core.reasons import ExchangeError, Reason
from tests.support.evidence import EvidenceCountry

GOOD_ROOT = leaf_hash(b"\x00").hex()


@pytest.fixture
def country(tmp_path: Path) -> Iterator[EvidenceCountry]:
    found = EvidenceCountry(tmp_path)
    yield found
    found.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(one) for one in arguments])


def refusal(result: Result) -> Reason:
    assert isinstance(result.exception, ExchangeError), result.output
    return result.exception.reason


def refused(result: Result) -> str:
    """The reason of a refusal, which a verifier tells on standard output."""
    assert result.exit_code == 1, result.output
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == "VERDICT : REFUSÉ (REFUSED)"
    return result.stdout.splitlines()[-2].partition(":")[0]


def test_what_is_exported_verifies(country: EvidenceCountry, tmp_path: Path) -> None:
    """The last line says it; exit 0."""
    wanted = country.exchange()
    out = tmp_path / "preuve.asice"

    exported = run("export", wanted.id, "--log", country.pns.directory, "--out", out)
    verified = run("verify", out, "--anchor", country.anchor())

    assert exported.exit_code == 0, exported.output
    assert verified.exit_code == 0, verified.output
    assert verified.output.splitlines()[-1] == "VERDICT : AUTHENTIQUE (VALID)"
    assert "heure déclarée, non horodatée" in verified.output


def test_one_changed_byte_turns_the_verdict(country: EvidenceCountry, tmp_path: Path) -> None:
    """Exit 1, the step and the part are named, and the forged words are not repeated."""
    wanted = country.exchange()
    out, forged = tmp_path / "preuve.asice", tmp_path / "fausse.asice"
    run("export", wanted.id, "--log", country.pns.directory, "--out", out)
    with zipfile.ZipFile(out) as source, zipfile.ZipFile(forged, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename == "statements/000001-request-0.json":
                data = data.replace(b"P01", b"P02")
            target.writestr(info, data)

    result = run("verify", forged, "--anchor", country.anchor(), "--lang", "en")

    assert result.exit_code == 1
    assert "3  inclusion proofs" in result.output
    assert "statements/000001-request-0.json is not the leaf" in result.output
    assert "purpose: P02" not in result.output
    assert result.output.splitlines()[-1] == "VERDICT: INVALID"


def test_a_file_that_is_no_container_is_invalid(country: EvidenceCountry, tmp_path: Path) -> None:
    """A verdict, not a stack trace."""
    file = tmp_path / "preuve.asice"
    file.write_bytes(b"not a zip")

    result = run("verify", file, "--anchor", country.anchor(), "--output", "json")

    assert result.exit_code == 1
    assert json.loads(result.output)["verdict"] == "INVALID"


def test_a_further_revocation_list_is_heard(country: EvidenceCountry, tmp_path: Path) -> None:
    """The container's maker may have left out a later list; the auditor brings it."""
    wanted = country.exchange()
    out, newer = tmp_path / "preuve.asice", tmp_path / "seal.crl"
    run("export", wanted.id, "--log", country.pns.directory, "--out", out)
    country.country.now_ms += 3_600_000
    country.country.revoked.append(country.anip.certificate)
    newer.write_text(country.country.crl(country.country.seal))

    result = run("verify", out, "--anchor", country.anchor(), "--crl", newer)

    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "VERDICT : INDÉTERMINÉ (UNDETERMINED)"


def test_a_file_that_is_no_anchor_gets_no_verdict(country: EvidenceCountry, tmp_path: Path) -> None:
    """It is told as such, with the remedy; the evidence is not accused."""
    wanted = country.exchange()
    out = tmp_path / "preuve.asice"
    run("export", wanted.id, "--log", country.pns.directory, "--out", out)
    (tmp_path / "other.pem").write_bytes(b"nothing")

    result = run("verify", out, "--anchor", tmp_path / "other.pem")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "ANCHOR_MISMATCH" in result.stderr
    assert "anchor.pem" in result.stderr.partition("Remède : ")[2]


def test_evidence_that_is_too_long_is_told_like_any_other_refusal(
    country: EvidenceCountry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its reason and with a remedy, and nothing is left of it."""
    monkeypatch.setattr("audit.container.MAX_PARTS", 3)
    wanted = country.exchange()

    refused = run("export", wanted.id, "--log", country.pns.directory, "--out", tmp_path / "preuve.asice")

    assert refusal(refused) is Reason.EVIDENCE_TOO_LARGE
    assert not (tmp_path / "preuve.asice").exists()


def test_bodies_are_exported_under_a_mandate(country: EvidenceCountry, tmp_path: Path) -> None:
    """And refused without one, before anything is read."""
    wanted = country.exchange()
    out = tmp_path / "preuve.asice"
    export = ("export", wanted.id, "--log", country.pns.directory, "--out", out, "--with-bodies")

    refused = run(*export, "--purpose", "P08")
    exported = run(*export, "--mandate", "PJ-2026-118")

    assert refusal(refused) is Reason.PURPOSE_NOT_ALLOWED
    assert exported.exit_code == 0, exported.output
    with zipfile.ZipFile(out) as archive:
        assert "bodies/000001-request-0.bin" in archive.namelist()


def test_an_unknown_exchange_is_told(country: EvidenceCountry, tmp_path: Path) -> None:
    """By its reason."""
    country.exchange()

    result = run(
        "export",
        "01920000-0000-7000-8000-000000000000",
        "--log",
        country.pns.directory,
        "--out",
        tmp_path / "x",
    )

    assert refusal(result) is Reason.NOT_FOUND


@pytest.mark.parametrize("malformed", ["zz", "01920000-0000-4000-8000-000000000000", ""])
def test_a_malformed_exchange_id_is_no_empty_list(
    malformed: str, country: EvidenceCountry, tmp_path: Path
) -> None:
    """Who mistypes an id is told so, and does not conclude that there was no exchange."""
    country.exchange()
    directory = country.pns.directory

    listed = run("list", "--log", directory, "--exchange", malformed)
    exported = run("export", malformed, "--log", directory, "--out", tmp_path / "x")

    assert refusal(listed) is Reason.IDENTIFIER_INVALID
    assert refusal(exported) is Reason.IDENTIFIER_INVALID


def test_a_dossier_is_found_in_the_directory_where_one_stands(
    country: EvidenceCountry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every command of a gateway's own; with --log elsewhere, on a copy."""
    country.exchange(issue="ACT-202611-0007")
    country.exchange(issue="ACT-202611-0008")
    monkeypatch.chdir(country.pns.directory)

    here = json.loads(run("list", "--dossier", "ACT-202611-0007", "--output", "json").stdout)
    none = json.loads(run("list", "--dossier", "ACT-202611-0009", "--output", "json").stdout)

    assert [one["issue"] for one in here] == ["ACT-202611-0007"]
    assert none == []


def test_a_directory_without_log_is_told(tmp_path: Path) -> None:
    """Not an empty list: nothing was read. Who forgot ``--log`` is told to give it."""
    result = run("list", "--log", tmp_path)

    assert refusal(result) is Reason.NOT_FOUND
    assert isinstance(result.exception, ExchangeError)
    assert result.exception.remedy is not None
    assert "--log" in result.exception.remedy.fr


def test_a_list_shows_every_exchange_and_what_it_covers(country: EvidenceCountry) -> None:
    """Rows, then filter, logs with sizes and heads."""
    first = country.exchange()
    home = country.refuse_at_home()

    table = run("list", "--log", country.pns.directory).output
    rows = json.loads(run("list", "--log", country.pns.directory, "--output", "json").output)

    assert [row["exchange"] for row in rows] == [first.id, home] or {row["exchange"] for row in rows} == {
        first.id,
        home,
    }
    assert {row["outcome"] for row in rows} == {"granted", "refused"}
    assert "2 échanges (1 accordé, 1 refusé) · tous les échanges" in table
    assert f"journal {country.pns.log.log_id[:16]}" in table


def test_a_list_tells_why_the_provider_gave_nothing(country: EvidenceCountry) -> None:
    """Its canonical code; and the side in the reader's language, but not in JSON."""
    country.exchange(answer={"status": 5})

    (row,) = json.loads(run("list", "--log", country.pns.directory, "--output", "json").output)
    table = run("list", "--log", country.pns.directory).output

    assert (row["outcome"], row["reason"], row["role"]) == ("error", "NOT_FOUND", "consumer")
    assert "consommateur" in table.splitlines()[3]


def test_the_provider_lists_its_side(country: EvidenceCountry) -> None:
    """The same exchange, from the other log."""
    wanted = country.exchange()

    (row,) = json.loads(run("list", "--log", country.anip.directory, "--output", "json").output)

    assert (row["exchange"], row["role"], row["client"]) == (wanted.id, "provider", "BJ/GOV/PNS/PORTAIL")


@pytest.mark.parametrize(
    ("option", "value", "count"),
    [
        ("--dossier", "ACT-202611-0001", 2),
        ("--dossier", "ACT-1", 0),
        ("--from", "2026-09-01", 2),
        ("--from", "2027-01-01", 0),
        ("--until", "2026-09-01", 0),
        ("--until", "2027-01-01", 2),
    ],
)
def test_a_list_is_filtered(country: EvidenceCountry, option: str, value: str, count: int) -> None:
    """By dossier and period."""
    country.exchange()
    country.exchange()

    result = run("list", "--log", country.pns.directory, option, value, "--output", "csv")

    assert len(list(csv.DictReader(io.StringIO(result.output)))) == count


def test_a_list_finds_one_exchange(country: EvidenceCountry) -> None:
    """By its id."""
    country.exchange()
    wanted = country.exchange()

    result = run("list", "--log", country.pns.directory, "--exchange", wanted.id, "--output", "json")

    assert [row["exchange"] for row in json.loads(result.output)] == [wanted.id]


def test_an_exported_proof_verifies_alone(country: EvidenceCountry, tmp_path: Path) -> None:
    """``verify-inclusion`` reads what the container holds."""
    wanted = country.exchange()
    out = tmp_path / "preuve.asice"
    run("export", wanted.id, "--log", country.pns.directory, "--out", out)
    with zipfile.ZipFile(out) as archive:
        archive.extract("proofs/000001-request-0.json", tmp_path)
    proof = tmp_path / "proofs/000001-request-0.json"

    good = run("verify-inclusion", proof)
    changed = json.loads(proof.read_text())
    changed["index"] += 1
    proof.write_text(json.dumps(changed))
    bad = run("verify-inclusion", proof)

    assert good.exit_code == 0
    assert good.output.splitlines()[-1] == "VERDICT : BON (GOOD)"
    assert refused(bad) == "PROOF_INVALID"


def test_proofs_are_read_with_base64_too(tmp_path: Path) -> None:
    """A leaf instead of its hash, hashes as padded base64: the form of other tools."""
    file = tmp_path / "proof.json"
    root = leaf_hash(b"\x00")
    file.write_text(
        json.dumps({"leaf_base64": "AA==", "index": 0, "size": 1, "proof": [], "root": root.hex()})
    )

    result = run("verify-inclusion", file, "--lang", "en")

    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "VERDICT: GOOD"


def test_consistency_of_two_heads_is_verified(tmp_path: Path) -> None:
    """The published proof from 1 to 8 leaves."""
    vectors = json.loads((Path(__file__).parents[2] / "vectors/merkle.json").read_text())
    proof = next(one for one in vectors["consistency"] if one["size2"] == 8 and one["size1"] == 1)
    document = proof | {"root1": vectors["roots"][1], "root2": vectors["roots"][8]}
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(document))

    good = run("verify-consistency", file)
    file.write_text(json.dumps(document | {"root1": vectors["roots"][2]}))
    bad = run("verify-consistency", file)

    assert good.exit_code == 0
    assert refused(bad) == "PROOF_INVALID"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"leaf_hash": 1}',
        '{"leaf_hash": "zz"}',
        '{"leaf_base64": "A", "index": 0, "size": 1, "proof": [], "root": ""}',
        json.dumps({"leaf_hash": "0" * 64, "index": True, "size": 1, "proof": [], "root": "0" * 64}),
        json.dumps({"leaf_hash": "0" * 64, "index": 0, "size": 1, "proof": "x", "root": "0" * 64}),
        json.dumps({"leaf_hash": "g" * 64, "index": 0, "size": 1, "proof": [], "root": "0" * 64}),
        json.dumps({"leaf_hash": "AAAA", "index": 0, "size": 1, "proof": [], "root": "AAAA"}),
        f'{{"leaf_base64": "AA==", "index": 0, "index": 0, "size": 1, "proof": [], "root": "{GOOD_ROOT}"}}',
        json.dumps(
            {
                "leaf_base64": "AA==",
                "leaf_hash": GOOD_ROOT,
                "index": 0,
                "size": 1,
                "proof": [],
                "root": GOOD_ROOT,
            }
        ),
        json.dumps(
            {"leaf_base64": "AA==", "index": 0, "size": 1, "proof": [], "root": GOOD_ROOT, "note": ""}
        ),
        json.dumps({"leaf_base64": "AB==", "index": 0, "size": 1, "proof": [], "root": GOOD_ROOT}),
        json.dumps({"leaf_base64": "AA==", "index": -1, "size": 1, "proof": [], "root": GOOD_ROOT}),
        json.dumps({"leaf_base64": "AA==", "index": 2**80, "size": 2**81, "proof": [], "root": GOOD_ROOT}),
        json.dumps({"leaf_base64": "AA==", "index": 0, "size": 1, "proof": [GOOD_ROOT], "root": GOOD_ROOT}),
        f'{{"index": {"9" * 5000}}}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_malformed_proof_files_are_refused(tmp_path: Path, text: str) -> None:
    """One clear verdict each, on standard output; nothing is read in two ways."""
    file = tmp_path / "proof.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))

    assert refused(run("verify-inclusion", file)) == "PROOF_INVALID"
    # A member of another name, lest what is well formed of the other kind be told as that.
    file.write_bytes(text.replace('"root"', '"roots"').encode("utf-8", "surrogateescape"))
    assert refused(run("verify-consistency", file)) == "PROOF_INVALID"


def test_a_proof_of_the_other_kind_is_a_question_wrongly_asked(tmp_path: Path) -> None:
    """Exit 2, and the command that judges it."""
    inclusion, consistency = tmp_path / "inclusion.json", tmp_path / "consistency.json"
    inclusion.write_text(
        json.dumps({"leaf_base64": "AA==", "index": 0, "size": 1, "proof": [], "root": GOOD_ROOT})
    )
    same = {"size1": 1, "root1": GOOD_ROOT, "size2": 1, "root2": GOOD_ROOT, "proof": []}
    consistency.write_text(json.dumps(same))

    wrong = [run("verify-consistency", inclusion), run("verify-inclusion", consistency)]

    assert [(one.exit_code, one.stdout) for one in wrong] == [(2, ""), (2, "")]
    assert "audit verify-inclusion" in wrong[0].stderr.partition("Remède")[2]
    assert "audit verify-consistency" in wrong[1].stderr.partition("Remède")[2]


def test_a_refusal_has_its_reason_in_json_and_csv(tmp_path: Path) -> None:
    """A program reads the same verdict; what a refused file says of itself is not repeated."""
    file = tmp_path / "proof.json"
    file.write_text(
        json.dumps({"leaf_base64": "AA==", "index": 7, "size": 8, "proof": [], "root": GOOD_ROOT})
    )

    as_json = run("verify-inclusion", file, "--output", "json")
    as_csv = run("verify-inclusion", file, "--output", "csv")

    told = json.loads(as_json.output)
    assert (told["verdict"], told["reason"], told["index"]) == ("REFUSED", "PROOF_INVALID", None)
    assert next(csv.DictReader(io.StringIO(as_csv.output)))["reason"] == "PROOF_INVALID"
    assert (as_json.exit_code, as_csv.exit_code) == (1, 1)


@pytest.mark.parametrize("command", ["verify-inclusion", "verify-consistency", "verify-log"])
def test_a_file_that_is_not_there_is_a_question_wrongly_asked(tmp_path: Path, command: str) -> None:
    """Exit 2: no verdict about anything."""
    result = run(command, tmp_path / "missing")

    assert result.exit_code == 2
    assert result.stdout == ""
