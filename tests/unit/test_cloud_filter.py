"""The door of role cloud: it reads the inventory's own files, and says what is to be installed."""

from __future__ import annotations

import importlib.util
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_cloud import KEY

ROOT = Path(__file__).resolve().parents[2]
CLOUD = ROOT / "inventory" / "cloud"


def plan(monkeypatch: pytest.MonkeyPatch, find_spec: Callable[[str], object]) -> dict[str, Any]:
    """Return the plan of inventory/cloud as it stands, with credentials and one management address."""
    written = yaml.safe_load((CLOUD / "group_vars" / "all.yml").read_text())
    settings = {name.removeprefix("cloud_"): value for name, value in written.items()}
    settings |= {"public_key": KEY, "management_sources": ["192.0.2.1/32"], "management_from_anywhere": False}
    for name in ("HCLOUD_TOKEN", "AWS_PROFILE"):
        monkeypatch.setenv(name, "something")
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    wg_cloud = runpy.run_path(str(ROOT / "filter_plugins" / "cloud.py"))["wg_cloud"]
    found: dict[str, Any] = wg_cloud(settings, [str(CLOUD)], {"p": {"ansible_host": "192.0.2.5"}}, {"proxies": ["p"]})
    return found


def test_the_inventory_to_copy_is_right_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    told = plan(monkeypatch, lambda _: "there")
    assert told["errors"] == []
    assert [host["full_name"] for host in told["hosts"]] == ["demo-proxy1", "demo-proxy2", "demo-exit"]
    assert told["aws_regions"] == ["eu-north-1", "eu-west-1"]
    assert told["known_hosts"] == str(CLOUD / "known_hosts")
    assert told["hosts"][2]["rules"][1]["cidr_ip"] == ["192.0.2.5/32"], "a proxy of the user's own"


def test_collections_that_are_missing_are_told_with_what_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    told = plan(monkeypatch, missing)
    assert ["run 'scripts/bootstrap --cloud'" in error for error in told["errors"]] == [True, True]
    assert told["access_errors"] == told["errors"]
