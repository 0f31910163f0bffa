"""The command line of the report."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from wg_migrate.errors import WgMigrateError

from observe.report.capture import load
from observe.report.findings import find
from observe.report.numbers import numbers
from observe.report.page import page
from observe.report.words import size


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = argparse.ArgumentParser(
        prog="scripts/report",
        description="Write one page, complete in itself, of what each observer saw of a capture. docs/report.md tells "
        "how to read it.",
    )
    top.add_argument("capture", type=Path, metavar="CAPTURE_DIR", help="a directory that scripts/capture has made")
    top.add_argument("--output", type=Path, metavar="FILE", help="the page; default: report.html in that directory")
    top.add_argument("--json", type=Path, metavar="FILE", help="also write the figures, for other programs")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _report(options.capture, options.output or options.capture / "report.html", options.json)
    except WgMigrateError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"report: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _report(directory: Path, output: Path, figures: Path | None) -> int:
    capture = load(directory)
    for file in (output, figures):
        if file and not file.parent.is_dir():
            raise WgMigrateError(f"{file.parent} is no directory: make it first, or write {file.name} elsewhere")
        if file and file.is_dir():
            raise WgMigrateError(f"{file} is a directory: write a file's name")
    found = find(capture)
    for each in found.evidence:
        for problem in each.problems:
            print(f"report: {each.point.name}: {problem}", file=sys.stderr)
    if figures:
        figures.write_text(json.dumps(numbers(found), indent=1, allow_nan=False) + "\n")
    written = output.write_text(page(found))
    print(f"{output} ({size(written)})")
    return 0
