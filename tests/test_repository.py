"""What must hold of the repository as a whole: whatever a reader, an installer or a machine elsewhere relies on.

Patterns that must not occur are written in pieces here, so that this file does not contain them.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parent.parent
MOST_LINES = 500
LONGER_FILES = {
    "src/pumice/db/migrations/versions/0001_first.py": "generated: every table of the first schema",
}
"""Python files that may be longer than MOST_LINES, each with the reason."""

MACHINE = {
    "a path of one machine": r"(?<![\w.}])(?<!\w\")/(?:wor" + r"k|roo" + r"t|home/\w+)/",
    "a folder beside the repository": r"\.\./sha" + r"red",
    "a package registry's host": r"\b(?:pypi\.or"
    + r"g|pythonhosted\.or"
    + r"g|deb\.debian\.or"
    + r"g|npmjs\.or"
    + r"g)\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KE" + r"Y-----",
    "a service's secret token": r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[0-9A-Za-z-]{10,})\b",
}
PROMISES = r"\b(?:TOD" + r"O|FIXM" + r"E|XX" + r"X|HAC" + r"K)\b|NotImplemented" + r"Error"


def tracked(*patterns: str) -> list[Path]:
    """The files that git has, and that are there; patterns as git's own."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def lines_with(pattern: str, files: list[Path]) -> list[str]:
    """ "file:line: text" of each line that the pattern is found in; files that are no text are passed over."""
    expression = re.compile(pattern)
    found = []
    for path in files:
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            if expression.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def syntax_trees(*patterns: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in tracked(*patterns):
        yield path.relative_to(ROOT), ast.parse(path.read_text(), str(path))


def makefile_targets() -> list[str]:
    return re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("what", MACHINE)
def test_no_file_names(what: str) -> None:
    assert lines_with(MACHINE[what], tracked()) == []


@pytest.mark.parametrize(
    ("what", "sample"),
    [
        ("a path of one machine", "see /wor" + "k/main/x"),
        ("a path of one machine", 'path="/roo' + 't/x"'),
        ("a folder beside the repository", "read ../sha" + "red/design.md"),
        ("a package registry's host", "https://pypi.or" + "g/simple"),
        ("a private key", "-----BEGIN RSA PRIVATE KE" + "Y-----"),
        ("a service's secret token", "ghp_" + "a" * 36),
    ],
)
def test_what_must_not_occur_would_be_found(what: str, sample: str) -> None:
    assert re.search(MACHINE[what], sample)


def test_no_promises_in_the_code() -> None:
    assert lines_with(PROMISES, tracked("*.py", "*.sh")) == []


def test_no_temporary_folder_is_assumed_by_the_program() -> None:
    assert lines_with(r"['\"]/tm" + r"p\b", tracked("src/*.py")) == []


def test_no_mocks() -> None:
    banned = {"mock", "unittest.mock", "pytest_mock"}
    found = []
    for path, tree in syntax_trees("src/*.py", "tests/*.py"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or "", *(f"{node.module}.{name.name}" for name in node.names)}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = {"mock"} if (node.value.id, node.attr) == ("monkeypatch", "setattr") else set()
            else:
                continue
            found += [f"{path}: {name}" for name in names & banned]
    assert found == []


def test_tests_wait_for_conditions_instead_of_sleeping() -> None:
    sleeping = lines_with(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))", tracked("tests/*.py"))
    measuring = ("tests/support/waiting.py", "tests/bench/")  # a benchmark of processes at rest lets time pass
    assert [line for line in sleeping if not line.startswith(measuring)] == []


def test_only_the_two_outer_loops_catch_everything() -> None:
    found = []
    for path, tree in syntax_trees("src/*.py"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
            ):
                swallowed = not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
                found += [f"{path}:{node.lineno}"] if swallowed else []
    assert len(found) <= 2, found


def test_files_stay_readable() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in tracked("*.py")}
    too_long = {name: length for name, length in lengths.items() if length > MOST_LINES and name not in LONGER_FILES}
    assert too_long == {}
    needless = [name for name in LONGER_FILES if lengths.get(name, 0) <= MOST_LINES]
    assert needless == [], "listed in LONGER_FILES, but not longer"


def test_every_module_of_the_program_says_what_it_is() -> None:
    undescribed = [str(path) for path, tree in syntax_trees("src/*.py") if tree.body and not ast.get_docstring(tree)]
    assert undescribed == []


def test_every_command_is_listed_by_make_and_told_in_the_readme() -> None:
    expected = {"run", "test", "setup", "check", "demo", "bench", "chaos", "conformance", "format", "clean"}
    targets = makefile_targets()
    assert expected <= set(targets)
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    readme = (ROOT / "README.md").read_text()
    assert [target for target in targets if f"make {target} " not in listed] == []
    assert [target for target in targets if not re.search(rf"make {target}\b", readme)] == []


def test_the_documents_are_there_and_their_links_lead_somewhere() -> None:
    expected = ["README.md", "LICENSE", "docs/architecture.md", "docs/operating.md", "docs/benchmarks.md"]
    assert [name for name in expected if not (ROOT / name).is_file()] == []
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    dead = []
    for path in tracked("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            if not re.match(r"[a-z]+:", link) and not (path.parent / link).exists():
                dead.append(f"{path.relative_to(ROOT)}: {link}")
    assert dead == []


def test_every_dependency_is_locked_and_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {re.split(r"[^\w.-]", line)[0].lower() for line in project["project"]["dependencies"]}
    locked = (ROOT / "requirements/run.lock").read_text()
    assert [name for name in wanted if not re.search(rf"^{name}(\[.*\])?==", locked, re.MULTILINE)] == []
    explained = (ROOT / "docs/decisions/dependencies.md").read_text().lower()
    assert [name for name in wanted if name not in explained] == []


@pytest.mark.parametrize("lock", ["run", "dev", "clients", "conformance", "libvirt"])
def test_a_lock_file_names_versions_and_hashes_and_no_place(lock: str) -> None:
    text = (ROOT / f"requirements/{lock}.lock").read_text()
    assert "://" not in text and "index-url" not in text and "find-links" not in text
    entries = re.split(r"\n(?=\w)", text.strip())
    assert entries and [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_ci_runs_what_the_readme_tells() -> None:
    assert re.search(r"^exec make test\b", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
