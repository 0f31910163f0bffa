"""The lab's machines, and scripts/wgm as its user has it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.lab.conftest import ROOT, deployed, lab

__all__ = ["deployed", "lab"]
WGM = str(ROOT / "scripts" / "wgm")
BIN = ROOT / ".venv" / "bin"
TOOLS = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}
"""An environment in which the tools of .venv are found."""


def wgm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/wgm without a terminal, from a directory that is not the checkout's, and return how it ended."""
    return subprocess.run([WGM, *words], cwd="/", capture_output=True, text=True, timeout=600, check=False)


def last_log() -> list[dict[str, Any]]:
    """Return the lines of the newest log."""
    path = max((ROOT / "build" / "wgm").glob("*.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]
