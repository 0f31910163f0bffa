"""What the providers say is there, against what is wanted: what is ours, what is in the way, what it costs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .cloud import LABEL, CloudHost, key_material
from .providers import AWS_PRICES_OF, PROVIDERS, aws_monthly

_KINDS = ("machine", "firewall", "key")
"""In the order in which they can be destroyed."""
_DESTROY = "ansible-playbook -i YOUR-INVENTORY playbooks/destroy.yml"


@dataclass(frozen=True)
class Found:
    """A machine, a firewall or a key that a provider shows; `host` is what its label says, empty without one."""

    kind: str
    provider: str
    region: str
    id: str
    full_name: str
    host: str
    network: str
    part: str = ""
    type: str = ""
    address: str = ""
    state: str = ""

    @property
    def told(self) -> str:
        """One line about it."""
        words = [self.kind, self.full_name, self.type, self.address, self.state, self.region, self.id]
        return f"{PROVIDERS[self.provider].title}: {' '.join(word for word in words if word)}"


def read_hetzner(
    servers: Iterable[Mapping[str, Any]], firewalls: Iterable[Mapping[str, Any]], keys: Iterable[Mapping[str, Any]]
) -> list[Found]:
    """Return all that a project has, from the answers of server_info, firewall_info and ssh_key_info."""
    found = [
        _found(
            server["labels"], "machine", "hetzner", server["location"], server["id"], server["name"],
            type=server["server_type"], address=server["ipv4_address"] or "", state=server["status"],
        )
        for server in servers
    ]  # fmt: skip
    found += [_found(each["labels"], "firewall", "hetzner", "", each["id"], each["name"]) for each in firewalls]
    return found + [_found(each["labels"], "key", "hetzner", "", each["id"], each["name"]) for each in keys]


def read_instances(region: str, instances: Iterable[Mapping[str, Any]]) -> list[Found]:
    """Return the machines of a region of AWS, from the answer of ec2_instance_info."""
    return [
        _found(
            instance["tags"], "machine", "aws", region, instance["instance_id"], instance["tags"].get("Name", ""),
            type=instance["instance_type"], address=instance.get("public_ip_address") or "",
            state=instance["state"]["name"],
        )
        for instance in instances
    ]  # fmt: skip


def read_groups(region: str, groups: Iterable[Mapping[str, Any]]) -> list[Found]:
    """Return the firewalls of a region of AWS, from the answer of ec2_security_group_info."""
    return [_found(each["tags"], "firewall", "aws", region, each["group_id"], each["group_name"]) for each in groups]


def conflicts(hosts: Collection[CloudHost], found: Collection[Found], network: str) -> list[str]:
    """Return why the machines that are there keep the wanted ones from being made, or are not what is wanted."""
    errors = []
    for host in hosts:
        errors += [
            f"{PROVIDERS[each.provider].title} has a {each.kind} {each.full_name} already, and it does not bear the "
            f"label {LABEL}={network}, so it is not ours: rename it there, or write another cloud_network."
            for each in found
            if (each.provider, each.full_name) == (host.provider, host.full_name) and each.network != network
        ]
        ours = [each for each in found if (each.kind, each.network, each.host) == ("machine", network, host.name)]
        if len(ours) > 1:
            errors.append(f"{host.name} is there {len(ours)} times: take all away with {_destroy(host.name)}.")
        errors += [
            f"{host.name} is a {each.part} of type {each.type} in {each.region} at {PROVIDERS[each.provider].title}, "
            f"and cloud_hosts says {host.part}, {host.type}, {host.region}, {PROVIDERS[host.provider].title}: write "
            f"what is there, or take it away with {_destroy(host.name)}."
            for each in ours[:1]
            if (each.provider, each.region, each.type, each.part) != (host.provider, host.region, host.type, host.part)
        ]
    return errors


def strays(hosts: Collection[CloudHost], found: Collection[Found], network: str) -> list[str]:
    """Return which machines of ours nobody wants any more, and what that costs is to be ended by."""
    wanted = {host.name for host in hosts}
    return [
        f"{each.host} ({each.type} in {each.region} at {PROVIDERS[each.provider].title}) is not in cloud_hosts, and "
        f"goes on costing: take it away with {_destroy(each.host)}."
        for each in found
        if each.kind == "machine" and each.network == network and each.host not in wanted
    ]


def ours_of(found: Collection[Found], network: str, only: Collection[str]) -> list[Found]:
    """Return what bears the network's label, machines first; with `only`, what belongs to these hosts."""
    mine = [each for each in found if each.network == network and (not only or each.host in only)]
    return sorted(mine, key=lambda each: (_KINDS.index(each.kind), each.provider, each.region, each.full_name))


