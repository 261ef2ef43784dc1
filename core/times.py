"""Times in documents: RFC 3339 in UTC to the second, ``2026-11-23T09:14:07Z``, written one way only."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from core.reasons import MalformedError, Reason

# Whatever is later has no calendar date that could be shown.
MAX_TIME_MS: Final = 253_402_300_799_999

# Years of four digits that do not begin with zeros, since 1970: earlier ones are written otherwise than they are read.
_FORM = re.compile(r"(?:19[7-9]|[2-9][0-9]{2})[0-9]-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def parse_time_ms(text: str) -> int:
    """UTC milliseconds of a document's time; raises ``MalformedError``."""
    try:
        if not _FORM.fullmatch(text):
            raise ValueError
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise MalformedError(Reason.DOCUMENT_INVALID, f"not a UTC time: {text[:40]!a}") from None
    return int(moment.timestamp()) * 1000


def format_time_ms(now_ms: int) -> str:
    """The written form of UTC milliseconds, cut to the second."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
