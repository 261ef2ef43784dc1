"""The benchmark still runs: it stands on parts of the gateway that change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import read_results

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_a_row_of_each_kind_runs(tmp_path: Path) -> None:
    """Lean and stock ends, unary and stream, a country beside the plain pair; every answer is the one expected."""
    command = [sys.executable, "-m", "bench", "--matrix", "quick"]
    command += ["--rows", "256x128", "stream-20000", "grpcio-4096x128", "--only", "passerelle", "grpc.aio"]
    command += ["--rounds", "1", "--seconds", "0.2", "--no-proofs"]
    command += ["--results", str(tmp_path / "results")]

    command += ["--directory", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (tmp_path / "results").iterdir()
    rows = read_results(path).rows
    assert {(name, point.key) for name, point in rows} == {
        (name, key)
        for name in ("passerelle", "grpc.aio")
        for key in ("256x128", "stream-20000", "grpcio-4096x128")
    }
    assert all(row.calls > 0 and row.bad == 0 and row.pair_us > 0 for some in rows.values() for row in some)
