"""Le ministère, déclaré : tout ce que la trousse doit savoir pour en faire un adaptateur."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from adapters.kit.desk import Desk
from adapters.kit.ministry import Ministry
from bj.diploma.v1.diploma_pb2_grpc import add_DiplomaServiceServicer_to_server
from core.reasons import ExchangeError, Reason
from diplomes.service import DUPLICATE, SERVICE_NAME, DiplomaService, Duplicate
from diplomes.tables import DIPLOMAS, KIT

HERE = Path(__file__).parent


def seed(desk: Desk, persons: int, seed: int, written: Callable[[int], None]) -> int:
    """Deux diplômes fictifs, pour deux personnes de test ; les NPI réservés commencent par 000."""
    rows = [
        ("BAC-2005-900001", "0000000001", "ADJOVI Koffi", "D", 2005, "Bien", 0),
        ("BAC-1999-900002", "0000000014", "ASSOGBA Mahugnon", "G2", 1999, "", 0),
    ]
    with desk.store.writing() as tx:
        if tx.execute(sa.select(DIPLOMAS).where(DIPLOMAS.c.npi.not_like("000%")).limit(1)).first():
            raise ExchangeError(
                Reason.STATE_CONFLICT, "this register holds real persons; no seed may touch it"
            )
        tx.execute(DIPLOMAS.delete())
        tx.execute(DIPLOMAS.insert(), [dict(zip(DIPLOMAS.c.keys(), row, strict=True)) for row in rows])
    return len(rows)


MINISTRY = Ministry(
    name="diplomes",
    services=(SERVICE_NAME,),
    migrations=HERE / "migrations",
    tables=KIT,
    catalogue=HERE / "catalogue.toml",
    build=lambda desk: [(add_DiplomaServiceServicer_to_server, DiplomaService(desk))],
    procedures={DUPLICATE: Duplicate()},
    seed=seed,
)
