"""What this machine needs so that podman can boot systemd on it: detected, never assumed. Most need nothing."""

from __future__ import annotations

import json
import resource
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from lab.shell import LabError, answer, as_root, write
from lab.topology import BUILD, ROOT

CAP_SYS_RESOURCE = 24  # linux/capability.h
CONFIGURATION = BUILD / "containers.conf"


def containers_conf(cgroup_type: str, bounding_set: int, hard_limits: dict[str, int], runtime: Path) -> str:
    """Return the text of a containers.conf(5) for a machine, empty where podman's own defaults do.

    CGROUP_TYPE is the file system at /sys/fs/cgroup as stat(1) names it; BOUNDING_SET the mask of capabilities that
    root can have; HARD_LIMITS the hard limits for containers, by podman's names; RUNTIME the path of crun-cgroup2.
    """
    limits: list[str] = []
    engine: list[str] = []
    if cgroup_type != "cgroup2fs":
        # systemd >= 257 boots on cgroup v2 only, crun refuses the hybrid layout, and v1's pids limit cannot be set.
        limits.append("pids_limit = 0")
        # The name stays "crun": containers remember their runtime's name.
        engine.append(f"[engine.runtimes]\ncrun = [{json.dumps(str(runtime))}]")
    if not bounding_set >> CAP_SYS_RESOURCE & 1:
        # podman's defaults are above the hard limits of this machine, and nobody here may raise those.
        limits.append(
            f"default_ulimits = {json.dumps([f'{name}={hard}:{hard}' for name, hard in hard_limits.items()])}"
        )
    tables = ["[containers]\n" + "\n".join(limits)] if limits else []
    return "".join(f"{table}\n" for table in [*tables, *engine])


def own_bounding_set() -> int:
    """Return the capabilities that root can have here, as a mask: CapBnd of proc(5)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)


def own_hard_limits() -> dict[str, int]:
    """Return the hard limits that containers may have, by podman's names of them: this machine's, or lower."""
    files, processes = (resource.getrlimit(number)[1] for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
    enough_files, own_cap_of_podman = 20000, 32768  # podman lowers its own limit of processes to that
    return {"nofile": lower(files, enough_files), "nproc": lower(processes, own_cap_of_podman)}


def lower(limit: int, bound: int) -> int:
    """Return the lower of a resource limit, which may be none, and a number."""
    return bound if limit == resource.RLIM_INFINITY else min(limit, bound)


@cache
def podman_command() -> list[str]:
    """Return the words that podman's own must follow on this machine; write the configuration that they name, if any.

    Raises LabError where podman is not installed.
    """
    if shutil.which("podman") is None:
        raise LabError("podman is not installed: run scripts/bootstrap")
    cgroup_type = (answer(["stat", "-fc", "%T", "/sys/fs/cgroup"]) or "").strip()
    runtime = ROOT / "lab" / "runtime" / "crun-cgroup2"
    text = containers_conf(cgroup_type, own_bounding_set(), own_hard_limits(), runtime)
    if not text:
        return as_root(["podman"])
    write(CONFIGURATION, text)
    return as_root(["env", f"CONTAINERS_CONF={CONFIGURATION}", "podman"])


def podman(*words: str) -> list[str]:
    """Return the command line of podman with WORDS."""
    return [*podman_command(), *words]


def podman_json(*words: str) -> list[dict[str, Any]]:
    """Return the list that podman with WORDS prints as JSON, empty where it fails (nothing of that name)."""
    found: list[dict[str, Any]] = json.loads(answer(podman(*words)) or "[]")
    return found
