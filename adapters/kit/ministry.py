"""What a ministry declares, and all that the kit needs to make an adapter of it.

``adapter = "land"`` in ``adapter.toml`` is ``adapters.land.adapter:MINISTRY``; ``adapter = "meteo.adapter:MINISTRY"``
one in a package of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from adapters.kit.housekeeping import Chore
from adapters.kit.inscriptions import Inscriptions
from adapters.kit.procedure import Procedure
from adapters.kit.tables import Tables
from adapters.kit.tasks import Handler

if TYPE_CHECKING:
    import grpc

    from adapters.kit.desk import Desk

# A generated ``add_…Servicer_to_server`` and the servicer that it takes; generated code names no common type for them.
Served: TypeAlias = "tuple[Callable[[Any, grpc.Server], None], Any]"
# (desk, how many people, what the population hangs on, told after each batch) -> how many of its main thing were written.
Seed: TypeAlias = "Callable[[Desk, int, int, Callable[[int], None]], int]"


@dataclass(frozen=True, slots=True)
class Ministry:
    """One ministry's adapter.

    Attributes:
        name: ``land``; of letters and digits.
        services: Full names of its own services; ``bj.common.v1.DossierService`` is added by the kit, if it has dossiers.
        migrations: Its Alembic directory; the first migration calls ``kit.migrations.create_v2``.
        tables: What ``kit_tables(METADATA)`` returned.
        catalogue: Its catalogue, ``catalogue.toml`` beside its module; None if nobody can ask anything of it.
        build: Makes the servicers, one for each of ``services``.
        procedures: By service code; a code that is not here has a ``Procedure`` that does nothing.
        tasks: Handlers by kind, beside the kit's own.
        chores: What it forgets each night, beside what the kit does (``housekeeping``).
        seed: Fills the register with fictitious data; None if there is no such thing.
        inscriptions: What its officers may write of their own accord; None if nothing.
    """

    name: str
    services: tuple[str, ...]
    migrations: Path
    tables: Tables
    catalogue: Path | None
    build: Callable[[Desk], Sequence[Served]]
    procedures: Mapping[str, Procedure] = field(default_factory=dict)
    tasks: Mapping[str, Handler] = field(default_factory=dict)
    chores: Sequence[Chore] = ()
    seed: Seed | None = None
    inscriptions: Inscriptions | None = None

    @property
    def has_dossiers(self) -> bool:
        """Whether anything can be asked of it, and followed."""
        return self.catalogue is not None
