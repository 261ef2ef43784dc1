"""Every parser of the product on its corpus and on inputs made from it: a value or its own error, in bounded memory.

``make fuzz`` goes on from here, guided by coverage; what it found is kept in ``tests/fuzz/corpus``.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS, corpus

# A refused input must not cost more than this, however small it is: bounds are checked before anything is gathered.
MAX_MEMORY_BYTES = 24 * 1024 * 1024


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_answers_its_corpus_with_a_value_or_its_own_error(name: str) -> None:
    """In bounded memory."""
    target = TARGETS[name]
    target(b"")
    for data in corpus(name):
        tracemalloc.start()
        target(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MAX_MEMORY_BYTES, f"{peak} bytes for an input of {len(data)}"


def mutated(name: str) -> st.SearchStrategy[bytes]:
    """Inputs of the corpus, cut, spliced, repeated and overwritten; or anything at all."""
    inputs = st.sampled_from(corpus(name))
    edits = st.lists(
        st.tuples(
            st.integers(0, 2**16),
            st.integers(0, 8),
            st.sampled_from(
                [b"", b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f" + b"\xff" * 7, b"0", b'"', b"[", b"\n"]
            )
            | st.binary(max_size=8),
        ),
        max_size=4,
    )

    def edit(data: bytes, edits: list[tuple[int, int, bytes]], other: bytes, splice: bool) -> bytes:
        for at, taken, put in edits:
            at %= len(data) + 1
            data = data[:at] + put + data[at + taken :]
        return data + other if splice else data

    return st.builds(edit, inputs, edits, inputs, st.booleans()) | st.binary(max_size=256)


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_answers_anything_with_a_value_or_its_own_error(name: str) -> None:
    """Mutated good inputs and arbitrary bytes."""
    target = TARGETS[name]

    @settings(
        max_examples=60,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(name))
    def run(data: bytes) -> None:
        target(data)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_is_shown_something_good(name: str) -> None:
    """A corpus of nothing but refusals would leave most of a parser untried."""
    accepted = [data for data in corpus(name) if TARGETS[name](data)]

    assert accepted or name in NEVER_ACCEPTED


# Complete good inputs of these are other tests' work; here their bytes are looked at until the first refusal.
NEVER_ACCEPTED = {"container"}


def test_the_committed_corpus_is_small() -> None:
    """It is read by every run of the tests, and by people."""
    sizes = {
        str(path.relative_to(CORPUS)): path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()
    }

    assert sum(sizes.values()) < 200_000, sizes
    assert {Path(path).parts[0] for path in sizes} <= TARGETS.keys()
