"""A host as one shell command sees it: whether Ansible can work there, and the facts of its network. Pure.

The module ansible.builtin.setup finds the same and more, in ten times the host's processor time (docs/architecture.md).
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OLDEST_PYTHON = (3, 9)
"""What ansible-core 2.21 needs on a host."""
_ELSEWHERE = {4: "8.8.8.8", 6: "2404:6800:400a:800::1012"}
"""Addresses in the Internet; the way there is the default one. Nothing is sent. They are those that setup asks for."""
_SECTION = re.compile(r"^=== (\w+)$", re.MULTILINE)

# sudo drops SSH_CONNECTION, and the shell that started it still has it.
_QUESTIONS = r"""
echo '=== python'
PYTHON --version
echo '=== user'
id -u
echo '=== connection'
told=$SSH_CONNECTION
process=$PPID
while [ -z "$told" ] && [ "${process:-0}" -gt 1 ]; do
    told=$(grep -z '^SSH_CONNECTION=' "/proc/$process/environ" | tr -d '\0')
    process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status")
done
echo "${told#SSH_CONNECTION=}"
echo '=== devices'
ip -json address show
echo '=== default4'
ip -json -4 route get ELSEWHERE4
echo '=== default6'
ip -json -6 route get ELSEWHERE6
"""

# The probe's device is in a namespace that ends with the command; dpkg-query passes over packages that it does not
# know. Tables of nftables that are not ours, or any rule of iptables, may be a firewall of the host's own.
_WIREGUARD_QUESTIONS = r"""
echo '=== wireguard'
command -v dpkg-query >/dev/null && echo 'can use-debian-packages'
command -v ip >/dev/null && echo 'can run-ip'
unshare --net ip link add name wgm-probe type wireguard && echo 'can kernel-wireguard'
test -c /dev/net/tun && echo 'can open-tun'
dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' PACKAGES
tables=$(nft list tables) &&
    ! { echo "$tables"; iptables-save; } | grep -q -v -e 'inet wg_migrate' -e '^$' && echo 'no other firewall'
"""


@dataclass(frozen=True)
class Look:
    """What a host has said: `facts` under the names that setup has for them, and why Ansible cannot work there."""

    facts: dict[str, Any] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)


def questions(python: str, packages: Sequence[str] = ()) -> str:
    """Return the command for a POSIX shell; `python` is the path of the interpreter that Ansible would use.

    With packages it asks, too, whether they are installed and what else WireGuard needs.
    """
    text = _QUESTIONS.replace("PYTHON", shlex.quote(python))
    text = text.replace("ELSEWHERE4", _ELSEWHERE[4]).replace("ELSEWHERE6", _ELSEWHERE[6])
    return text + _WIREGUARD_QUESTIONS.replace("PACKAGES", " ".join(map(shlex.quote, packages))) if packages else text


def read(output: str) -> Look:
    """Return what the command's output says. A host may say anything: what is no such fact is left out."""
    answers = answers_in(output)
    if answers.get("user") != "0":
        return Look(refusals=[NO_ROOT])
    facts = _facts(answers)
    if "wireguard" in answers:
        facts["wireguard"] = _wireguard(answers["wireguard"].splitlines())
    return Look(facts, _python_refusals(answers.get("python", "")))


def answers_in(output: str) -> dict[str, str]:
    """Return what the output has of each question, by the question's name."""
    parts = _SECTION.split(output.replace("\r\n", "\n"))
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2])}


NO_ROOT = (
    "does not let Ansible become root: write an ansible_user that has sudo, or root, and leave ansible_become alone; "
    "in a play of your own, write become: true"
)


def _python_refusals(told: str) -> list[str]:
    found = re.fullmatch(r"Python ((\d{1,9})\.(\d{1,9})\S*)", told)
    if found and (int(found[2]), int(found[3])) >= OLDEST_PYTHON:
        return []
    version = f"Python {found[1]}" if found else "no Python"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    advice = "install it, and write ansible_python_interpreter if it is not /usr/bin/python3"
    return [f"has {version}, and Ansible needs Python {oldest} or later there: {advice}"]


def _facts(answers: Mapping[str, str]) -> dict[str, Any]:
    devices = {_text(each, "ifname"): each for each in _listed(answers.get("devices", "")) if _text(each, "ifname")}
    addresses = [each for device in devices.values() for each in _addresses(device)]
    return {
        **{name.replace("-", "_"): _device(name, device) for name, device in devices.items()},
        "interfaces": list(devices),
        "all_ipv4_addresses": [str(each.ip) for each in addresses if each.version == 4 and not each.is_loopback],
        "all_ipv6_addresses": [str(each.ip) for each in addresses if each.version == 6 and not each.is_loopback],
        "default_ipv4": _default(answers.get("default4", ""), devices),
        "default_ipv6": _default(answers.get("default6", ""), devices),
        "env": {"SSH_CONNECTION": answers["connection"]} if answers.get("connection") else {},
    }


def _wireguard(lines: Sequence[str]) -> dict[str, Any]:
    """Return what the host can do, which packages it has, and whether there may be another firewall than ours."""
    words = [line.partition(" ")[::2] for line in lines]
    return {
        "can": [rest for word, rest in words if word == "can"],
        "installed": [rest for word, rest in words if word == "installed"],
        "other_firewall": "no other firewall" not in lines,
    }


def _device(name: str, device: Mapping[str, Any]) -> dict[str, Any]:
    addresses = _addresses(device)
    facts: dict[str, Any] = {"device": name}
    if isinstance(device.get("mtu"), int):
        facts["mtu"] = device["mtu"]
    first4 = next((each for each in addresses if each.version == 4), None)
    if first4 is not None:
        facts["ipv4"] = {
            "address": str(first4.ip),
            "netmask": str(first4.netmask),
            "network": str(first4.network.network_address),
        }
    others = [
        {"address": str(each.ip), "prefix": str(each.network.prefixlen)} for each in addresses if each.version == 6
    ]
    return {**facts, "ipv6": others} if others else facts


def _default(text: str, devices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the default route's device with its MTU in bytes and the source address; nothing where there is none."""
    route = next(iter(_listed(text)), {})
    device = _text(route, "dev")
    if not device:
        return {}
    mtu = devices.get(device, {}).get("mtu")
    found = {"interface": device, "address": _text(route, "prefsrc"), "mtu": mtu if isinstance(mtu, int) else None}
    return {name: value for name, value in found.items() if value}


def _addresses(device: Mapping[str, Any]) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    """Return the addresses of a device with their networks; one that has a peer is alone in its own."""
    found = []
    listed = device.get("addr_info")
    for each in listed if isinstance(listed, list) else []:
        if not isinstance(each, dict):
            continue
        try:
            address = ipaddress.ip_interface(_text(each, "local"))
            if "address" not in each:
                address = ipaddress.ip_interface(f"{address.ip}/{each.get('prefixlen')}")
        except ValueError:
            continue
        found.append(address)
    return found


def _listed(text: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON list, none where the text is no such list."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [each for each in parsed if isinstance(each, dict)] if isinstance(parsed, list) else []


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
