"""What no file of the repository may hold, and what none may be."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 400
OLDEST_PYTHON_OF_A_HOST = (3, 9)

SECRETS_AND_PLACES = {
    "a private key": re.compile(r"BEGIN [A-Z ]*PRIVATE[ ]KEY"),
    "a WireGuard key": re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=(?![A-Za-z0-9+/=])"),
    "a registry's address": re.compile(r"--(?:(?:extra-)?index-url|trusted-host)|https?://[^/\s]+/simple\b"),
    # The user of the lab's machines is ops.
    "somebody's home directory": re.compile(r"(?<![\w.])/(?:home/(?!ops\b)\w|Users/\w|root/[\w.])"),
}


def _files() -> list[Path]:
    """Return what is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def _texts() -> Iterator[tuple[Path, str]]:
    for path in _files():
        yield path.relative_to(ROOT), path.read_text(errors="replace")


@pytest.mark.parametrize("what", SECRETS_AND_PLACES)
def test_nothing_names(what: str) -> None:
    found = [
        f"{path}:{number}"
        for path, text in _texts()
        if not (what == "a WireGuard key" and path.match("requirements*.txt"))  # its hashes look alike
        for number, line in enumerate(text.splitlines(), 1)
        if SECRETS_AND_PLACES[what].search(line)
    ]
    assert found == []


def test_files_are_short() -> None:
    lengths = {path: len(text.splitlines()) for path, text in _texts() if path.suffix in {".py", ".yml"}}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


@pytest.mark.parametrize("tree", ["library", "module_utils"])
def test_code_of_the_hosts_is_old_enough_python(tree: str) -> None:
    files = [path for path in _files() if path.is_relative_to(ROOT / tree) and path.suffix == ".py"]
    assert files
    for path in files:
        ast.parse(path.read_text(), filename=str(path), feature_version=OLDEST_PYTHON_OF_A_HOST)
