"""Edit an OCI bundle's config.json so that a systemd container boots on a cgroup2 hierarchy without controllers.

The fields are those of the OCI runtime specification, config-linux.md. Used by crun-cgroup2 only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def rewrite(config: dict[str, Any]) -> dict[str, Any]:
    """Return CONFIG with one writable cgroup2 mount, a private cgroup namespace, and no resource limits.

    podman writes a bundle for the layout that it sees, v1 or hybrid: it binds the v1 hierarchy `systemd` and makes the
    rest read-only. Limits must go because the hierarchy has no controllers to hold them.
    """
    mounts = [mount for mount in config["mounts"] if mount["destination"] != "/sys/fs/cgroup/systemd"]
    for mount in mounts:
        if mount["destination"] == "/sys/fs/cgroup":
            mount["options"] = ["rw" if option == "ro" else option for option in mount["options"]]
    linux = {key: value for key, value in config["linux"].items() if key != "resources"}
    namespaces = [namespace for namespace in linux["namespaces"] if namespace["type"] != "cgroup"]
    linux["namespaces"] = [*namespaces, {"type": "cgroup"}]
    return {**config, "mounts": mounts, "linux": linux}


def main() -> None:
    """Rewrite the file that the command line names."""
    path = Path(sys.argv[1])
    path.write_text(json.dumps(rewrite(json.loads(path.read_text()))))


if __name__ == "__main__":
    main()
