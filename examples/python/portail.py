"""Ce que les parcours du portail ont en commun : un dossier du citoyen, mené à travers sa propre passerelle.

Chaque appel porte la finalité et la référence du dossier ; la passerelle signe, consigne et conduit chez le fournisseur.
Un dossier est ouvert une fois (clé d'idempotence), payé, suivi jusqu'à sa décision, et ses documents sont vérifiés.
"""

from __future__ import annotations

import hashlib
import sys
import time
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from adapters.portal.applications import Applications
from bj.common.v1 import document_pb2 as doc
from bj.common.v1 import dossier_pb2 as dos
from bj.common.v1 import dossier_service_pb2 as dossiers
from bj.common.v1 import payment_pb2 as pay
from bj.common.v1.dossier_service_pb2_grpc import DossierServiceStub

FINAL = {
    dos.DOSSIER_STATE_GRANTED,
    dos.DOSSIER_STATE_REJECTED,
    dos.DOSSIER_STATE_CANCELLED,
    dos.DOSSIER_STATE_EXPIRED,
}


class Case:
    """Un dossier du citoyen auprès des ministères, du premier appel au dernier document."""

    def __init__(self, identity: Path, portal: Path, issue: str) -> None:
        """``identity`` : écrit par « program add » ; ``portal`` : adapter.toml du portail ; ``issue`` : la référence."""
        self.issue = issue
        where = tomllib.loads((identity / "passerelle.toml").read_text(encoding="utf-8"))
        self._client = where["subsystem"]
        self._applications = Applications.open(portal)
        self._channel = grpc.secure_channel(
            where["gateway"],
            grpc.ssl_channel_credentials(
                (identity / "ca.pem").read_bytes(),
                (identity / "identity.key").read_bytes(),
                (identity / "identity.crt").read_bytes(),
            ),
        )

    def __enter__(self) -> Case:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        self._applications.close()

    def ask(
        self, stub: Callable[[grpc.Channel], Any], method: str, request: Any, provider: str, purpose: str
    ) -> Any:
        """Un appel ; un refus sûr à répéter (fournisseur absent) est essayé trois fois."""
        call = getattr(stub(self._channel), method)
        metadata = (
            ("x-road-client", self._client),
            ("x-road-service", provider),
            ("x-road-purpose", purpose),
            ("x-road-issue", self.issue),
        )
        for attempt in (1, 2, 3):
            try:
                answer, sent = call.with_call(request, timeout=15, metadata=metadata)
            except grpc.RpcError as refused:
                # Une clé d'idempotence rend la répétition d'une écriture sûre, elle aussi.
                if refused.code() is not grpc.StatusCode.UNAVAILABLE or attempt == 3:
                    raise
                time.sleep(attempt)
            else:
                exchange = dict(sent.trailing_metadata()).get("x-road-exchange-id", "")
                print(f"  {method:<20} {provider:<20} {purpose}  échange {exchange}", flush=True)
                return answer
        raise AssertionError("unreachable")

    def application(self, provider: str, service_code: str, applicant_npi: str = "") -> dos.Application:
        """Une demande, connue du portail : la décision reviendra par ReportDecision avec son jeton."""
        made = self._applications.add(provider, self.issue)
        return dos.Application(
            idempotency_key=uuid.uuid4().hex,
            application_id=made.application_id,
            response_token=made.response_token,
            service_code=service_code,
            applicant_npi=applicant_npi,
            channel=dos.DOSSIER_CHANNEL_ONLINE,
        )

    def pay(self, dossier: dos.Dossier, provider: str, purpose: str) -> dos.Dossier:
        """Payer les frais, s'il y en a : ici l'opérateur confirme aussitôt ; au portail, c'est son rappel qui arrive."""
        if not dossier.fee.amount_xof:
            return dossier
        payment = pay.Payment(
            payment_ref=f"MOMO-{uuid.uuid4().hex[:16]}",
            channel=pay.PAYMENT_CHANNEL_MTN_MOMO,
            state=pay.PAYMENT_STATE_CONFIRMED,
            amount_xof=dossier.fee.amount_xof,
            receipt_no=f"Q-{uuid.uuid4().hex[:12]}",
        )
        payment.changed_at.GetCurrentTime()
        request = dossiers.ReportPaymentRequest(
            idempotency_key=uuid.uuid4().hex, reference=dossier.reference, payment=payment
        )
        paid: dos.Dossier = self.ask(DossierServiceStub, "ReportPayment", request, provider, purpose).dossier
        print(f"  payé {dossier.fee.amount_xof} F, {paid.reference}")
        return paid

    def wait(self, reference: str, provider: str, purpose: str, seconds: float = 120) -> dos.Dossier:
        """Suivre un dossier jusqu'à sa décision : ReportDecision prévient le portail, demander rattrape la perte."""
        end, pause, state = time.monotonic() + seconds, 0.2, None
        request = dossiers.GetDossierRequest(reference=reference)
        while True:
            dossier: dos.Dossier = self.ask(
                DossierServiceStub, "GetDossier", request, provider, purpose
            ).dossier
            if dossier.state != state:
                state = dossier.state
                print(
                    f"  {reference} : {dos.DossierState.Name(state).removeprefix('DOSSIER_STATE_')}",
                    flush=True,
                )
            if state in FINAL or time.monotonic() > end:
                return dossier
            time.sleep(pause)
            pause = min(2 * pause, 5)

    def fetch(self, dossier: dos.Dossier, provider: str, purpose: str, out: Path) -> list[Path]:
        """Retirer les documents signés dans ``out`` ; l'empreinte de chacun est comparée."""
        files = []
        out.mkdir(parents=True, exist_ok=True)
        for one in dossier.documents:
            request = dossiers.GetDocumentRequest(reference=dossier.reference, doc_id=one.doc_id)
            got = self.ask(DossierServiceStub, "GetDocument", request, provider, purpose)
            if hashlib.sha256(got.content).hexdigest() != one.sha256:
                raise ValueError(f"{one.doc_id} : ce n'est pas le document signé")
            path = out / f"{one.doc_id}.pdf"
            path.write_bytes(got.content)
            files.append(path)
            print(f"  document {doc.DocumentType.Name(one.type).removeprefix('DOCUMENT_TYPE_')} -> {path}")
        return files


def told(refused: grpc.RpcError) -> int:
    """Dire un refus comme la passerelle le dit ; le même texte est aux journaux des deux côtés."""
    print(f"{refused.code().name} {refused.details()}", file=sys.stderr)
    return 1
