"""A network's machines at AWS, from nothing to nothing, against moto's server. The tests are one story."""

from __future__ import annotations

import base64
from typing import Any

import boto3
import pytest
from wg_cloud.providers import PROVIDERS

from tests.cloud.conftest import Deployment, refused, succeeded, unwrapped, wg_network

Aws = tuple[Deployment, str]
THERE = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}


@pytest.fixture(scope="module")
def ec2(aws: Aws) -> Any:
    """Return a client of the account, to look at what the playbooks did."""
    keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing at all"}
    return boto3.session.Session(region_name="eu-north-1", **keys).client("ec2", endpoint_url=aws[1])


def instances(ec2: Any, *filters: dict[str, Any]) -> dict[str, Any]:
    """Return the instances that are there, by their names."""
    answer = ec2.describe_instances(Filters=[THERE, *filters])
    found = [each for reservation in answer["Reservations"] for each in reservation["Instances"]]
    return {{tag["Key"]: tag["Value"] for tag in each["Tags"]}["Name"]: each for each in found}


def groups(ec2: Any) -> dict[str, Any]:
    """Return the security groups but the VPC's own, by their names."""
    found = ec2.describe_security_groups()["SecurityGroups"]
    return {group["GroupName"]: group for group in found if group["GroupName"] != "default"}


def rules(group: dict[str, Any]) -> set[tuple[str, int, str]]:
    """Return what a group lets in: protocol, first port (of ICMP: the type), network."""
    permissions = group["IpPermissions"]
    assert [each["Ipv6Ranges"] for each in permissions if each["Ipv6Ranges"]] == []
    return {
        (each["IpProtocol"], each["FromPort"], network["CidrIp"])
        for each in permissions
        for network in each["IpRanges"]
    }


def test_regions_are_those_that_the_sdk_knows() -> None:
    assert list(PROVIDERS["aws"].regions) == sorted(boto3.session.Session().get_available_regions("ec2"))


def test_machines_are_made(aws: Aws, ec2: Any) -> None:
    deployment, _ = aws
    ec2.run_instances(ImageId="ami-00000001", MinCount=1, MaxCount=1, InstanceType="t3.micro", TagSpecifications=[
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "somebody's"}]}
    ])  # fmt: skip
    told = succeeded(deployment.provision())
    assert "exit: t4g.small in eu-north-1 at AWS, price not known" in told
    found = instances(ec2)
    assert sorted(found) == ["demo-exit", "demo-proxy1", "somebody's"]
    # The newest of Debian's own, for the type's processor.
    assert [found[name]["ImageId"] for name in ("demo-proxy1", "demo-exit")] == ["ami-00000003", "ami-00000004"]
    assert found["demo-proxy1"]["MetadataOptions"]["HttpTokens"] == "required"
    told = ec2.describe_instance_attribute(InstanceId=found["demo-proxy1"]["InstanceId"], Attribute="userData")
    assert base64.b64decode(told["UserData"]["Value"]).decode().startswith("#cloud-config\n")


def test_a_proxy_hears_anyone_and_the_exit_the_proxies_alone(ec2: Any) -> None:
    found, firewalls = instances(ec2), groups(ec2)
    management = ("tcp", 22, "192.0.2.1/32")
    proxy = f"{found['demo-proxy1']['PublicIpAddress']}/32"
    assert rules(firewalls["demo-proxy1"]) == {management, ("udp", 51820, "0.0.0.0/0")}
    assert rules(firewalls["demo-exit"]) == {management, ("udp", 51820, proxy), ("icmp", 8, proxy)}
    for name in ("demo-proxy1", "demo-exit"):
        assert [group["GroupName"] for group in found[name]["SecurityGroups"]] == [name]


def test_the_inventory_shows_the_machines_by_their_tags(aws: Aws, ec2: Any) -> None:
    shown, members = aws[0].shown()
    hostvars = unwrapped(shown)
    assert {name: members[name] for name in ("proxies", "exits", "clients")} == {
        "proxies": ["proxy1"], "exits": ["exit"], "clients": ["laptop"],
    }  # fmt: skip
    assert hostvars["proxy1"]["ansible_host"] == instances(ec2)["demo-proxy1"]["PublicIpAddress"]
    read = ("network_provider", "network_region", "network_asn", "network_listen_port")
    assert [hostvars["exit"][name] for name in read] == ["aws", "eu-north-1", 16509, 51820]
    assert wg_network(hostvars, members)["errors"] == []


def test_a_second_run_changes_nothing(aws: Aws) -> None:
    assert "changed=0" in succeeded(aws[0].provision())


def test_destroying_leaves_nothing_of_ours_and_all_of_others(aws: Aws, ec2: Any) -> None:
    told = succeeded(aws[0].destroy("-e", "cloud_destroy=demo"))
    assert "Nothing of network demo is there any more" in told
    assert list(instances(ec2)) == ["somebody's"]
    assert groups(ec2) == {}


def test_a_region_without_a_default_vpc_is_refused_before_anything_is_made(aws: Aws, ec2: Any) -> None:
    deployment, _ = aws
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.terminate_instances(InstanceIds=[each["InstanceId"] for each in instances(ec2).values()])
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=vpc)
    told = refused(deployment.provision())
    assert "no default VPC in eu-north-1" in told
    assert "'aws ec2 create-default-vpc --region eu-north-1'" in told
    assert (instances(ec2), groups(ec2)) == ({}, {})
