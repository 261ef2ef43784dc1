"""The comparison of two checkouts: its arithmetic, and what it makes run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bench.instrument import (
    Checkout,
    environment_of,
    instructions_of,
    libraries_of,
    ratio_of_minima,
    ratios_of,
)
from bench.measure import BenchError, Variant
from bench.tls import Identity

pytestmark = pytest.mark.unit

OURS = [
    {"consumer": 10.0, "provider": 10.0, "control": 5.0},
    {"consumer": 40.0, "provider": 40.0, "control": 5.0},
]
BASE = [
    {"consumer": 20.0, "provider": 20.0, "control": 0.0},
    {"consumer": 20.0, "provider": 30.0, "control": 10.0},
]


def test_each_round_gives_one_ratio_per_role_and_sum() -> None:
    """The pair is without control, all is with it; what cost nothing has not changed."""
    found = ratios_of(OURS, BASE)

    assert found["consumer"] == [0.5, 2.0]
    assert found["pair"] == [0.5, 1.6]
    assert found["control"] == [1.0, 0.5]
    assert found["all"] == [25 / 40, 85 / 60]


def test_minima_are_compared_across_rounds() -> None:
    """The least of ours against the least of theirs, whatever round each is from."""
    found = ratio_of_minima(OURS, BASE)

    assert (found["consumer"], found["pair"], found["all"]) == (0.5, 0.5, 25 / 40)
    assert "control" not in found


def test_a_profile_of_callgrind_says_its_total_last() -> None:
    """A profile in parts repeats its summary; one without any is refused."""
    assert instructions_of("events: Ir\nsummary: 17\nfn=(1)\ntotals: 4711\n") == 4711
    with pytest.raises(BenchError):
        instructions_of("events: Ir\n")


def test_a_library_is_charged_with_its_own_functions_alone() -> None:
    """What a callee took stands behind ``calls=`` and belongs to the callee; names are said once."""
    profile = (
        "ob=(1) /lib/libpython.so\nfn=(1) eval\n10 100\ncob=(2) /lib/libcrypto.so\ncfn=(2) sha\ncalls=1 5\n"
        "11 7000\n+2 30\n\nob=(2)\nfn=(2)\n* 7000\n\nob=(1)\nfn=(3) free\n-3 1\ntotals: 7131\n"
    )

    assert libraries_of(profile) == {"libpython.so": 131, "libcrypto.so": 7000}


def test_a_variant_reads_back_what_its_process_printed() -> None:
    """The line between the process that runs a country and the one that loads it."""
    identity = Identity(Path("ca"), Path("crt"), Path("key"))
    variant = Variant(
        name="passerelle",
        port=7,
        identity=identity,
        workers={"consumer": [1]},
        backend=2,
        backend_port=8,
        backend_identity=identity,
        control=[],
        metadata=["a=b"],
    )

    assert Variant.from_json(variant.to_json()) == variant


def test_a_country_of_another_checkout_is_run_by_this_benchmark(tmp_path: Path) -> None:
    """``bench`` comes from here, and a worker's command line passes through valgrind."""
    checkout = Checkout("there", tmp_path / "other", tmp_path / "var")

    found = environment_of(checkout, instructions=True)

    path = Path(found["PYTHONPATH"])
    assert (path / "bench/instrument.py").samefile("bench/instrument.py")
    assert os.access(found["BENCH_PYTHON"], os.X_OK)
    shim = (path / "python").read_text()
    assert "exec valgrind" in shim
    assert f"{tmp_path}/other/.venv/bin/python" in shim
    subprocess.run(["sh", "-n", path / "python"], check=True)
