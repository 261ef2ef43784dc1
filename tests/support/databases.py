"""A fresh database for a test, once on SQLite and once on PostgreSQL: the fixture ``database`` gives its URL.

PostgreSQL is the machine's own package, started by the tests: one cluster a run, which the workers of xdist share, on a
Unix socket that nobody else reaches, without fsync. It refuses to run as root, so then it runs as another user. Where it
is not installed the tests are skipped, or fail if ``REQUIRE`` lists ``postgresql``.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from tests.support.programs import end_without
from tests.support.waiting import until

_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "32MB",
    # A lock that nobody gives back ends its waiter, so that a mistake is a failure and not a hang.
    "lock_timeout": "30s",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database that is this test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/register.sqlite"
        return
    directory: Path = request.getfixturevalue("postgresql_cluster")
    # A schema is as empty as a database of its own, and made in a hundredth of the time.
    name = f"t{uuid.uuid4().hex}"
    with _connected(directory) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    yield f"postgresql+psycopg://postgres@/postgres?host={directory}&options=-csearch_path%3D{name}"
    with _connected(directory) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture(scope="session")
def postgresql_cluster(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The directory of the run's cluster, which holds its socket: the first to come starts it, the last one stops it."""
    programs = _programs()
    if programs is None:
        end_without("postgresql", "PostgreSQL is not installed (make setup-system)")
    workerinput: dict[str, Any] = getattr(request.config, "workerinput", {})
    run = workerinput.get("testrunuid", uuid.uuid4().hex)
    # Short: the path of a socket has no more than 107 bytes.
    directory = Path(tempfile.gettempdir()) / f"pg-{run[:12]}"
    with _users(directory) as users:
        if not users:
            _start(programs, directory)
        users.add(os.getpid())
    yield directory
    with _users(directory) as users:
        users.discard(os.getpid())
        if not users:
            _stop(directory)


def _programs() -> Path | None:
    """Where ``postgres`` and ``initdb`` lie: Debian has them beside no PATH."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else []
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        places.append(Path(told.stdout.strip()))
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


@contextmanager
def _users(directory: Path) -> Iterator[set[int]]:
    """The processes that use the cluster, read and written under a lock that one process holds at a time."""
    with directory.with_suffix(".users").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users = {int(word) for word in file.read().split()}
        yield users
        file.seek(0)
        file.truncate()
        file.write(" ".join(map(str, sorted(users))))
        file.flush()
        if not users:
            directory.with_suffix(".users").unlink()


def _start(programs: Path, directory: Path) -> None:
    directory.mkdir(mode=0o700)
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = next((name for name in ("postgres", "nobody") if _has_user(name)), "nobody")
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}
        shutil.chown(directory, user)
    data = directory / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        check=True,
        capture_output=True,
        cwd="/",
        **as_user,
    )
    settings = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
    # ``_stop`` ends it, maybe from another process than this one.
    with (directory.with_suffix(".log")).open("wb") as log:
        subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", directory, *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **as_user,
        )
    until(lambda: _answers(directory))


def _stop(directory: Path) -> None:
    postmaster = int((directory / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, 2)  # SIGINT: end all connections, then itself
    until(lambda: not (directory / "data" / "postmaster.pid").exists())
    shutil.rmtree(directory)
    directory.with_suffix(".log").unlink()


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _answers(directory: Path) -> bool:
    try:
        with _connected(directory):
            return True
    except psycopg.OperationalError:
        return False


def _connected(directory: Path) -> psycopg.Connection[Any]:
    return psycopg.connect(f"host={directory} user=postgres dbname=postgres", autocommit=True)
