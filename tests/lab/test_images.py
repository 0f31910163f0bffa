"""What a killed build of an image leaves is taken away with the images, and only that."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.controller import podman, podman_json
from lab.image import BASE, remove_cut_off_builds
from tests.lab.conftest import until

pytestmark = pytest.mark.lab


def left() -> dict[str, str]:
    """Return the containers of builds, those at work too, each with the layer on which it stands."""
    listed = podman_json("ps", "--all", "--external", "--format=json")
    return {container["Id"]: container["ImageID"] for container in listed if container["State"] == "storage"}


def ask_podman(*words: str) -> str:
    return subprocess.run(podman(*words), capture_output=True, text=True, check=True).stdout.strip()


def kill_a_build(base: str, directory: Path) -> dict[str, str]:
    """Build on BASE, kill that in its last step, and return what it leaves, as above."""
    before = left()
    (directory / "Containerfile").write_text(f"FROM {base}\nCOPY Containerfile /made\nRUN sleep 20\n")
    argv = podman("build", "--isolation=chroot", "--network=host", str(directory))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as build:
        assert build.stdout is not None
        assert next((line for line in build.stdout if "RUN sleep" in line), None), "it came to no last step"
        until(lambda: len(left().keys() - before) > 1, "its containers are there")
        os.killpg(build.pid, signal.SIGKILL)
    return {container: layer for container, layer in left().items() if container not in before}


@pytest.fixture
def strangers_base() -> Iterator[str]:
    """Lend an image that has all files of the lab's, and is somebody else's."""
    name = "localhost/stranger:of-this-test"
    container = ask_podman("create", BASE, "true")
    with subprocess.Popen(podman("export", container), stdout=subprocess.PIPE) as files:
        subprocess.run(podman("import", "-", name), stdin=files.stdout, capture_output=True, check=True)
    ask_podman("rm", container)
    yield name
    ask_podman("rmi", name)


@pytest.mark.usefixtures("lab")
def test_a_killed_build_is_removed_and_a_strangers_is_not(strangers_base: str, tmp_path: Path) -> None:
    others, ours = kill_a_build(strangers_base, tmp_path), kill_a_build(BASE, tmp_path)
    layers = remove_cut_off_builds()
    after = left()
    ask_podman("rm", "--force", *others)
    latest = next(layer for layer in others.values() if not podman_json("image", "inspect", layer)[0]["RepoTags"])
    ask_podman("rmi", latest)
    assert len(ours) == 2
    assert not ours.keys() & after
    assert others.items() <= after.items()
    # One has a name, the lab's base, and goes with the other images.
    assert layers == [layer for layer in ours.values() if layer != podman_json("image", "inspect", BASE)[0]["Id"]]
    ask_podman("rmi", *layers)
