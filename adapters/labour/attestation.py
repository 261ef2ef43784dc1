"""Attestations, visas of internal rules and leave to dismiss: an officer decides, the ministry signs.

A dispute with the employer is S3: no step, reason or event says that there is one. While it is open, nobody can grant an
attestation that there is none.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from adapters.kit.calendar import day_of
from adapters.kit.desk import Desk
from adapters.kit.dossier import Dossier
from adapters.kit.procedure import Procedure
from adapters.labour.employers import employer_of, has_open_dispute
from adapters.labour.prestations import ATTESTATION_DOCUMENTS
from adapters.labour.ruleset import rules_of
from adapters.labour.stamp import attest
from adapters.labour.tables import ATTESTATIONS
from adapters.reasons import InvalidFieldsError, ProviderError, ProviderReason
from bj.labour.v1 import visa_pb2
from core.language import Text

# Kinds, as the register and ``rules.toml`` write them.
KINDS: Final = {
    visa_pb2.ATTESTATION_KIND_NON_LITIGE: "non_litige",
    visa_pb2.ATTESTATION_KIND_SERVICE_FAIT: "service_fait",
    visa_pb2.ATTESTATION_KIND_REGLEMENT_INTERIEUR: "reglement_interieur",
    visa_pb2.ATTESTATION_KIND_LICENCIEMENT_ECO: "licenciement_eco",
}
# These are about a paper, the others are not.
_WITH_EVIDENCE: Final = frozenset(
    {
        visa_pb2.ATTESTATION_KIND_REGLEMENT_INTERIEUR,
        visa_pb2.ATTESTATION_KIND_LICENCIEMENT_ECO,
    }
)
_SAYS: Final = {
    visa_pb2.ATTESTATION_KIND_NON_LITIGE: Text(
        "aucun litige du travail n'est en cours", "no labour dispute is pending"
    ),
    visa_pb2.ATTESTATION_KIND_SERVICE_FAIT: Text("le service a été fait", "the service was done"),
    visa_pb2.ATTESTATION_KIND_REGLEMENT_INTERIEUR: Text(
        "le règlement intérieur est visé", "the rules of the undertaking have their visa"
    ),
    visa_pb2.ATTESTATION_KIND_LICENCIEMENT_ECO: Text(
        "le licenciement pour motif économique est autorisé", "dismissal for economic reasons is allowed"
    ),
}


def require_evidence(kind: visa_pb2.AttestationKind.ValueType, evidence_sha256: str) -> None:
    """A paper where there must be one, and none elsewhere; raises ``InvalidFieldsError``."""
    if (kind in _WITH_EVIDENCE) != bool(evidence_sha256):
        must = "needed for this kind" if kind in _WITH_EVIDENCE else "must be empty for this kind"
        raise InvalidFieldsError({"evidence_sha256": must})


def enter_attestation(
    tx: sa.Connection,
    reference: str,
    kind: visa_pb2.AttestationKind.ValueType,
    employer_id: int,
    evidence_sha256: str,
) -> None:
    """Enter what a new dossier asks for."""
    tx.execute(
        ATTESTATIONS.insert().values(
            reference=reference, employer_id=employer_id, kind=KINDS[kind], evidence_sha256=evidence_sha256
        )
    )


class Attestation(Procedure):
    """What happens when a dossier of one kind is granted."""

    def __init__(self, kind: visa_pb2.AttestationKind.ValueType) -> None:
        self._kind = kind

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Sign it.

        Raises:
            ProviderError: A dispute is open (STATE_CONFLICT), and this would say that there is none.
        """
        query = sa.select(ATTESTATIONS.c.employer_id, ATTESTATIONS.c.evidence_sha256)
        found = tx.execute(query.where(ATTESTATIONS.c.reference == dossier.reference)).one()
        is_about_disputes = self._kind == visa_pb2.ATTESTATION_KIND_NON_LITIGE
        if is_about_disputes and has_open_dispute(tx, found.employer_id):
            raise ProviderError(ProviderReason.STATE_CONFLICT)
        attest(
            desk,
            tx,
            dossier.reference,
            ATTESTATION_DOCUMENTS[self._kind],
            employer_of(tx, found.employer_id),
            says=_SAYS[self._kind],
            today=day_of(desk.clock.now_ms()),
            months=getattr(rules_of(desk).attestations, KINDS[self._kind]),
            evidence_sha256=found.evidence_sha256,
        )
