"""The machines that the inventory wants of cloud providers: what each is to be, or all that is wrong. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from wg_migrate.errors import WgMigrateError
from wg_migrate.inventory import DEFAULT_PORT
from wg_migrate.reading import shown

from .providers import IMAGES, PROVIDERS, Provider

PARTS = ("proxy", "exit")
LABEL = "wg-migrate-network"
"""Whatever bears it, with the network's name, is ours; nothing else is touched."""
_KEYS = ("part", "provider", "region", "type", "image", "port", "device_port")
# Both become one host name, and labels: RFC 1123, and https://docs.hetzner.cloud/#labels. Security groups of AWS must
# not begin with sg-.
_NAME = re.compile(r"(?!sg(?:-|$))[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]{50,}={0,3}(?: [^\n]*)?\n?")
_WIDEST = 8
"""The prefix of the largest network that may reach SSH: what is larger is anywhere."""


@dataclass(frozen=True)
class CloudHost:
    """One machine as it is to be; `port` is the UDP port of its WireGuard.

    `device_port` is an exit's for devices that do not migrate (`network_device_port`), 0 where it serves none.
    """

    name: str
    network: str
    part: str
    provider: str
    region: str
    type: str
    image: str
    port: int
    device_port: int = 0

    @property
    def full_name(self) -> str:
        """The name that the provider shows: a project may hold several networks."""
        return f"{self.network}-{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        """What tells ours from others', and the inventory what the machine is."""
        return {
            LABEL: self.network,
            "wg-migrate-host": self.name,
            "wg-migrate-part": self.part,
            "wg-migrate-port": str(self.port),
        }


def plan_cloud(settings: Mapping[str, Any]) -> tuple[list[CloudHost], list[str]]:
    """Return the machines that the settings of role cloud want, or everything that is wrong with the settings."""
    errors = _setting_errors(settings)
    wanted = settings["hosts"]
    if not isinstance(wanted, Mapping) or not wanted:
        return [], [
            *errors,
            f"cloud_hosts is {shown(wanted)}: write at least one host, for example {_example('proxy1')}.",
        ]
    hosts: list[CloudHost] = []
    for name, entry in wanted.items():
        try:
            hosts.append(_read_host(name, entry, settings["network"]))
        except WgMigrateError as error:
            errors.append(f"cloud_hosts: {shown(name)}: {error}.")
    return ([], errors) if errors else (hosts, [])


def access_errors(files: Mapping[str, Mapping[str, Any]], network: object, environment: Collection[str]) -> list[str]:
    """Return what keeps us from asking the providers, and Ansible from seeing what is ours.

    `files` is what the files of the inventory's plugins hold, by the provider; `environment` the variables' names.
    """
    errors = [
        f"{PROVIDERS[name].title} has no credentials: export {_alternatives(PROVIDERS[name])}, and run this again; or "
        f"take {PROVIDERS[name].plugin_file} out of the inventory."
        for name in sorted(files)
        if not any(set(variables) <= set(environment) for variables in PROVIDERS[name].credentials)
    ]
    if not files:
        errors.append(f"The inventory names no cloud: copy {_plugin_names()} from inventory/cloud into it.")
    if not _is_text(network, _NAME):
        return [*errors, _network_error(network)]
    if "hetzner" in files and files["hetzner"].get("label_selector") != f"{LABEL}={network}":
        errors.append(
            f"{PROVIDERS['hetzner'].plugin_file} shows another network: write label_selector: {LABEL}={network}."
        )
    filters = files.get("aws", {}).get("filters")
    if "aws" in files and (not isinstance(filters, Mapping) or filters.get(f"tag:{LABEL}") != network):
        errors.append(
            f"{PROVIDERS['aws'].plugin_file} shows another network: write tag:{LABEL}: {network} below filters."
        )
    regions = files.get("aws", {}).get("regions")
    known = PROVIDERS["aws"].regions
    if "aws" in files and not (isinstance(regions, list) and regions and all(region in known for region in regions)):
        errors.append(
            f"{PROVIDERS['aws'].plugin_file}: regions is {shown(regions)}: write a list, for example [eu-north-1]; "
            f"there are {', '.join(known)}."
        )
    return errors


