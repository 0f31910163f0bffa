"""The images of the lab: a base, from a registry or bootstrapped from Debian's packages, and three targets on it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lab.controller import podman, podman_json
from lab.shell import LabError, answer, as_root, run, step
from lab.topology import ROOT

RECIPE = ROOT / "lab" / "image"
TARGETS = ("host", "client", "web")
REPOSITORY = "localhost/wgm-lab"
BASE = f"{REPOSITORY}/base:trixie"
REGISTRY_IMAGE = "debian:13-slim"  # a short name: the machine's registries.conf knows which registry
PULL_SECONDS = 45
BOOTSTRAPPER = Path("/usr/bin/mmdebstrap")
# The keys that sign Debian 13, of package debian-archive-keyring: an Ubuntu does not trust them by itself.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror_in(policy: str) -> str | None:
    """Return the mirror of Debian from which apt has `base-files`, by apt-cache's POLICY of it, or None.

    Other repositories have no base-files, whatever their addresses look like. The path tells a mirror of Debian: it
    ends in `debian`, as Ubuntu's end in `ubuntu`. Only plain HTTP counts: a bare Debian has no certificates yet.
    """
    for word in policy.split():
        if word.startswith("http://") and word.rstrip("/").endswith("/debian"):
            return word.rstrip("/")
    return None


def own_mirror() -> str:
    """Return the mirror of Debian that this machine's own apt uses, or the one that mmdebstrap takes by itself.

    Raises LabError where mmdebstrap names none.
    """
    own = mirror_in(answer(["apt-cache", "policy", "base-files"]) or "")
    if own:
        return own
    default = re.search(r"\$mirror\s*=\s*'(http://[^']+/debian)'", BOOTSTRAPPER.read_text())
    if default is None:
        raise LabError(f"{BOOTSTRAPPER} names no mirror of Debian: add one to this machine's apt sources")
    return default.group(1)


def recipe_tag(recipe: Path, mirror: str) -> str:
    """Return a tag that changes with all that the images are made from: the files under RECIPE, and the MIRROR."""
    digest = hashlib.sha256(mirror.encode())
    for path in sorted(path for path in recipe.rglob("*") if path.is_file()):
        digest.update(f"\0{path.relative_to(recipe)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def name_of(target: str, tag: str) -> str:
    """Return podman's name of the image of TARGET."""
    return f"{REPOSITORY}/{target}:{tag}"


def exists(image: str) -> bool:
    """Tell whether podman has IMAGE."""
    return answer(podman("image", "exists", image)) is not None


def ensure_images(targets: Collection[str]) -> str:
    """Make the images of these TARGETS that are missing and return the tag of all."""
    mirror = own_mirror()
    tag = recipe_tag(RECIPE, mirror)
    missing = [target for target in TARGETS if target in targets and not exists(name_of(target, tag))]
    if missing and not exists(BASE):
        make_base(mirror)
    for target in missing:
        with step(f"image of {target}: packages from {mirror}"):
            build(target, tag, mirror)
    return tag


def remove_earlier(tag: str) -> None:
    """Remove the images of earlier recipes, but for those that somebody else uses."""
    remove_images([image for image in own_images() if image != BASE and not image.endswith(f":{tag}")])


def make_base(mirror: str) -> None:
    """Have Debian 13 as image BASE, from a registry if one answers, else from MIRROR's packages."""
    present = exists(REGISTRY_IMAGE)
    try:
        with step("base image: Debian 13 from a registry"):
            run(podman("pull", "--quiet", REGISTRY_IMAGE), "image", seconds=PULL_SECONDS)
            run(podman("tag", REGISTRY_IMAGE, BASE), "image")
            if not present:
                run(podman("untag", REGISTRY_IMAGE), "image")
    except LabError:
        with step(f"no registry answers: Debian 13 from {mirror}"):
            bootstrap(mirror)


def bootstrap(mirror: str) -> None:
    """Make image BASE of the essential packages and apt, as debootstrap would."""
    made = [*as_root(["mmdebstrap"]), "--variant=apt", f"--keyring={KEYRING}", "trixie", "-", mirror]
    run(["bash", "-o", "pipefail", "-c", f"{shlex.join(made)} | {shlex.join(podman('import', '-', BASE))}"], "image")


def build(target: str, tag: str, mirror: str) -> None:
    """Build TARGET of the Containerfile on BASE."""
    # With chroot isolation and the machine's own network, a build works wherever it is: no cgroups, limits, bridge.
    arguments = ["--isolation=chroot", "--network=host", f"--build-arg=BASE={BASE}", f"--build-arg=MIRROR={mirror}"]
    run(podman("build", *arguments, f"--target={target}", f"--tag={name_of(target, tag)}", str(RECIPE)), "image")


def own_images() -> list[str]:
    """Return the names of all images of the lab, of any recipe."""
    listed = answer(podman("images", "--format={{.Repository}}:{{.Tag}}")) or ""
    return [image for image in listed.split() if image.startswith(f"{REPOSITORY}/")]


def remove_images(images: Collection[str]) -> list[str]:
    """Remove IMAGES of the lab and return those that stay, because somebody else's container stands on them."""
    used = set((answer(podman("ps", "--all", "--format={{.Image}}")) or "").split())
    kept = sorted(used.intersection(images))
    # The host image goes after those that stand on it, and the base last; podman removes the layers in between itself.
    order = ("web", "client", "host", "base")
    for image in sorted(
        set(images).difference(kept), key=lambda image: order.index(image.rsplit("/", 1)[1].split(":")[0])
    ):
        run(podman("rmi", image), "image")
    return kept


def remove_every_image() -> list[str]:
    """Remove all images of the lab; return those that stay, because somebody else's container stands on them."""
    layers = remove_cut_off_builds()
    kept = remove_images(own_images())
    for layer in layers:
        # Most went with the images, and one that carries what is kept podman does not give away.
        answer(podman("rmi", layer))
    return kept


def remove_cut_off_builds() -> list[str]:
    """Remove the containers of builds of the lab that were killed, which hold on to its images.

    Return the layers without a name on which these stood, the latest of each build first.
    """
    # Podman calls a container external that some other program, here the library behind `podman build`, has made.
    left = [each for each in podman_json("ps", "--all", "--external", "--format=json") if each["State"] == "storage"]
    sources = {each["ImageID"]: sources_of(podman_json("image", "inspect", each["ImageID"])) for each in left}
    ours = [each for each in left if is_ours([each["Image"], *sources[each["ImageID"]]])]
    if ours:
        run(podman("rm", "--force", *(each["Id"] for each in ours)), "image")
    layers = {each["ImageID"] for each in ours if not is_ours([each["Image"]])}
    return sorted(layers, key=lambda layer: -len(sources[layer]))


def sources_of(inspected: Sequence[dict[str, Any]]) -> list[str]:
    """Return on what an image was built, step by step, from what `podman image inspect` says of it."""
    steps = [step for about in inspected for step in about["History"]]
    return [step.get("comment", "").removeprefix("FROM ") for step in steps]


def is_ours(images: Collection[str]) -> bool:
    """Tell whether one of these images is the lab's."""
    return any(image.startswith(f"{REPOSITORY}/") for image in images)
