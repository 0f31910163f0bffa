"""A network's machines at Hetzner, from nothing to nothing, against a fake of its API. The tests are one story."""

from __future__ import annotations

from typing import Any

from tests.cloud.conftest import PUBLIC_KEY, Deployment, refused, succeeded, unwrapped, wg_network
from tests.cloud.fake_hetzner import Project, RefusalError

Hetzner = tuple[Deployment, Project]
OURS = ["demo-exit", "demo-proxy1", "demo-proxy2"]
OTHERS = {"wg-migrate-network": "other", "wg-migrate-host": "proxy1"}


def server(name: str, **labels: str) -> dict[str, Any]:
    """Return what makes a server that is not ours."""
    places = {"location": "fsn1", "server_type": "cx23", "image": "debian-13"}
    return {"name": name, **places, "labels": labels, "public_net": {"enable_ipv6": False}}


def rules(project: Project, name: str) -> list[tuple[str, str | None, list[str]]]:
    return [(rule["protocol"], rule["port"], rule["source_ips"]) for rule in project.named("firewalls", name)["rules"]]


def address(project: Project, name: str) -> str:
    found: str = project.named("servers", name)["public_net"]["ipv4"]["ip"]
    return found


def test_settings_that_cannot_be_are_refused_before_a_provider_is_asked(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    hosts = deployment.settings["cloud_hosts"]
    deployment.write(cloud_hosts={**hosts, "exit": {**hosts["exit"], "provider": "azure"}})
    told = refused(deployment.provision(HCLOUD_TOKEN=""))
    deployment.write(cloud_hosts=hosts)
    assert "cloud_hosts: 'exit': provider 'azure' is not known: write hetzner or aws." in told
    assert "Hetzner Cloud has no credentials: export HCLOUD_TOKEN" in told
    assert project.requests == []


def test_a_token_that_is_wrong_is_told_before_anything_is_made(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    told = refused(deployment.provision(HCLOUD_TOKEN="w" * 64))
    assert "unable to authenticate" in told
    assert "Look at HCLOUD_TOKEN" in told
    assert "w" * 64 not in told
    assert project.changes() == []


def test_what_is_in_the_way_is_told_before_anything_is_made(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    project.answer("POST", "/servers", {}, server("demo-proxy1"))
    project.requests.clear()
    hosts = deployment.settings["cloud_hosts"]
    deployment.write(cloud_hosts={**hosts, "exit": {**hosts["exit"], "type": "cx23"}})
    told = refused(deployment.provision())
    deployment.write(cloud_hosts=hosts)
    assert "has a machine demo-proxy1 already, and it does not bear the label wg-migrate-network=demo" in told
    assert "exit: Hetzner has no cx23 in ash: write one of its types, e.g. cpx11." in told
    assert project.changes() == []
    project.things["servers"].clear()
    project.passwords.clear()


def test_what_a_provider_refuses_is_told_and_the_next_run_goes_on(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    project.answer("POST", "/servers", {}, server("demo-other", **OTHERS))
    project.answer("POST", "/firewalls", {}, {"name": "somebody's"})
    project.failing["POST /servers demo-exit"] = RefusalError(403, "resource_limit_exceeded", "server limit exceeded")
    told = refused(deployment.provision())
    assert "Hetzner did not make exit: server limit exceeded" in told
    assert "run provision.yml again" in told
    assert project.names("servers") == ["demo-other", "demo-proxy1", "demo-proxy2"]
    told = succeeded(deployment.provision())
    assert "To be made: exit." in told
    assert project.names("servers") == sorted(["demo-other", *OURS])


def test_it_says_what_it_costs_and_what_ends_that(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    before = project.changes()
    told = succeeded(deployment.provision())
    assert project.changes() == before
    assert "changed=0" in told
    assert "proxy1: cx23 in hel1 at Hetzner Cloud, 3.50 EUR a month" in told
    assert "exit: cpx11 in ash at Hetzner Cloud, 4.75 EUR a month" in told
    assert "destroyed by playbooks/destroy.yml" in " ".join(told.split())


def test_servers_have_the_key_and_no_password_and_no_ipv6(hetzner: Hetzner) -> None:
    _, project = hetzner
    assert [key["public_key"].split()[:2] for key in project.things["ssh_keys"].values()] == [PUBLIC_KEY.split()[:2]]
    for name in OURS:
        assert PUBLIC_KEY in project.user_data[name]
        assert project.named("servers", name)["public_net"]["ipv6"] is None
    assert project.passwords == ["demo-other"]


def test_a_proxy_hears_anyone_and_the_exit_the_proxies_alone(hetzner: Hetzner) -> None:
    _, project = hetzner
    management = ("tcp", "22", ["192.0.2.1/32"])
    assert rules(project, "demo-proxy1") == [management, ("udp", "443", ["0.0.0.0/0"])]
    assert rules(project, "demo-proxy2") == [management, ("udp", "51820", ["0.0.0.0/0"])]
    proxies = sorted(f"{address(project, name)}/32" for name in ("demo-proxy1", "demo-proxy2"))
    assert rules(project, "demo-exit") == [management, ("udp", "51820", proxies), ("icmp", None, proxies)]
    for name in OURS:
        applied = [each["server"]["id"] for each in project.named("firewalls", name)["applied_to"]]
        assert applied == [project.named("servers", name)["id"]]


def test_the_inventory_shows_the_machines_by_their_labels(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    shown, groups = deployment.shown()
    hostvars = unwrapped(shown)
    assert sorted(groups["proxies"]) == ["proxy1", "proxy2"]
    assert (groups["exits"], groups["clients"], sorted(groups["cloud"])) == (
        ["exit"],
        ["laptop"],
        ["exit", "proxy1", "proxy2"],
    )
    assert hostvars["proxy1"]["ansible_host"] == address(project, "demo-proxy1")
    read = ("network_provider", "network_region", "network_asn", "network_listen_port")
    assert [hostvars["proxy1"][name] for name in read] == ["hetzner", "hel1", 24940, 443]
    assert "accept-new" in hostvars["proxy1"]["ansible_ssh_common_args"]
    plan = wg_network(hostvars, groups)
    assert plan["errors"] == []
    assert "share provider hetzner" in plan["warnings"][0]


def test_the_paths_are_in_the_order_of_cloud_hosts(hetzner: Hetzner) -> None:
    # Asked of Ansible itself: what ansible-inventory lists is sorted by name.
    deployment, _ = hetzner
    paths = "(hostvars | wg_network(groups))['hosts']['laptop']['paths'] | map(attribute='proxy') | join(' before ')"
    ask = ["ansible", "localhost", "-m", "ansible.builtin.debug", "-a", f"msg={{{{ {paths} }}}}"]
    hosts = deployment.settings["cloud_hosts"]
    try:
        deployment.write(cloud_hosts=dict(reversed(hosts.items())))
        assert "proxy1 before proxy2" in succeeded(deployment.run(*ask))
    finally:
        deployment.write(cloud_hosts=hosts)
    assert "proxy2 before proxy1" in succeeded(deployment.run(*ask))


def test_nothing_is_destroyed_without_the_networks_name(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    before = project.changes()
    told = refused(deployment.destroy("-e", "cloud_destroy=other"))
    assert "machine demo-proxy1 cx23 203.0.113." in told
    assert "demo-other" not in told
    assert "Nothing was destroyed." in told
    assert project.changes() == before


def test_one_machine_goes_and_what_its_provider_keeps_is_told(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    kept = f"DELETE /firewalls/{project.named('firewalls', 'demo-proxy1')['id']}"
    project.failing[kept] = RefusalError(423, "locked", "firewall is locked")
    told = refused(deployment.destroy("-e", "cloud_destroy=demo", "-e", "{cloud_only: [proxy1]}"))
    assert "Not all could be destroyed: firewall is locked" in told
    assert "run destroy.yml again" in told
    assert project.names("servers") == ["demo-exit", "demo-other", "demo-proxy2"]
    assert project.names("firewalls") == [*OURS, "somebody's"]


def test_destroying_leaves_nothing_of_ours_and_all_of_others(hetzner: Hetzner) -> None:
    deployment, project = hetzner
    known = deployment.inventory / "known_hosts"
    known.write_text(f"{address(project, 'demo-proxy2')} {PUBLIC_KEY}\n192.0.2.99 {PUBLIC_KEY}\n")
    told = succeeded(deployment.destroy("-e", "cloud_destroy=demo"))
    assert "Nothing of network demo is there any more" in told
    assert project.names("servers") == ["demo-other"]
    assert project.names("firewalls") == ["somebody's"]
    assert project.names("ssh_keys") == []
    assert [line.split()[0] for line in known.read_text().splitlines()] == ["192.0.2.99"]
