"""Whether the logs of a gateway hold annexes of a year: then its key is not to be made anew (PROTOCOL M13)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path

from core.language import Text
from core.payloads import SALT_BYTES
from core.pseudonyms import parse_annex
from core.reasons import ExchangeError, Reason
from ledger.places import LogPlace, log_places
from ledger.reader import LogReader
from ledger.records import AttachmentKind


def require_no_annexes(gateway: Path, years: AbstractSet[int]) -> None:
    """Refuse if a log here, closed or not, names somebody by a pseudonym of one of ``years``.

    Raises:
        ExchangeError: ``STATE_CONFLICT``: one does. Or a log cannot be read, so that nobody knows.
    """
    for place in _places(gateway):
        for stored in LogReader(place.segments, follows_bodies=False).follow():
            for kind, kept in stored.attachments:
                if kind is not AttachmentKind.ANNEX:
                    continue
                annex = parse_annex(kept[SALT_BYTES:])
                if annex.year in years and annex.pseudonyms:
                    raise _noted(annex.year, annex.key)


def _places(gateway: Path) -> list[LogPlace]:
    try:
        return log_places(gateway)
    except ExchangeError as error:
        if error.reason is not Reason.NOT_FOUND:
            raise
        return []  # a gateway that is being founded


def _noted(year: int, key: str) -> ExchangeError:
    return ExchangeError(
        Reason.STATE_CONFLICT,
        f"the log holds annexes of {year}, made by key {key}, which is not here: with a new one nobody is found in them",
        remedy=Text(
            f"remettre keys/pseudonyms/{year}.key de sa sauvegarde, ou celle d'une autre passerelle du membre (--from) ; "
            "si elle est perdue pour de bon : --anew",
            f"put keys/pseudonyms/{year}.key back from its backup, or take another gateway's of the member (--from); "
            "if it is lost for good: --anew",
        ),
    )
