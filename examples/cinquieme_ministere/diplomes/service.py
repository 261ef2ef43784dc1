"""Les méthodes du registre : un servicer gRPC ordinaire, et ce que la trousse fait pour lui."""

import grpc
import sqlalchemy as sa

from adapters.context import CallerContext
from adapters.kit.desk import Desk
from adapters.kit.documents import Line
from adapters.kit.dossier import Dossier
from adapters.kit.procedure import Procedure
from adapters.kit.purposes import REGISTRATION_DUTY, SERVICE_DELIVERY, require_purpose
from adapters.reasons import ProviderError, ProviderReason
from bj.common.v1 import document_pb2
from bj.diploma.v1 import diploma_pb2 as pb
from bj.diploma.v1.diploma_pb2_grpc import DiplomaServiceServicer
from core.language import Text
from diplomes.tables import DIPLOMAS

SERVICE_NAME = "bj.diploma.v1.DiplomaService"
DUPLICATE = "PS90501"


class DiplomaService(DiplomaServiceServicer):
    """Répond depuis la base ; qui appelle et pour quoi, la passerelle l'a vérifié."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def GetDiploma(
        self, request: pb.GetDiplomaRequest, context: grpc.ServicerContext
    ) -> pb.GetDiplomaResponse:
        """Le diplôme, s'il est à cette personne."""
        require_purpose(frozenset({SERVICE_DELIVERY, REGISTRATION_DUTY}))
        query = sa.select(DIPLOMAS).where(DIPLOMAS.c.number == request.number, DIPLOMAS.c.npi == request.npi)
        with self._desk.store.reading() as tx:
            found = tx.execute(query).first()
        if found is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        return pb.GetDiplomaResponse(
            number=found.number, series=found.series, year=found.year, honours=found.honours
        )

    def RequestDuplicate(
        self, request: pb.RequestDuplicateRequest, context: grpc.ServicerContext
    ) -> pb.RequestDuplicateResponse:
        """Ouvrir le dossier ; la même clé d'idempotence rend le même dossier."""
        require_purpose(frozenset({SERVICE_DELIVERY}))
        return self._desk.once(
            request.application.idempotency_key, request, lambda tx, caller: self._open(tx, caller, request)
        )

    def _open(
        self, tx: sa.Connection, caller: CallerContext, request: pb.RequestDuplicateRequest
    ) -> pb.RequestDuplicateResponse:
        mine = sa.select(DIPLOMAS.c.number).where(
            DIPLOMAS.c.number == request.number, DIPLOMAS.c.npi == request.application.applicant_npi
        )
        if tx.execute(mine).first() is None:
            raise ProviderError(ProviderReason.NOT_FOUND)
        dossier = self._desk.dossiers.open(tx, caller, request.application, subject=request.number)
        return pb.RequestDuplicateResponse(dossier=self._desk.dossiers.message(tx, dossier.reference))


class Duplicate(Procedure):
    """Ce qui se passe quand un agent accorde le duplicata : dans la même transaction que sa décision."""

    def granted(self, desk: Desk, tx: sa.Connection, dossier: Dossier) -> None:
        """Compter le duplicata et le signer."""
        lost = DIPLOMAS.c.number == dossier.subject
        tx.execute(DIPLOMAS.update().where(lost).values(duplicates=DIPLOMAS.c.duplicates + 1))
        diploma = tx.execute(sa.select(DIPLOMAS).where(lost)).one()
        desk.documents.issue(
            tx,
            dossier.reference,
            document_pb2.DOCUMENT_TYPE_OTHER,
            title=Text("Duplicata du diplôme", "Duplicate of the diploma"),
            lines=[
                Line(Text("N° du diplôme", "Diploma no."), diploma.number),
                Line(Text("Titulaire", "Holder"), diploma.holder),
                Line(Text("Série, année", "Series, year"), f"{diploma.series}, {diploma.year}"),
                Line(Text("Duplicata n°", "Duplicate no."), str(diploma.duplicates)),
            ],
            holder_names=[diploma.holder],
        )
