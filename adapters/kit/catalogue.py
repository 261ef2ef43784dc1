"""The services of the national catalogue that a ministry gives: names, fees, promised delays.

A TOML file of each ministry, which ``catalogue = "…"`` in ``adapter.toml`` replaces: a new fee is data. Example::

    [[service]]
    code = "PS90201"
    fr = "État descriptif d'un titre foncier"
    en = "State of a land title"
    prefix = "ANDF"                 # of the dossiers' references
    fee_xof = 5500                  # or fee = "by-scale", below, or as the ministry computes it
    delay_working_hours = 24        # or delay_working_days = 8, delay_days = 120; none for what is given at once
    documents = ["TITLE_STATE"]     # what a granted dossier gives, DocumentType of bj.common.v1, or OTHER
    reliability = "B"               # sureness of fee and delay, DOMAIN: A to D, INV for invented
    [[service.paper]]               # what the applicant hands in
    fr = "Numéro du titre"
    en = "Number of the title"

A fee by scale goes by the price of what the dossier is about; ``Prestation.scale`` computes it::

    [service.scale]
    plus_xof = 500
    brackets = [{ up_to_xof = 10_000_000, per_mille = 3 }, { flat_xof = 30_000 }]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from adapters.kit.scale import Scale
from adapters.reasons import InvalidFieldsError
from bj.common.v1 import document_pb2
from core.language import Text
from rpc.settings import load_settings

Reliability = Literal["A", "B", "C", "D", "INV"]
_DOCUMENT: Final = "DOCUMENT_TYPE_"
# What a catalogue may name; OTHER is for a ministry whose documents have no type of their own.
_DOCUMENTS: Final = tuple(
    name.removeprefix(_DOCUMENT) for name, number in document_pb2.DocumentType.items() if number
)


class _Paper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fr: str
    en: str


class _Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    code: str
    fr: str
    en: str
    prefix: str
    fee_xof: int | None = None
    fee: Literal["by-scale"] | None = None
    scale: Scale | None = None
    delay_working_hours: int = 0
    delay_working_days: int = 0
    delay_days: int = 0
    documents: tuple[str, ...] = ()
    reliability: Reliability = "INV"
    paper: tuple[_Paper, ...] = ()

    def __post_init__(self) -> None:
        if len(self.code) != 7 or not self.code.startswith("PS") or not self.code[2:].isdecimal():
            raise ValueError("code: must be written PS00024")
        if not 3 <= len(self.prefix) <= 6 or not (self.prefix.isascii() and self.prefix.isalpha()):
            raise ValueError("prefix: 3 to 6 capital letters")
        if self.prefix != self.prefix.upper():
            raise ValueError("prefix: 3 to 6 capital letters")
        if (self.fee_xof is None) == (self.fee is None):
            raise ValueError('fee_xof: an amount, or fee = "by-scale"')
        if self.fee_xof is not None and self.fee_xof < 0:
            raise ValueError("fee_xof: an amount")
        if self.scale is not None and self.fee is None:
            raise ValueError('scale: goes with fee = "by-scale"')
        delays = (self.delay_working_hours, self.delay_working_days, self.delay_days)
        if min(delays) < 0 or sum(map(bool, delays)) > 1:
            raise ValueError("delay: one of delay_working_hours, delay_working_days, delay_days")
        for name in self.documents:
            if name not in _DOCUMENTS:
                known = ", ".join(_DOCUMENTS)
                raise ValueError(f"documents: {name[:40]!r} is no type of document, which are: {known}")


class _CatalogueFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    service: tuple[_Service, ...]

    def __post_init__(self) -> None:
        if len({service.code for service in self.service}) != len(self.service):
            raise ValueError("service: a code stands there twice")


@dataclass(frozen=True, slots=True)
class Prestation:
    """One service of the national catalogue.

    Attributes:
        code: ``PS90201``.
        name: For people.
        prefix: Letters of its dossiers' references.
        fee_xof: What it costs, 0 if nothing; None if it is computed for each dossier, by ``scale``.
        delay_working_hours: Promised delay, of which at most one of the three is not 0.
        delay_working_days: The same in working days.
        delay_days: The same in days of the calendar.
        documents: Types of the documents that a granted dossier gives.
        papers: What the applicant hands in.
        reliability: Sureness of all this, DOMAIN.
        scale: Of the fee, if that goes by a price.
    """

    code: str
    name: Text
    prefix: str
    fee_xof: int | None = 0
    delay_working_hours: int = 0
    delay_working_days: int = 0
    delay_days: int = 0
    documents: tuple[document_pb2.DocumentType.ValueType, ...] = ()
    papers: tuple[Text, ...] = ()
    reliability: Reliability = "INV"
    scale: Scale | None = None

    def fee_for(self, price_xof: int) -> int:
        """What it costs for something of that price: by its scale, or its fixed fee."""
        return self.scale.fee_xof(price_xof) if self.scale else self.fee_xof or 0


class Catalogue:
    """One ministry's services, by their code."""

    def __init__(self, prestations: Mapping[str, Prestation]) -> None:
        self._prestations = dict(prestations)

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read a catalogue.

        Raises:
            SettingsError: The file is missing or malformed, or names a code twice.
        """
        read = load_settings(path, _CatalogueFile)
        return cls({service.code: _prestation(service) for service in read.service})

    def __getitem__(self, code: str) -> Prestation:
        """The service of that code.

        Raises:
            InvalidFieldsError: This ministry has no such service; the field is ``application.service_code``.
        """
        try:
            return self._prestations[code]
        except KeyError:
            raise InvalidFieldsError(
                {"application.service_code": "this ministry has no such service"}
            ) from None

    def find(self, code: str) -> Prestation | None:
        """The service of that code, for a dossier that may have been opened under another catalogue."""
        return self._prestations.get(code)

    def __iter__(self) -> Iterator[Prestation]:
        return iter(self._prestations.values())

    def __len__(self) -> int:
        return len(self._prestations)


def _prestation(service: _Service) -> Prestation:
    return Prestation(
        code=service.code,
        name=Text(service.fr, service.en),
        prefix=service.prefix,
        fee_xof=service.fee_xof,
        delay_working_hours=service.delay_working_hours,
        delay_working_days=service.delay_working_days,
        delay_days=service.delay_days,
        documents=tuple(document_pb2.DocumentType.Value(f"{_DOCUMENT}{name}") for name in service.documents),
        papers=tuple(Text(paper.fr, paper.en) for paper in service.paper),
        reliability=service.reliability,
        scale=service.scale,
    )
