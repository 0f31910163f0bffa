"""The disks that virtual machines start from: Debian's packages on a file system, and Debian's own kernel beside it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from lab.image import BOOTSTRAPPER, KEYRING, own_mirror, recipe_tag
from lab.shell import as_root, run, step
from lab.topology import ROOT

RECIPE = ROOT / "lab" / "guest"
CACHE = ROOT / "build" / "vm"
RELEASES = ("bookworm", "trixie")
"""Debian 12 and Debian 13."""
# Like a host that somebody rents, only smaller: SSH and Python, the network as Debian's cloud images have it, and no
# package that the roles bring.
PACKAGES = (
    "systemd-sysv", "systemd-resolved", "dbus", "udev", "kmod", "procps", "openssh-server", "python3", "sudo",
    "iproute2", "cloud-init", "linux-image-cloud-amd64",
)  # fmt: skip
DISK_SIZE = "3G"
"""As the machine sees it; on the controller's disk an image takes a tenth of that."""


@dataclass(frozen=True)
class GuestImage:
    """A disk and its kernel, of one release and one recipe."""

    release: str
    tag: str

    @property
    def word(self) -> str:
        """All of it in a word, which `named` reads."""
        return f"{self.release}-{self.tag}"

    @property
    def disk(self) -> Path:
        """The file system, which machines only read: each writes into a layer of its own."""
        return CACHE / f"{self.word}.ext4"

    @property
    def kernel(self) -> Path:
        """Debian's kernel."""
        return CACHE / f"{self.word}.vmlinuz"


def named(word: str) -> GuestImage:
    """Return the image of which this is the word."""
    release, _, tag = word.partition("-")
    return GuestImage(release, tag)


def bootstrap_command(release: str, mirror: str, tree: Path) -> list[str]:
    """Return the command that fills TREE with RELEASE's packages from MIRROR."""
    unread = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    options = [f"--include={','.join(PACKAGES)}", f"--keyring={KEYRING}", "--dpkgopt=force-unsafe-io", *unread]
    # A machine that has the lists asks only whether they are still those of the mirror: reading them takes it a minute.
    options.append("--skip=cleanup/apt")
    finish = f'--customize-hook={shlex.quote(str(RECIPE / "customize"))} "$1"'
    # The drivers of the disk and its file system are in the kernel: no initial file system is made or needed.
    made = ["env", "INITRD=No", str(BOOTSTRAPPER), "--variant=minbase", *options, finish, release, str(tree), mirror]
    return as_root(made)


def ensure_guest_image(release: str) -> GuestImage:
    """Make the image of RELEASE where it is missing, and remove those of earlier recipes."""
    mirror = own_mirror()
    image = GuestImage(release, recipe_tag(RECIPE, " ".join((mirror, release, DISK_SIZE, *PACKAGES))))
    if not image.disk.exists():
        with step(f"disk of the virtual machines: {release} from {mirror}"):
            make(image, mirror)
    for earlier in CACHE.glob(f"{release}-*"):
        if earlier not in (image.disk, image.kernel):
            earlier.unlink()
    return image


def make(image: GuestImage, mirror: str) -> None:
    """Make the disk of IMAGE. It has its name once it is whole."""
    CACHE.mkdir(parents=True, exist_ok=True)
    tree, draft = CACHE / f"tree-{image.release}", CACHE / f"{image.release}-draft"
    run(as_root(["rm", "-rf", str(tree), str(draft)]), "image")
    run(bootstrap_command(image.release, mirror, tree), "image")
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    image.kernel.write_bytes(kernel.read_bytes())
    draft.touch()  # by who starts the machines, who then may read it
    run(as_root(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(draft), DISK_SIZE]), "image")
    run(as_root(["rm", "-rf", str(tree)]), "image")
    draft.rename(image.disk)


def remove_guest_images() -> None:
    """Remove all disks, of every release and recipe, and what a build that was cut off has left."""
    run(as_root(["rm", "-rf", str(CACHE)]), "image")
