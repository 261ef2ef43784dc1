"""What stands on the papers that ANDF signs. Holders are named, their numbers are not shown."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import sqlalchemy as sa

from adapters.kit.documents import Line
from adapters.land.book import TitleState
from bj.land.v1 import parcel_pb2
from core.language import Text

_CAPACITY: Final = {
    "OWNER": "propriétaire",
    "USUFRUCT": "usufruitier",
    "BARE_OWNER": "nu-propriétaire",
    "HEIR": "héritier indivis",
    "LONG_LEASE": "emphytéote",
}
_TITLE_NO: Final = Text("Titre foncier", "Land title")
_HOLDER: Final = Text("Titulaire", "Holder")


def title_state_lines(state: TitleState) -> list[Line]:
    """Lines of an état descriptif: as many facts as its answer has."""
    answer = state.answer
    lines = [
        Line(_TITLE_NO, answer.title_no),
        Line(Text("NUP", "NUP"), answer.nup or "-"),
        Line(Text("Livre foncier", "Land book"), answer.book),
    ]
    for holder, name in zip(answer.holders, state.names, strict=True):
        share = Fraction(holder.share.numerator, holder.share.denominator)
        capacity = parcel_pb2.HolderCapacity.Name(holder.capacity).removeprefix("HOLDER_CAPACITY_")
        lines.append(Line(_HOLDER, _holder(name, share, capacity)))
    if answer.origin:
        lines.append(Line(Text("Origine", "Origin"), answer.origin))
    for mortgage in answer.mortgages:
        secured = f"rang {mortgage.rank}, {mortgage.creditor}, {mortgage.amount_xof} F CFA"
        lines.append(Line(Text("Hypothèque", "Mortgage"), secured))
    lines += [Line(Text("Restriction", "Restriction"), text) for text in answer.restrictions]
    lines += [Line(Text("Litige", "Dispute"), text) for text in answer.disputes]
    if not answer.mortgages:
        lines.append(Line(Text("Hypothèques", "Mortgages"), "néant"))
    return lines


def title_lines(title_no: str, parcel: sa.Row[Any], rights: Sequence[sa.Row[Any]]) -> list[Line]:
    """Lines of a land title, or of a certificate of belonging where ``title_no`` is empty."""
    lines = [Line(_TITLE_NO, title_no)] if title_no else []
    lines += [
        Line(Text("NUP", "NUP"), parcel.nup),
        Line(Text("Commune", "Commune"), parcel.commune),
        Line(Text("Superficie", "Area"), f"{parcel.surveyed_area_m2 or parcel.calculated_area_m2:.2f} m²"),
    ]
    for row in rights:
        share = Fraction(row.numerator, row.denominator)
        lines.append(Line(_HOLDER, _holder(row.party_name, share, row.capacity)))
    return lines


def _holder(name: str, share: Fraction, capacity: str) -> str:
    part = "la totalité" if share == 1 else f"{share.numerator}/{share.denominator}"
    return f"{name or '-'}, {part}, {_CAPACITY[capacity]}"
