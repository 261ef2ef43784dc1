"""Every parser of the product, by name: what a stranger's bytes can reach."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fuzz import targets_core, targets_files, targets_json, targets_network, targets_official
from tests.fuzz.target import Target

CORPUS: Final = Path(__file__).parent / "corpus"

TARGETS: Final[dict[str, Target]] = (
    targets_core.TARGETS
    | targets_files.TARGETS
    | targets_official.TARGETS
    | targets_network.TARGETS
    | targets_json.TARGETS
)


def corpus(name: str) -> list[bytes]:
    """Inputs that are kept because a run once found something with them, and the seeds."""
    kept = sorted((CORPUS / name).iterdir()) if (CORPUS / name).is_dir() else []
    return [*(path.read_bytes() for path in kept), *TARGETS[name].seeds()]
