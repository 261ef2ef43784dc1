"""Who holds what of a firm, and what its form allows: checked before a formality is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adapters.business.forms import FORMS, LegalForm


@dataclass(frozen=True, slots=True)
class Share:
    """What one partner brings in: his number (NPI or IFU) and the amount."""

    holder: str = field(repr=False)
    amount_xof: int


def capital_violations(
    legal_form: LegalForm, capital_xof: int, shares: Sequence[Share], managers: Sequence[str]
) -> dict[str, str]:
    """What keeps a firm of that form from being registered: per field of the request what it must be; empty if nothing.

    Texts name fields and rules, never holders.
    """
    form = FORMS[legal_form]
    found: dict[str, str] = {}
    fewest, most = form.partners
    if not fewest <= len(shares) <= most:
        found["partners"] = f"{form.abbreviation}: {_range(fewest, most)} needed"
    elif len({share.holder for share in shares}) != len(shares):
        found["partners"] = "each holder stands once"
    elif shares and any(share.amount_xof == 0 for share in shares) and capital_xof:
        found["partners"] = "each partner of a firm with capital brings something in"
    elif sum(share.amount_xof for share in shares) != capital_xof and (shares or not form.is_person):
        found["capital_xof"] = "must be the sum of the shares"
    if form.is_person and capital_xof:
        found["capital_xof"] = f"{form.abbreviation}: must be 0"
    elif capital_xof < form.least_capital_xof:
        found["capital_xof"] = f"{form.abbreviation}: at least {form.least_capital_xof}"
    if form.is_person and len(set(managers)) != 1:
        found["managers"] = f"{form.abbreviation}: the owner and nobody else"
    elif len(set(managers)) != len(managers):
        found["managers"] = "each manager stands once"
    return found


def _range(fewest: int, most: int) -> str:
    if fewest == most:
        return "none" if most == 0 else f"exactly {most}"
    return f"{fewest} to {most}"
