"""How long the deployment takes: first on machines as they are made, then again, and with many proxies."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.bounds import BenchError
from lab.shell import as_root, run
from lab.topology import ROOT

MANY = 16
REPEATS = 3
AGAIN, WITH_MANY = 0.25, 2.5
"""What a second run may take of the first, and with MANY proxies of that with two."""
_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_INVENTORY = ROOT / "build" / "bench" / "inventory"


@dataclass(frozen=True)
class Run:
    """Seconds of each play of a run, by its name, and of the whole."""

    plays: Mapping[str, float]
    seconds: float


def measure() -> str:
    """Return a table of it. The lab's machines are made anew, and removed at the end. Raises BenchError."""
    with _machines(2) as inventory:
        first = _deploy(inventory)
        again = [_deploy(inventory) for _ in range(REPEATS)]
    with _watches(64 * MANY), _machines(MANY) as inventory:
        _deploy(inventory)
        many = [_deploy(inventory) for _ in range(REPEATS)]
    return table(first, again, many)


def table(first: Run, again: list[Run], many: list[Run]) -> str:
    """Return the medians as a person reads them: seconds of each play, and the two ratios with their bounds."""
    columns = ([first], again, many)
    whole = [statistics.median(run.seconds for run in runs) for runs in columns]
    rows = [
        ["", "first", "second", f"second, {MANY} proxies"],
        *([play, *(f"{_median(runs, play):.1f}" for runs in columns)] for play in first.plays),
        ["all", *(f"{seconds:.1f}" for seconds in whole)],
    ]
    lines = ["{:48} {:>8} {:>8} {:>20}".format(*row).rstrip() for row in rows]
    ratios = [
        f"second / first: {whole[1] / whole[0]:.2f} (bound {AGAIN})",
        f"{MANY} proxies / 2: {whole[2] / whole[1]:.2f} (bound {WITH_MANY})",
    ]
    return "\n".join([*lines, *ratios])


def _median(runs: list[Run], play: str) -> float:
    return statistics.median(run.plays[play] for run in runs)


@contextmanager
def _watches(most: int) -> Iterator[None]:
    """Let the machines, which share one kernel, watch files by so many instances of inotify(7) at the same time.

    Each systemd and each wireguard-go has some; Linux gives a user 128, and all of the lab's machines are one user's.
    """
    before = _INSTANCES.read_text().strip()
    run(as_root(["sysctl", "-q", f"fs.inotify.max_user_instances={max(most, int(before))}"]), "bench")
    try:
        yield
    finally:
        run(as_root(["sysctl", "-q", f"fs.inotify.max_user_instances={before}"]), "bench")


@contextmanager
def _machines(proxies: int) -> Iterator[Path]:
    """Have a lab with so many proxies, whose machines are as they are made, and give its inventory."""
    environment = {**os.environ, "WGM_LAB_PROXIES": str(proxies)}
    lab = str(ROOT / "scripts" / "lab")
    try:
        if subprocess.run([lab, "reset"], env=environment, check=False).returncode != 0:
            raise BenchError("the lab did not come up")
        yield _inventory(proxies)
    finally:
        subprocess.run([lab, "down"], env=environment, check=False)


def _inventory(proxies: int) -> Path:
    """Write the lab's inventory with so many proxies and return its directory."""
    shutil.rmtree(_INVENTORY, ignore_errors=True)
    shutil.copytree(ROOT / "inventory" / "lab", _INVENTORY)
    hosts = yaml.safe_load((_INVENTORY / "hosts.yml").read_text())
    environment = {**os.environ, "WGM_LAB_PROXIES": str(proxies)}
    status = [str(ROOT / "scripts" / "lab"), "status", "--json"]
    told = subprocess.run(status, env=environment, capture_output=True, text=True, check=True).stdout
    machines = yaml.safe_load(told)["machines"]
    hosts["all"]["children"]["proxies"]["hosts"] = {
        name: {"ansible_host": about["address"]} for name, about in machines.items() if name.startswith("wgnet")
    }
    (_INVENTORY / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return _INVENTORY


def _deploy(inventory: Path) -> Run:
    """Run site.yml and return how long each of its plays took. Raises BenchError where it fails."""
    argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "site.yml", "-i", str(inventory)]
    argv += ["-e", f"__lab_directory={ROOT}/build/lab"]
    # As on most machines: without bytecode each fork would compile our actions anew.
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begins: dict[str, float] = {}
    said = []
    begin = time.monotonic()
    with subprocess.Popen(argv, cwd=ROOT, env={**given, "NO_COLOR": "1"}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith(("PLAY [", "PLAY RECAP")):
                begins[line[6:].partition("]")[0]] = time.monotonic()
    if process.returncode != 0:
        raise BenchError(f"{''.join(said)[-3000:]}\nsite.yml failed")
    names, times = list(begins), list(begins.values())
    plays = {name: after - before for name, before, after in zip(names, times, times[1:], strict=False)}
    return Run(plays, time.monotonic() - begin)
