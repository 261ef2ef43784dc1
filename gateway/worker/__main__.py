"""``python -m gateway.worker --config gateway.toml --worker 0 --channel FD [--lifeline FD]``; started by control."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import structlog

from core.reasons import ExchangeError
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings
from gateway.worker.main import serve
from rpc.logs import configure_logs
from rpc.settings import load_settings


def main() -> int:
    """Run the worker; exit 1 on a fault, with its reason on standard error."""
    parser = argparse.ArgumentParser(prog="gateway.worker")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--worker", type=int, required=True)
    parser.add_argument("--channel", type=int, default=-1)
    parser.add_argument("--lifeline", type=int, default=None)
    parser.add_argument("--shared-ports", default="")
    arguments = parser.parse_args()
    configure_logs("gateway-worker")
    try:
        settings = load_settings(arguments.config, GatewaySettings)
        directory = GatewayDirectory.of(arguments.config)
        return asyncio.run(
            serve(
                settings,
                directory,
                arguments.worker,
                arguments.channel,
                arguments.lifeline,
                [int(one) for one in arguments.shared_ports.split(",") if one],
            )
        )
    except ExchangeError as error:
        structlog.get_logger("gateway.worker").error(
            "worker.failed", reason=str(error.reason), why=str(error)
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
