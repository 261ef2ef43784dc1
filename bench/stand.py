"""One country under load, as a process of its own: ``python -m bench.stand DIRECTORY``.

It founds and starts everything, prints the variant as one line of JSON, and stops when its standard input ends. What
it imports besides ``bench`` is what PYTHONPATH and the interpreter give: so another checkout is measured with this
very benchmark (``bench.instrument --against``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.country import running_country
from bench.processes import Processes


def main() -> None:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--name", default="passerelle")
    options = parser.parse_args()
    processes = Processes(options.directory / "logs")
    try:
        with running_country(processes, options.directory / "country", name=options.name) as country:
            print(country.variant.to_json(), flush=True)
            sys.stdin.read()
    finally:
        processes.stop()


if __name__ == "__main__":
    main()
