"""Each file of inventory/more-clouds, read by the real plugin and SDK from a fake of the provider's API."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.cloud.conftest import ROOT, Deployment, succeeded, unwrapped, wg_network
from tests.cloud.fake_clouds import Api, serving

FILES = ROOT / "inventory" / "more-clouds"
KEY = "k" * 40
# What a project holds: ours, another network's, one without labels, and one that has a part but no network.
SERVERS: list[tuple[str, str, dict[str, str]]] = [
    ("proxy3", "192.0.2.13", {"wg-migrate-network": "demo", "wg-migrate-part": "proxy"}),
    ("exit2", "198.51.100.22", {"wg-migrate-network": "demo", "wg-migrate-part": "exit"}),
    ("others", "203.0.113.33", {"wg-migrate-network": "other", "wg-migrate-part": "proxy"}),
    ("bare", "203.0.113.34", {}),
    ("partial", "203.0.113.35", {"wg-migrate-part": "exit"}),
]


def tags(labels: Mapping[str, str]) -> list[str]:
    """Return labels as providers have them that know only words."""
    return [f"{name}={value}" for name, value in labels.items()]


def vultr(path: str, query: Mapping[str, str]) -> Any:
    """Answer as https://www.vultr.com/api: a page for each instance."""
    if path != "/v2/instances":
        return None
    place = int(query.get("cursor", "0"))
    name, address, labels = SERVERS[place]
    instance = {"id": name, "label": name, "main_ip": address, "region": "waw", "tags": tags(labels)}
    following = str(place + 1) if place + 1 < len(SERVERS) else ""
    return {"instances": [instance], "meta": {"links": {"next": following, "prev": ""}}}


def linode(path: str, _query: Mapping[str, str]) -> Any:
    """Answer as https://techdocs.akamai.com/linode-api: a private address may come first."""
    if path != "/v4/linode/instances":
        return None
    found = [
        {
            "id": number, "label": name, "ipv4": ["192.168.200.7", address], "ipv6": None, "region": "se-sto",
            "type": "g6-nanode-1", "group": "", "status": "running", "tags": tags(labels),
        }
        for number, (name, address, labels) in enumerate(SERVERS, 1)
    ]  # fmt: skip
    return {"data": found, "page": 1, "pages": 1, "results": len(found)}


def cloudscale(path: str, _query: Mapping[str, str]) -> Any:
    """Answer as https://www.cloudscale.ch/en/api/v1."""
    if path != "/v1/servers":
        return None
    return [
        {
            "uuid": f"uuid-{name}", "name": name, "tags": labels, "zone": {"slug": "rma1"},
            "interfaces": [{"type": "public", "addresses": [{"version": 4, "address": address}]}],
        }
        for name, address, labels in SERVERS
    ]  # fmt: skip


def google(path: str, query: Mapping[str, str]) -> Any:
    """Answer as https://cloud.google.com/compute/docs/reference/rest/v1: one filter, for equality."""
    if path != "/compute/v1/projects/example-project/aggregated/instances":
        return None
    name, _, value = query.get("filter", "").removeprefix("labels.").partition(" = ")
    root = "https://www.googleapis.com/compute/v1/projects/example-project"
    found = [
        {
            "name": host, "labels": labels, "zone": f"{root}/zones/europe-west6-b", "selfLink": f"{root}/x/{host}",
            "networkInterfaces": [{"networkIP": "10.0.0.2", "accessConfigs": [{"natIP": address}]}],
        }
        for host, address, labels in SERVERS
        if not name or labels.get(name) == value
    ]  # fmt: skip
    return {"items": {"zones/europe-west6-b": {"instances": found}, "zones/us-east1-b": {"warning": {}}}}


def google_tokens(path: str, form: Mapping[str, str]) -> Any:
    """Answer as https://developers.google.com/identity/protocols/oauth2/service-account, with the account as token."""
    if path != "/token":
        return None
    claims = json.loads(base64.urlsafe_b64decode(form["assertion"].split(".")[1] + "=="))
    return {"access_token": claims["iss"], "expires_in": 3600, "token_type": "Bearer"}


def service_account() -> str:
    """Return what Google hands out as a service account's file."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    url = f"https://{GOOGLE_TOKENS.host}/token"
    return json.dumps({"type": "service_account", "client_email": KEY, "private_key": pem, "token_uri": url})


GOOGLE_TOKENS = Api("oauth2.googleapis.com", "", google_tokens)


@dataclass(frozen=True)
class Cloud:
    """How a provider is played: its file, its API, what makes it answer, and what a host there is to bring."""

    file: str
    api: Api
    credentials: dict[str, str]
    place: tuple[str, str]
    shows_others: bool = False


CLOUDS = {
    "vultr": Cloud("vultr.yml", Api("api.vultr.com", KEY, vultr), {"VULTR_API_KEY": KEY}, ("vultr", "waw")),
    "linode": Cloud(
        "linode.yml", Api("api.linode.com", KEY, linode), {"LINODE_ACCESS_TOKEN": KEY}, ("linode", "se-sto")
    ),
    "cloudscale": Cloud(
        "cloudscale.yml", Api("api.cloudscale.ch", KEY, cloudscale), {"CLOUDSCALE_API_TOKEN": KEY},
        ("cloudscale", "rma1"), shows_others=True,
    ),
    "google": Cloud(
        "gcp_compute.yml", Api("www.googleapis.com", KEY, google),
        {"GCP_AUTH_KIND": "serviceaccount", "GCP_SERVICE_ACCOUNT_CONTENTS": service_account()},
        ("google", "europe-west6"),
    ),
}  # fmt: skip
ALL_CREDENTIALS = {name: value for cloud in CLOUDS.values() for name, value in cloud.credentials.items()}
Played = tuple[Cloud, Deployment]


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Play all providers, and give the environment that leads to them."""
    kept = {name: value for name, value in os.environ.items() if name not in ALL_CREDENTIALS}
    ansible = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
    with serving(
        tmp_path_factory.mktemp("clouds"), [GOOGLE_TOKENS, *(cloud.api for cloud in CLOUDS.values())]
    ) as leads:
        yield {**kept, **ansible, **leads}


