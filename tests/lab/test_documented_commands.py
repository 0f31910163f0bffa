"""Every command that a page tells its reader to run does run: on the lab, with its names for those of the page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import CLIENT, EXIT, PATIENCE, PROXIES, ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.documentation]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:sudo|systemctl|journalctl|nft|sysctl) [^`]+)`", re.DOTALL)
MEANT = {
    "inventory/example inventory/mine": "inventory/example build/copied-example",
    "inventory/cloud inventory/mine": "inventory/cloud build/copied-cloud",
    "inventory/mine": "inventory/lab",
    "ssh laptop": "scripts/lab ssh client",
    "laptop,proxy1": "client,wgnet1",
    "https://example.org": "http://198.18.51.80/whoami",
    "www.google.com": "www.web.lab.test",
    "192.0.2.10": "198.18.51.10",
    "laptop2.conf": "build/laptop2.conf",
    "page.png": "build/page.png",
    "page.html --json figures.json": "build/page.html --json build/figures.json",
    "FILE": "/run/schedule.json",
    "capture_seconds=3600": "capture_seconds=5",
    # It takes half an hour, and is the next one with more repeats.
    "make bench": "make --dry-run bench",
    "bench --strict": "bench --as-is --quick --strict --only leaks",
}
"""What a page says, and what stands for it in the lab."""
ELSEWHERE = {
    r"playbooks/(provision|destroy)\.yml": "tests/cloud",
    r"^export ": "tests/cloud",
    r"^ansible-(builder|navigator) ": "tests/fleet",
    r"--vm$|inventory/vm": "tests/vm",
}
"""Commands whose place is not the lab, and the tests that run them."""
ENDLESS = r"(scripts/|wgm )watch|--follow|--at laptop,proxy1"
"""Commands that run until Ctrl-C."""
LAST = (r"wgm remove|remove\.yml", r"scripts/lab reset", r"make down")
"""Commands that take something away; in this order they come after the others."""


def commands(text: str) -> Iterator[str]:
    """Yield the commands of a page's blocks of shell, without their comments, each in one line."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.sub(r"(^|\s+)#.*", "", line).split(" && "):
                if command.strip():
                    yield " ".join(command.split())


def documented() -> list[str]:
    """Return every command of the pages once: in their order, and those that take something away at the end."""
    found = dict.fromkeys(command for page in PAGES for command in commands(page.read_text()))
    here = [command for command in found if not any(re.search(word, command) for word in ELSEWHERE)]
    return sorted(here, key=lambda command: next((n for n, word in enumerate(LAST, 1) if re.search(word, command)), 0))


def diagnoses() -> list[str]:
    """Return what the page on troubleshooting tells to run on some host."""
    found = INLINE.findall((ROOT / "docs" / "troubleshooting.md").read_text())
    return list(dict.fromkeys(" ".join(command.split()).removeprefix("sudo ") for command in found))


def in_the_lab(command: str) -> list[str]:
    """Return what a command of a page is in the lab, as words of a shell on the controller."""
    # A shell that Ctrl-C ends as well would hide how the program itself ends.
    command = f"exec {command}" if re.search(ENDLESS, command) and not command.startswith("sudo ") else command
    for word, meant in MEANT.items():
        command = command.replace(word, meant)
    if "build/captures/DIRECTORY" in command:
        newest = max((ROOT / "build" / "captures").iterdir(), key=lambda directory: directory.stat().st_mtime)
        command = command.replace("build/captures/DIRECTORY", str(newest))
    return ["scripts/lab", "ssh", CLIENT, command] if command.startswith("sudo ") else ["sh", "-c", command]


@pytest.fixture(scope="module")
def documented_lab(deployed: Lab) -> Iterator[Lab]:
    """Lend the lab with a schedule in a file, which one of the commands wants."""
    deployed.run(CLIENT, """echo '{"period": 0.1}' >/run/schedule.json""")
    yield deployed
    for name in ("copied-example", "copied-cloud"):
        shutil.rmtree(ROOT / "build" / name, ignore_errors=True)
    # One of the devices that are added is not removed again.
    shutil.rmtree(ROOT / "inventory" / "lab" / "host_vars", ignore_errors=True)
    (ROOT / "build" / "laptop2.conf").unlink(missing_ok=True)


@pytest.mark.parametrize("command", diagnoses())
def test_what_troubleshooting_says_runs_on_a_host(command: str, documented_lab: Lab) -> None:
    """On the client, a proxy, or the exit; on one that it is not for, it leaves no unit that has failed."""
    marked = f"({command}) >/dev/null 2>&1 && echo it runs || systemctl reset-failed"
    assert "it runs" in [documented_lab.run(host, marked, check=False).strip() for host in (CLIENT, PROXIES[0], EXIT)]
    documented_lab.run(CLIENT, "systemctl start wg-migrate-loop")


@pytest.mark.usefixtures("documented_lab")
@pytest.mark.parametrize("command", documented())
def test_what_a_page_says_runs(command: str, tmp_path: Path) -> None:
    argv = in_the_lab(command)
    with (tmp_path / "output").open("w+") as output:
        with subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        ) as process:
            if re.search(ENDLESS, command):
                deadline = time.monotonic() + PATIENCE
                while not (tmp_path / "output").stat().st_size:
                    assert process.poll() is None, "it ended by itself"
                    assert time.monotonic() < deadline, "it says nothing"
                    time.sleep(0.2)
                # As a terminal does: to the program and what it has started.
                os.killpg(process.pid, signal.SIGINT)
            try:
                status = process.wait(timeout=900)
            except BaseException:
                # What goes on behind our back, a benchmark for example, would be in the way of all that follows.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        output.seek(0)
        assert status == 0, f"{argv}\n{output.read()[-5000:]}"