def key_in_project(keys: Iterable[Mapping[str, Any]], public_key: str) -> str:
    """Return the name under which Hetzner has a public key already, which it takes once only; else an empty one."""
    return next((str(key["name"]) for key in keys if key_material(key["public_key"]) == key_material(public_key)), "")


def unpriced(hosts: Collection[CloudHost], pricing: Mapping[str, Any]) -> list[str]:
    """Return which types Hetzner does not sell where they are wanted, with what it does, the cheapest first."""
    errors = []
    for host in hosts:
        if host.provider != "hetzner":
            continue
        sold = dict(_hetzner_types(pricing, host.region))
        if host.type not in sold:
            choice = ", ".join(sorted(sold, key=lambda name: sold[name])[:6])
            errors.append(
                f"{host.name}: Hetzner has no {host.type} in {host.region}: write one of its types, e.g. {choice}."
            )
    return errors


def costs(hosts: Collection[CloudHost], pricing: Mapping[str, Any]) -> list[str]:
    """Return a line for each machine with what it costs a month, without taxes, disks of AWS and traffic."""
    lines = []
    for host in hosts:
        price = _monthly(host, pricing)
        told = f"{price[0]:.2f} {price[1]} a month" if price else "price not known"
        lines.append(f"{host.name}: {host.type} in {host.region} at {PROVIDERS[host.provider].title}, {told}")
    sources = {
        "hetzner": f"Hetzner's own price list of today ({PROVIDERS['hetzner'].prices})",
        "aws": f"for AWS list prices of {AWS_PRICES_OF}, which change ({PROVIDERS['aws'].prices})",
    }
    used = " and ".join(sources[name] for name in sources if name in {host.provider for host in hosts})
    return [*lines, f"Without taxes, traffic and the disks of AWS. From {used}."]


def _monthly(host: CloudHost, pricing: Mapping[str, Any]) -> tuple[float, str] | None:
    if host.provider == "aws":
        price = aws_monthly(host.type, host.region)
        return None if price is None else (price, "USD")
    server = dict(_hetzner_types(pricing, host.region)).get(host.type)
    if server is None:
        return None
    address = [dict(_located(each, host.region)) for each in pricing["primary_ips"] if each["type"] == "ipv4"]
    return server + sum(price for prices in address for price in prices.values()), str(pricing["currency"])


def _hetzner_types(pricing: Mapping[str, Any], region: str) -> Iterator[tuple[str, float]]:
    for server_type in pricing["server_types"]:
        for _, price in _located(server_type, region):
            yield server_type["name"], price


def _located(priced: Mapping[str, Any], region: str) -> Iterator[tuple[str, float]]:
    """Yield the region with the monthly net price there, if it is sold there."""
    for price in priced["prices"]:
        if price["location"] == region:
            yield region, float(price["price_monthly"]["net"])


def _found(
    labels: Mapping[str, str], kind: str, provider: str, region: str, identity: object, name: str, **more: str
) -> Found:
    return Found(
        kind=kind,
        provider=provider,
        region=region,
        id=str(identity),
        full_name=name,
        host=labels.get("wg-migrate-host", ""),
        network=labels.get(LABEL, ""),
        part=labels.get("wg-migrate-part", ""),
        **more,
    )


def _destroy(name: str) -> str:
    return f"{_DESTROY} -e '{{cloud_only: [{name}]}}'"
