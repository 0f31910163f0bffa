"""The wire between the machines: what is seen on it, how fast it is, and what is cut off from it."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.bounds import BenchError
from bench.machines import CLIENT, PATHS_NAMESPACE, Machines
from bench.read import dropped_by_kernel, fragments_created
from lab.shell import answer, as_root
from lab.topology import CONTROLLER4, NETWORK, Machine, machine

WIREGUARD_PORT = 51820
WEBDRIVER_PORT = 4444
FRAGMENTS = "ip[6:2] & 0x3fff != 0 or (ip6 and ip6[6] == 44)"
"""IPv4: more fragments follow, or an offset (RFC 791, section 3.1). IPv6: a fragment header is next (RFC 8200, 4.5)."""
UPLINK = ("tbf", "rate", "100mbit", "burst", "128kb", "latency", "50ms")
"""A burst takes the largest packet that the kernel has not cut up yet, 64 kB, and ten ticks at this rate; the latency
is the queue of a home router."""
CUT_TABLE = "wgm_bench"
# A table of its own: the rules that the proxy has stay as they are. SSH is how the cut is mended.
CUT = f"""
table inet {CUT_TABLE} {{
    chain arriving {{ type filter hook prerouting priority -310; policy drop; tcp dport 22 accept; }}
    chain leaving {{ type filter hook output priority -310; policy drop; tcp sport 22 accept; }}
}}
"""


def leaks_filter(client: Machine, proxies: Sequence[Machine]) -> str:
    """Return tcpdump's words for the client's packets that leak: all but WireGuard, management, finding neighbours."""
    hosts = " or ".join(f"host {proxy.address4}" for proxy in proxies)
    neighbours = "dst net ff02::/16 or dst net fe80::/10 or (ip6[40] >= 133 and ip6[40] <= 136)"
    return (
        f"(host {client.address4} or host {client.address6}) and not arp and not tcp port 22"
        f" and not (tcp port {WEBDRIVER_PORT} and host {CONTROLLER4})"
        f" and not (udp port {WIREGUARD_PORT} and ({hosts})) and not (icmp6 and ({neighbours}))"
    )


class Capture:
    """tcpdump on the bridge, outside the machines. Only what must not be there comes into its file."""

    def __init__(self, directory: str, leaks: str) -> None:
        """Capture into DIRECTORY; LEAKS is what `leaks_filter` gave. Returns when it captures; raises BenchError."""
        self._leaks = leaks
        self._file = Path(directory) / f"{time.monotonic_ns()}.pcap"
        argv = ["tcpdump", "-i", NETWORK, "-n", "-U", "-Z", "root", "-s", "96", "-w", str(self._file)]
        self._process = subprocess.Popen(
            # A group of its own: Ctrl-C is ours to handle.
            as_root([*argv, f"({leaks}) or {FRAGMENTS}"]), stderr=subprocess.PIPE, text=True, process_group=0
        )  # fmt: skip
        assert self._process.stderr is not None
        while "listening on" not in (line := self._process.stderr.readline()):
            if not line:
                raise BenchError("tcpdump ended before it listened")

    def stop(self) -> tuple[int, int]:
        """End the capture and return how many packets leaked and how many were fragments.

        Raises BenchError where the kernel dropped packets before tcpdump saw them, or tcpdump had died.
        """
        if self._process.poll() is not None:
            raise BenchError("tcpdump died during the run")
        time.sleep(0.5)  # what the kernel has seen is in its buffer
        self.abandon()
        assert self._process.stderr is not None
        dropped = dropped_by_kernel(self._process.stderr.read())
        if dropped:
            raise BenchError(f"tcpdump missed {dropped} packets")
        return self._count(self._leaks), self._count(FRAGMENTS)

    def abandon(self) -> None:
        """End the capture, if it still runs."""
        if self._process.poll() is None:
            subprocess.run(as_root(["kill", f"-{signal.SIGINT.value}", str(self._process.pid)]), check=False)
            self._process.wait(timeout=30)

    def _count(self, expression: str) -> int:
        read = subprocess.run(
            as_root(["tcpdump", "-n", "-r", str(self._file), expression]), capture_output=True, text=True, check=True
        )
        return len(read.stdout.splitlines())


@contextmanager
def capturing(machines: Machines) -> Iterator[Capture]:
    """Lend a capture that is running; it ends with the block at the latest."""
    proxies = [machine(name) for name in machines.proxies.values()]
    with tempfile.TemporaryDirectory(prefix="wgm-bench-") as directory:
        capture = Capture(directory, leaks_filter(machine(CLIENT), proxies))
        try:
            yield capture
        finally:
            capture.abandon()


def all_fragments_created(machines: Machines) -> int:
    """Return the fragments made since they exist by the client's namespaces, the proxies and the exit."""
    namespaces = machines.run(CLIENT, "ip", "-json", "netns", "list").strip() or "[]"
    names = [entry["name"] for entry in json.loads(namespaces)]
    if PATHS_NAMESPACE not in names:
        raise BenchError(f"the client has no namespace {PATHS_NAMESPACE}")
    read = ("cat", "/proc/net/snmp", "/proc/net/snmp6")
    said = [machines.run(CLIENT, "ip", "netns", "exec", name, *read, check=False) for name in names]
    said += [machines.run(host, *read, check=False) for host in (CLIENT, *machines.others)]
    return sum(fragments_created(text, text) for text in said)


def bridge_port(name: str) -> str:
    """Return the controller's end of a machine's cable. Raises BenchError where it does not run."""
    told = answer([str(Path(__file__).parents[1] / "scripts" / "lab"), "status", "--json"])
    port = json.loads(told)["machines"][name]["bridge_port"] if told else ""
    if not port:
        raise BenchError(f"{name} is not running")
    return str(port)


@contextmanager
def shaped(machines: Machines) -> Iterator[None]:
    """Make the client's uplink one of 100 Mbit/s, both ways, while the block runs."""
    port = bridge_port(CLIENT)
    try:
        machines.run(CLIENT, "tc", "qdisc", "replace", "dev", "eth0", "root", *UPLINK)
        _shape_port(port)  # what leaves the bridge by it arrives at the client
        yield
    finally:
        unshape(machines, port)


def unshape(machines: Machines, port: str) -> None:
    """Take the limits off the client's uplink, if there are any."""
    machines.run(CLIENT, "tc", "qdisc", "delete", "dev", "eth0", "root", check=False)
    subprocess.run(as_root(["tc", "qdisc", "delete", "dev", port, "root"]), capture_output=True, check=False)


def _shape_port(port: str) -> None:
    try:
        subprocess.run(
            as_root(["tc", "qdisc", "replace", "dev", port, "root", *UPLINK]),
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise BenchError(f"this kernel cannot shape {port}: {error.stderr.strip()}") from None


@contextmanager
def cut_off(machines: Machines, host: str) -> Iterator[None]:
    """Have a machine neither hear nor say anything while the block runs. It still answers for its address (ARP)."""
    machines.run(host, "nft", "-f", "-", given=CUT)
    try:
        yield
    finally:
        mend(machines, host)


def mend(machines: Machines, host: str) -> None:
    """Let a machine hear and speak again, if it was cut off."""
    machines.run(host, "nft", "delete", "table", "inet", CUT_TABLE, check=False)
