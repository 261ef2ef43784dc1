"""The repository keeps its own rules: names, sizes, locked dependencies, no address of anybody's machine."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("core", "rpc", "ledger", "pki", "gateway", "registry", "adapters", "audit", "cli")
LARGEST_FILE_BYTES = 200 * 1024

# Where packages come from is the business of pip's own configuration on each machine.
REGISTRY_HOST = re.compile(
    rb"--(extra-)?index-url|--find-links|--trusted-host|files\.pythonhosted|pypi\.org/simple"
)
# Somebody's machine, in a file that everybody gets.
MACHINE_PATH = re.compile(rb"(?<![\w.])/(?:home|work|Users)/\w")
OPEN_PLURAL = re.compile(r"[^\W\d_]\((?:e?s|x|aux)\)(?![\w(])")
VENDORED = ("protos/buf/",)


def tracked_files() -> list[str]:
    """Names of the files that git keeps, or would keep."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = [git, "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_resolves_inside_the_repository(package: str) -> None:
    """Names are generic; one installed from elsewhere would shadow ours."""
    spec = importlib.util.find_spec(package)

    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_every_package_is_shipped_and_layered() -> None:
    """A new top-level package stands in the wheel and under the layers' contracts."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    here = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench", "tools"}

    assert here == set(PACKAGES)
    assert here == set(settings["tool"]["importlinter"]["root_packages"])
    assert here <= set(settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_generated_code_has_no_package_files() -> None:
    """``protos/`` stays a root of namespace packages, else it shadows what others install under the same root."""
    assert list((ROOT / "protos").rglob("__init__.py")) == []


def test_no_file_is_large() -> None:
    """Data belongs elsewhere, or is generated."""
    large = {name for name in tracked_files() if (ROOT / name).stat().st_size > LARGEST_FILE_BYTES}

    assert large == set()


def test_no_file_names_an_index_or_a_machine() -> None:
    """A clone works on any machine and with any index of packages."""
    guilty = []
    for name in tracked_files():
        if name.startswith(VENDORED) or name == "Makefile" or Path(ROOT / name) == Path(__file__):
            continue
        content = (ROOT / name).read_bytes()
        if REGISTRY_HOST.search(content) or MACHINE_PATH.search(content):
            guilty.append(name)

    assert guilty == []


def test_makefile_names_no_index() -> None:
    """The lock is written without addresses, and nothing else mentions one."""
    text = (ROOT / "Makefile").read_text()

    assert "--no-emit-index-url" in text
    assert not re.search(r"https?://|--index|--extra-index|--find-links(?!$)", text)


@pytest.mark.parametrize("name", ["run.txt", "dev.txt", "fuzz.txt", "bench.txt"])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    """pip refuses whatever is not the very file that was locked."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]

    assert requirements
    for line in requirements:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+", line), line
        assert "--hash=sha256:" in line, line
        assert "://" not in line, line


def test_locked_versions_satisfy_the_floors() -> None:
    """The lock was written after the last change of the dependencies' floors."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = dict(
        re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)
    )

    for requirement in declared["dependencies"] + declared["optional-dependencies"]["dev"]:
        name, floor = re.match(r"([\w-]+)(?:\[\w+\])?[>=]=([\d.]+)", requirement).groups()  # type: ignore[union-attr]  # no match fails too
        have = [int(part) for part in re.findall(r"\d+", locked[name])]
        assert have >= [int(part) for part in floor.split(".")], requirement


@pytest.mark.parametrize("module", ["rpc.settings", "rpc.commandline", "gateway.worker.main"])
def test_module_loads_without_grpcio(module: str) -> None:
    """Commands start fast; a worker stays small. Checked on the process, generated code included."""
    heavy = ("grpc", "sqlalchemy", "tuf", "securesystemslib")
    script = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_generated_modules_load_together() -> None:
    """No two protos of one package define the same name."""
    modules = [
        str(path.relative_to(ROOT / "protos").with_suffix("")).replace("/", ".")
        for path in sorted((ROOT / "protos").rglob("*_pb2.py"))
    ]
    script = "import " + ", ".join(modules)

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""


def test_no_text_for_people_leaves_its_plural_open() -> None:
    """« 1 appel(s) refusé(s) » is what machines write; ``rpc.figures.counted`` makes words agree with their number."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OPEN_PLURAL.search(node.value)
    ]

    assert found == []
