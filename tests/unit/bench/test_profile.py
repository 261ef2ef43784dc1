"""The profile by step: what it puts down to what."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.counter import Calls
from bench.profile import STEPS, counts_of, functions_of, step_of, steps_of, table
from bench.sampler import Sampler, stack_of

pytestmark = pytest.mark.unit

STACKS: list[tuple[str, list[str], float]] = [
    ("MainThread", ["<string>:__init__", "/x/core/statements.py:parse", "/x/asyncio/events.py:_run"], 0.002),
    ("MainThread", ["/x/python3.11/ssl.py:SSLObject.read", "/x/gateway/worker/http2.py:f"], 0.001),
]
PROFILE = {"process": 0.004, "stacks": STACKS}


def test_the_innermost_function_with_a_step_decides() -> None:
    """What a dataclass or a library spends is put down to whoever called it."""
    assert step_of(STACKS[0][1]) == "statements: write, parse"
    assert step_of(["/x/ssl.py:read", "/x/gateway/worker/http2.py:f"]) == "TLS"
    assert step_of(["/x/elsewhere.py:f"]) == "the rest"


def test_what_no_thread_of_python_used_is_the_rest() -> None:
    """The steps add up to what the process used."""
    found = steps_of(PROFILE, 10)

    assert {step: round(us) for step, us in found.items()} == {
        "statements: write, parse": 200,
        "TLS": 100,
        "the rest": 100,
    }


def test_functions_are_named_by_the_end_of_their_path() -> None:
    """A profile says nothing of the machine it was made on."""
    assert set(functions_of(PROFILE, 10)) == {"<string>: __init__", "x/python3.11/ssl.py: SSLObject.read"}


def test_the_table_begins_with_the_dearest_and_ends_with_the_sums() -> None:
    """One column a role."""
    lines = table({"consumer": Counter({"TLS": 1.0, "index": 2.0}), "control": Counter({"TLS": 5.0})})

    assert lines[0] == "| Step, us | consumer | control |"
    assert lines[2:] == ["| TLS | 1.00 | 5.00 |", "| index | 2.00 | 0.00 |", "| all | **3.0** | **5.0** |"]


def test_calls_are_counted_by_the_step_that_makes_them(tmp_path: Path) -> None:
    """Of a function itself, and of built-in ones from it."""
    calls = Calls(tmp_path)
    calls.start(0, None)
    for _ in range(3):
        stack_of(None)
    len(STEPS)
    calls.stop(0, None)

    found = {name.rpartition("/")[2]: count for name, count in calls.python.items()}
    builtin = [count for name, count in calls.builtin.items() if "test_calls_are_counted" in name]

    assert found["sampler.py:stack_of"] == 3
    assert builtin == [1]  # len
    profile = {"python": {"/x/ssl.py:read": 20}, "builtin": {"/x/ssl.py:read": 10, "/x/core/leaves.py:f": 5}}
    assert counts_of(profile, 10) == {"TLS": 3.0, "leaves and tree": 0.5}


def test_every_file_that_has_a_step_exists() -> None:
    """A module that was renamed would fall to whoever called it, silently."""
    ours = [one for one in STEPS if one.partition("/")[0] in {"core", "gateway", "ledger", "pki"}]

    assert [one for one in ours if not Path(one).exists()] == []


def test_a_thread_is_charged_with_what_it_used(tmp_path: Path) -> None:
    """Each thread by its own CPU clock."""
    begin, used, end = threading.Event(), threading.Event(), threading.Event()

    def busy() -> None:
        begin.wait()
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        used.set()
        end.wait()

    sampler = Sampler(tmp_path)
    thread = threading.Thread(target=busy, name="busy")
    thread.start()
    sampler.sample(0, None)
    begin.set()
    used.wait()

    sampler.sample(0, None)

    end.set()
    thread.join()
    spent = sum(seconds for (name, _), seconds in sampler.seconds.items() if name == "busy")
    assert spent >= 0.05
    assert stack_of(None) == ()
