"""Three namespaces in a row, for the firewalls of proxy and exit.

They are `inside` (the clients), `router` (the host with the table) and `outside` (the Internet). A cable with the
tunnel's name stands for the tunnel: the rules cannot tell.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from wg_migrate import nft
from wg_migrate.system import System

ROLES = Path(__file__).resolve().parents[2] / "roles"
PREFIX = f"wgm-firewall-{os.getpid()}"
INSIDE, ROUTER, OUTSIDE = (f"{PREFIX}-{name}" for name in ("inside", "router", "outside"))

ANSWER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    server.settimeout(2)
    try:
        _, sender = server.recvfrom(100)
        print(sender[0], flush=True)
        server.sendto(sender[0].encode(), sender)
    except TimeoutError:
        pass
"""
ASK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as client:
    client.bind((sys.argv[1], 0))
    client.settimeout(0.5)
    client.connect((sys.argv[2], int(sys.argv[3])))
    client.send(b"?")
    try:
        client.recv(100)
        print("answered")
    except TimeoutError:
        pass
    except OSError as error:
        print(error.strerror.replace(" ", "-"))
"""
# A raw socket of IPv4 is given the header too. To one of IPv6 the kernel adds the checksum (raw(7), ipv6(7)).
RAW = """
import socket, sys
six = ":" in sys.argv[1]
kind, start = ((socket.AF_INET6, socket.IPPROTO_ICMPV6), 0) if six else ((socket.AF_INET, socket.IPPROTO_ICMP), 20)
raw = socket.socket(kind[0], socket.SOCK_RAW, kind[1])
"""
# The receiver's kernel answers by itself; a raw socket beside it is told of what came.
LISTEN_ICMP = f"""{RAW}
with raw as listener:
    listener.bind((sys.argv[1], 0))
    print("ready", flush=True)
    while True:
        packet, sender = listener.recvfrom(100)
        if packet[start] == int(sys.argv[2]):
            print(sender[0], flush=True)
            break
"""
ASK_ICMP = f"""{RAW}
with raw as client:
    client.bind((sys.argv[1], 0))
    client.settimeout(0.5)
    client.sendto(bytes.fromhex(sys.argv[3]), (sys.argv[2], 0))
    try:
        # Of IPv6 it hears neighbours too.
        while client.recv(100)[start] != int(sys.argv[4]):
            pass
        print("answered")
    except OSError:
        pass
"""


@dataclass(frozen=True)
class Message:
    """A message of ICMP (RFC 792, 4443) with its checksum, its type, and the type of the answer to it."""

    packet: str
    kind: int
    answer: int


ECHO = Message("0800a0b1574d0001", 8, 0)
ECHO6 = Message("80000000574d0001", 128, 129)
TIMESTAMP = Message("0d009bb1574d0001" + 12 * "00", 13, 14)


def inside(namespace: str, *argv: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *argv]


def ask(asking: str, source: str, answering: str, destination: str, port: int) -> list[str]:
    """Send a UDP packet. Return the source address that its receiver saw, and "answered" if the answer came back.

    Where an error came back at once instead, it is the system's word for it, such as No-route-to-host.
    """
    words = [sys.executable, "-c", ANSWER, destination, str(port)]
    with subprocess.Popen(inside(answering, *words), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        answer = System().run(inside(asking, sys.executable, "-c", ASK, source, destination, str(port)))
        server.kill()
        return [*server.stdout.read().split(), *answer.split()]


def ask_icmp(message: Message, asking: str, source: str, answering: str, destination: str) -> list[str]:
    """Send a message of ICMP; return the same as `ask`."""
    words = [sys.executable, "-c", LISTEN_ICMP, destination, str(message.kind)]
    with subprocess.Popen(inside(answering, *words), stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout
        assert listener.stdout.readline() == "ready\n"
        words = [sys.executable, "-c", ASK_ICMP, source, destination, message.packet, str(message.answer)]
        answer = System().run(inside(asking, *words))
        listener.kill()
        return [*listener.stdout.read().split(), *answer.split()]


def comes_back(source: str, destination: str, *asking: str) -> bool:
    """Tell whether a packet from inside for a host behind the tunnel is sent into the tunnel again.

    `asking` is the program that sends the packet and its arguments after the two addresses.
    """
    run = System().run
    run(["ip", "-n", ROUTER, "route", "replace", destination, "via", source])
    # The receiver cannot be another host inside, where there is one only: the packet is counted as it comes in.
    rule = f"ip saddr {source} ip daddr {destination} counter name back"
    chain = f"chain in {{ type filter hook prerouting priority raw; {rule}; }}"
    run(inside(INSIDE, "nft", "--file", "-"), stdin=f"table inet test {{ counter back {{ }}; {chain}; }}")
    program, *arguments = asking
    run(inside(INSIDE, sys.executable, "-c", program, source, destination, *arguments))
    counted = run(inside(INSIDE, "nft", "list", "counter", "inet", "test", "back"))
    run(inside(INSIDE, "nft", "delete", "table", "inet", "test"))
    return "packets 0 " not in counted


def ping(source: str, destination: str) -> bool:
    """Tell whether an echo request from inside is answered by this machine's router."""
    return "answered" in ask_icmp(ECHO, INSIDE, source, ROUTER, destination)


