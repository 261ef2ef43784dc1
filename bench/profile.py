"""Where each microsecond goes: ``python -m bench.profile [--size 4096] [--in-flight 128] [--calls 20000]``.

One load of the gateway pair, with a sampler in its workers and control processes (``bench.sampler``); the CPU time is put
down to the step whose code it was spent in or called from, down to the kernel. Printed as a table in Markdown, and below
it the functions that it was spent in most. The sampler takes 1 to 2 % itself.

With ``--count`` the calls of Python and of built-in functions are counted instead (``bench.counter``), which other work
on the machine does not move.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from bench.instrument import Checkout, standing
from bench.measure import BenchError, Variant, load
from bench.points import Point
from bench.processes import Processes
from bench.report import put_into
from bench.sampler import DIRECTORY

_HERE: Final = Path(__file__).parent.parent
# The innermost function whose file is named here says which step it was.
STEPS: Final[Mapping[str, str]] = {
    "asyncio/sslproto.py": "TLS",
    "ssl.py": "TLS",
    "asyncio/selector_events.py": "sockets",
    "asyncio/base_events.py": "event loop, wake-ups",
    "asyncio/events.py": "event loop, wake-ups",
    "selectors.py": "event loop, wake-ups",
    "gateway/worker/http2.py": "HTTP/2",
    "gateway/worker/wire.py": "gRPC headers and messages",
    "gateway/worker/call.py": "calls at both edges",
    "gateway/worker/edges.py": "calls at both edges",
    "gateway/worker/listener.py": "calls at both edges",
    "gateway/worker/context.py": "judging: agreement, caller, limits",
    "gateway/worker/callers.py": "judging: agreement, caller, limits",
    "gateway/worker/trust.py": "judging: agreement, caller, limits",
    "gateway/worker/budget.py": "judging: agreement, caller, limits",
    "core/statements.py": "statements: write, parse",
    "core/documents.py": "statements: write, parse",
    "core/payloads.py": "payloads: pack, digest",
    "core/leaves.py": "leaves and tree",
    "core/merkle.py": "leaves and tree",
    "ledger/tree.py": "leaves and tree",
    "gateway/worker/leaves.py": "leaves and tree",
    "gateway/worker/headkeeper.py": "heads: sign, verify",
    "core/heads.py": "heads: sign, verify",
    "core/jws.py": "heads: sign, verify",
    "pki/heads.py": "heads: sign, verify",
    **dict.fromkeys(
        [
            f"gateway/worker/{one}.py"
            for one in ("consumer", "provider", "exchange", "pipeline", "turn", "flow", "station", "doubts")
        ],
        "exchange: order of effects",
    ),
    "gateway/worker/witnesses.py": "frames on the road",
    "gateway/worker/peerlog.py": "believing what peers say",
    "core/frames.py": "frames on the road",
    "gateway/worker/frames.py": "frames on the road",
    "gateway/worker/road.py": "frames on the road",
    "gateway/worker/roads.py": "frames on the road",
    "gateway/worker/link.py": "frames on the road",
    "ledger/log.py": "log: pack, write, fdatasync",
    "ledger/commit.py": "log: pack, write, fdatasync",
    "ledger/records.py": "log: pack, write, fdatasync",
    "ledger/vault.py": "bodies: encrypt",
    "ledger/places.py": "bodies: encrypt",
    "ledger/heard.py": "log: pack, write, fdatasync",
    "ledger/reader.py": "reading the log",
    "ledger/index.py": "index",
    "gateway/control/index.py": "index",
    "gateway/worker/main.py": "reports to control",
    "gateway/channel.py": "reports to control",
    "gateway/control/supervisor.py": "reports to control",
}
_REST: Final = "the rest"
_ROLES: Final = ("consumer", "provider", "control")


def step_of(stack: Iterable[str]) -> str:
    """The step of the innermost function that belongs to one."""
    files = [one.rpartition(":")[0] for one in stack]
    for file in files:
        for suffix, step in STEPS.items():
            if file.endswith(f"/{suffix}"):
                return step
    return _REST


def steps_of(profile: Mapping[str, Any], calls: int) -> Counter[str]:
    """CPU in us per call by step; what no Python thread used is the rest."""
    found: Counter[str] = Counter()
    for _, stack, seconds in profile["stacks"]:
        found[step_of(stack)] += seconds * 1e6 / calls
    missing = profile["process"] * 1e6 / calls - found.total()
    if missing > 0:
        found[_REST] += missing
    return found


def functions_of(profile: Mapping[str, Any], calls: int) -> Counter[str]:
    """CPU in us per call by the innermost function, its built-in ones with it."""
    found: Counter[str] = Counter()
    for _, stack, seconds in profile["stacks"]:
        file, _, name = stack[0].rpartition(":") if stack else ("", "", "native code")
        found[f"{'/'.join(file.split('/')[-3:])}: {name}"] += seconds * 1e6 / calls
    return found


def counts_of(profile: Mapping[str, Any], calls: int) -> Counter[str]:
    """Calls of Python's and of built-in functions, per call of a program, by the step that calls them."""
    found: Counter[str] = Counter()
    for kind in ("python", "builtin"):
        for function, count in profile[kind].items():
            found[step_of([function])] += count / calls
    return found


