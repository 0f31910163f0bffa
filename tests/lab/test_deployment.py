"""site.yml run on a part, and in check mode; what makes verify.yml fail; a reboot; the loop's door."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import CLIENT, EXIT, ROOT, Lab
from tests.lab.test_traffic import lost, pings

pytestmark = pytest.mark.lab
UNKEPT = "systemctl stop wg-migrate-keeper"
"""Before a planted fault, which the keeper would mend at once. A restart of wg-migrate starts it again."""

NET_ADMIN_ALONE = dict.fromkeys(("CapEff", "CapPrm", "CapAmb"), 1 << 12)
"""Sets of capabilities (capabilities(7)): CAP_NET_ADMIN is bit 12."""


def changes(output: str) -> dict[str, int]:
    """Return how many tasks changed something, by host, from a play recap."""
    return {
        host: int(number) for host, number in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    }


def test_limited_runs_harm_nobody(deployed: Lab) -> None:
    with deployed.running(CLIENT, pings(500)) as pinging:
        assert changes(deployed.play("site.yml", "--limit", f"wgnet1,{EXIT}")) == {"wgnet1": 0, EXIT: 0}
        assert lost(pinging.communicate(timeout=60)[0], 500) == 0


BOTH_LOOKS = """
- hosts: clients:proxies:exits
  gather_facts: false
  tasks:
    - {host_facts: {packages: [nftables]}, become: true, register: ours}
    - {ansible.builtin.setup: {gather_subset: ["!all", "!min", env, network]}, register: theirs}
    - ansible.builtin.copy:
        content: "{{ [ours['ansible_facts'], theirs['ansible_facts']] | to_json }}"
        dest: "{{ found }}/{{ inventory_hostname }}"
        mode: "0600"
      delegate_to: localhost
"""


def _differences(ours: Any, theirs: Any, where: str) -> list[str]:
    """Return where a fact of ours is none of setup's, in whatever order addresses and devices come."""
    if isinstance(ours, dict):
        return [each for key, value in ours.items() for each in _differences(value, theirs.get(key), f"{where}.{key}")]
    if isinstance(ours, list) and ours and isinstance(ours[0], dict):
        inner = zip(ours, theirs, strict=True)
        return [each for one, other in inner for each in _differences(one, other, where)]
    same = sorted(ours) == sorted(theirs) if isinstance(ours, list) else ours == theirs
    return [] if same else [f"{where}: {ours}, and setup says {theirs}"]


def test_a_look_at_a_host_finds_what_setup_finds(deployed: Lab, tmp_path: Path) -> None:
    playbook = tmp_path / "looks.yml"
    playbook.write_text(BOTH_LOOKS)
    deployed.play(str(playbook), "-e", f"found={tmp_path}")
    for name in (CLIENT, "wgnet1", "wgnet2", EXIT):
        ours, theirs = json.loads((tmp_path / name).read_text())
        assert ours.pop("wireguard")["installed"] == ["nftables"]
        assert len(ours) >= 8
        assert _differences(ours, {key.removeprefix("ansible_"): fact for key, fact in theirs.items()}, name) == []


def test_reboot_restores_tunnel_and_loop_without_ansible(deployed: Lab) -> None:
    subprocess.run([str(ROOT / "scripts" / "lab"), "restart", CLIENT], check=True, capture_output=True)
    deployed.wait_until_live()
    deployed.play("playbooks/verify.yml")


def test_a_fragment_makes_verify_fail(deployed: Lab) -> None:
    """A planted fault: an inner MTU that is too large makes fragments, and verify says so."""
    deployed.run(CLIENT, f"{UNKEPT}; ip link set dev wg0 mtu 1400")
    try:
        done = deployed.playbook("playbooks/verify.yml")
    finally:
        deployed.run(CLIENT, "systemctl restart wg-migrate")
    deployed.wait_until_live()
    assert done.returncode != 0
    assert "Write one network_uplink_mtu" in " ".join(done.stdout.split())


def test_a_packet_beside_the_tunnel_makes_verify_fail(deployed: Lab) -> None:
    """A planted fault: with the guard and one rule gone, the client asks the server directly, and the wire shows it."""
    leak = f"{UNKEPT}; nft delete table inet wg_migrate; ip rule add priority 100 to 198.18.51.80 lookup main"
    deployed.run(CLIENT, leak)
    try:
        done = deployed.playbook("playbooks/verify.yml")
    finally:
        deployed.run(CLIENT, "ip rule delete priority 100; systemctl restart wg-migrate")
    deployed.wait_until_live()
    assert done.returncode != 0
    assert "and not 198.18.51.20 or fd51:db8::20 alone" in " ".join(done.stdout.split())


