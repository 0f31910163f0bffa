"""The lab's virtual machines, as far as they are pure code: what QEMU is told, what runs, which processor emulates."""

from __future__ import annotations

import configparser
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from wg_cloud.cloud import user_data

from lab import accelerator, cli, cloud_seed, containers, guest_image, guests, keys, machines
from lab.accelerator import Accelerator, emulation, kvm
from lab.guest_image import GuestImage, bootstrap_command, named
from lab.keys import own_files, seed
from lab.kinds import Standing
from lab.shell import LabError
from lab.topology import MACHINES, ROOT, machine

IMAGE = GuestImage("trixie", "0123456789abcdef")
FOR_QEMU = Accelerator(("-accel", "tcg"), ("norandmaps",), "")


def started(*directory: str, name: str = "wgm-client", program: str = "/usr/bin/qemu-system-x86_64") -> list[str]:
    """Return the command line of a process, as proc(5) has it: empty after its last end."""
    called = f"guest={name},process={name}"
    return [program, "-name", called, "-daemonize", "-pidfile", "/".join((*directory, "pid")), ""]


def test_a_virtual_machine_is_known_by_its_command_line_whoever_started_it(tmp_path: Path) -> None:
    place = tmp_path / "build" / "lab" / "guests" / "client"
    place.mkdir(parents=True)
    (place / "fingerprint").write_text("f")
    others = [(1, ["init", ""]), (2, [""]), (3, started("/d", program="grep")), (4, started("/d", name="else"))]
    found = guests.running([*others, (7, started(str(place)))])
    assert found == {"client": Standing("running", 7, str(tmp_path), "f")}


def test_a_process_in_another_namespace_of_networks_is_nobody_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {pid for pid, _ in guests.command_lines()}
    assert os.getpid() in own
    elsewhere = f"/proc/{os.getpid()}"
    monkeypatch.setattr(guests, "network_of", lambda process: "other" if str(process) == elsewhere else "own")
    assert os.getpid() not in {pid for pid, _ in guests.command_lines()}


def test_the_network_of_another_users_process_counts_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def readlink(path: os.PathLike[str] | str) -> str:
        if "self" not in str(path):
            raise PermissionError
        return "own"

    monkeypatch.setattr(os, "readlink", readlink)
    assert guests.network_of(Path("/proc/1")) == "own"


def test_files_without_a_process_are_a_machine_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "DIRECTORY", tmp_path / "build" / "lab" / "guests")
    for name in ("exit", "client"):
        guests.directory(machine(name)).mkdir(parents=True)
    runs = 7, started(str(guests.directory(machine("client"))))
    monkeypatch.setattr(guests, "command_lines", lambda: [runs])
    have = guests.standing()
    assert have["exit"] == Standing("stopped", 0, str(tmp_path), "")
    assert have["client"] == Standing("running", 7, str(tmp_path), "")
    assert have["web"].state == "absent"


def test_a_machine_of_either_kind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {m.name: Standing() for m in MACHINES}
    monkeypatch.setattr(containers, "standing", lambda: nothing | {"web": Standing("running", 8)})
    monkeypatch.setattr(guests, "standing", lambda: nothing | {"client": Standing("stopped")})
    have = machines.standing()
    assert have["client"] == (guests, Standing("stopped"))
    assert have["web"] == (containers, Standing("running", 8))
    assert have["exit"][1].state == "absent"


def test_a_machine_keeps_its_card_its_disks_and_its_name() -> None:
    words = guests.command(machine("exit"), IMAGE, FOR_QEMU)
    assert f"virtio-net-pci,netdev=wire,mac={machine('exit').mac}" in words
    assert "tap,id=wire,ifname=wgm-exit,script=no,downscript=no" in words
    assert words[words.index("-kernel") + 1] == str(IMAGE.kernel)
    kernel_words = words[words.index("-append") + 1].split()
    assert f"systemd.machine_id={keys.machine_id(machine('exit'))}" in kernel_words
    assert kernel_words[0] == "root=/dev/nvme0n1"
    assert "norandmaps" in kernel_words
    # The archive of what is its own is the second disk, as lab/guest/customize expects.
    disks = [word for word in words if word.startswith(("nvme", "virtio-blk"))]
    assert disks == ["nvme,drive=disk,serial=lab", "virtio-blk-pci,drive=seed"], (
        "one of each: names depend on the order"
    )
    assert all(len(m.full_name) < 16 for m in MACHINES), "names of devices have 15 characters"


def test_a_comma_in_a_path_does_not_end_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "DIRECTORY", Path("/a,b"))
    words = guests.command(machine("exit"), IMAGE, FOR_QEMU)
    assert "if=none,id=seed,file=/a,,b/exit/seed.tar,format=raw,readonly=on" in words


