"""The adapter's process is killed between and within steps: the next one goes on, and no number is given twice."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.business.tables import FIRM, OFFICE_NUMBER
from adapters.kit.dossier import State
from tests.support.business import Apiex

# Another process over the same database, which dies at the place that it is told.
_PROCESS = """
import importlib, os, signal, sys
from pathlib import Path
from tests.support.business import Apiex

database, directory, place = sys.argv[1:]
module, _, name = place.rpartition(".")

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

apiex = Apiex(database, Path(directory))
apiex.open_anip()
setattr(importlib.import_module(module), name, die)
apiex.run()
"""

_ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    "place",
    [
        # ANIP has answered, nothing is written.
        "adapters.business.people.remember",
        # The entry, its name and its number are written, not committed.
        "adapters.business.work.tell",
        # An office gave its number, the register does not know it.
        "adapters.business.numbering._number_firm",
        # The register knows it, not committed.
        "adapters.business.numbering.tell",
    ],
)
def test_a_process_that_dies_leaves_its_work_to_the_next(apiex: Apiex, tmp_path: Path, place: str) -> None:
    """SIGKILL: no handler, no end of a transaction."""
    reference = apiex.paid(apiex.creation())
    directory = tmp_path / "other"
    directory.mkdir()

    died = subprocess.run(
        [sys.executable, "-c", _PROCESS, apiex.database, directory, place],
        cwd=_ROOT,
        env={"PYTHONPATH": f"{_ROOT}:{_ROOT / 'protos'}"},
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    apiex.open_anip()
    apiex.clock.advance(timedelta(hours=2))
    apiex.run()

    assert apiex.state(reference) is State.GRANTED
    numbers = apiex.numbers(reference)
    with apiex.desk.store.reading() as tx:
        firms = tx.execute(sa.select(FIRM).where(FIRM.c.created_by == reference)).all()
        given = tx.execute(sa.select(OFFICE_NUMBER.c.number)).scalars().all()
    assert [firm.rccm for firm in firms] == [numbers["RCCM"]]
    assert sorted(given) == sorted([numbers["IFU"], numbers["CNSS_EMPLOYER_NO"]])
    assert sorted(kind for kind, _ in apiex.events()) == ["MODIFIED", "MODIFIED", "REGISTERED"]
