r"""Vérifier une parcelle, puis l'acheter : fiche publique, propriété du vendeur, mutation par le notaire.

    python examples/python/acheter_parcelle.py IDENTITE PORTAIL DOSSIER NUP VENDEUR ACQUEREUR PRIX [REPERTOIRE]
    python examples/python/acheter_parcelle.py var/up/programs/BJ.GOV.PNS.PORTAIL.portail \
        var/up/members/BJ.GOV.PNS/adapter/adapter.toml FON-202611-0001 900000001 0000000013 0000000001 10000000 \
        var/up/documents

L'agent de l'ANDF décide entre-temps : « passerelle adapter dossier review|grant ».
"""

import hashlib
import sys
from pathlib import Path

import grpc
from portail import Case, told

from bj.common.v1 import dossier_pb2 as dos
from bj.common.v1.person_pb2 import Party
from bj.land.v1 import parcel_pb2 as land
from bj.land.v1 import transfer_pb2 as transfer
from bj.land.v1.parcel_pb2_grpc import LandServiceStub
from bj.land.v1.transfer_pb2_grpc import LandDossierServiceStub

ANDF = "BJ/GOV/ANDF/CADASTRE"
TRANSFER = "PS01427"


def buy(case: Case, nup: str, seller: str, buyer: str, price_xof: int, out: Path) -> dos.Dossier:
    """Vérifier, puis déposer la mutation et la mener à sa décision."""
    parcel = case.ask(LandServiceStub, "GetParcel", land.GetParcelRequest(nup=nup), ANDF, "P01")
    print(
        f"  {nup} : {parcel.surveyed_area_m2:.0f} m², {parcel.unit.commune}, {parcel.title_no or 'sans titre'}"
    )
    owned = case.ask(
        LandServiceStub,
        "CheckOwnership",
        land.CheckOwnershipRequest(nup=nup, party=Party(npi=seller)),
        ANDF,
        "P01",
    )
    if not owned.can_sell:
        against = [land.BlockingReason.Name(one) for one in owned.blocking_reasons]
        raise ValueError(
            f"cette parcelle ne peut pas être vendue par lui : {', '.join(against) or 'il ne la tient pas'}"
        )
    # Le notaire dépose l'acte ; son empreinte suffit ici, l'acte lui-même ne voyage pas.
    request = transfer.FileTransferRequest(
        application=case.application(ANDF, TRANSFER),
        notary_ref="NOT-COT-0001",
        nup=nup,
        seller=Party(npi=seller),
        buyer=Party(npi=buyer),
        price_xof=price_xof,
        deed_sha256=hashlib.sha256(f"acte de vente {case.issue}".encode()).hexdigest(),
    )
    dossier = case.ask(LandDossierServiceStub, "FileTransfer", request, ANDF, "P02").dossier
    print(f"  {dossier.reference} déposé, frais {dossier.fee.amount_xof} F")
    case.pay(dossier, ANDF, "P02")
    dossier = case.wait(dossier.reference, ANDF, "P02")
    case.fetch(dossier, ANDF, "P02", out)
    return dossier


def main(
    identity: Path, portal: Path, issue: str, nup: str, seller: str, buyer: str, price: str, out: str = "."
) -> int:
    """Rendre 0 si la parcelle a changé de mains."""
    with Case(identity, portal, issue) as case:
        try:
            dossier = buy(case, nup, seller, buyer, int(price), Path(out))
        except grpc.RpcError as refused:
            return told(refused)
        except ValueError as blocked:
            print(blocked, file=sys.stderr)
            return 1
    return 0 if dossier.state == dos.DOSSIER_STATE_GRANTED else 1


if __name__ == "__main__":
    if len(sys.argv) not in (8, 9):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
