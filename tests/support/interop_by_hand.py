"""``python -m tests.support.interop_by_hand DIR``: the country of the interoperability tests, kept until Ctrl-C.

It prints what to type in another terminal for one official case, and for what both gateways recorded of it.
"""

import signal
import sys
import threading
from pathlib import Path

from tests.support.interop import CASES, InteropCountry


def main(root: Path, case: str) -> None:
    """Found the country in a new directory, print the commands, wait."""
    if case not in CASES:
        sys.exit(f"{case}: no case; one of {', '.join(CASES)}")
    if root.exists():
        sys.exit(f"{root}: there is something already; name a new directory")
    root.mkdir(parents=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopped.set())
    with InteropCountry(root) as country:
        print(*country.by_hand(case), "Ctrl-C", sep="\n", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "ping_pong")
