"""La base du registre : une table à nous, et celles de la trousse (dossiers, paiements, tâches…)."""

import sqlalchemy as sa

from adapters.kit.store import naming
from adapters.kit.tables import kit_tables

METADATA = naming()
KIT = kit_tables(METADATA)

DIPLOMAS = sa.Table(
    "diploma",
    METADATA,
    sa.Column("number", sa.String(15), primary_key=True),
    sa.Column("npi", sa.String(10), nullable=False),
    sa.Column("holder", sa.String(80), nullable=False),
    sa.Column("series", sa.String(10), nullable=False),
    sa.Column("year", sa.Integer, nullable=False),
    sa.Column("honours", sa.String(20), nullable=False),
    sa.Column("duplicates", sa.Integer, nullable=False),
)
