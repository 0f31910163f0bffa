"""The command line of scripts/open_website."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from open_website.driver import LAB, open_page
from open_website.page import Load, PageError, address, summary, text


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = argparse.ArgumentParser(
        prog="scripts/open_website",
        description="Open a page in the client's browser, whose traffic goes through the tunnel, and tell how it came. "
        "playbooks/browse.yml installs that browser. Status 0: the page was loaded, each time; 1: it was not.",
    )
    top.add_argument("url", metavar="URL", help="address of the page; without a scheme, as www.example.org, by https")
    top.add_argument("--driver", metavar="URL", default=LAB, help=f"address of the WebDriver ({LAB}, the lab's)")
    top.add_argument("--screenshot", metavar="FILE", type=Path, help="save a picture of the page, as PNG")
    top.add_argument("--repeat", metavar="N", type=_times, default=1, help="load it N times, each in a fresh browser")
    top.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return top


def _times(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= 1000:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of times: write a whole number from 1 to 1000")
    return int(word)


def _refuse_picture(file: Path) -> None:
    """Raise PageError where FILE cannot become a picture: better before the page is loaded than after."""
    if file.suffix.lower() != ".png":
        raise PageError(f"--screenshot {file} is no name of a PNG file: write one that ends in .png")
    if not file.parent.is_dir() or file.is_dir():
        raise PageError(f"--screenshot {file} cannot be written: write a file in a directory that is there")


def _show(found: Load | str, as_json: bool) -> None:
    if not as_json:
        print(found if isinstance(found, str) else text(found), flush=True)


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for and return the exit status. Raises PageError for what cannot be asked."""
    url = address(options.url)
    address(options.driver)
    if options.screenshot:
        _refuse_picture(options.screenshot)
    loads: list[Load] = []
    failures: list[str] = []
    for _ in range(options.repeat):
        try:
            loads.append(open_page(options.driver, url, options.screenshot))
            _show(loads[-1], options.json)
        except PageError as error:
            failures.append(f"{url}: {error}")
            print(f"open_website: {failures[-1]}", file=sys.stderr)
    together = summary(loads, failures)
    if options.json:
        print(json.dumps({**together, "loads": [asdict(each) for each in loads]}, indent=2))
    elif options.repeat > 1:
        median = f", median load time {together['median_seconds']:.3f} s" if loads else ""
        print(f"{len(loads)} of {options.repeat} loaded{median}")
    return int(bool(failures))


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    options = parser().parse_args(arguments)
    # However it is told to end, it ends its browser first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(options)
    except (PageError, OSError) as error:
        print(f"open_website: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