@pytest.fixture(params=CLOUDS)
def played(request: pytest.FixtureRequest, tmp_path: Path, way: dict[str, str]) -> Played:
    """Return a provider, and an inventory as docs/cloud.md tells: its file beside the hosts that it is to show."""
    cloud = CLOUDS[request.param]
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    shutil.copy(FILES / cloud.file, inventory)
    client = {"laptop": {"ansible_host": "192.0.2.10"}}
    parts = {
        "clients": client,
        "proxies": {"proxy1": {"ansible_host": "203.0.113.11"}, "proxy3": None},
        "exits": {"exit2": None},
    }
    hosts = {"all": {"children": {group: {"hosts": hosts} for group, hosts in parts.items()}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return cloud, Deployment(inventory, way)


def test_every_file_is_played() -> None:
    assert sorted(path.name for path in FILES.iterdir()) == sorted(cloud.file for cloud in CLOUDS.values())


def test_machines_come_into_their_groups_by_their_labels(played: Played) -> None:
    cloud, deployment = played
    (deployment.inventory / "hosts.yml").unlink()
    listed, groups = Deployment(deployment.inventory, {**deployment.environment, **cloud.credentials}).shown()
    hostvars = unwrapped(listed)
    assert (groups["proxies"], groups["exits"]) == (["proxy3"], ["exit2"])
    assert [hostvars[name]["ansible_host"] for name in ("proxy3", "exit2")] == ["192.0.2.13", "198.51.100.22"]
    for name in ("proxy3", "exit2"):
        assert (hostvars[name]["network_provider"], hostvars[name]["network_region"]) == cloud.place
    others = {"others", "bare", "partial"} if cloud.shows_others else set()
    assert set(hostvars) - {"proxy3", "exit2"} == others


def test_the_network_can_be_planned_and_its_diversity_is_looked_at(played: Played) -> None:
    cloud, deployment = played
    path = deployment.inventory / "hosts.yml"
    hosts = yaml.safe_load(path.read_text())
    hosts["all"]["children"]["proxies"]["hosts"]["proxy1"] = {
        "ansible_host": "203.0.113.11", "network_provider": cloud.place[0],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(hosts))
    listed, groups = Deployment(deployment.inventory, {**deployment.environment, **cloud.credentials}).shown()
    plan = wg_network(unwrapped(listed), groups)
    assert plan["errors"] == []
    assert f"share provider {cloud.place[0]}" in " ".join(plan["warnings"])


@pytest.mark.parametrize("how", ["missing", "wrong"])
def test_without_its_credentials_site_yml_goes_no_further(played: Played, how: str) -> None:
    cloud, deployment = played
    wrong = {name: value.replace(KEY, "w" * 40) for name, value in cloud.credentials.items()}
    given = wrong if how == "wrong" else {}
    told = deployment.run("ansible-inventory", "--list", **given)
    assert "Failed to parse inventory with 'auto' plugin" in told.stderr
    assert "w" * 40 not in told.stdout + told.stderr
    strict = deployment.run("ansible-inventory", "--list", ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true", **given)
    assert strict.returncode != 0
    check = deployment.run("ansible-playbook", "site.yml", **given)
    assert check.returncode == 2, check.stdout
    said = " ".join(check.stdout.split())
    assert "proxy3: 'proxy3' is no address that other hosts can use" in said
    assert "exit2: 'exit2' is no address that other hosts can use" in said


def test_beside_hetzner_its_file_is_none_of_provisioning(hetzner: tuple[Deployment, Any], way: dict[str, str]) -> None:
    deployment, project = hetzner
    for cloud in CLOUDS.values():
        shutil.copy(FILES / cloud.file, deployment.inventory)
    both = Deployment(deployment.inventory, {**deployment.environment, **way, **ALL_CREDENTIALS}, deployment.settings)
    succeeded(both.provision())
    assert project.names("servers") == ["demo-exit", "demo-proxy1", "demo-proxy2"]
    sources = {source for rule in project.named("firewalls", "demo-exit")["rules"] for source in rule["source_ips"]}
    assert "192.0.2.13/32" in sources
    listed, groups = both.shown()
    assert sorted(groups["proxies"]) == ["proxy1", "proxy2", "proxy3"]
    assert sorted(groups["cloud"]) == ["exit", "proxy1", "proxy2"]
    assert unwrapped(listed)["proxy1"]["network_provider"] == "hetzner"
