"""What doctor does while neighbours hang."""

from __future__ import annotations

import threading

from gateway.doctor.probes import in_parallel


def test_what_hangs_is_not_waited_for() -> None:
    """Its place keeps what was said for it beforehand; the others have their results, in order."""
    never = threading.Event()

    def hang() -> str:
        never.wait()
        return "late"

    found = in_parallel([(lambda: "first", ""), (hang, "hangs"), (lambda: "last", "")], 0.2)

    assert found == ["first", "hangs", "last"]
    never.set()
