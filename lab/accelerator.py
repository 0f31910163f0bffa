"""What runs a virtual machine's processor: KVM where a kernel really boots with it, else emulation."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.guest_image import GuestImage

KVM = Path("/dev/kvm")
PROBE_SECONDS = 15.0
"""With KVM a kernel comes to look for its disk within two."""
REACHED = "Unable to mount root fs"


@dataclass(frozen=True)
class Accelerator:
    """Words of QEMU's command line and of the kernel's, and what to tell the person who waits."""

    words: tuple[str, ...]
    kernel_words: tuple[str, ...]
    told: str


def kvm() -> Accelerator:
    """Return that of the controller's own processor."""
    return Accelerator(("-accel", "kvm", "-cpu", "host"), (), "KVM")


def emulation(why: str) -> Accelerator:
    """Return QEMU's own. Linux 6.12 on QEMU 7.2 dies under load of an instruction that QEMU emulates wrongly, cx16.

    QEMU keeps what it has translated by virtual address: a library that each process has elsewhere it translates for
    each anew. And an instruction with `rep`, by which the kernel clears and copies pages where the processor is said to
    be quick at it (rep_good, 3 * 32 + 16 in Linux' cpufeatures.h), it carries out word by word. Spared the two,
    site.yml takes four fifths of its time.
    """
    words = ("-accel", "tcg,thread=multi,tb-size=256", "-cpu", "qemu64,+ssse3,-cx16")
    told = f"emulation (TCG), several times slower: {why}"
    return Accelerator(words, ("norandmaps", "clearcpuid=112"), told)


@cache
def accelerator(image: GuestImage) -> Accelerator:
    """Return what works here, tried with the kernel of IMAGE.

    A /dev/kvm proves little: in nested virtualisation it may be there, and a machine that uses it dies or hangs.
    """
    if not KVM.exists():
        return emulation("there is no /dev/kvm")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return emulation("this user may not open /dev/kvm; root, and whoever is in its group, may")
    return kvm() if boots(image.kernel, kvm()) else emulation("/dev/kvm is there, and no kernel boots with it")


def probe_command(kernel: Path, chosen: Accelerator) -> list[str]:
    """Return the command that boots KERNEL without any disk: it panics for want of one, and QEMU ends."""
    words = "console=ttyS0 panic=-1 root=/dev/none"
    hardware = ("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-m", "256")
    return ["qemu-system-x86_64", "-machine", "q35", *chosen.words, *hardware, "-kernel", str(kernel), "-append", words]


def boots(kernel: Path, chosen: Accelerator) -> bool:
    """Tell whether KERNEL comes as far as looking for its disk."""
    try:
        done = subprocess.run(
            probe_command(kernel, chosen),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False
    return REACHED.encode() in done.stdout
