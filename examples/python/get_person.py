"""Consulter une fiche du registre des personnes à travers sa propre passerelle, avec le stub gRPC ordinaire.

    python examples/python/get_person.py ADRESSE IDENTITE NPI
    python examples/python/get_person.py localhost:42011 var/up/programs/BJ.GOV.PNS.PORTAIL.portail 0000000001

IDENTITE est le dossier écrit par « passerelle program add » : identity.key, identity.crt et ca.pem.
"""

import sys
from pathlib import Path

import grpc

from bj.identity.v1.identity_pb2 import GetPersonRequest
from bj.identity.v1.identity_pb2_grpc import IdentityServiceStub


def main(address: str, identity: Path, npi: str) -> int:
    """Appeler GetPerson et afficher la fiche, ou le refus."""
    # Le certificat du programme dit qui appelle ; ca.pem dit à quelle passerelle se fier.
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(identity / "ca.pem").read_bytes(),
        private_key=(identity / "identity.key").read_bytes(),
        certificate_chain=(identity / "identity.crt").read_bytes(),
    )
    with grpc.secure_channel(address, credentials) as channel:
        call = IdentityServiceStub(channel).GetPerson.with_call
        try:
            person, sent = call(
                GetPersonRequest(npi=npi),
                timeout=10,  # toujours un délai : il suit l'appel jusqu'au registre
                metadata=(
                    ("x-road-client", "BJ/GOV/PNS/PORTAIL"),  # pour qui l'on appelle
                    ("x-road-purpose", "P01"),  # pour quelle finalité
                    ("x-road-issue", "ACT-202611-0001"),  # pour quel dossier
                ),
            )
        except grpc.RpcError as refused:
            # « RAISON : phrase (échange 0192…) » ; le même texte est au journal des deux passerelles.
            print(f"{refused.code().name} {refused.details()}", file=sys.stderr)
            return 1
    print(f"{person.last_name} {person.first_names}, {person.birth_date}, {person.birth_place}")
    # L'échange est signé et consigné des deux côtés ; ce numéro retrouve la preuve.
    print("échange", dict(sent.trailing_metadata()).get("x-road-exchange-id"))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