def rules(role: str, **inputs: Any) -> str:
    """Return the body of the table that a role renders from its defaults and these inputs, as Ansible renders it."""
    defaults = {
        name: value
        for place in ("vars", "defaults")
        for name, value in yaml.safe_load((ROLES / role / place / "main.yml").read_text()).items()
    }
    template = (ROLES / role / "templates" / "nftables.j2").read_text()
    templar = Templar(loader=DataLoader(), variables={"ansible_facts": {}, **_as_role(defaults), **inputs})
    return str(templar.template(trust_as_template(template)))


def _as_role(value: Any) -> Any:
    """Return what stands in a role's file as Ansible has it: a text, however deep, may be a template."""
    if isinstance(value, dict):
        return {name: _as_role(each) for name, each in value.items()}
    return trust_as_template(value) if isinstance(value, str) else value


def load(body: str) -> None:
    System().run(inside(ROUTER, "nft", "--file", "-"), stdin=nft.render("wg_migrate_test", body))


def build(tunnel: str, inside_addresses: list[str], router_address: str, outside_addresses: list[str]) -> None:
    run = System().run
    for namespace in (INSIDE, ROUTER, OUTSIDE):
        run(["ip", "netns", "add", namespace])
        run(["ip", "-n", namespace, "link", "set", "lo", "up"])
    ends = [(INSIDE, "tunnel", tunnel, inside_addresses), (OUTSIDE, "uplink", "uplink", outside_addresses)]
    for namespace, there, here, addresses in ends:
        peer = ["peer", "name", there, "netns", namespace]
        run(["ip", "-n", ROUTER, "link", "add", here, "type", "veth", *peer])
        run(["ip", "-n", ROUTER, "link", "set", here, "up"])
        run(["ip", "-n", namespace, "link", "set", there, "up"])
        for address in addresses:
            run(["ip", "-n", namespace, "address", "add", address, "dev", there])
    run(["ip", "-n", ROUTER, "address", "add", router_address, "dev", tunnel])
    run(["ip", "-n", ROUTER, "address", "add", "192.0.2.1/24", "dev", "uplink"])
    run(["ip", "-n", ROUTER, "route", "add", "default", "via", "192.0.2.11"])
    run(["ip", "-n", INSIDE, "route", "add", "default", "via", router_address.partition("/")[0]])
    # The outside knows the way to the clients, so that only the rules can keep it out.
    run(["ip", "-n", OUTSIDE, "route", "add", "10.0.0.0/8", "via", "192.0.2.1"])
    run(inside(ROUTER, "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"))
