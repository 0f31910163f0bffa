"""The door through which role cloud asks what the providers are to make."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

# Ansible offers module_utils/ to modules only; a filter runs in the controller's own process.
sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))

from wg_cloud import cloud
from wg_cloud.providers import PROVIDERS, debian_architecture
from wg_migrate.addresses import read_host_address4
from wg_migrate.inventory import host_of

DOCUMENTATION = """
name: wg_cloud
author: wg-migrate developers (@wg-migrate)
version_added: 1.0.0
short_description: Plan the machines that the inventory wants of cloud providers
description:
  - Reads the settings of the role C(cloud), the files of the inventory's plugins and the names of the variables in the
    environment, and tells what each machine is to be, or everything that is wrong.
  - An exit's firewall lets in the proxies that the inventory shows.
positional: sources, hostvars, groups
options:
  _input:
    description: The settings of the role C(cloud).
    type: dict
    required: true
  sources:
    description: The inventory's files and directories, V(ansible_inventory_sources).
    type: list
    elements: str
    required: true
  hostvars:
    description: All host variables, V(hostvars).
    type: dict
    required: true
  groups:
    description: All groups, V(groups).
    type: dict
    required: true
"""

EXAMPLES = """
- name: Stop on settings that cannot be
  vars:
    plan: "{{ settings | wg_cloud(ansible_inventory_sources, hostvars, groups) }}"
  ansible.builtin.assert:
    that: plan['errors'] == []
    fail_msg: "{{ plan['errors'] | join(' ') }}"
"""

RETURN = """
_value:
  description:
    - RV(_value.hosts) as a list, RV(_value.errors) as a list of sentences, RV(_value.access_errors) as those of
      them that matter for taking away, too.
    - RV(_value.providers) are those that the inventory has a plugin's file for, RV(_value.aws_regions) where at AWS it
      looks; RV(_value.known_hosts) is the file beside them.
  type: dict
"""


def wg_cloud(
    settings: Mapping[str, Any], sources: list[str], hostvars: Mapping[str, Any], groups: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Return the plan of the machines as plain data."""
    hosts, errors = cloud.plan_cloud(settings)
    paths = _plugin_files(sources)
    files = {name: _content(path) for name, path in paths.items()}
    access = cloud.access_errors(files, settings["network"], [name for name, value in os.environ.items() if value])
    access += [
        f"Ansible has no collection {PROVIDERS[name].collection} here: run 'scripts/bootstrap --cloud', and this again."
        for name in sorted(files)
        if not _is_installed(PROVIDERS[name].collection)
    ]
    proxies, unreadable = _proxies(hostvars, groups, {host.name for host in hosts})
    public_key = settings["public_key"]
    return {
        "hosts": [_host(host, settings, proxies) for host in hosts],
        "errors": [*errors, *access, *cloud.unseen_errors(hosts, files), *unreadable],
        "access_errors": access,
        "providers": sorted(files),
        "aws_regions": files.get("aws", {}).get("regions", []),
        "known_hosts": str(next(iter(paths.values())).parent / "known_hosts") if paths else "",
        "user_data": cloud.user_data(settings["user"], public_key) if hosts else "",
        "key_name": cloud.key_name(settings["network"], public_key) if hosts else "",
    }


def _host(host: cloud.CloudHost, settings: Mapping[str, Any], proxies: list[str]) -> dict[str, Any]:
    return {
        **dataclasses.asdict(host),
        "full_name": host.full_name,
        "labels": host.labels,
        "rules": cloud.rules_of(host, settings["management_sources"], proxies),
        "architecture": debian_architecture(host.type),
    }


def _plugin_files(sources: list[str]) -> dict[str, Path]:
    """Return the files of the inventory's plugins, by the provider."""
    paths = [
        path for source in map(Path, sources) for path in (sorted(source.iterdir()) if source.is_dir() else [source])
    ]
    return {
        name: path
        for path in paths
        for name, provider in PROVIDERS.items()
        if path.is_file() and path.name.endswith(provider.plugin_file_ends)
    }


def _is_installed(collection: str) -> bool:
    try:
        return importlib.util.find_spec(f"ansible_collections.{collection}") is not None
    except ModuleNotFoundError:
        return False


def _content(path: Path) -> Mapping[str, Any]:
    content = yaml.safe_load(path.read_text())
    return content if isinstance(content, Mapping) else {}


def _proxies(
    hostvars: Mapping[str, Any], groups: Mapping[str, list[str]], wanted: set[str]
) -> tuple[list[str], list[str]]:
    """Return the addresses of all proxies, those of the user's own included, and what is wrong with the latter.

    A machine of ours may have no address yet, or none while it is stopped.
    """
    addresses, errors = [], []
    for name in groups.get("proxies", []):
        address = host_of(name, hostvars[name]).address
        try:
            addresses.append(str(read_host_address4(address)))
        except ValueError:
            if name not in wanted:
                errors.append(
                    f"{name}: {address} is not an IPv4 address: write ansible_host or network_address for it."
                )
    return addresses, errors


class FilterModule:
    """What Ansible looks for in a filter plugin file."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"wg_cloud": wg_cloud}
