"""``make protos-breaking`` refuses what breaks programs compiled before, and says when it cannot compare."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BASELINE = (ROOT / "protos" / "BASELINE").read_text().strip()


def buf_breaking(tree: Path, against: Path) -> subprocess.CompletedProcess[str]:
    """Compare two trees as the target does."""
    buf = ROOT / ".venv" / "bin" / "buf"
    if not buf.exists():
        pytest.skip("buf is not installed here")
    command = [str(buf), "breaking", str(tree), "--against", str(against)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tree)


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of the protos with their configuration."""
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / "buf.yaml", tmp_path / name)
        shutil.copytree(
            ROOT / "protos",
            tmp_path / name / "protos",
            ignore=shutil.ignore_patterns("*.py", "*.pyi", "__pycache__"),
        )
    return tmp_path / "new", tmp_path / "old"


def test_the_baseline_is_one_commit() -> None:
    """A name that moves would promise nothing."""
    assert len(BASELINE) == 40
    assert set(BASELINE) <= set("0123456789abcdef")


def test_what_did_not_change_passes(trees: tuple[Path, Path]) -> None:
    """The same protos are compatible with themselves."""
    assert buf_breaking(*trees).returncode == 0


def test_a_renamed_field_is_refused_by_name(trees: tuple[Path, Path]) -> None:
    """JSON callers would send a field that nobody reads."""
    proto = trees[0] / "protos" / "bj" / "land" / "v1" / "transfer.proto"
    text = proto.read_text()
    assert "notary_ref" in text
    proto.write_text(text.replace("notary_ref", "notary"))

    done = buf_breaking(*trees)

    assert done.returncode != 0
    assert '"notary_ref"' in done.stdout


def test_a_withdrawn_method_is_refused(trees: tuple[Path, Path]) -> None:
    """A program compiled before would find nobody there."""
    proto = trees[0] / "protos" / "bj" / "identity" / "v1" / "credentials.proto"
    text = proto.read_text()
    line = "  rpc GetPhoto(GetPhotoRequest) returns (GetPhotoResponse);\n"
    assert line in text
    proto.write_text(text.replace(line, ""))

    done = buf_breaking(*trees)

    assert done.returncode != 0
    assert '"GetPhoto"' in done.stdout
