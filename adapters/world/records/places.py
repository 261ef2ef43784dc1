"""Where something is."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A quarter and all that it lies in; ``code`` is the quarter's, ``LI-COT-05-012``.

    Names are written with their accents (``Abomey-Calavi``): only the register of persons has none.
    """

    code: str
    department: str
    commune: str
    arrondissement: str
    quarter: str

    @property
    def department_code(self) -> str:
        """``LI``."""
        return self.code[:2]

    @property
    def commune_code(self) -> str:
        """``LI-COT``."""
        return self.code[:6]

    @property
    def arrondissement_code(self) -> str:
        """``LI-COT-05``."""
        return self.code[:9]
