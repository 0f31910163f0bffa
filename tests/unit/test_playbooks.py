"""What the playbooks refuse before they speak to a host."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Nobody is at these addresses (RFC 5737). What the provider gave us has been deleted.
INVENTORY = """
clients: {hosts: {laptop: {ansible_host: 192.0.2.10, client_foreign_paths: [
  {name: sold, config_file: sold.conf, leaves_from: [198.51.100.7]}]}}}
proxies: {hosts: {wgnet1: {ansible_host: 192.0.2.11}}}
exits: {hosts: {exit: {ansible_host: 192.0.2.20}}}
"""


def test_whatever_needs_the_plan_says_first_why_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(INVENTORY)

    def run(playbook: str) -> subprocess.CompletedProcess[str]:
        command = [f"{Path(sys.executable).parent}/ansible-playbook", "-i", str(tmp_path), f"playbooks/{playbook}.yml"]
        environment = {**os.environ, "NO_COLOR": "1"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(os.cpu_count()) as at_once:
        runs = list(at_once.map(run, ("site", "rotate-keys", "verify", "remove")))
    for done in runs:
        assert done.returncode != 0
        assert "config_file 'sold.conf' cannot be read" in " ".join(done.stdout.split()), done.stdout
        assert "UNREACHABLE" not in done.stdout
