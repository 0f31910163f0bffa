"""What is known of each cloud provider: its regions, its machines, what it asks for in the environment. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGITS_THEN_G = re.compile(r"[a-z]+[0-9]+g|a1\.")
"""AWS names the types with its own processors so: t4g.micro, c7gn.large, a1.medium."""


@dataclass(frozen=True)
class Provider:
    """A provider: what may be written for it, and where the rest is to be read."""

    title: str
    regions: tuple[str, ...]
    type_form: re.Pattern[str]
    default_type: str
    credentials: tuple[tuple[str, ...], ...]
    """Variables of the environment: one of these sets must be there."""
    collection: str
    """Ansible's, which has the plugin and the modules."""
    plugin_file: str
    plugin_file_ends: tuple[str, ...]
    """The file in the inventory that shows its machines; its plugin takes any name that ends so."""
    prices: str
    """The page that says what it costs today."""


PROVIDERS = {
    "hetzner": Provider(
        title="Hetzner Cloud",
        # https://docs.hetzner.com/cloud/networks/faq
        regions=("ash", "fsn1", "hel1", "hil", "nbg1", "sin"),
        type_form=re.compile(r"[a-z]{2,4}[0-9]{2}"),
        default_type="cx23",
        credentials=(("HCLOUD_TOKEN",),),
        collection="hetzner.hcloud",
        plugin_file="hetzner.hcloud.yml",
        plugin_file_ends=("hcloud.yml", "hcloud.yaml"),
        prices="https://www.hetzner.com/cloud",
    ),
    "aws": Provider(
        title="AWS",
        # Those that the SDK knows; tests/cloud compares.
        regions=(
            "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
            "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
            "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1",
            "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
            "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2",
            "us-west-1", "us-west-2",
        ),
        type_form=re.compile(r"[a-z][a-z0-9-]{1,15}\.[a-z0-9-]{1,15}"),
        default_type="t3.micro",
        credentials=(("AWS_PROFILE",), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        collection="amazon.aws",
        plugin_file="aws_ec2.yml",
        plugin_file_ends=("aws_ec2.yml", "aws_ec2.yaml"),
        prices="https://aws.amazon.com/ec2/pricing/on-demand",
    ),
}  # fmt: skip
IMAGES = ("debian-13", "debian-12")
"""The first is taken where nothing is written. Both providers offer them, with cloud-init."""
HOURS_OF_A_MONTH = 730
AWS_PRICES_OF = "2025"
"""The year in which the figures below were list prices, without taxes: on demand, Linux."""
_T3_MICRO = {
    "ap-northeast-1": 0.0136, "ap-southeast-1": 0.0132, "ca-central-1": 0.0116, "eu-central-1": 0.0120,
    "eu-north-1": 0.0108, "eu-west-1": 0.0114, "eu-west-2": 0.0118, "eu-west-3": 0.0118, "sa-east-1": 0.0168,
    "us-east-1": 0.0104, "us-east-2": 0.0104, "us-west-1": 0.0124, "us-west-2": 0.0104,
}  # fmt: skip
"""USD an hour."""
_T3_SIZES = {"t3.nano": 0.5, "t3.micro": 1, "t3.small": 2, "t3.medium": 4}
_AWS_ADDRESS = 0.005
"""USD an hour for a public IPv4 address."""


def debian_architecture(aws_type: str) -> str:
    """Return what Debian calls the processor of an AWS type."""
    return "arm64" if _DIGITS_THEN_G.match(aws_type) else "amd64"


def aws_monthly(aws_type: str, region: str) -> float | None:
    """Return the USD that a machine with its address costs a month, without disk and traffic; None where unknown."""
    if aws_type not in _T3_SIZES or region not in _T3_MICRO:
        return None
    return HOURS_OF_A_MONTH * (_T3_SIZES[aws_type] * _T3_MICRO[region] + _AWS_ADDRESS)
