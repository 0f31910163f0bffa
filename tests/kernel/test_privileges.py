"""What the loop may still do once it has given up its privileges."""

from __future__ import annotations

import json
import sys

from .machine import ROOT, Machine

PROGRAM = """
import errno, json, os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from wg_migrate import privileges
from wg_migrate.route_switch import RouteSwitch, encode

privileges.enter_namespace("wgnet")
inside = [name for _, name in __import__("socket").if_nameindex()]
privileges.keep_only_net_admin()
sets = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if line.startswith("Cap"))
try:
    privileges.enter_namespace("comps")
    again = 0
except OSError as error:
    again = error.errno
RouteSwitch().send(encode(1, "127.0.0.1"))
print(json.dumps({"inside": inside, "sets": sets, "again": errno.errorcode.get(again)}))
"""


def test_only_net_admin_is_kept_and_the_namespace_cannot_be_left(machine: Machine) -> None:
    machine.run("ip netns add wgnet")
    machine.run("ip netns add comps")
    machine.run("ip -n wgnet link set lo up")
    machine.run("ip link add outside type veth")
    said = machine.start([sys.executable, "-c", PROGRAM, str(ROOT / "module_utils")])
    answer = json.loads(said.wait())
    assert "outside" not in answer["inside"]
    assert {name: int(answer["sets"][name], 16) for name in ("CapEff", "CapPrm", "CapInh")} == {
        "CapEff": 1 << 12,
        "CapPrm": 1 << 12,
        "CapInh": 1 << 12,
    }
    assert answer["again"] == "EPERM"


def test_no_namespace_is_said_by_its_name(machine: Machine) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\nfrom wg_migrate.privileges import *\nenter_namespace('wgnet')"
    )
    said = machine.start([sys.executable, "-c", program, str(ROOT / "module_utils")]).wait()
    assert "FileNotFoundError" in said
    assert "/run/netns/wgnet" in said
