"""The lab's pure code: what podman is told, what its answers mean, and that the inventory names the same machines."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import certificates, containers, keys
from lab.containers import create_options, parse_containers
from lab.controller import CAP_SYS_RESOURCE, containers_conf
from lab.image import mirror_in, recipe_tag
from lab.keys import machine_id, own_files, seed, ssh_config
from lab.kinds import Kind, Standing
from lab.machines import refuse_foreign
from lab.network import create_command
from lab.runtime.rewrite_bundle import rewrite
from lab.shell import LabError, tail, write
from lab.topology import MACHINES, ROOT, machine

ALL_CAPABILITIES = (1 << 41) - 1
LIMITS = {"nofile": 20000, "nproc": 32768}
RUNTIME = Path("/somewhere/crun-cgroup2")


def test_the_inventory_names_the_same_machines_and_addresses() -> None:
    inventory = yaml.safe_load((ROOT / "inventory/lab/hosts.yml").read_text())
    groups = inventory["all"]["children"]
    in_lab = [groups[group]["hosts"] for group in groups["lab"]["children"]]
    assert {name: about["ansible_host"] for hosts in in_lab for name, about in hosts.items()} == {
        m.name: m.address4 for m in MACHINES
    }


def test_an_ordinary_controller_needs_no_configuration_of_podman() -> None:
    assert containers_conf("cgroup2fs", ALL_CAPABILITIES, LIMITS, RUNTIME) == ""


def test_a_controller_without_plain_cgroup2_gets_the_runtime_and_no_limit_of_processes() -> None:
    text = containers_conf("tmpfs", ALL_CAPABILITIES, LIMITS, RUNTIME)
    assert text == '[containers]\npids_limit = 0\n[engine.runtimes]\ncrun = ["/somewhere/crun-cgroup2"]\n'


def test_a_controller_that_may_not_raise_limits_keeps_its_own() -> None:
    text = containers_conf("cgroup2fs", ALL_CAPABILITIES & ~(1 << CAP_SYS_RESOURCE), LIMITS, RUNTIME)
    assert text == '[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n'


@pytest.mark.parametrize(
    ("policy", "mirror"),
    [
        ("500 http://ftp.example.org/debian bookworm/main amd64 Packages", "http://ftp.example.org/debian"),
        ("500 http://ftp.example.org/debian/ bookworm/main amd64 Packages", "http://ftp.example.org/debian"),
        ("500 https://ftp.example.org/debian bookworm/main amd64 Packages", None),
        ("500 http://archive.example.org/ubuntu noble/main amd64 Packages", None),
        ("100 /var/lib/dpkg/status", None),
        ("", None),
    ],
)
def test_the_mirror_is_the_controllers_own_where_that_is_a_mirror_of_debian(policy: str, mirror: str | None) -> None:
    assert mirror_in(policy) == mirror


def test_the_tag_of_the_images_changes_with_content_name_and_mirror(tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("FROM a")
    first = recipe_tag(tmp_path, "http://one.example/debian")
    assert recipe_tag(tmp_path, "http://one.example/debian") == first
    assert recipe_tag(tmp_path, "http://two.example/debian") != first
    (tmp_path / "Containerfile").write_text("FROM b")
    second = recipe_tag(tmp_path, "http://one.example/debian")
    assert second != first
    (tmp_path / "Containerfile").rename(tmp_path / "Dockerfile")
    assert recipe_tag(tmp_path, "http://one.example/debian") not in {first, second}


def listed(**about: Any) -> dict[str, Any]:
    return {"Names": ["wgm-client"], "State": "running", "Pid": 7, "Labels": None, **about}


def test_a_container_is_known_by_its_name_and_the_missing_ones_are_absent() -> None:
    labels = {"wg-migrate.lab": "/a", "wg-migrate.fingerprint": "f"}
    found = parse_containers([listed(Labels=labels), listed(Names=["other"])])
    assert found["client"] == Standing("running", 7, "/a", "f")
    assert {found[m.name].state for m in MACHINES if m.name != "client"} == {"absent"}


def client_only(there: Standing) -> dict[str, tuple[Kind, Standing]]:
    """Return a lab that consists of a client at most."""
    return {m.name: (containers, there if m.name == "client" else Standing()) for m in MACHINES}


def test_the_lab_of_another_checkout_is_left_alone(tmp_path: Path) -> None:
    refuse_foreign(client_only(Standing()))
    refuse_foreign(client_only(Standing("running", 7, str(ROOT), "f")))
    with pytest.raises(LabError, match=rf"a lab of {tmp_path} stands .*scripts/lab down"):
        refuse_foreign(client_only(Standing("exited", 0, str(tmp_path), "f")))
    with pytest.raises(LabError, match="a lab of somebody else stands"):
        refuse_foreign(client_only(Standing("exited", 0, "", "f")))


def test_the_lab_of_a_checkout_that_is_gone_is_in_nobodys_way(tmp_path: Path) -> None:
    refuse_foreign(client_only(Standing("running", 7, str(tmp_path / "gone"), "f")))


def test_a_machine_keeps_addresses_and_card_for_good() -> None:
    options = create_options(machine("exit"))
    assert {"--ip=198.18.51.20", "--ip6=fd51:db8::20", "--mac-address=02:c6:12:33:00:14"} <= set(options)


def test_the_bridge_is_named_where_podman_can() -> None:
    assert "--interface-name" in create_command(podman_names_bridges=True)
    assert "--interface-name" not in create_command(podman_names_bridges=False)


@pytest.fixture
def some_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "USER_KEY", tmp_path / "ssh_key")
    monkeypatch.setattr(keys, "host_key", lambda machine: tmp_path / machine.name)
    for name in ("ssh_key", "client", "web"):
        (tmp_path / name).write_text(f"private {name}")
        (tmp_path / f"{name}.pub").write_text(f"public {name}")


@pytest.mark.usefixtures("some_keys")
def test_a_machine_is_seeded_with_its_own_identity_that_only_the_right_one_reads() -> None:
    with tarfile.open(fileobj=io.BytesIO(seed(own_files(machine("client"))))) as archive:
        members = {member.name: (member.mode, member.uid) for member in archive}
        assert members["etc/ssh/ssh_host_ed25519_key"] == (0o600, 0)
        assert members["home/ops/.ssh/authorized_keys"] == (0o600, 1000)
        texts = {name: file.read().decode() for name in members if (file := archive.extractfile(name))}
    assert texts["etc/ssh/ssh_host_ed25519_key"] == "private client"
    assert texts["home/ops/.ssh/authorized_keys"] == "public ssh_key"
    assert "private ssh_key" not in texts.values()


@pytest.fixture
def made_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(certificates, "DIRECTORY", tmp_path)
    files = {"AUTHORITY": "authority.crt", "_AUTHORITY_KEY": "authority.key", "CERTIFICATE": "web.crt"}
    for name, file in (*files.items(), ("KEY", "web.key")):
        monkeypatch.setattr(certificates, name, tmp_path / file)
    certificates.ensure_certificates()
    return tmp_path


def test_the_labs_authority_signs_its_web_server_and_can_sign_nothing_more(made_certificates: Path) -> None:
    assert sorted(path.name for path in made_certificates.iterdir()) == ["authority.crt", "web.crt", "web.key"]
    options = ("-purpose", "sslserver", "-verify_hostname", "www.web.lab.test", "-CAfile", "authority.crt")
    subprocess.run(["openssl", "verify", *options, "web.crt"], cwd=made_certificates, check=True, capture_output=True)
    before = (made_certificates / "web.crt").read_text()
    certificates.ensure_certificates()
    assert (made_certificates / "web.crt").read_text() == before


def test_machine_ids_are_distinct_and_stay() -> None:
    ids = [machine_id(m) for m in MACHINES]
    assert len(set(ids)) == len(MACHINES)
    assert ids == [machine_id(m) for m in MACHINES]
    assert all(len(bytes.fromhex(identity)) == 16 for identity in ids)


def test_host_keys_are_checked() -> None:
    assert "StrictHostKeyChecking yes" in ssh_config()


def test_a_bundle_gets_one_writable_cgroup2_mount_of_its_own() -> None:
    bundle = {
        "mounts": [
            {"destination": "/proc", "options": ["ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "ro"]},
            {"destination": "/sys/fs/cgroup/systemd", "type": "bind", "options": ["rw"]},
        ],
        "linux": {"resources": {"pids": {"limit": 1}}, "namespaces": [{"type": "pid"}]},
        "hostname": "client",
    }
    assert rewrite(json.loads(json.dumps(bundle))) == {
        "mounts": [
            {"destination": "/proc", "options": ["ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "rw"]},
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "cgroup"}]},
        "hostname": "client",
    }


def test_threads_that_write_the_same_file_at_once_are_not_in_each_others_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_drafts, replace = threading.Barrier(2, timeout=10), Path.replace

    def late(draft: Path, target: Path) -> Path:
        both_have_drafts.wait()
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", late)
    with ThreadPoolExecutor(2) as pool:
        for writing in [pool.submit(write, tmp_path / "made", "text") for _ in range(2)]:
            writing.result()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["text"]


def test_the_end_of_a_log_is_short(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{number} {'x' * 500}the reason\n" for number in range(50)))
    lines = tail(log).splitlines()
    assert len(lines) == 8
    assert all(len(line) < 210 and line.endswith("the reason") for line in lines)
