r"""Créer une SARL à un seul guichet : identité, dénomination, registre du commerce, IFU et CNSS, documents.

python examples/python/creer_entreprise.py IDENTITE PORTAIL DOSSIER NPI DENOMINATION [REPERTOIRE]
python examples/python/creer_entreprise.py var/up/programs/BJ.GOV.PNS.PORTAIL.portail \
        var/up/members/BJ.GOV.PNS/adapter/adapter.toml ENT-202611-0001 0000000014 "Les Ateliers du Mono" var/up/documents
"""

import sys
import uuid
from pathlib import Path

import grpc
from portail import Case, told

from bj.business.v1 import business_pb2 as biz
from bj.business.v1 import formality_pb2 as formality
from bj.business.v1.business_pb2_grpc import BusinessServiceStub
from bj.business.v1.formality_pb2_grpc import FormalityServiceStub
from bj.common.v1 import dossier_pb2 as dos
from bj.common.v1.person_pb2 import AdministrativeUnit, Party
from bj.identity.v1.identity_pb2 import GetPersonRequest, VerifyPersonRequest
from bj.identity.v1.identity_pb2_grpc import IdentityServiceStub

ANIP, APIEX = "BJ/GOV/ANIP/RNPP", "BJ/GOV/APIEX/RCCM"
CREATE_SARL = "PS90301"
CAPITAL_XOF = 1_000_000


def create(case: Case, npi: str, name: str, out: Path) -> dos.Dossier:
    """Mener la création jusqu'à ses documents."""
    # La personne est connectée avec son NPI : sa fiche remplit le formulaire, VerifyPerson confirme ce qu'elle a saisi.
    me = case.ask(IdentityServiceStub, "GetPerson", GetPersonRequest(npi=npi), ANIP, "P01")
    claim = VerifyPersonRequest(
        npi=npi, last_name=me.last_name, first_names=me.first_names, birth_date=me.birth_date
    )
    if case.ask(IdentityServiceStub, "VerifyPerson", claim, ANIP, "P01").score < 100:
        raise ValueError("l'identité ne concorde pas")
    form = biz.LEGAL_FORM_SARLU
    free = case.ask(
        BusinessServiceStub, "CheckName", biz.CheckNameRequest(name=name, legal_form=form), APIEX, "P02"
    )
    if free.availability != biz.NAME_AVAILABILITY_AVAILABLE:
        raise ValueError(f"dénomination prise ou interdite ; proches : {', '.join(free.similar)}")
    kept = case.ask(
        BusinessServiceStub,
        "ReserveName",
        biz.ReserveNameRequest(
            idempotency_key=uuid.uuid4().hex, name=name, legal_form=form, applicant_npi=npi
        ),
        APIEX,
        "P02",
    )
    request = formality.SubmitFormalityRequest(
        application=case.application(APIEX, CREATE_SARL, npi),
        kind=formality.FORMALITY_KIND_CREATE,
        legal_form=form,
        name_token=kept.name_token,
        capital_xof=CAPITAL_XOF,
        partners=[formality.PartnerShare(party=Party(npi=npi), share_xof=CAPITAL_XOF)],
        managers=[formality.ManagerRef(npi=npi)],
        seat=AdministrativeUnit(code="LI-COT"),
        activity="Menuiserie et agencement",
        regime=formality.TAX_REGIME_TPS,
    )
    dossier = case.ask(FormalityServiceStub, "SubmitFormality", request, APIEX, "P02").dossier
    case.pay(dossier, APIEX, "P02")
    dossier = case.wait(dossier.reference, APIEX, "P02")
    for step in dossier.steps:
        print(
            f"    {step.name:<10} {dos.StepState.Name(step.state).removeprefix('STEP_STATE_')} {step.detail}"
        )
    for number in dossier.issued:
        print(
            f"    {dos.IssuedNumberType.Name(number.type).removeprefix('ISSUED_NUMBER_TYPE_')} : {number.value}"
        )
    case.fetch(dossier, APIEX, "P02", out)
    return dossier


def main(identity: Path, portal: Path, issue: str, npi: str, name: str, out: str = ".") -> int:
    """Rendre 0 si l'entreprise est créée."""
    with Case(identity, portal, issue) as case:
        try:
            dossier = create(case, npi, name, Path(out))
        except grpc.RpcError as refused:
            return told(refused)
    return 0 if dossier.state == dos.DOSSIER_STATE_GRANTED else 1


if __name__ == "__main__":
    if len(sys.argv) not in (6, 7):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
