"""The machines as virtual machines of QEMU's, with a kernel of their own, on the bridge that containers are on, too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from lab.accelerator import Accelerator, accelerator
from lab.cloud_seed import CLOUDY, DISABLED, cloud_files
from lab.controller import podman
from lab.guest_image import GuestImage, named
from lab.image import BOOTSTRAPPER
from lab.keys import Files, machine_id, own_files, seed, ssh_command
from lab.kinds import Standing
from lab.shell import LabError, answer, as_root, run, write
from lab.topology import BUILD, CONTROLLER4, CONTROLLER6, MACHINES, NETWORK, SUBNET4, SUBNET6, Machine, machine

NAME = "virtual machine"
# Emulated, four on two processors, they take 45 s, and ten times that where something else is busy.
READY_SECONDS = 900.0
DIRECTORY = BUILD / "guests"
QEMU = "qemu-system-x86_64"
MEMORY = "512"  # MB
# Nothing but the last four is for the lab: those spare an emulated processor what it need not do.
KERNEL_WORDS = (
    "root=/dev/nvme0n1 rw console=ttyS0 quiet net.ifnames=0 mitigations=off nokaslr cryptomgr.notests audit=0"
)


def refuse_without_tools() -> None:
    """Raise LabError where this controller lacks what makes or runs virtual machines."""
    missing = [tool for tool in (QEMU, "qemu-img", str(BOOTSTRAPPER)) if shutil.which(tool) is None]
    if missing:
        raise LabError(f"{' and '.join(missing)} must be installed for virtual machines: run scripts/bootstrap --vm")


def directory(machine: Machine) -> Path:
    """Return where the files of MACHINE are."""
    return DIRECTORY / machine.name


def standing() -> dict[str, Standing]:
    """Return the virtual machines by machine name: this checkout's, and whatever of other checkouts runs."""
    found = {m.name: Standing() for m in MACHINES}
    for m in MACHINES:
        if directory(m).exists():
            found[m.name] = stopped(directory(m))
    return found | running(command_lines())


def stopped(place: Path) -> Standing:
    """Return the virtual machine whose files are in the directory PLACE, as long as it does not run."""
    note = place / "fingerprint"
    # ROOT/build/lab/guests/NAME: who made it is told by where it is.
    return Standing("stopped", 0, str(place.parents[3]), note.read_text() if note.exists() else "")


def command_lines() -> Iterable[tuple[int, list[str]]]:
    """Return the command lines of all processes of this controller, with their process ids.

    A process in another namespace of networks is of another controller: its bridge is not ours, nor are its machines.
    """
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if network_of(path.parent) == network_of(Path("/proc/self")):
                yield int(path.parent.name), path.read_text(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile


def network_of(process: Path) -> str:
    """Return which namespace of networks a process is in: our own where it is another user's, who does not tell."""
    try:
        return os.readlink(process / "ns" / "net")
    except PermissionError:
        return os.readlink("/proc/self/ns/net")


def running(processes: Iterable[tuple[int, list[str]]]) -> dict[str, Standing]:
    """Return the virtual machines of the lab among PROCESSES, by machine name."""
    names = {m.full_name: m.name for m in MACHINES}
    found = {}
    for pid, words in processes:
        if words[0].endswith(QEMU) and "-name" in words and "-pidfile" in words:
            name = names.get(words[words.index("-name") + 1].rpartition("process=")[2])
            if name:
                files = stopped(Path(words[words.index("-pidfile") + 1]).parent)
                found[name] = Standing("running", pid, files.owner, files.fingerprint)
    return found


def network_file(machine: Machine, servers: Iterable[str]) -> str:
    """Return how systemd-networkd sets up the card of MACHINE, with these SERVERS for DNS."""
    length4, length6 = SUBNET4.rpartition("/")[2], SUBNET6.rpartition("/")[2]
    settings = [
        f"Address={machine.address4}/{length4}",
        f"Address={machine.address6}/{length6}",
        f"Gateway={CONTROLLER4}",
        f"Gateway={CONTROLLER6}",
        "IPv6AcceptRA=no",
        *(f"DNS={server}" for server in servers),
    ]
    return f"[Match]\nMACAddress={machine.mac}\n\n[Network]\n" + "".join(f"{line}\n" for line in settings)


def name_servers() -> list[str]:
    """Return the controller's servers for DNS as podman gave them to the container `web`: never one on a loopback.

    Raises LabError where there is none: no package would be found.
    """
    told = answer(podman("exec", machine("web").full_name, "cat", "/etc/resolv.conf")) or ""
    servers = [line.split()[1] for line in told.splitlines() if line.startswith("nameserver ")]
    if not servers:
        raise LabError("this controller has no server for DNS that virtual machines could ask: see /etc/resolv.conf")
    return servers


def command(machine: Machine, image: GuestImage, chosen: Accelerator) -> list[str]:
    """Return the command that starts MACHINE from IMAGE."""
    place = directory(machine)
    words = " ".join((KERNEL_WORDS, *chosen.kernel_words, f"systemd.machine_id={machine_id(machine)}"))
    if machine.name != CLOUDY:
        words += f" systemd.hostname={machine.name}"
    # A comma ends a value of QEMU's, unless doubled.
    disk, files, log = (str(place / name).replace(",", ",,") for name in ("disk.qcow2", "seed.tar", "console.log"))
    # With a process's name that top shows.
    named_so = f"guest={machine.full_name},process={machine.full_name}"
    return [
        *(QEMU, "-name", named_so, "-daemonize", "-pidfile", str(place / "pid")),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{log}"),
        # What a server in a data centre would not miss either.
        *("-machine", "q35,smm=off,sata=off,usb=off,vmport=off", *chosen.words, "-smp", "1", "-m", MEMORY),
        *("-kernel", str(image.kernel), "-append", words),
        # A lost lab is made anew: its disks need not survive the controller.
        *("-drive", f"if=none,id=disk,file={disk},format=qcow2,cache=unsafe"),
        *("-drive", f"if=none,id=seed,file={files},format=raw,readonly=on"),
        # Of each kind one: of two, Linux calls that the first which answers first. The kernel itself knows only NVMe.
        *("-device", "nvme,drive=disk,serial=lab", "-device", "virtio-blk-pci,drive=seed"),
        *("-netdev", f"tap,id=wire,ifname={machine.full_name},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=wire,mac={machine.mac}", "-device", "virtio-rng-pci"),
    ]


def made_of(machine: Machine, tag: str) -> list[str]:
    """Return the image and the hardware of MACHINE."""
    image = named(tag)
    return [tag, *command(machine, image, Accelerator((), (), ""))]


def create(machine: Machine, tag: str, fingerprint: str) -> None:
    """Make the disk of MACHINE, a layer on that of its image, and the archive of what is its own."""
    image, place = named(tag), directory(machine)
    place.mkdir(parents=True)
    run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk), str(place / "disk.qcow2")],
        machine.name,
    )
    archive = place / "seed.tar"
    archive.touch(mode=0o600)
    archive.write_bytes(seed(files_of(machine, name_servers())))
    write(place / "image", tag)
    write(place / "fingerprint", fingerprint)


