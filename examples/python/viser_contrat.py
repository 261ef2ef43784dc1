r"""Faire viser un contrat de travail : employeur, travailleur, situation d'emploi, dépôt, décision de l'inspection.

    python examples/python/viser_contrat.py IDENTITE PORTAIL DOSSIER IFU NPI SALAIRE [REPERTOIRE]
    python examples/python/viser_contrat.py var/up/programs/BJ.GOV.PNS.PORTAIL.portail \
        var/up/members/BJ.GOV.PNS/adapter/adapter.toml CTR-202611-0001 3202690000110 0000000001 90000 \
        var/up/documents

L'agent de l'inspection décide entre-temps : « passerelle adapter dossier review|grant ».
"""

import hashlib
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import grpc
from portail import Case, told

from bj.business.v1 import business_pb2 as biz
from bj.business.v1.business_pb2_grpc import BusinessServiceStub
from bj.common.v1 import dossier_pb2 as dos
from bj.identity.v1.identity_pb2 import GetPersonRequest
from bj.identity.v1.identity_pb2_grpc import IdentityServiceStub
from bj.labour.v1 import labour_pb2 as labour
from bj.labour.v1 import visa_pb2 as visa
from bj.labour.v1.labour_pb2_grpc import LabourServiceStub
from bj.labour.v1.visa_pb2_grpc import LabourDossierServiceStub

ANIP, APIEX, MTFP = "BJ/GOV/ANIP/RNPP", "BJ/GOV/APIEX/RCCM", "BJ/GOV/MTFP/TRAVAIL"
CONTRACT_VISA = "PS90401"


def file(case: Case, ifu: str, npi: str, salary_xof: int, out: Path) -> dos.Dossier:
    """Vérifier les deux parties, déposer, mener à la décision."""
    firm = case.ask(BusinessServiceStub, "GetBusiness", biz.GetBusinessRequest(ifu=ifu), APIEX, "P02")
    if firm.status != biz.BUSINESS_STATUS_ACTIVE:
        raise ValueError(f"{firm.name} n'est pas en activité")
    case.ask(LabourServiceStub, "GetEmployer", labour.GetEmployerRequest(ifu=ifu), MTFP, "P02")
    case.ask(IdentityServiceStub, "GetPerson", GetPersonRequest(npi=npi), ANIP, "P02")
    status = case.ask(
        LabourServiceStub, "GetEmploymentStatus", labour.GetEmploymentStatusRequest(npi=npi), MTFP, "P02"
    )
    print(f"  contrats en cours du travailleur : {status.open_contracts}")
    today = datetime.now(ZoneInfo("Africa/Porto-Novo")).date()
    start = today + timedelta(days=30)
    request = visa.SubmitContractVisaRequest(
        application=case.application(MTFP, CONTRACT_VISA),
        employer_ifu=ifu,
        worker_npi=npi,
        type=visa.CONTRACT_TYPE_CDD,
        post="Menuisier",
        signed_on=today.isoformat(),
        start_date=start.isoformat(),
        end_date=(start + timedelta(days=364)).isoformat(),
        salary_xof=salary_xof,
        medical_fit=True,
        contract_sha256=hashlib.sha256(f"contrat {case.issue}".encode()).hexdigest(),
    )
    answer = case.ask(LabourDossierServiceStub, "SubmitContractVisa", request, MTFP, "P02")
    for warning in answer.warnings:
        print(f"  attention : {visa.VisaWarning.Name(warning)}")
    dossier = case.wait(answer.dossier.reference, MTFP, "P02")
    case.fetch(dossier, MTFP, "P02", out)
    return dossier


def main(identity: Path, portal: Path, issue: str, ifu: str, npi: str, salary: str, out: str = ".") -> int:
    """Rendre 0 si le contrat est visé."""
    with Case(identity, portal, issue) as case:
        try:
            dossier = file(case, ifu, npi, int(salary), Path(out))
        except grpc.RpcError as refused:
            return told(refused)
    return 0 if dossier.state == dos.DOSSIER_STATE_GRANTED else 1


if __name__ == "__main__":
    if len(sys.argv) not in (7, 8):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
