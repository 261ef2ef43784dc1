"""What the ministry signs: the visa of a contract, and attestations."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.documents import Line
from adapters.labour.contract import ContractKind
from adapters.labour.contracts import FiledContract
from adapters.labour.days import add_months, start_of
from adapters.labour.employers import Employer, employer_of
from bj.common.v1 import document_pb2
from core.language import Text

_KINDS: Final = {
    ContractKind.CDI: Text("contrat à durée indéterminée", "contract without term"),
    ContractKind.CDD: Text("contrat à durée déterminée", "contract for a term"),
    ContractKind.APPRENTICESHIP: Text("contrat d'apprentissage", "contract of apprenticeship"),
    ContractKind.FOREIGN: Text("contrat d'un travailleur étranger", "contract of a foreign worker"),
    ContractKind.SEASONAL: Text("contrat saisonnier", "contract for a season"),
}


def stamp(desk: Desk, tx: sa.Connection, vised: FiledContract) -> None:
    """Sign the visa of a contract. It names the paper by its hash; salary and health stand in the paper only."""
    contract = vised.contract
    end = contract.term.end
    kind = _KINDS[contract.kind]
    lines = [
        Line(Text("N° de visa", "Visa no."), vised.visa_no),
        *_of_employer(employer_of(tx, vised.employer_id)),
        Line(Text("Travailleur", "Worker"), vised.worker_name),
        Line(Text("Contrat", "Contract"), f"{kind.fr} · {kind.en}"),
        Line(Text("Poste", "Post"), vised.post),
        Line(Text("Signé le", "Signed on"), _written(contract.signed_on)),
        Line(Text("Début", "From"), _written(contract.term.start)),
        Line(Text("Fin", "To"), _written(end) if end else "-"),
        Line(Text("Empreinte du contrat (SHA-256)", "Hash of the contract (SHA-256)"), vised.contract_sha256),
    ]
    desk.documents.issue(
        tx,
        vised.reference,
        document_pb2.DOCUMENT_TYPE_CONTRACT_VISA,
        title=Text("Visa d'un contrat de travail", "Visa of a contract of employment"),
        lines=lines,
        holder_names=[vised.worker_name],
        valid_until_ms=_last_instant(end) if end else 0,
    )


def attest(
    desk: Desk,
    tx: sa.Connection,
    reference: str,
    kind: document_pb2.DocumentType.ValueType,
    employer: Employer,
    *,
    says: Text,
    today: date,
    months: int,
    evidence_sha256: str,
) -> None:
    """Sign an attestation that holds for ``months``, 0 for ever."""
    lines = [Line(Text("Atteste", "Says"), f"{says.fr} · {says.en}"), *_of_employer(employer)]
    if evidence_sha256:
        lines.append(
            Line(Text("Empreinte de la pièce (SHA-256)", "Hash of the paper (SHA-256)"), evidence_sha256)
        )
    desk.documents.issue(
        tx,
        reference,
        kind,
        title=says,
        lines=lines,
        holder_names=[employer.name],
        valid_until_ms=_last_instant(add_months(today, months)) if months else 0,
    )


def _of_employer(employer: Employer) -> list[Line]:
    return [
        Line(Text("Employeur", "Employer"), employer.name),
        Line(Text("IFU", "Tax number"), employer.ifu),
    ]


def _written(day: date) -> str:
    return f"{day:%d/%m/%Y}"


def _last_instant(day: date) -> int:
    return start_of(day + timedelta(1)) - 1