def files_of(machine: Machine, servers: Iterable[str]) -> Files:
    """Return what sets MACHINE apart from its image, or has cloud-init do so, with these SERVERS for DNS."""
    if machine.name == CLOUDY:
        return cloud_files(machine, servers)
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {machine.name}\n::1 localhost\n"
    network = ("etc/systemd/network/eth0.network", network_file(machine, servers))
    return [DISABLED, *own_files(machine, ("etc/hostname", f"{machine.name}\n"), ("etc/hosts", hosts), network)]


def start(machine: Machine, state: str) -> None:
    """Have MACHINE run, with its cable in the bridge."""
    ensure_cable(machine)
    if state != "running":
        image = named((directory(machine) / "image").read_text())
        run(command(machine, image, accelerator(image)), machine.name)


def ensure_cable(machine: Machine) -> None:
    """Have a cable from the bridge to MACHINE, which the user who starts the lab may plug in."""
    name = machine.full_name
    if not Path("/sys/class/net", name).exists():
        run(as_root(["ip", "tuntap", "add", "dev", name, "mode", "tap", "user", str(os.getuid())]), machine.name)
    run(as_root(["ip", "link", "set", "dev", name, "master", NETWORK, "up"]), machine.name)


def remove(machine: Machine) -> None:
    """End MACHINE at once, and remove its cable and its files."""
    pid = standing()[machine.name].pid
    if pid:
        end(machine, pid)
    if Path("/sys/class/net", machine.full_name).exists():
        run(as_root(["ip", "link", "delete", "dev", machine.full_name]), machine.name)
    if directory(machine).exists():
        shutil.rmtree(directory(machine))


def end(machine: Machine, pid: int) -> None:
    """Kill the process of MACHINE and return when it has ended. Raises LabError where it does not."""
    run(as_root(["kill", f"-{signal.SIGKILL:d}", str(pid)]), machine.name)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and machine.name in running(command_lines()):
        if time.monotonic() > deadline:
            raise LabError(f"process {pid}, virtual machine {machine.name}, does not end")
        time.sleep(0.05)


def restart(machine: Machine) -> None:
    """Reboot MACHINE from within: systemd stops everything in order. Raises LabError where it does not answer."""
    before = boot_id(machine)
    if before is None:
        raise LabError(
            f"{machine.name} does not answer, so that it cannot be told to reboot: scripts/lab reset makes it anew"
        )
    # The connection may end before the command does.
    subprocess.run(ssh_command(machine, "sudo", "systemctl", "reboot"), capture_output=True, check=False)
    deadline = time.monotonic() + READY_SECONDS
    while boot_id(machine) in (before, None):
        if time.monotonic() > deadline:
            raise LabError(
                f"{machine.name} is not back after {READY_SECONDS:.0f} s\n(see {directory(machine) / 'console.log'})"
            )
        time.sleep(1)


def boot_id(machine: Machine) -> str | None:
    """Return what the kernel of MACHINE calls this boot, or None where nobody answers."""
    return answer(ssh_command(machine, "-o", "ConnectTimeout=10", "cat", "/proc/sys/kernel/random/boot_id"))


def bridge_port(machine: Machine) -> str:
    """Return the name of the controller's end of the cable of MACHINE, empty where it does not run."""
    return machine.full_name if machine.name in running(command_lines()) else ""
