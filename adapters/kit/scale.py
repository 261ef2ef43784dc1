"""Fees by scale, in ``catalogue.toml``: from the price of what the dossier is about, in whole francs."""

from __future__ import annotations

import msgspec


class Bracket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One part of a scale, for prices up to ``up_to_xof``: a flat sum, or so many thousandths of the price."""

    up_to_xof: int | None = None
    flat_xof: int | None = None
    per_mille: int | None = None

    def __post_init__(self) -> None:
        if (self.flat_xof is None) == (self.per_mille is None):
            raise ValueError("a bracket is flat_xof or per_mille")
        if min(self.flat_xof or 0, self.per_mille or 0) < 0:
            raise ValueError("a fee is not negative")


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Brackets by rising price, the last without end, and a sum that comes on top."""

    brackets: tuple[Bracket, ...]
    plus_xof: int = 0

    def __post_init__(self) -> None:
        bounds = [bracket.up_to_xof for bracket in self.brackets]
        if not bounds or bounds[-1] is not None or None in bounds[:-1]:
            raise ValueError("the last bracket, and it alone, has no up_to_xof")
        rising = [bound for bound in bounds if bound is not None]
        if rising != sorted(set(rising)):
            raise ValueError("up_to_xof rises from bracket to bracket")

    def fee_xof(self, price_xof: int) -> int:
        """The fee for a price, rounded up to a franc: there is no smaller coin."""
        for bracket in self.brackets:
            if bracket.up_to_xof is None or price_xof <= bracket.up_to_xof:
                if bracket.flat_xof is not None:
                    return bracket.flat_xof + self.plus_xof
                return -(-price_xof * (bracket.per_mille or 0) // 1000) + self.plus_xof
        raise AssertionError("the last bracket has no end")
