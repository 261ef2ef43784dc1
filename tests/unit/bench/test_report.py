"""What a run says of itself: aims, tables, the file, the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.aims import judge
from bench.measure import Row, Rows
from bench.plot import svg
from bench.points import Point
from bench.proofs import Proof, commits_of, in_doubt_of, syncs_of

pytestmark = pytest.mark.unit

USUAL, IDLE, STOCK = Point(4096, 128), Point(4096, 1), Point(4096, 128, ends="grpcio")


def row(variant: str, point: Point, pair: float, control: float = 0.0) -> Row:
    return Row(
        variant=variant,
        point=point,
        calls=100,
        bad=0,
        per_second=10_000.0,
        p50_ms=pair / 100,
        p99_ms=pair / 50,
        worker_us={"consumer": pair / 2, "provider": pair / 2},
        control_us=control,
        backend_us=3.0,
        generator_us=4.0,
        worker_pss_mib={"consumer": 100.0, "provider": 250.0},
    )


def rows_of(ours: float = 120.0, theirs: float = 100.0) -> Rows:
    found: Rows = {}
    for point in (USUAL, IDLE, STOCK):
        found["passerelle", point] = [row("passerelle", point, ours, 30.0)]
        found["envoy", point] = [row("envoy", point, theirs)]
    found["grpc.aio", USUAL] = [row("grpc.aio", USUAL, 1100.0)]
    return found


def test_aims_are_judged_by_ratios_of_one_round() -> None:
    """Met, missed, and not measured are three different words."""
    verdicts = {one.what: one for one in judge(rows_of(), {"worker": 50.0, "control": 120.0})}

    assert verdicts["CPU of the two workers, 4 KiB"].measured == "1.20 E (120 of 100 us)"
    assert verdicts["CPU of the two workers, 4 KiB"].is_met
    assert verdicts["CPU with control, 4 KiB"].measured.startswith("1.50 E")
    assert verdicts["CPU of the two workers, 256 B"].is_met is None
    assert verdicts["p50 with one call in flight, 4 KiB"].measured == "1.20 E (1.20 of 1.00 ms)"
    plain = verdicts["CPU of the plain grpc.aio pair, 4 KiB"]
    assert (plain.measured, plain.is_met) == ("9.2 times (1,100 us)", False)
    assert verdicts["exchanges/s at 4 KiB, all processes on this machine"].is_met
    assert verdicts["exchanges/s, stock grpcio ends, 4 KiB"].measured == "1.00 E (10,000 of 10,000)"


def test_memory_is_told_in_megabytes_of_a_million() -> None:
    """PSS comes in KiB; an aim of 60 MB is 57.2 MiB."""
    verdicts = {one.what: one for one in judge(rows_of(), {"worker": 58.0, "control": 100.0})}

    assert verdicts["memory (PSS) of a worker at rest"].measured == "61 MB"
    assert verdicts["memory (PSS) of a worker at rest"].is_met is False
    assert verdicts["memory (PSS) of control at rest"].is_met
    assert verdicts["memory (PSS) of a worker under load, the largest row"].measured == "262 MB"


def test_nothing_measured_is_nothing_met() -> None:
    """A run of proofs alone claims nothing."""
    assert all(one.is_met is None for one in judge({}, {}))


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Tables and pictures can be made again of the file alone."""
    rows, proofs = rows_of(), [Proof("checked", "found", True), Proof("not tried", "no strace", None)]
    verdicts = judge(rows, {})

    path = report.write_results(
        tmp_path / "results", rows, {"rounds": "1", "seconds": "2.0"}, verdicts, proofs
    )

    found = report.read_results(path)
    assert (found.rows, found.verdicts, found.proofs) == (rows, verdicts, proofs)
    assert len([line for line in path.read_text().splitlines() if '"variant"' in line]) == 7


def test_tables_name_each_load_and_pair() -> None:
    """On a terminal and in Markdown, ours first."""
    console = Console(width=160, record=True, quiet=True)

    console.print(report.table(rows_of()), report.ratios(rows_of()), report.proofs_table([]))
    machine = {"cores": 2, "kernel": "6.1", "python": "3.11.7", "load_average": [1.25, 1.0, 1.0]}
    proofs = [Proof("checked", "found", False)]
    verdicts = judge(rows_of(), {})
    results = report.Results(
        "20261128T012345Z", machine, {"rounds": "3", "seconds": "2.0"}, rows_of(), verdicts, proofs
    )
    text = report.markdown(results)

    assert report.variants_of(rows_of()) == ["passerelle", "envoy", "grpc.aio"]
    assert "| 4 KiB x128 | passerelle | 60 + 60 | 30 | 1.20 | 1.50 | 10,000 | 1.20, 2.40 |" in text
    assert "| checked | found | NO |" in text
    assert text.startswith(
        "2026-11-28: 2 cores, Linux 6.1, Python 3.11.7; 3 rounds of 2.0 s; load average 1.2"
    )


def test_tables_go_to_their_place_in_a_page(tmp_path: Path) -> None:
    """And nowhere else; a page without the place is told."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")

    report.put_into(page, "bench", "new\n")
    report.put_into(page, "bench", "newer\n")

    assert page.read_text() == "before\n<!-- bench -->\n\nnewer\n\n<!-- /bench -->\nafter\n"
    with pytest.raises(ValueError, match="profile"):
        report.put_into(page, "profile", "new")


def test_the_picture_is_xml_with_a_mark_for_each_median() -> None:
    """Text that a review can read; empty runs make an empty picture."""
    root = ET.fromstring(svg(rows_of()))

    titles = [one.text for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "passerelle, 4 KiB x128: 120.0 µs" in titles
    assert len(titles) == 7
    assert ET.fromstring(svg({})) is not None


def test_equal_costs_still_have_a_scale() -> None:
    """One decade at least."""
    rows = {("nginx", USUAL): [replace(row("nginx", USUAL, 100.0))]}

    assert "100" in svg(rows)


def test_commits_and_syncs_are_read_where_they_stand() -> None:
    """From a page of metrics with several workers, and from the summary of ``strace -c``."""
    metrics = (
        'passerelle_events_total{event="commits",worker="0"} 119.0\n'
        'passerelle_events_total{event="commits",worker="1"} 1.0\n'
        'passerelle_events_total{event="calls_started",worker="0"} 9.0\n'
    )
    summary = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        " 90.00    0.012000         100       120           fdatasync\n"
        " 10.00    0.001000         500         2         1 fsync\n"
        "------ ----------- ----------- --------- --------- ----------------\n"
        "100.00    0.013000         106       122         1 total\n"
    )

    doubts = 'passerelle_exchanges_in_doubt{worker="0"} 2.0\npasserelle_exchanges_in_doubt{worker="1"} 0.0\n'

    assert commits_of(metrics) == 120
    assert in_doubt_of(doubts) == 2
    assert in_doubt_of(metrics) is None
    assert syncs_of(summary) == 122