def test_a_dead_path_makes_verify_fail(deployed: Lab) -> None:
    deployed.run("wgnet2", "systemctl stop wg-quick@wgnet")
    try:
        done = deployed.playbook("playbooks/verify.yml")
    finally:
        deployed.run("wgnet2", "systemctl start wg-quick@wgnet")
    deployed.wait_until_live()
    assert done.returncode != 0


def test_verify_waits_for_a_path_that_has_not_shaken_hands_yet(deployed: Lab) -> None:
    """It would be over before the proxy is back: its look takes 5 s."""
    later = "systemd-run --on-active=8 --timer-property=AccuracySec=100ms"
    deployed.run("wgnet2", f"systemctl stop wg-quick@wgnet; {later} systemctl start wg-quick@wgnet")
    deployed.run(CLIENT, "wg-migrate down; systemctl start wg-migrate wg-migrate-loop")
    deployed.play("playbooks/verify.yml")


def test_killed_loop_is_back_at_once(deployed: Lab) -> None:
    lab = deployed
    lab.run(CLIENT, "systemctl kill --signal=KILL wg-migrate-loop; sleep 2; systemctl is-active wg-migrate-loop")
    assert lab.status()["loop"]["switches"] > 0


def rights_of_loop(lab: Lab) -> dict[str, int]:
    """Return the sets of capabilities that the loop has and could pass on."""
    lines = lab.run(CLIENT, "cat /proc/$(systemctl show -P MainPID wg-migrate-loop)/status").splitlines()
    sets = dict(line.split(":\t") for line in lines if line.startswith("Cap"))
    return {name: int(sets[name], 16) for name in NET_ADMIN_ALONE}


def test_loop_has_no_right_but_one(deployed: Lab) -> None:
    assert rights_of_loop(deployed) == NET_ADMIN_ALONE


def test_another_user_cannot_command_the_loop(deployed: Lab) -> None:
    for command, says in (("status", "is for root and the group"), ("new-session", "needs root")):
        assert says in deployed.run(CLIENT, f"su ops -c 'wg-migrate {command}' 2>&1", check=False)
    assert deployed.run(CLIENT, "stat -c %a:%U:%G /run/wg-migrate/control.sock").strip() == "600:root:root"


def test_tunnel_stands_while_its_unit_is_stopped(deployed: Lab) -> None:
    """Stopping the unit does not open the bare network."""
    lab = deployed
    lab.run(CLIENT, "systemctl stop wg-migrate")
    try:
        assert lab.run(CLIENT, "curl -s -m 10 http://198.18.51.80/whoami").strip() == "198.18.51.20"
    finally:
        lab.run(CLIENT, "systemctl start wg-migrate wg-migrate-loop")
    lab.wait_until_live()


def test_check_mode_changes_nothing_and_secrets_stay_on_their_hosts(deployed: Lab) -> None:
    """No private or preshared key of any host is in what the most talkative run prints. Molecule has the run itself."""
    printed = deployed.play("site.yml", "playbooks/migrate.yml", "-vvv", "--diff", "--check")
    changed = re.findall(r"^changed: .*?^\}", printed, re.MULTILINE | re.DOTALL)
    assert changes(printed) == dict.fromkeys((CLIENT, "wgnet1", "wgnet2", EXIT), 0), "\n".join(changed)
    directories = ("/etc/wireguard", "/etc/wg-migrate/keys")
    find = f"cat {' '.join(f'{d}/*.key {d}/*.psk' for d in directories)} 2>/dev/null"
    secrets = {
        line for host in (CLIENT, "wgnet1", "wgnet2", EXIT) for line in deployed.run(host, find, check=False).split()
    }
    assert len(secrets) >= 9
    assert [secret for secret in secrets if secret in printed] == []


def test_status_is_json_with_every_path(deployed: Lab) -> None:
    state = json.loads(deployed.run(CLIENT, "wg-migrate status --json"))
    assert set(state["paths"]) == {"wgnet1", "wgnet2"}
    assert state["up"]
    assert state["scope"] == "host"