def unseen_errors(hosts: list[CloudHost], files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which machines the inventory would not show once they are there."""
    errors = [
        f"The inventory has no {PROVIDERS[name].plugin_file}, so Ansible would not see the machines at "
        f"{PROVIDERS[name].title}: copy it from inventory/cloud."
        for name in sorted({host.provider for host in hosts} - set(files))
    ]
    wanted = {host.region for host in hosts if host.provider == "aws"}
    listed = files.get("aws", {}).get("regions")
    if "aws" in files and isinstance(listed, list) and not wanted <= set(map(str, listed)):
        errors.append(
            f"{PROVIDERS['aws'].plugin_file} does not look where cloud_hosts says: write regions: "
            f"[{', '.join(sorted(wanted | set(map(str, listed))))}]."
        )
    return errors


def rules_of(host: CloudHost, management: Collection[str], proxies: Collection[str]) -> list[dict[str, Any]]:
    """Return what a provider's firewall is to let in, as the provider's module takes it.

    Clients roam, so a proxy hears anyone; an exit hears the proxies' addresses only, and at another port anyone's
    devices, if it serves any. Each client pings the exit through
    its proxies to see whether a path lives.
    """
    rules = [("tcp", 22, management)]
    if host.part == "proxy":
        rules.append(("udp", host.port, ["0.0.0.0/0"]))
    elif proxies:
        sources = [f"{address}/32" for address in proxies]
        rules += [("udp", host.port, sources), ("icmp", 0, sources)]
    if host.device_port:
        rules.append(("udp", host.device_port, ["0.0.0.0/0"]))
    shape = _hetzner_rule if host.provider == "hetzner" else _aws_rule
    return [shape(protocol, port, sorted(set(sources))) for protocol, port, sources in rules]


def user_data(user: str, public_key: str) -> str:
    """Return what cloud-init does at the first boot: the user, its key, and Python; the rest is Ansible's."""
    config = {
        "users": [
            {
                "name": user,
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": [public_key.strip()],
            }
        ],
        "disable_root": True,
        "ssh_pwauth": False,
        "packages": ["python3"],
    }
    return f"#cloud-config\n{json.dumps(config, indent=2)}\n"


def key_name(network: str, public_key: str) -> str:
    """Return the name of the network's SSH key at a provider: another key is another name."""
    return f"{network}-{hashlib.sha256(key_material(public_key).encode()).hexdigest()[:8]}"


def key_material(public_key: str) -> str:
    """Return a public key without its comment."""
    return " ".join(public_key.split()[:2])


def _hetzner_rule(protocol: str, port: int, sources: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {"direction": "in", "protocol": protocol, "source_ips": sources}
    return {**rule, "port": str(port)} if port else rule


def _aws_rule(protocol: str, port: int, sources: list[str]) -> dict[str, Any]:
    if protocol == "icmp":  # type and code stand where ports do: echo requests, any code
        return {"proto": protocol, "from_port": 8, "to_port": -1, "cidr_ip": sources}
    return {"proto": protocol, "from_port": port, "to_port": port, "cidr_ip": sources}


def _read_host(name: object, entry: object, network: str) -> CloudHost:
    """Return a machine from what was written for it. Raises WgMigrateError for what cannot be."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WgMigrateError(
            "no name for a machine: write at most 30 small letters, digits and '-', for example proxy1"
        )
    if not isinstance(entry, Mapping) or not {"part", "provider", "region"} <= set(entry):
        raise WgMigrateError(f"write part, provider and region, for example {_example(name)}")
    unknown = [key for key in entry if key not in _KEYS]
    if unknown:
        raise WgMigrateError(f"{shown(unknown[0])} is not known: write {', '.join(_KEYS)}")
    if entry["part"] not in PARTS:
        raise WgMigrateError(f"part {shown(entry['part'])} is none: write proxy or exit")
    if not isinstance(entry["provider"], str) or entry["provider"] not in PROVIDERS:
        raise WgMigrateError(f"provider {shown(entry['provider'])} is not known: write {' or '.join(PROVIDERS)}")
    provider = PROVIDERS[entry["provider"]]
    if entry["region"] not in provider.regions:
        raise WgMigrateError(
            f"region {shown(entry['region'])} is none of {provider.title}: write one of {', '.join(provider.regions)}"
        )
    size, image = entry.get("type", provider.default_type), entry.get("image", IMAGES[0])
    if not _is_text(size, provider.type_form):
        raise WgMigrateError(
            f"type {shown(size)} is none of {provider.title}: write for example {provider.default_type}"
        )
    if image not in IMAGES:
        raise WgMigrateError(f"image {shown(image)} is not known: write {' or '.join(IMAGES)}")
    return CloudHost(
        name=name,
        network=network,
        part=entry["part"],
        provider=entry["provider"],
        region=entry["region"],
        type=size,
        image=image,
        port=_read_port(entry.get("port", DEFAULT_PORT)),
        device_port=_device_port(entry),
    )


def _device_port(entry: Mapping[str, Any]) -> int:
    if "device_port" not in entry:
        return 0
    if entry["part"] != "exit":
        raise WgMigrateError("a proxy serves no devices: write device_port for an exit")
    port = _read_port(entry["device_port"])
    if port == entry.get("port", DEFAULT_PORT):
        raise WgMigrateError(f"device_port {port} is its port, too, which only the proxies reach: write another one")
    return port


def _read_port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise WgMigrateError(f"port {shown(value)} is no UDP port: write a number from 1 to 65535")
    return value


def _setting_errors(settings: Mapping[str, Any]) -> list[str]:
    errors = []
    user, key = settings["user"], settings["public_key"]
    if not _is_text(user, _USER) or user == "root":
        errors.append(f"cloud_user {shown(user)} is no user's name, or root: write for example cloud_user: ops.")
    if not _is_text(key, _PUBLIC_KEY):
        # What was read may be a private key: it is not shown.
        errors.append(
            "cloud_ssh_public_key_file holds no public SSH key: make one with 'ssh-keygen -t ed25519', and write the "
            "path of its file that ends with .pub."
        )
    return errors + _management_errors(settings["management_sources"], settings["management_from_anywhere"])


def _management_errors(sources: object, anywhere: bool) -> list[str]:
    if not isinstance(sources, list) or not sources:
        empty = (
            "cloud_management_sources is empty: write the public addresses that Ansible comes from, for example "
            "cloud_management_sources: [192.0.2.1/32]; 'curl https://api.ipify.org' tells yours."
        )
        return [empty]
    errors = []
    for source in sources:
        try:
            network = ipaddress.IPv4Network(source if isinstance(source, str) else "")
        except ValueError:
            errors.append(
                f"cloud_management_sources: {shown(source)} is no IPv4 network: write for example 192.0.2.1/32."
            )
            continue
        if network.prefixlen < _WIDEST and not anywhere:
            errors.append(
                f"cloud_management_sources: {network} lets anyone try to log in: write your own address, for example "
                "192.0.2.1/32, or cloud_management_from_anywhere: true."
            )
    return errors


def _is_text(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _network_error(network: object) -> str:
    return (
        f"cloud_network {shown(network)} is no name: write at most 30 small letters, digits and '-', not beginning "
        "with sg-, for example cloud_network: demo."
    )


def _plugin_names() -> str:
    return " or ".join(provider.plugin_file for provider in PROVIDERS.values())


def _alternatives(provider: Provider) -> str:
    return ", or ".join(" and ".join(variables) for variables in provider.credentials)


def _example(name: str) -> str:
    return f"{name}: {{part: proxy, provider: hetzner, region: hel1}}"
