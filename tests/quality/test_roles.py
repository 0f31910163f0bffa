"""Every role says in meta/argument_specs.yml, defaults/main.yml, README.md and docs/variables.md the same."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())

every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


document_variables = runpy.run_path(str(ROOT / "scripts" / "document-variables"))


def _options(role: Path) -> Mapping[str, Mapping[str, Any]]:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
    options: Mapping[str, Mapping[str, Any]] = document_variables["options_of"](specs)
    return options


@every_role
def test_specs_and_defaults_are_equal(role: Path) -> None:
    specified = {name: option["default"] for name, option in _options(role).items() if "default" in option}
    defaults = role / "defaults" / "main.yml"
    assert specified == (yaml.safe_load(defaults.read_text()) if defaults.exists() else {})


@every_role
def test_an_option_is_required_or_has_a_default(role: Path) -> None:
    options = _options(role)
    assert [name for name in options if options[name].get("required", False) == ("default" in options[name])] == []


@every_role
def test_options_bear_the_name_of_the_role(role: Path) -> None:
    assert [name for name in _options(role) if not name.startswith(f"{role.name}_")] == []


@every_role
def test_readme_names_every_option(role: Path) -> None:
    readme = (role / "README.md").read_text()
    assert [name for name in _options(role) if f"`{name}`" not in readme] == []


@every_role
def test_has_tasks(role: Path) -> None:
    assert (role / "tasks" / "main.yml").is_file()


def test_entry_points_agree_on_shared_options() -> None:
    differing = []
    for role in ROLES:
        specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
        options = _options(role)
        differing += [
            f"{role.name}: {entry_point}: {name}"
            for entry_point, spec in specs.items()
            for name, option in spec.get("options", {}).items()
            if option != options[name]
        ]
    assert differing == []


def test_variables_page_is_current() -> None:
    assert document_variables["PAGE"].read_text() == document_variables["page"](ROOT / "roles"), (
        "run: .venv/bin/python scripts/document-variables"
    )


def test_systemd_refuses_to_start_none_of_our_units() -> None:
    """Its rule is five starts within 10 s (systemd-system.conf(5)); whoever depends on such a unit would go without."""
    units = [path for kind in ("service", "path") for path in (ROOT / "roles").glob(f"*/*/*.{kind}*")]
    assert len(units) >= 10
    assert [path.name for path in units if "\nStartLimitIntervalSec=0\n" not in path.read_text()] == []