def test_a_machine_is_made_anew_when_its_image_changes_and_not_when_its_processor_does() -> None:
    first = guests.made_of(machine("exit"), IMAGE.word)
    assert guests.made_of(machine("exit"), IMAGE.word) == first
    assert guests.made_of(machine("exit"), "trixie-fedcba9876543210") != first
    assert named(IMAGE.word) == IMAGE
    assert not {"-accel", "-cpu"} & set(first)


def test_the_card_has_both_addresses_and_the_controllers_servers_for_dns() -> None:
    text = guests.network_file(machine("wgnet1"), ["192.0.2.53", "2001:db8::53"])
    lines = text.splitlines()
    assert {"Address=198.18.51.11/24", "Address=fd51:db8::11/64", "Gateway=198.18.51.1", "Gateway=fd51:db8::1"} <= set(
        lines
    )
    assert {"DNS=192.0.2.53", "DNS=2001:db8::53", f"MACAddress={machine('wgnet1').mac}"} <= set(lines)
    configparser.RawConfigParser(strict=False).read_string(text)


def test_the_servers_for_dns_are_those_that_podman_gave_web(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "podman", lambda *words: list(words))
    monkeypatch.setattr(
        guests, "answer", lambda _: "search example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
    )
    assert guests.name_servers() == ["192.0.2.53", "2001:db8::53"]
    monkeypatch.setattr(guests, "answer", lambda _: None)
    with pytest.raises(LabError, match="no server for DNS"):
        guests.name_servers()


def test_what_a_kind_adds_to_a_machines_own_files_everybody_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "USER_KEY", tmp_path / "key")
    monkeypatch.setattr(keys, "host_key", lambda _: tmp_path / "key")
    for name in ("key", "key.pub"):
        (tmp_path / name).write_text(name)
    with tarfile.open(fileobj=io.BytesIO(seed(own_files(machine("client"), ("etc/hostname", "client\n"))))) as archive:
        added = archive.getmember("etc/hostname")
        assert (added.mode, added.uid) == (0o644, 0)
        assert archive.getmember("etc/ssh/ssh_host_ed25519_key").mode == 0o600


