"""Providers that are none: a fake of Hetzner's API and moto's server for AWS, and the playbooks as a user runs them."""

from __future__ import annotations

import base64
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cloud.fake_hetzner import TOKEN, Project, serving

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 120.0
"""Seconds after which a server that takes five has failed to start."""
PUBLIC_KEY = f"ssh-ed25519 {base64.b64encode(b'\0\0\0\x0bssh-ed25519\0\0\0\x20' + b'k' * 32).decode()} somebody"
DEBIAN = "136693071363"
"""Debian's account at AWS."""


@dataclass
class Deployment:
    """An inventory made from inventory/cloud, and the environment that leads to the providers that are none."""

    inventory: Path
    environment: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, **settings: Any) -> None:
        """Change settings of the inventory's group_vars/all.yml."""
        self.settings |= settings
        (self.inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(self.settings, sort_keys=False))

    def run(self, command: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Ansible's with this inventory, without anybody to answer a question."""
        return subprocess.run(
            [BIN / command, "-i", self.inventory, *arguments],
            cwd=ROOT, env={**self.environment, **environment}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    def provision(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run provision.yml; nobody waits for the machines, which are none."""
        return self.run("ansible-playbook", "playbooks/provision.yml", "--skip-tags=wait", *arguments, **environment)

    def destroy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run destroy.yml."""
        return self.run("ansible-playbook", "playbooks/destroy.yml", *arguments)

    def shown(self) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Return the variables of all hosts and the groups, as the inventory shows them."""
        listed = json.loads(succeeded(self.run("ansible-inventory", "--list")))
        return listed.pop("_meta")["hostvars"], {name: group.get("hosts", []) for name, group in listed.items()}


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed, which must have succeeded."""
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a playbook said, broken at no line's end; it must have failed, and not by a fault of its own."""
    assert done.returncode == 2, done.stdout[-6000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stdout.split())


def unwrapped(value: Any) -> Any:
    """Return what ansible-inventory lists, without its marks for what comes from elsewhere."""
    if isinstance(value, dict):
        return value.get("__ansible_unsafe", {name: unwrapped(each) for name, each in value.items()})
    return [unwrapped(each) for each in value] if isinstance(value, list) else value


def wg_network(hostvars: dict[str, Any], groups: dict[str, list[str]]) -> dict[str, Any]:
    """Return what site.yml makes of an inventory."""
    found: dict[str, Any] = runpy.run_path(str(ROOT / "filter_plugins" / "network.py"))["wg_network"](hostvars, groups)
    return found


def deployment(directory: Path, without: str, hosts: dict[str, Any], **environment: str) -> Deployment:
    """Return a deployment as by docs/cloud.md, at one provider only: `without` is the plugin's file of the other."""
    inventory = directory / "inventory"
    shutil.copytree(ROOT / "inventory" / "cloud", inventory)
    (inventory / without).unlink()
    (directory / "key.pub").write_text(f"{PUBLIC_KEY}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HCLOUD_"))}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    ansible = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
    made = Deployment(inventory, {**kept, **nowhere, **ansible, **environment})
    made.settings = yaml.safe_load((inventory / "group_vars" / "all.yml").read_text())
    made.write(
        cloud_hosts=hosts,
        cloud_management_sources=["192.0.2.1/32"],
        cloud_ssh_public_key_file=str(directory / "key.pub"),
    )
    return made


@pytest.fixture(scope="module")
def hetzner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Project]]:
    """Lend a project at Hetzner, and a deployment in it."""
    project = Project()
    hosts = {
        "proxy2": {"part": "proxy", "provider": "hetzner", "region": "fsn1"},
        "proxy1": {"part": "proxy", "provider": "hetzner", "region": "hel1", "port": 443},
        "exit": {"part": "exit", "provider": "hetzner", "region": "ash", "type": "cpx11"},
    }
    with serving(project) as endpoint:
        directory = tmp_path_factory.mktemp("hetzner")
        yield deployment(directory, "aws_ec2.yml", hosts, HCLOUD_ENDPOINT=endpoint, HCLOUD_TOKEN=TOKEN), project


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, str]]:
    """Lend an account at AWS, played by moto's server: a deployment in it, and its endpoint."""
    directory = tmp_path_factory.mktemp("aws")
    (directory / "images.json").write_text(json.dumps(images()))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hosts = {
        "proxy1": {"part": "proxy", "provider": "aws", "region": "eu-north-1"},
        "exit": {"part": "exit", "provider": "aws", "region": "eu-north-1", "type": "t4g.small"},
    }
    endpoint = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing at all"}
    made = deployment(directory, "hetzner.hcloud.yml", hosts, AWS_ENDPOINT_URL=endpoint, **keys)
    plugin = made.inventory / "aws_ec2.yml"
    plugin.write_text(plugin.read_text().replace("[eu-north-1, eu-west-1]", "[eu-north-1]"))
    command = [str(BIN / "moto_server"), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**made.environment, "MOTO_AMIS_PATH": str(directory / "images.json")}
    with (
        (directory / "moto.log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as moto,
    ):
        try:
            wait_for(port)
            yield made, endpoint
        finally:
            moto.terminate()


def images() -> list[dict[str, Any]]:
    """Return images for moto: Debian's, of which the newest is to be taken, and a newer one that is not Debian's."""
    told = [
        ("ami-00000001", DEBIAN, "debian-13-amd64-20250101-1", "x86_64", "2025-01-01"),
        ("ami-00000003", DEBIAN, "debian-13-amd64-20260301-1", "x86_64", "2026-03-01"),
        ("ami-00000002", DEBIAN, "debian-13-amd64-20260201-1", "x86_64", "2026-02-01"),
        ("ami-00000004", DEBIAN, "debian-13-arm64-20260301-1", "arm64", "2026-03-01"),
        ("ami-00000005", "099720109477", "debian-13-amd64-20270101-1", "x86_64", "2027-01-01"),
    ]
    common = {
        "state": "available", "public": True, "image_type": "machine", "platform": None, "hypervisor": "xen",
        "image_location": "", "description": "", "sriov": "simple", "virtualization_type": "hvm",
        "root_device_type": "ebs", "root_device_name": "/dev/xvda",
    }  # fmt: skip
    names = ("ami_id", "owner_id", "name", "architecture", "creation_date")
    return [{**common, **dict(zip(names, each, strict=True))} for each in told]


def wait_for(port: int) -> None:
    """Return when something listens on a port of this machine."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.2)
        else:
            return
