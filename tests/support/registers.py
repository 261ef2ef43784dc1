"""An empty register at its newest migration: migrated once in each process, and from then on as it came out of that.

Alembic takes 0.2 s for a ministry's migrations, which a thousand tests would wait for. What migrating does and what it
leaves is tested where it is called by its own name: ``kit.store.migrate``.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from adapters.kit.store import migrate

_HELD = tempfile.TemporaryDirectory(prefix="registers-")
_files: dict[Path, Path] = {}
_statements: dict[Path, list[tuple[str, Any]]] = {}


def make_register(url: str, migrations: Path) -> None:
    """Create the register at ``url`` with the schema of these migrations; one that is there already is migrated."""
    where = sa.make_url(url)
    if where.get_backend_name() == "sqlite":
        _make_file(url, Path(str(where.database)), migrations)
    else:
        _make_schema(url, migrations)


def _make_file(url: str, path: Path, migrations: Path) -> None:
    made = _files.get(migrations)
    if path.exists():
        migrate(url, migrations)
    elif made is not None:
        shutil.copyfile(made, path)
    else:
        migrate(url, migrations)
        _files[migrations] = Path(_HELD.name) / f"{len(_files)}.sqlite"
        shutil.copyfile(path, _files[migrations])


def _make_schema(url: str, migrations: Path) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        is_there = sa.inspect(connection).has_table("alembic_version")
        for statement, parameters in () if is_there else _statements.get(migrations, ()):
            connection.exec_driver_sql(statement, parameters)
    if is_there:
        migrate(url, migrations)
    elif migrations not in _statements:
        _statements[migrations] = _migrate_noting(url, migrations)


def _migrate_noting(url: str, migrations: Path) -> list[tuple[str, Any]]:
    """Migrate, and give back every statement that changed something."""
    noted: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.lstrip().upper().startswith("SELECT"):
            noted.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        migrate(url, migrations)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return noted
