"""Modules and filters are documented, and what they document is what they do."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import ansible_test
import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = sorted((ROOT / "library").glob("*.py"))
MODULES = [path for path in DOCUMENTED if "AnsibleModule(" in path.read_text()]
"""The others are the documentation of actions, which run on the controller alone."""
FILTERS = sorted((ROOT / "filter_plugins").glob("*.py"))
BIN = Path(sys.executable).parent
VALIDATE = Path(ansible_test.__file__).parent / "_util/controller/sanity/validate-modules/validate.py"
"""A private path of ansible-core, which is pinned; `ansible-test sanity` itself would want a collection in git."""

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)


def _documentation(kind: str, names: list[str]) -> dict[str, Any]:
    """Return what ansible-doc knows of these plugins; it must know each of them, and warn of none."""
    shown = subprocess.run(
        [BIN / "ansible-doc", "--playbook-dir", ROOT, "--type", kind, "--json", *names],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, "")
    documented: dict[str, Any] = json.loads(shown.stdout)
    return documented


def _construction(module: Path) -> Mapping[str, Any]:
    """Return the arguments with which a module makes its AnsibleModule, and go no further."""
    with (
        mock.patch.object(AnsibleModule, "__init__", side_effect=InterruptedError) as init,
        pytest.raises(InterruptedError),
    ):
        runpy.run_path(str(module), run_name="__main__")
    arguments: Mapping[str, Any] = init.call_args.kwargs
    return arguments


def _open_to_templates(spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec with any type allowed where the argument is a template, whose type only a run can tell."""
    return {
        name: {"type": "raw"} if isinstance(value := arguments.get(name), str) and "{{" in value else option
        for name, option in spec.items()
    }


def _tasks_of(module: Path) -> Iterator[Mapping[str, Any]]:
    examples = re.search(r'^EXAMPLES = r?"""(.*?)"""', module.read_text(), re.DOTALL | re.MULTILINE)
    assert examples, "no EXAMPLES"
    yield from (task for task in yaml.safe_load(examples.group(1)) if module.stem in task)


def _qualified(text: str) -> str:
    """Return a module's text as it would stand in a collection local.lib, where own names are no longer bare."""
    own = "|".join(module.stem for module in DOCUMENTED)
    documented = re.sub(rf"(- module: |\bM\()(?=(?:{own})\b)", r"\1local.lib.", text)
    return documented.replace("ansible.module_utils.wg_", "ansible_collections.local.lib.plugins.module_utils.wg_")


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Return modules and module_utils as a collection, the only place where validate-modules finds module_utils."""
    home = tmp_path / "ansible_collections" / "local" / "lib"
    for source, target in [("library", "modules"), ("module_utils", "module_utils")]:
        for file in sorted((ROOT / source).rglob("*.py")):
            copy = home / "plugins" / target / file.relative_to(ROOT / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(_qualified(file.read_text()))
    return home


def test_documentation_equals_argument_spec(collection: Path) -> None:
    home = collection.parents[2]
    validated = subprocess.run(
        [sys.executable, VALIDATE, "--arg-spec", "--collection", collection.relative_to(home), "plugins/modules"],
        cwd=collection,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(home), "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert validated.returncode == 0, validated.stdout + validated.stderr


def _names(kind: str) -> list[str]:
    if kind == "module":
        return [module.stem for module in DOCUMENTED]
    return sorted(name for file in FILTERS for name in runpy.run_path(str(file))["FilterModule"]().filters())


@pytest.mark.parametrize(("kind", "key"), [("module", "module"), ("filter", "name")])
def test_ansible_doc_shows_every_plugin(kind: str, key: str) -> None:
    names = _names(kind)
    documented = _documentation(kind, names)
    # A filter without documentation is shown with that of the file's first.
    assert [documented[name]["doc"][key] for name in names] == names
    assert [name for name in names if not (documented[name]["examples"] and documented[name]["return"])] == []


@every_module
def test_examples_are_valid(module: Path) -> None:
    construction = _construction(module)
    tasks = list(_tasks_of(module))
    assert tasks, "no example calls the module"
    for task in tasks:
        arguments = task[module.stem] or {}
        rules = ["mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by"]
        validator = ArgumentSpecValidator(
            _open_to_templates(construction["argument_spec"], arguments),
            **{rule: construction.get(rule) for rule in rules},
        )
        assert validator.validate(arguments).error_messages == [], task["name"]


@every_module
def test_module_tells_the_truth_in_check_mode(module: Path) -> None:
    assert _construction(module).get("supports_check_mode") is True


def test_an_action_without_a_module_takes_what_is_documented() -> None:
    actions = [path for path in DOCUMENTED if path not in MODULES]
    assert actions
    for path in actions:
        spec = runpy.run_path(str(ROOT / "action_plugins" / path.name))["ARGUMENT_SPEC"]
        documented = _documentation("module", [path.stem])[path.stem]["doc"]["options"]
        told = ("type", "elements", "default", "required", "choices")
        found = {
            name: {key: option[key] for key in told if option.get(key, False) is not False}
            for name, option in documented.items()
        }
        assert found == spec
        for task in _tasks_of(path):
            assert ArgumentSpecValidator(spec).validate(task[path.stem] or {}).error_messages == []


def test_every_action_is_documented() -> None:
    actions = {path.name for path in (ROOT / "action_plugins").glob("*.py")}
    assert actions <= {path.name for path in DOCUMENTED}
