"""The pages lead somewhere: their links resolve, and what they tell to run is there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from wg_migrate import cli

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^```[^\n]*\n(.*?)^```|`([^`]+)`", re.DOTALL | re.MULTILINE)


def _pages() -> list[Path]:
    """Return every page that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


GUIDES = [page for page in _pages() if page.parent in {ROOT, ROOT / "docs"}]
"""The pages for people at the controller: README.md and the other pages beside it, and docs/."""


def _prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def _code(page: Path) -> str:
    """Return what stands in a page as code, a piece a line; a piece that was broken at a line's end is one again."""
    pieces = [block or " ".join(span.split()) for block, span in CODE.findall(page.read_text())]
    return "\n".join(pieces)


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page: small letters, dashes for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_links() -> Iterator[str]:
    for page in _pages():
        for target in LINK.findall(_prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            place, _, anchor = target.partition("#")
            linked = (page.parent / place) if place else page
            if not linked.exists() or (anchor and anchor not in _anchors(linked)):
                yield f"{page.relative_to(ROOT)}: {target}"


def _missing(pattern: str, known: set[str]) -> list[str]:
    """Return what the guides name by a pattern, with its page, and is not known; they must name something."""
    named = [(page.name, name) for page in GUIDES for name in re.findall(pattern, _code(page))]
    assert named, f"no page has {pattern}"
    return [f"{page}: {name}" for page, name in named if name not in known]


def test_every_relative_link_resolves() -> None:
    assert list(_broken_links()) == []


@pytest.mark.parametrize("directory", ["scripts", "playbooks", "docs", "inventory", "tests"])
def test_every_named_file_exists(directory: str) -> None:
    pattern = rf"(?<![\w/.-]){directory}/[\w./-]*\w"
    named = [(page.name, name) for page in GUIDES for name in re.findall(pattern, _code(page))]
    made = {"inventory/mine", "inventory/mine/hosts.yml"}  # by the reader
    assert [f"{page}: {name}" for page, name in named if name not in made and not (ROOT / name).exists()] == []


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert _missing(r"(?<![\w-])make ([a-z][a-z-]*)", targets) == []


def test_every_subcommand_of_wg_migrate_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    usage = re.search(r"\{([a-z,-]+)\}", capsys.readouterr().out)
    assert usage
    # Not the unit of that name, which others may follow: systemctl start wg-migrate wg-migrate-loop.
    assert _missing(r"(?<![\w/@.-])wg-migrate (?!wg-migrate)([a-z][a-z-]*[a-z])", set(usage.group(1).split(","))) == []


def test_architecture_names_every_file_of_the_package() -> None:
    named = set(re.findall(r"`(\w+\.py)`", (ROOT / "docs" / "architecture.md").read_text()))
    package = {path.name for path in (ROOT / "module_utils" / "wg_migrate").glob("*.py")} - {"__init__.py"}
    assert named == package
