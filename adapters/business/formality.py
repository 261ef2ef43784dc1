"""One formality, as its dossier keeps it: what was asked for, and who is concerned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.business.capital import Share
from adapters.kit.dossier import Dossier
from bj.business.v1 import formality_pb2 as pb

# Steps of the work, as GetDossier shows them.
IDENTITY: Final = "identity"
NAME: Final = "name"
RCCM: Final = "rccm"
IFU: Final = "ifu"
CNSS: Final = "cnss"

STEPS: Final = {
    pb.FORMALITY_KIND_CREATE: (IDENTITY, NAME, RCCM, IFU, CNSS),
    pb.FORMALITY_KIND_MODIFY: (IDENTITY, NAME, RCCM),
    pb.FORMALITY_KIND_STRIKE_OFF: (IDENTITY, RCCM),
}


@dataclass(frozen=True, slots=True)
class Formality:
    """What a dossier asks for; ``request`` is as it came, without the application, which is the dossier's."""

    request: pb.SubmitFormalityRequest
    applicant_npi: str

    def __repr__(self) -> str:
        return "Formality(…)"

    @classmethod
    def of(cls, dossier: Dossier) -> Formality:
        """That of a dossier."""
        return cls(pb.SubmitFormalityRequest.FromString(dossier.details), dossier.applicant_npi)

    @property
    def kind(self) -> pb.FormalityKind.ValueType:
        """What is to be done."""
        return self.request.kind

    @property
    def steps(self) -> tuple[str, ...]:
        """Its steps; a change that leaves the name has none for it."""
        steps = STEPS[self.kind]
        is_renamed = bool(self.request.name_token)
        return tuple(step for step in steps if step != NAME or is_renamed)

    @property
    def shares(self) -> list[Share]:
        """Who is to hold what."""
        return [
            Share(partner.party.npi or partner.party.ifu, partner.share_xof)
            for partner in self.request.partners
        ]

    @property
    def managers(self) -> list[str]:
        """Who is to run it: NPI."""
        return [manager.npi for manager in self.request.managers]

    @property
    def people(self) -> list[str]:
        """The distinct persons that it names, in the order of the request: NPI."""
        named = [self.applicant_npi, *self.managers]
        named += [partner.party.npi for partner in self.request.partners]
        return [npi for npi in dict.fromkeys(named) if npi]


def stored(request: pb.SubmitFormalityRequest) -> bytes:
    """What a dossier keeps of a request."""
    kept = pb.SubmitFormalityRequest()
    kept.CopyFrom(request)
    kept.ClearField("application")
    return kept.SerializeToString()
