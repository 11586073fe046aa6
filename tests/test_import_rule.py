"""The import rule (pyproject.toml, tool.importlinter) holds, and each of its contracts can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent

VIOLATIONS = {
    "a domain imports the edge": ("block", "import pumice.api", "layers"),
    "block storage imports compute": ("block", "import pumice.compute.image_disks", "layers"),
    "images import compute": ("images", "import pumice.compute.model", "layers"),
    "the engine imports a domain": ("operations", "import pumice.block", "layers"),
    "a module has no place": ("newcomer", "", "layers"),
    "a driver imports another": ("storage", "import pumice.hypervisors", "layers"),
    "a driver imports the database": ("targets", "import pumice.db", "layers"),
    "a domain imports a driver": ("compute", "import pumice.storage", "drivers-are-called-by-operations"),
    "the edge imports a driver's contract": ("api", "import pumice.storage.contract", "edge-knows-no-driver"),
    "the edge speaks SQL": ("api", "import sqlalchemy", "edge-knows-no-driver"),
    "a domain knows HTTP": ("images", "import starlette", "domains-know-no-http"),
    "a driver knows SQL": ("hypervisors", "import sqlite3", "drivers-know-nothing"),
}


def report(directory: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """What the linter says of the package in this directory, by all contracts if none is named."""
    program = "import sys; sys.path.insert(0, 'src'); from importlinter.cli import lint_imports_command as c; c()"
    named = [word for contract in contracts for word in ("--contract", contract)]
    command = [sys.executable, "-c", program, "--no-cache", *named]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_rule_holds(copy: Path) -> None:
    done = report(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_the_rule_is_broken_when(violation: str, copy: Path) -> None:
    package, statement, contract = VIOLATIONS[violation]
    directory = copy / "src" / "pumice" / package
    directory.mkdir(exist_ok=True)
    with (directory / "__init__.py").open("a") as module:
        module.write(f"\n{statement}\n")
    done = report(copy, contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0 kept, 1 broken" in done.stdout