@pytest.fixture
def some_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have keys that are none, whose texts say what they are."""
    for module in (keys, cloud_seed):
        monkeypatch.setattr(module, "USER_KEY", tmp_path / "user")
        monkeypatch.setattr(module, "host_key", lambda _: tmp_path / "host")
    for name in ("user", "user.pub", "host", "host.pub"):
        (tmp_path / name).write_text(f"{name}\n")


@pytest.mark.usefixtures("some_keys")
def test_one_machine_knows_nothing_but_what_it_gives_cloud_init() -> None:
    files = {path: (text, mode) for path, text, mode, _ in guests.files_of(machine("exit"), ["192.0.2.53"])}
    documents = {path.rpartition("/")[2]: text for path, (text, _) in files.items()}
    assert {path.rpartition("/")[0] for path in files} == {"var/lib/cloud/seed/nocloud"}
    assert {mode for _, mode in files.values()} == {0o600}
    assert json.loads(documents["meta-data"])["local-hostname"] == "exit"
    given = documents["user-data"].removeprefix("#cloud-config\n")
    assert json.loads(given)["ssh_keys"] == {"ed25519_private": "host\n", "ed25519_public": "host.pub"}
    assert user_data("ops", "user.pub").startswith("#cloud-config\n")
    of_provisioning = json.loads(user_data("ops", "user.pub").removeprefix("#cloud-config\n"))
    assert of_provisioning.items() <= json.loads(given).items()
    card = json.loads(documents["network-config"])["ethernets"]["eth0"]
    assert card["match"]["macaddress"] == machine("exit").mac
    assert card["addresses"] == ["198.18.51.20/24", "fd51:db8::20/64"]
    assert card["nameservers"]["addresses"] == ["192.0.2.53"]
    words = guests.command(machine("exit"), IMAGE, FOR_QEMU)
    assert "systemd.hostname" not in words[words.index("-append") + 1]


@pytest.mark.usefixtures("some_keys")
def test_cloud_init_does_not_run_on_the_others() -> None:
    for name in ("client", "wgnet1", "wgnet2"):
        assert "etc/cloud/cloud-init.disabled" in [path for path, *_ in guests.files_of(machine(name), [])]


def test_no_package_that_the_roles_install_is_there_before() -> None:
    """Their lists: roles/wireguard/defaults and playbooks/group_vars/all.yml."""
    words = bootstrap_command("trixie", "http://mirror.example/debian", Path("/tree"))
    (include,) = (word for word in words if word.startswith("--include="))
    brought = {"wireguard-tools", "wireguard-go", "nftables", "unbound", "dns-root-data", "curl"}
    assert not brought & set(include.removeprefix("--include=").split(","))
    assert words[-3:] == ["trixie", "/tree", "http://mirror.example/debian"]


def test_the_hook_of_the_image_is_one_word_for_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_image, "RECIPE", Path("/with space"))
    words = bootstrap_command("trixie", "http://mirror.example/debian", Path("/tree"))
    (hook,) = (word for word in words if word.startswith("--customize-hook="))
    assert shlex.split(hook.removeprefix("--customize-hook=")) == ["/with space/customize", "$1"]


@pytest.fixture
def some_kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    accelerator.accelerator.cache_clear()
    monkeypatch.setattr(accelerator, "KVM", tmp_path / "kvm")
    return tmp_path / "kvm"


@pytest.mark.usefixtures("some_kvm")
def test_without_kvm_it_is_said_that_emulation_is_slower() -> None:
    assert "slower: there is no" in accelerator.accelerator(IMAGE).told


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("echo 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)'", kvm()),
        ("echo 'KVM internal error. Suberror: 1'; exit 1", emulation("/dev/kvm is there, and no kernel boots with it")),
        ("exec sleep 60", emulation("/dev/kvm is there, and no kernel boots with it")),
    ],
)
def test_kvm_counts_only_where_a_kernel_boots_with_it(
    some_kvm: Path, monkeypatch: pytest.MonkeyPatch, said: str, chosen: Accelerator
) -> None:
    some_kvm.touch()
    monkeypatch.setattr(accelerator, "PROBE_SECONDS", 2.0)
    monkeypatch.setattr(accelerator, "probe_command", lambda *_: ["sh", "-c", said])
    assert accelerator.accelerator(IMAGE) == chosen


def test_a_release_is_for_virtual_machines() -> None:
    with pytest.raises(LabError, match="write --vm, too"):
        cli.release_of(cli.parser().parse_args(["up", "--release", "bookworm"]))
    assert cli.release_of(cli.parser().parse_args(["up", "--vm"])) == "trixie"
    assert cli.release_of(cli.parser().parse_args(["reset", "--vm", "--release", "bookworm"])) == "bookworm"
    assert cli.release_of(cli.parser().parse_args(["up"])) == ""


def test_what_is_missing_for_virtual_machines_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(LabError, match=r"qemu-system-x86_64 and qemu-img and .* run scripts/bootstrap --vm"):
        guests.refuse_without_tools()


def test_the_inventory_of_the_virtual_machines_is_the_labs_with_the_kernels_wireguard() -> None:
    inventory = ROOT / "inventory" / "vm"
    for path in sorted((ROOT / "inventory" / "lab").rglob("*.yml")):
        assert (inventory / path.relative_to(ROOT / "inventory" / "lab")).resolve() == path
    assert len(re.findall("implementation: kernel", (inventory / "group_vars" / "all.yml").read_text())) == 2


def test_what_makes_an_image_of_a_machine_is_a_script() -> None:
    subprocess.run(["sh", "-n", str(guest_image.RECIPE / "customize")], check=True)


def test_what_ansible_sends_is_compiled_once(tmp_path: Path) -> None:
    """By the machines' own importer: what an archive had before is not compiled again, and what has changed is."""
    bytecode, archive = tmp_path / "bytecode", tmp_path / "sent.zip"
    task = (
        f"import sys; sys.path.insert(0, {str(guest_image.RECIPE)!r});"
        f"import lab_bytecode; lab_bytecode.DIRECTORY = {str(bytecode)!r};"
        f"sys.path.insert(0, {str(archive)!r}); import sent; print(sent.WORD, sent.__file__, sys.dont_write_bytecode)"
    )

    def sent(word: str) -> list[str]:
        with zipfile.ZipFile(archive, "w") as stream:
            stream.writestr("sent.py", f"WORD = {word!r}")
        told = subprocess.run([sys.executable, "-B", "-c", task], capture_output=True, text=True, check=True)
        return told.stdout.split()

    inside = f"{archive}/sent.py"
    assert sent("first") == ["first", inside, "True"], "without a directory of one's own nothing is kept"
    bytecode.mkdir()
    assert sent("first") == ["first", inside, "True"]
    (kept,) = bytecode.glob("__pycache__/sent-*.pyc")
    written = kept.stat().st_mtime_ns
    assert sent("first") == ["first", inside, "True"]
    assert kept.stat().st_mtime_ns == written
    assert sent("second") == ["second", inside, "True"]


def test_the_lab_is_that_of_the_checkout_whose_command_is_called(tmp_path: Path) -> None:
    """Also from within another one, which has a package of the same name."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").touch()
    (tmp_path / "lab" / "__main__.py").write_text("raise SystemExit('the wrong one')")
    called = subprocess.run(
        [ROOT / "scripts" / "lab", "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert called.returncode == 0, called.stderr
