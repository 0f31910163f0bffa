"""What unit tests share: the view that Ansible's modules have of module_utils/, and keys that are nobody's."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import ansible.module_utils
import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("clockless", deadline=None)
settings.load_profile("clockless")

ROOT = Path(__file__).resolve().parents[2]

# A module imports ansible.module_utils.wg_migrate, which Ansible puts together only on its way to a host.
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))


@pytest.fixture
def key() -> Callable[[str], str]:
    """Return a function that makes a well-formed key from a letter; no key stands in a file of the repository."""
    return lambda letter: base64.b64encode(letter.encode() * 32).decode()
