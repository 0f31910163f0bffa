"""The live view on the lab: what it shows of traffic, of a leak, and of a host that goes away and comes back."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.conftest import CLIENT, EXIT, PATIENCE, PROXIES, ROOT, WEB_ADDRESS, Lab, until

pytestmark = pytest.mark.lab
# A frame past routes and firewalls: UDP to the web server, from the client's own address.
LEAK = """
import socket
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as stream:
    stream.bind(("eth0", 0))
    packet = bytes.fromhex("4500 0020 0000 4000 4011 0000 c612330a c6123350 9c40 0009 000c 0000 6c65616b")
    stream.send(bytes(12) + b"\\x08\\0" + packet)
"""


class Watch:
    """A running scripts/watch, whose last word is at hand."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def see(self, what: str, condition: Any) -> dict[str, Any]:
        """Return the first document for which the condition holds."""
        deadline = time.monotonic() + PATIENCE
        assert self._process.stdout is not None
        hosts: dict[str, Any] = {}
        for line in self._process.stdout:
            hosts = json.loads(line)["hosts"]
            if condition(hosts):
                return hosts
            assert time.monotonic() < deadline, f"{what}: {hosts}"
        raise AssertionError(f"it ended before it was seen that {what}: {hosts}")


def all_there(hosts: dict[str, Any]) -> bool:
    return not any(host["away"] for host in hosts.values())


def test_all_hosts_are_seen_live_also_one_that_goes_away_and_comes_back(deployed: Lab) -> None:
    argv = [str(ROOT / "scripts" / "watch"), "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            watch = Watch(process)
            hosts = watch.see("all hosts are there", all_there)
            assert list(hosts) == [CLIENT, *PROXIES, EXIT]
            with pinging(deployed):
                hosts = watch.see("both paths are busy both ways", busy)
                assert 3 < hosts[CLIENT]["switches"] < 20
                assert hosts[CLIENT]["leaks"] == 0
                watch.see("the proxies say so too", lambda now: all(now[name]["up"] > 20_000 for name in PROXIES))
            deployed.run(CLIENT, f"python3 -c {shlex.quote(LEAK)}")
            watch.see("the leak is seen", lambda now: now[CLIENT]["leaks"] == 1)
            subprocess.run([str(ROOT / "scripts" / "lab"), "restart", "wgnet2"], check=True, capture_output=True)
            watch.see("one is away", lambda now: now["wgnet2"]["away"] and not now["wgnet1"]["away"])
            watch.see("it is back", all_there)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    until(lambda: nothing_is_left(deployed), "nothing is left on the hosts")


@contextmanager
def pinging(lab: Lab) -> Iterator[None]:
    """Have some 340 kB a second go both ways while the block runs."""
    with lab.running(CLIENT, f"wg-migrate exec -- fping -q -c 60000 -p 3 -b 1000 -t 2000 {WEB_ADDRESS}"):
        try:
            yield
        finally:
            lab.run(CLIENT, "pkill -x fping", check=False)  # the end of its connection is nothing to it


def busy(hosts: dict[str, Any]) -> bool:
    """Tell whether each path carries its share each way: 50 to 170 kB a second, as the kernel's timers let fping."""
    paths = hosts[CLIENT]["paths"]
    return bool(paths) and all((path[way] or 0) > 20_000 for path in paths for way in ("up", "down"))


def nothing_is_left(lab: Lab) -> bool:
    left = "pgrep -f '^(python3 -c|tcpdump|wg-migrate status|/usr/bin/python3 .*status --follow)'"
    return all(lab.run(host, left, check=False) == "" for host in (CLIENT, *PROXIES, EXIT))
