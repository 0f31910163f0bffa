"""What machines are given at their first boot, judged by cloud-init itself, as scripts/bootstrap has unpacked it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from wg_cloud.cloud import user_data

from tests.cloud.conftest import PUBLIC_KEY, ROOT

CODE = ROOT / "build/cloud-init/usr/lib/python3/dist-packages"


def judge(directory: Path, given: str) -> str:
    """Return what `cloud-init schema` says."""
    file = directory / "user-data"
    file.write_text(given)
    done = subprocess.run(
        [sys.executable, "-m", "cloudinit.cmd.main", "schema", "--config-file", file],
        env={**os.environ, "PYTHONPATH": str(CODE)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_cloud_init_takes_what_it_is_given(tmp_path: Path) -> None:
    assert "Valid" in judge(tmp_path, user_data("ops", PUBLIC_KEY))


def test_cloud_init_would_refuse_what_it_does_not_know(tmp_path: Path) -> None:
    told = judge(tmp_path, user_data("ops", PUBLIC_KEY).replace("lock_passwd", "lock_password"))
    assert "Valid" not in told
    assert "lock_password" in told
