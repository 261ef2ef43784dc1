"""structlog for every process: one event, one line of JSON (DESIGN section 9, RELIABILITY section 6).

What a stranger sent can stand in a field: it is escaped, shortened, and can neither end the line nor colour a
terminal. No metadata value, body, key, token or personal number is ever handed to a logger in the first place.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

MAX_VALUE_CHARACTERS: Final = 1024


def configure_logs(process: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send events as JSON lines to ``stream`` (standard error by default).

    Args:
        process: What the process is, ``registry`` or ``gateway-control``; stands in each event.
        level: Events below it are dropped.
        stream: Where to.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _naming(process),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _shorten,
            # ASCII only: line ends, terminal codes and direction marks become \uXXXX.
            structlog.processors.JSONRenderer(ensure_ascii=True, default=_as_text),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Only where nobody else listens: under a test runner there are handlers already.
    logging.basicConfig(handlers=[_LibraryEvents()], level=logging.WARNING)


class _LibraryEvents(logging.Handler):
    """What asyncio, grpcio and others log becomes an event too: their text may quote what a stranger sent."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record, one event."""
        try:
            text = record.getMessage()
        except Exception:  # a library's own mistake must not end whoever logged
            text = str(record.msg)
        structlog.get_logger().log(
            record.levelno, "library", library=record.name, text=text, exc_info=record.exc_info
        )


def _naming(process: str) -> Processor:
    def name(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return name


def _shorten(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        # Tracebacks tell where we failed; all else is bounded.
        if isinstance(value, str) and name != "exception" and len(value) > MAX_VALUE_CHARACTERS:
            event[name] = value[:MAX_VALUE_CHARACTERS] + "…"
    return event


def _as_text(value: Any) -> str:
    # str() of identifiers is their written form; bytes are never logged.
    return (
        "(bytes)" if isinstance(value, (bytes, bytearray, memoryview)) else str(value)[:MAX_VALUE_CHARACTERS]
    )