def table(by_role: Mapping[str, Counter[str]], unit: str = "us") -> list[str]:
    """The steps as a table in Markdown, the dearest first; ``unit`` is what is told of each."""
    total: Counter[str] = Counter()
    for found in by_role.values():
        total.update(found)
    lines = [f"| Step, {unit} | {' | '.join(by_role)} |", "|---|" + "---|" * len(by_role)]
    digits = 1 if total.total() >= 100 else 2
    for step, _ in total.most_common():
        cells = " | ".join(f"{found[step]:.{digits}f}" for found in by_role.values())
        lines.append(f"| {step} | {cells} |")
    sums = " | ".join(f"**{found.total():.{digits - 1}f}**" for found in by_role.values())
    return [*lines, f"| all | {sums} |"]


def _profiles(variant: Variant, directory: Path) -> dict[str, list[dict[str, Any]]]:
    pids = {**variant.workers, "control": variant.control}
    for pid in (pid for some in pids.values() for pid in some):
        os.kill(pid, signal.SIGUSR2)
    found: dict[str, list[dict[str, Any]]] = {}
    for role, some in pids.items():
        for pid in some:
            found.setdefault(role, []).append(json.loads(_until_written(directory / f"{pid}.json")))
    return found


def _until_written(path: Path, seconds: float = 30.0) -> str:
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            raise BenchError(f"no profile in {path}")
        time.sleep(0.05)
    return path.read_text()


def _merged(profiles: Iterable[Mapping[str, Any]], count: Any, calls: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for profile in profiles:
        found.update(count(profile, calls))
    return found


def _run(options: argparse.Namespace) -> None:
    point = Point(options.size, options.in_flight, options.messages)
    calls = options.messages or options.calls
    directory: Path = options.directory / "profiles"
    directory.mkdir(parents=True)
    os.environ[DIRECTORY] = str(directory.absolute())
    processes = Processes(options.directory / "logs")
    tool = "bench.counter" if options.count else "bench.sampler"
    site = f"import {tool}\n{tool}.install()\n"
    with standing(Checkout("here", _HERE, options.directory / "here"), site=site) as variant:
        pids = [pid for some in (*variant.workers.values(), variant.control) for pid in some]
        amount = {} if options.messages else {"calls": calls}
        with load(processes, variant, point, **amount) as run:
            for pid in pids:
                os.kill(pid, signal.SIGUSR1)
            result = run()
            time.sleep(1.2)
            profiles = _profiles(variant, directory)
    if result["bad"]:
        raise BenchError(f"{result['bad']} failed, first: {result['first_failure']}")
    if options.count:
        lines = table({role: _merged(profiles[role], counts_of, calls) for role in _ROLES}, "calls")
    else:
        lines = table({role: _merged(profiles[role], steps_of, calls) for role in _ROLES})
    text = "\n".join([f"{point}, {calls:,} calls or messages", "", *lines])
    print(text)
    if options.document:
        put_into(options.document, options.place, text)
    for role in _ROLES if options.functions and not options.count else ():
        print(f"\n{role}")
        for name, us in _merged(profiles[role], functions_of, calls).most_common(options.functions):
            print(f"  {us:6.1f}  {name}")


def main() -> int:
    """Profile; 1 if that could not be done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=0, help="a server stream of so many instead of calls")
    parser.add_argument(
        "--functions", type=int, default=15, help="so many of the dearest functions are named"
    )
    parser.add_argument("--count", action="store_true", help="count calls of functions instead")
    parser.add_argument("--document", type=Path, metavar="PAGE", help="put the table there")
    parser.add_argument("--place", default="profile", help="between <!-- PLACE --> and <!-- /PLACE -->")
    parser.add_argument("--directory", type=Path, default=Path("var/profile"), help="emptied first")
    options = parser.parse_args()
    shutil.rmtree(options.directory, ignore_errors=True)
    try:
        _run(options)
    except (BenchError, TimeoutError) as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
