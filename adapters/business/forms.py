"""Legal forms: what the register asks of each.

Letters of the register and of the tax number: DOMAIN sections 1.4 and 2 (A). Numbers of partners and the capital of an
SA follow OHADA's acts (D); they stand here and nowhere else, so that a correction is one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from bj.business.v1 import business_pb2 as pb

LegalForm: TypeAlias = "pb.LegalForm.ValueType"

# Digits by which a tax number begins: a man, a woman, a company.
IFU_MAN: Final = "1"
IFU_WOMAN: Final = "2"
IFU_COMPANY: Final = "3"


@dataclass(frozen=True, slots=True)
class Form:
    """One legal form.

    Attributes:
        abbreviation: As people write it, ``SARL``.
        letter: In the number of the trade register.
        partners: Fewest and most who hold shares.
        least_capital_xof: Below it a firm of this form is not registered.
        is_person: Whether the firm is its owner: no capital, no partners, one who runs it, his own kind of tax number.
    """

    abbreviation: str
    letter: str
    partners: tuple[int, int]
    least_capital_xof: int = 0
    is_person: bool = False


# As many as SubmitFormalityRequest.partners holds.
_MANY: Final = 100

FORMS: Final[dict[LegalForm, Form]] = {
    pb.LEGAL_FORM_ENTREPRENANT: Form("ENTREPRENANT", "E", (0, 0), is_person=True),
    pb.LEGAL_FORM_EI: Form("EI", "A", (0, 0), is_person=True),
    pb.LEGAL_FORM_SARL: Form("SARL", "B", (2, _MANY)),
    pb.LEGAL_FORM_SARLU: Form("SARLU", "B", (1, 1)),
    pb.LEGAL_FORM_SA: Form("SA", "B", (1, _MANY), least_capital_xof=10_000_000),
    pb.LEGAL_FORM_SAS: Form("SAS", "B", (1, _MANY)),
    pb.LEGAL_FORM_SNC: Form("SNC", "B", (2, _MANY)),
    pb.LEGAL_FORM_GIE: Form("GIE", "C", (2, _MANY)),
    pb.LEGAL_FORM_COOP: Form("COOP", "K", (5, _MANY)),
    pb.LEGAL_FORM_BRANCH: Form("BRANCH", "B", (0, 1)),
}
