"""Consulter une fiche sans certificat de programme : un jeton signé par le programme dit qui appelle.

    python examples/python/get_person_with_token.py DOSSIER CLE PROGRAMME NPI
    python examples/python/get_person_with_token.py nuit nuit.key BJ/GOV/PNS/PORTAIL/nuit 0000000001

DOSSIER est écrit par « passerelle program add … --key nuit.pub --out nuit » ; CLE est la clé privée, qui reste ici.
"""

import base64
import hashlib
import sys
import time
import tomllib
import uuid
from pathlib import Path

import grpc
import jwt
from cryptography.hazmat.primitives import serialization as ser

from bj.identity.v1.identity_pb2 import GetPersonRequest
from bj.identity.v1.identity_pb2_grpc import IdentityServiceStub


def sign(key_pem: bytes, program: str, gateway: str) -> str:
    """Signer un jeton de cinq minutes ; il peut servir à plusieurs appels, à cette passerelle seulement."""
    public = ser.load_pem_private_key(key_pem, None).public_key()
    spki = public.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
    kid = base64.urlsafe_b64encode(hashlib.sha256(spki).digest()).rstrip(b"=").decode()
    now = int(time.time())
    claims = {"iss": program, "sub": program, "aud": gateway, "iat": now, "nbf": now, "exp": now + 300}
    claims["jti"] = uuid.uuid4().hex
    return jwt.encode(claims, key_pem, algorithm="ES256", headers={"typ": "caller+jwt", "kid": kid})


def main(directory: Path, key: Path, program: str, npi: str) -> int:
    """Appeler GetPerson avec un jeton et afficher la fiche, ou le refus."""
    where = tomllib.loads((directory / "passerelle.toml").read_text(encoding="utf-8"))
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(root_certificates=(directory / "ca.pem").read_bytes()),
        # « authorization: Bearer … » ; gRPC ne l'envoie que sous TLS.
        grpc.access_token_call_credentials(sign(key.read_bytes(), program, where["gateway_id"])),
    )
    metadata = (("x-road-client", where["subsystem"]), ("x-road-purpose", "P01"), ("x-road-issue", "ACT-1"))
    with grpc.secure_channel(where["gateway"], credentials) as channel:
        try:
            person, sent = IdentityServiceStub(channel).GetPerson.with_call(
                GetPersonRequest(npi=npi), timeout=10, metadata=metadata
            )
        except grpc.RpcError as refused:
            print(f"{refused.code().name} {refused.details()}", file=sys.stderr)
            return 1
    print(f"{person.last_name} {person.first_names}, {person.birth_date}, {person.birth_place}")
    print("échange", dict(sent.trailing_metadata()).get("x-road-exchange-id"))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]))
