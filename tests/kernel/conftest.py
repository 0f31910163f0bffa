"""Fixtures of the kernel tests: every test here needs root, and has machines of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from wg_migrate.system import System

from .machine import Machine
from .router import INSIDE, OUTSIDE, ROUTER

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    assert os.geteuid() == 0, "kernel tests need root: run scripts/test kernel"


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


@pytest.fixture
def no_namespaces_are_left() -> Iterator[None]:
    """Remove the namespaces that router.build has made."""
    yield
    for namespace in (INSIDE, ROUTER, OUTSIDE):
        System().attempt(["ip", "netns", "delete", namespace])
