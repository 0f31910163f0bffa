"""What the providers show is judged: what is ours, what is in the way, what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from test_cloud import KEY, planned
from wg_cloud import cloud_found
from wg_cloud.cloud_found import Found

OURS = {"wg-migrate-network": "demo", "wg-migrate-host": "proxy1", "wg-migrate-part": "proxy"}


def hetzner_server(**changes: Any) -> dict[str, Any]:
    known = {"id": 1, "name": "demo-proxy1", "location": "hel1", "server_type": "cx23", "ipv4_address": "192.0.2.11"}
    return {**known, "status": "running", "labels": OURS, **changes}


def aws_instance(**changes: Any) -> dict[str, Any]:
    labels = {**OURS, "Name": "demo-exit", "wg-migrate-host": "exit", "wg-migrate-part": "exit"}
    return {"instance_id": "i-1", "instance_type": "t3.micro", "state": {"name": "running"}, "tags": labels, **changes}


def machines(*servers: dict[str, Any]) -> list[Found]:
    return cloud_found.read_hetzner(servers, [], [])


def conflicts(found: list[Found]) -> list[str]:
    return cloud_found.conflicts(list(planned().values()), found, "demo")


def test_machines_as_wanted_are_no_conflict() -> None:
    assert conflicts(machines(hetzner_server()) + cloud_found.read_instances("eu-north-1", [aws_instance()])) == []


@pytest.mark.parametrize("labels", [{}, {**OURS, "wg-migrate-network": "other"}], ids=repr)
def test_a_machine_of_our_name_that_is_not_ours_is_in_the_way(labels: dict[str, str]) -> None:
    errors = conflicts(machines(hetzner_server(labels=labels)))
    assert ["so it is not ours: rename it there" in error for error in errors] == [True]


def test_a_firewall_of_our_name_that_is_not_ours_is_in_the_way() -> None:
    group = {"group_id": "sg-1", "group_name": "demo-exit", "tags": {}}
    assert "AWS has a firewall demo-exit already" in conflicts(cloud_found.read_groups("eu-north-1", [group]))[0]
    assert conflicts(cloud_found.read_hetzner([], [{"id": 1, "name": "demo-exit", "labels": {}}], [])) == []


@pytest.mark.parametrize(
    "change", [{"location": "fsn1"}, {"server_type": "cx33"}, {"labels": {**OURS, "wg-migrate-part": "exit"}}]
)
def test_a_machine_that_is_another_than_is_wanted_is_told(change: dict[str, Any]) -> None:
    errors = conflicts(machines(hetzner_server(**change)))
    assert ["write what is there, or take it away with" in error for error in errors] == [True]
    assert "playbooks/destroy.yml -e '{cloud_only: [proxy1]}'" in errors[0]


def test_a_machine_that_is_there_twice_is_told() -> None:
    assert "proxy1 is there 2 times" in conflicts(machines(hetzner_server(), hetzner_server(id=2, name="copy")))[0]


def test_a_machine_that_nobody_wants_any_more_is_told_and_others_machines_are_not() -> None:
    left = hetzner_server(labels={**OURS, "wg-migrate-host": "proxy9"})
    told = cloud_found.strays(
        list(planned().values()), machines(hetzner_server(), left, hetzner_server(labels={})), "demo"
    )
    assert ["goes on costing" in line and line.startswith("proxy9 ") for line in told] == [True]


def test_only_what_bears_the_label_is_ours() -> None:
    firewalls = [{"id": 2, "name": "demo-proxy1", "labels": OURS}, {"id": 3, "name": "demo-proxy2", "labels": {}}]
    keys = [
        {"id": 4, "name": "demo-key", "labels": {"wg-migrate-network": "demo"}},
        {"id": 5, "name": "mine", "labels": {}},
    ]
    others = [hetzner_server(id=6, labels={}), hetzner_server(id=7, labels={**OURS, "wg-migrate-network": "other"})]
    found = cloud_found.read_hetzner([hetzner_server(), *others], firewalls, keys)
    assert [(each.kind, each.id) for each in cloud_found.ours_of(found, "demo", [])] == [
        ("machine", "1"), ("firewall", "2"), ("key", "4"),
    ]  # fmt: skip
    assert [each.id for each in cloud_found.ours_of(found, "demo", ["proxy1"])] == ["1", "2"]
    assert cloud_found.ours_of(found, "demo", ["proxy2"]) == []


def test_a_stopped_instance_without_an_address_is_read() -> None:
    instance = aws_instance(state={"name": "stopped"}, public_ip_address=None)
    assert (
        cloud_found.read_instances("eu-north-1", [instance])[0].told
        == "AWS: machine demo-exit t3.micro stopped eu-north-1 i-1"
    )


def test_a_key_that_the_project_has_is_found_under_any_name_and_comment() -> None:
    keys = [{"name": "laptop", "public_key": KEY.replace("somebody@example", "other")}]
    assert cloud_found.key_in_project(keys, KEY) == "laptop"
    assert cloud_found.key_in_project(keys, KEY.replace("AAAA", "BBBB")) == ""


def pricing(**types: dict[str, str]) -> dict[str, Any]:
    def prices(places: dict[str, str]) -> list[dict[str, Any]]:
        return [{"location": place, "price_monthly": {"net": net, "gross": "99"}} for place, net in places.items()]

    return {
        "currency": "EUR",
        "server_types": [{"name": name, "prices": prices(places)} for name, places in types.items()],
        "primary_ips": [{"type": "ipv4", "prices": prices({"hel1": "0.5", "ash": "0.6"})}],
    }


def test_costs_are_those_of_the_place_with_the_address() -> None:
    told = cloud_found.costs(list(planned().values()), pricing(cx23={"ash": "9", "hel1": "3.4900000000"}))
    assert told[0] == "proxy1: cx23 in hel1 at Hetzner Cloud, 3.99 EUR a month"
    assert told[1] == "exit: t3.micro in eu-north-1 at AWS, 11.53 USD a month"
    assert "which change (https://aws.amazon.com/ec2/pricing/on-demand)" in told[2]


def test_a_price_that_nobody_knows_is_none() -> None:
    told = cloud_found.costs(
        list(planned(hosts={"a": {"part": "exit", "provider": "aws", "region": "ap-east-2"}}).values()), {}
    )
    assert told[0] == "a: t3.micro in ap-east-2 at AWS, price not known"
    assert "Hetzner" not in told[1]


def test_a_type_that_is_not_sold_there_is_refused_with_the_cheapest_that_are() -> None:
    hosts = list(planned().values())
    sold = pricing(cx23={"fsn1": "3"}, cpx22={"hel1": "7"}, cax11={"hel1": "4"})
    assert cloud_found.unpriced(hosts, sold) == [
        "proxy1: Hetzner has no cx23 in hel1: write one of its types, e.g. cax11, cpx22."
    ]
    assert cloud_found.unpriced(hosts, pricing(cx23={"hel1": "3"})) == []
