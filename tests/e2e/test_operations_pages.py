"""The commands of the operations pages are run in order, as an administrator would, on real processes."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from cli.processes import free_base
from tests.support.programs import require_program

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
IN_ORDER = ("founding.md", "member.md", "agreement.md", "recovery.md", "workers.md", "revocation.md")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PAGES_PORT = re.compile(r"\b430(\d\d)\b")


def blocks(page: str) -> list[str]:
    """The commands of a page, block by block."""
    return BLOCK.findall((OPERATIONS / page).read_text())


def script(pages: Iterable[str], base: int) -> str:
    """All commands of the pages, with the ports that are free here."""
    commands = "\n".join(command for page in pages for command in blocks(page))
    text = PAGES_PORT.sub(lambda found: str(base + int(found[1])), commands)
    return f"set -eu\ntrap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n{text}"


def run(tmp_path: Path, *pages: str) -> str:
    """Type the commands of the pages in an empty directory; what they print."""
    command = Path(sys.executable).parent / "passerelle"
    environment = {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PASSERELLE_LANG": "fr",
    }
    bash = shutil.which("bash") or "/bin/sh"

    process = subprocess.Popen(
        [bash, "-c", script(pages, free_base())],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=360)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0, printed
    return printed


@pytest.mark.timeout(420)
def test_documented_commands_found_a_country_and_revoke_an_agreement(tmp_path: Path) -> None:
    """From certification authorities to a person's record, over a lost disk and a second worker, to a refusal."""
    require_program("openssl")
    printed = run(tmp_path, *IN_ORDER)

    assert '"lastName": "ADJOVI"' in printed
    assert re.search(r"Journal ancien : taille \d+ ici, \d+ (chez BJ/GOV/ANIP/gw1|au registre)", printed)
    assert re.search(
        r"succède au journal .*Disque perdu, copie du matin restauree.* lacune déclarée : feuilles", printed
    )
    assert re.search(r"Worker 1 : journal [0-9a-f]{64}, route 127\.0\.0\.1:\d+", printed)
    assert re.search(r"^ 1 +\d+ +en service \(ready\)", printed, re.MULTILINE)
    assert "NO_AGREEMENT" in printed.rpartition("ADJOVI")[2]
    assert printed.rstrip().endswith("l'appel est refusé")


@pytest.mark.timeout(420)
def test_a_country_to_rehearse_with_is_founded_in_one_command_and_answers(tmp_path: Path) -> None:
    """As the page on rehearsals says, each process started by hand; its names are those of the other pages."""
    printed = run(tmp_path, "rehearsal.md")

    assert "Pays fondé" in printed
    assert '"lastName": "ADJOVI"' in printed
    assert (tmp_path / "pns" / "gateway.toml").exists()
