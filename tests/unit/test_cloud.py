"""What the settings of role cloud come to, and what is refused before a provider is asked for anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wg_cloud import cloud
from wg_cloud.cloud import CloudHost, plan_cloud, rules_of
from wg_cloud.providers import PROVIDERS, aws_monthly, debian_architecture

KEY = f"ssh-ed25519 {'A' * 68} somebody@example"
HETZNER = {"part": "proxy", "provider": "hetzner", "region": "hel1"}
AWS = {"part": "exit", "provider": "aws", "region": "eu-north-1"}
SETTINGS: dict[str, Any] = {
    "network": "demo",
    "hosts": {"proxy1": HETZNER, "exit": AWS},
    "user": "ops",
    "public_key": KEY,
    "management_sources": ["192.0.2.1/32"],
    "management_from_anywhere": False,
}
FILES: dict[str, Any] = {
    "hetzner": {"label_selector": "wg-migrate-network=demo"},
    "aws": {"filters": {"tag:wg-migrate-network": "demo"}, "regions": ["eu-north-1", "eu-west-1"]},
}
BOTH = ["HCLOUD_TOKEN", "AWS_PROFILE"]


def planned(**settings: Any) -> dict[str, CloudHost]:
    hosts, errors = plan_cloud({**SETTINGS, **settings})
    assert errors == []
    return {host.name: host for host in hosts}


def only_error(**settings: Any) -> str:
    hosts, errors = plan_cloud({**SETTINGS, **settings})
    assert hosts == []
    assert len(errors) == 1, errors
    return errors[0]


def host(**entry: Any) -> CloudHost:
    return planned(hosts={"one": {**HETZNER, **entry}})["one"]


def test_what_is_left_out_is_filled_in() -> None:
    hosts = planned()
    assert (hosts["proxy1"].type, hosts["proxy1"].image, hosts["proxy1"].port) == ("cx23", "debian-13", 51820)
    assert hosts["exit"].type == "t3.micro"


def test_a_machine_is_known_by_its_labels() -> None:
    assert planned()["exit"].full_name == "demo-exit"
    assert planned()["exit"].labels == {
        "wg-migrate-network": "demo",
        "wg-migrate-host": "exit",
        "wg-migrate-part": "exit",
        "wg-migrate-port": "51820",
    }


@pytest.mark.parametrize(
    ("entry", "instead"),
    [
        ({"part": "client"}, "write proxy or exit"),
        ({"part": ["proxy"]}, "write proxy or exit"),
        ({"provider": "azure"}, "write hetzner or aws"),
        ({"provider": None}, "write hetzner or aws"),
        ({"region": "eu-north-1"}, "write one of ash, fsn1, hel1, hil, nbg1, sin"),
        ({"region": {}}, "write one of ash"),
        ({"type": "t3.micro"}, "write for example cx23"),
        ({"type": 23}, "write for example cx23"),
        ({"provider": "aws", "region": "eu-north-1", "type": "cx23"}, "write for example t3.micro"),
        ({"image": "debian-11"}, "write debian-13 or debian-12"),
        ({"image": ["debian-13"]}, "write debian-13 or debian-12"),
        ({"port": 0}, "write a number from 1 to 65535"),
        ({"port": "51820"}, "write a number from 1 to 65535"),
        ({"port": True}, "write a number from 1 to 65535"),
        ({"device_port": 51821}, "a proxy serves no devices: write device_port for an exit"),
        ({"part": "exit", "device_port": "51821"}, "write a number from 1 to 65535"),
        ({"part": "exit", "device_port": 51820}, "device_port 51820 is its port, too"),
        ({"size": "cx23"}, "write part, provider, region, type, image, port, device_port"),
    ],
    ids=repr,
)
def test_a_machine_that_cannot_be_is_refused(entry: dict[str, Any], instead: str) -> None:
    error = only_error(hosts={"one": {**HETZNER, **entry}})
    assert error.startswith("cloud_hosts: 'one': ")
    assert instead in error


@pytest.mark.parametrize("entry", [None, [], "proxy", {}, {"part": "proxy"}], ids=repr)
def test_a_machine_that_says_too_little_is_refused(entry: object) -> None:
    assert "write part, provider and region, for example one: {part: proxy" in only_error(hosts={"one": entry})


@pytest.mark.parametrize("name", ["", "Proxy", "1", "a_b", "a" * 31, "a-", "sg-1", "a\n", 7], ids=repr)
def test_a_name_that_no_provider_takes_is_refused(name: object) -> None:
    assert "small letters, digits and '-'" in only_error(hosts={name: HETZNER})
    assert any("small letters, digits and '-'" in error for error in cloud.access_errors(FILES, name, BOTH))


@pytest.mark.parametrize("hosts", [{}, None, [], "proxy1"], ids=repr)
def test_no_machines_are_refused(hosts: object) -> None:
    assert "write at least one host, for example proxy1: {part: proxy" in only_error(hosts=hosts)


@pytest.mark.parametrize("user", ["", "root", "Ops", "a b", None], ids=repr)
def test_a_user_that_cannot_be_is_refused(user: object) -> None:
    assert "write for example cloud_user: ops" in only_error(user=user)


@pytest.mark.parametrize(
    "key", ["", "-----BEGIN OPENSSH KEY-----\nsecret", "ssh-ed25519 short", f"{KEY}\n{KEY}"], ids=repr
)
def test_what_is_no_public_key_is_refused_and_not_shown(key: str) -> None:
    error = only_error(public_key=key)
    assert "write the path of its file that ends with .pub" in error
    assert "secret" not in error


def test_a_public_key_as_ssh_keygen_writes_it_is_taken() -> None:
    for key in (f"{KEY}\n", KEY.rsplit(" ", 1)[0], f"ssh-rsa {'A' * 370}== a b", f"ecdsa-sha2-nistp256 {'A' * 139}="):
        assert planned(public_key=key)


@pytest.mark.parametrize(
    ("sources", "instead"),
    [
        ([], "'curl https://api.ipify.org' tells yours"),
        ("192.0.2.1", "'curl https://api.ipify.org' tells yours"),
        (["192.0.2.1/24"], "write for example 192.0.2.1/32"),
        (["2001:db8::1"], "write for example 192.0.2.1/32"),
        ([1], "write for example 192.0.2.1/32"),
        (["0.0.0.0/0"], "cloud_management_from_anywhere: true"),
        (["128.0.0.0/1"], "cloud_management_from_anywhere: true"),
    ],
    ids=repr,
)
def test_who_may_not_reach_ssh_is_refused(sources: object, instead: str) -> None:
    assert instead in only_error(management_sources=sources)


def test_anyone_may_reach_ssh_where_that_is_said() -> None:
    assert planned(management_sources=["0.0.0.0/0"], management_from_anywhere=True)


def test_all_mistakes_are_told_at_once() -> None:
    _, errors = plan_cloud(
        {**SETTINGS, "user": "", "public_key": "", "management_sources": [], "hosts": {"a": {}, "b": {}}}
    )
    assert len(errors) == 5
    assert all(error.endswith(".") for error in errors)


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        (BOTH, []),
        (["HCLOUD_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], []),
        (["HCLOUD_TOKEN", "AWS_ACCESS_KEY_ID"], ["AWS"]),
        (["AWS_PROFILE"], ["Hetzner Cloud"]),
        ([], ["AWS", "Hetzner Cloud"]),
    ],
    ids=repr,
)
def test_missing_credentials_are_refused(environment: list[str], missing: list[str]) -> None:
    errors = cloud.access_errors(FILES, "demo", environment)
    assert [error.split(" has no credentials: export ")[0] for error in errors] == missing


def test_credentials_of_a_provider_that_is_not_used_are_not_asked_for() -> None:
    assert cloud.access_errors({"aws": FILES["aws"]}, "demo", ["AWS_PROFILE"]) == []


@pytest.mark.parametrize(
    ("provider", "content", "instead"),
    [
        ("hetzner", {}, "hetzner.hcloud.yml shows another network: write label_selector: wg-migrate-network=demo."),
        ("hetzner", {"label_selector": "wg-migrate-network=other"}, "write label_selector: wg-migrate-network=demo."),
        (
            "aws",
            {**FILES["aws"], "filters": None},
            "aws_ec2.yml shows another network: write tag:wg-migrate-network: demo",
        ),
        ("aws", {**FILES["aws"], "filters": {"tag:wg-migrate-network": "other"}}, "aws_ec2.yml shows another network"),
        ("aws", {**FILES["aws"], "regions": []}, "write a list, for example [eu-north-1]"),
        ("aws", {**FILES["aws"], "regions": ["north"]}, "write a list, for example [eu-north-1]"),
        ("aws", {**FILES["aws"], "regions": [{}]}, "write a list, for example [eu-north-1]"),
    ],
)
def test_an_inventory_that_would_not_show_what_is_made_is_refused(
    provider: str, content: dict[str, Any], instead: str
) -> None:
    errors = cloud.access_errors({**FILES, provider: content}, "demo", BOTH)
    assert [instead in error for error in errors] == [True], errors


def test_an_inventory_without_any_cloud_is_refused() -> None:
    assert "copy hetzner.hcloud.yml or aws_ec2.yml" in cloud.access_errors({}, "demo", [])[0]


def test_a_machine_that_the_inventory_does_not_look_for_is_refused() -> None:
    hosts = list(planned().values())
    assert cloud.unseen_errors(hosts, FILES) == []
    assert "has no aws_ec2.yml" in cloud.unseen_errors(hosts, {"hetzner": FILES["hetzner"]})[0]
    elsewhere = {**FILES, "aws": {**FILES["aws"], "regions": ["eu-west-1"]}}
    assert "write regions: [eu-north-1, eu-west-1]" in cloud.unseen_errors(hosts, elsewhere)[0]


def test_a_proxy_lets_in_anyone_to_wireguard_and_the_management_to_ssh() -> None:
    assert rules_of(host(port=443), ["192.0.2.1/32", "192.0.2.1/32"], ["198.51.100.1"]) == [
        {"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["192.0.2.1/32"]},
        {"direction": "in", "protocol": "udp", "port": "443", "source_ips": ["0.0.0.0/0"]},
    ]


def test_an_exit_lets_in_the_proxies_alone() -> None:
    sources = ["198.51.100.1/32", "198.51.100.2/32"]
    assert rules_of(host(part="exit"), ["192.0.2.1/32"], ["198.51.100.2", "198.51.100.1"])[1:] == [
        {"direction": "in", "protocol": "udp", "port": "51820", "source_ips": sources},
        {"direction": "in", "protocol": "icmp", "source_ips": sources},
    ]
    assert rules_of(planned()["exit"], ["192.0.2.1/32"], ["198.51.100.1", "198.51.100.2"]) == [
        {"proto": "tcp", "from_port": 22, "to_port": 22, "cidr_ip": ["192.0.2.1/32"]},
        {"proto": "udp", "from_port": 51820, "to_port": 51820, "cidr_ip": sources},
        {"proto": "icmp", "from_port": 8, "to_port": -1, "cidr_ip": sources},
    ]


def test_an_exit_that_serves_devices_lets_anyone_in_at_their_port() -> None:
    rules = rules_of(host(part="exit", device_port=51821), ["192.0.2.1/32"], ["198.51.100.1"])
    assert rules[3:] == [{"direction": "in", "protocol": "udp", "port": "51821", "source_ips": ["0.0.0.0/0"]}]


def test_an_exit_without_proxies_hears_nobody() -> None:
    assert [rule["protocol"] for rule in rules_of(host(part="exit"), ["192.0.2.1/32"], [])] == ["tcp"]


def test_cloud_init_makes_the_user_and_nothing_else() -> None:
    header, _, config = cloud.user_data("ops", f"{KEY}\n").partition("\n")
    assert header == "#cloud-config"
    told = json.loads(config)
    assert sorted(told) == ["disable_root", "packages", "ssh_pwauth", "users"]
    assert [(user["name"], user["ssh_authorized_keys"], user["lock_passwd"]) for user in told["users"]] == [
        ("ops", [KEY], True)
    ]
    assert (told["disable_root"], told["ssh_pwauth"], told["packages"]) == (True, False, ["python3"])


def test_another_key_has_another_name_and_a_comment_makes_no_other() -> None:
    other = KEY.replace("AAAA", "BBBB")
    names = [cloud.key_name("demo", key) for key in (KEY, f"{KEY} more\n", other)]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("t3.micro", "amd64"),
        ("t4g.nano", "arm64"),
        ("c7gn.large", "arm64"),
        ("a1.medium", "arm64"),
        ("g4dn.xlarge", "amd64"),
    ],
)
def test_debian_is_chosen_for_the_processor(name: str, architecture: str) -> None:
    assert debian_architecture(name) == architecture


def test_prices_of_aws_are_those_that_are_known() -> None:
    assert aws_monthly("t3.micro", "us-east-1") == pytest.approx(730 * (0.0104 + 0.005))
    assert aws_monthly("t3.small", "us-east-1") == pytest.approx(730 * (0.0208 + 0.005))
    assert aws_monthly("m7i.large", "us-east-1") is None
    assert aws_monthly("t3.micro", "af-south-1") is None


def test_defaults_of_the_providers_are_of_their_own_form() -> None:
    for provider in PROVIDERS.values():
        assert provider.type_form.fullmatch(provider.default_type)
        assert provider.plugin_file.endswith(provider.plugin_file_ends)
