"""What cloud-init reads on one of the virtual machines: what provisioning gives a cloud's, beside its name and card.

The others are spared it: emulated, it costs a machine 50 s of processor time at its first boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from wg_cloud.cloud import user_data

from lab.keys import USER_KEY, host_key, public
from lab.topology import CONTROLLER4, CONTROLLER6, SUBNET4, SUBNET6, USER, Machine

CLOUDY = "exit"
DISABLED = ("etc/cloud/cloud-init.disabled", "", 0o644, 0)
"""The file that keeps cloud-init from running."""
_DIRECTORY = "var/lib/cloud/seed/nocloud"
"""Where its data source NoCloud looks, below a machine's root."""


def cloud_files(machine: Machine, servers: Iterable[str]) -> list[tuple[str, str, int, int]]:
    """Return the files of NoCloud for MACHINE, with these SERVERS for DNS: path, text, mode and owner of each."""
    documents = {
        "meta-data": json.dumps({"instance-id": machine.full_name, "local-hostname": machine.name}),
        "network-config": json.dumps(network(machine, servers)),
        "user-data": with_host_key(user_data(USER, public(USER_KEY)), machine),
    }
    return [(f"{_DIRECTORY}/{name}", text, 0o600, 0) for name, text in documents.items()]


def network(machine: Machine, servers: Iterable[str]) -> dict[str, object]:
    """Return how the card of MACHINE is set up, in the format of networks that clouds use, version 2."""
    card = {
        "match": {"macaddress": machine.mac},
        "addresses": [
            f"{machine.address4}/{SUBNET4.rpartition('/')[2]}",
            f"{machine.address6}/{SUBNET6.rpartition('/')[2]}",
        ],
        "routes": [{"to": "0.0.0.0/0", "via": CONTROLLER4}, {"to": "::/0", "via": CONTROLLER6}],
        "nameservers": {"addresses": [*servers]},
    }
    return {"version": 2, "ethernets": {"eth0": card}}


def with_host_key(given: str, machine: Machine) -> str:
    """Return user data that has the host key of MACHINE, too: a cloud's makes its own, which nobody knows before."""
    head, _, config = given.partition("\n")
    keys = {"ed25519_private": host_key(machine).read_text(), "ed25519_public": public(host_key(machine)).strip()}
    return f"{head}\n{json.dumps({**json.loads(config), 'ssh_keys': keys})}\n"
