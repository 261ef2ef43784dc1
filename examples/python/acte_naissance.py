r"""Demander un acte de naissance, le payer, le retirer : l'ANIP répond à l'instant.

python examples/python/acte_naissance.py IDENTITE PORTAIL DOSSIER NPI [REPERTOIRE]
python examples/python/acte_naissance.py var/up/programs/BJ.GOV.PNS.PORTAIL.portail \
        var/up/members/BJ.GOV.PNS/adapter/adapter.toml ACT-202611-0042 0000000001 var/up/documents
"""

import sys
from pathlib import Path

import grpc
from portail import Case, told

from bj.common.v1 import document_pb2 as doc
from bj.common.v1 import dossier_pb2 as dos
from bj.identity.v1 import acts_pb2 as acts
from bj.identity.v1.acts_pb2_grpc import ActServiceStub

ANIP = "BJ/GOV/ANIP/RNPP"
BIRTH_ACT = "PS90101"


def ask(case: Case, npi: str, out: Path) -> dos.Dossier:
    """Demander, payer, retirer."""
    request = acts.SubmitActRequestRequest(
        application=case.application(ANIP, BIRTH_ACT, npi),
        type=doc.DOCUMENT_TYPE_BIRTH_ACT,
        npi=npi,
        copies=1,
        delivery=acts.DELIVERY_ELECTRONIC,
    )
    dossier = case.ask(ActServiceStub, "SubmitActRequest", request, ANIP, "P01").dossier
    case.pay(dossier, ANIP, "P01")
    dossier = case.wait(dossier.reference, ANIP, "P01")
    case.fetch(dossier, ANIP, "P01", out)
    return dossier


def main(identity: Path, portal: Path, issue: str, npi: str, out: str = ".") -> int:
    """Rendre 0 si l'acte est là."""
    with Case(identity, portal, issue) as case:
        try:
            dossier = ask(case, npi, Path(out))
        except grpc.RpcError as refused:
            return told(refused)
    return 0 if dossier.state == dos.DOSSIER_STATE_GRANTED else 1


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
