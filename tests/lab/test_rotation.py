"""playbooks/rotate-keys.yml: every key anew while traffic flows, wherever it is cut off."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from .conftest import CLIENT, EXIT, PROXIES, ROOT, WEB_ADDRESS, Capture, Lab, until
from .test_traffic import LEAKS

STOP = "/run/stop-visiting"
# Asks for a small page again and again, each within 10 s, and tells how many times that went well, and how many not.
VISITS = f"""
rm -f {STOP}; good=0; bad=0
while [ ! -e {STOP} ]; do
    if wg-migrate exec -- curl -sf -m 10 -o /dev/null http://{WEB_ADDRESS}/whoami
    then good=$((good+1)); else bad=$((bad+1)); fi
done
echo $good $bad
"""
DOWNLOAD = f"wg-migrate exec -- curl -sf --limit-rate 3M -m 120 -o /dev/null http://{WEB_ADDRESS}/download"
KEY_DIRECTORIES = {CLIENT: "/etc/wg-migrate/keys", **dict.fromkeys((*PROXIES, EXIT), "/etc/wireguard")}


def keys(lab: Lab) -> dict[str, str]:
    """Return a digest of each secret of each host."""
    found = {}
    for host, directory in KEY_DIRECTORIES.items():
        listed = lab.run(host, f"cd {directory} && find . -name '*.key' -o -name '*.psk' | xargs sha256sum")
        for digest, name in map(str.split, listed.splitlines()):
            found[f"{host} {name}"] = digest
    return found


@pytest.mark.faults
def test_all_keys_change_and_no_request_fails(deployed: Lab) -> None:
    lab = deployed
    before = keys(lab)
    capture = Capture(lab.bridge(), LEAKS)
    with lab.running(CLIENT, VISITS) as visits, lab.running(CLIENT, DOWNLOAD) as download:
        lab.play("playbooks/rotate-keys.yml")
        lab.run(CLIENT, f"touch {STOP}")
        good, bad = map(int, visits.communicate(timeout=60)[0].split())
        assert download.wait(timeout=120) == 0
    assert (good > 0, bad) == (True, 0)
    assert capture.stop() == []
    after = keys(lab)
    assert sorted(after) == sorted(before)
    assert [name for name in after if after[name] == before[name]] == []
    lab.wait_until_live()
    assert "changed=0" in lab.play("site.yml").rpartition("PLAY RECAP")[2]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("proxies:exits", "wgnet1 would get keys that client would not learn"),
        ("clients", "A key is always changed at both ends, and --limit leaves only client"),
    ],
)
def test_a_limit_that_would_cut_somebody_off_is_refused(deployed: Lab, limit: str, said: str) -> None:
    before = keys(deployed)
    done = deployed.playbook("playbooks/rotate-keys.yml", "--limit", limit)
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split())
    assert keys(deployed) == before


@pytest.mark.faults
@pytest.mark.parametrize("server", [PROXIES[0], EXIT])
def test_a_rotation_that_is_cut_off_at_a_server_heals_by_itself_and_is_finished_by_the_next(
    deployed: Lab, server: str
) -> None:
    """The server has its new keys, and the controller dies before it can tell the clients."""
    lab = deployed
    argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "playbooks/rotate-keys.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
    with subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        task = ""
        for line in process.stdout:
            task = line if line.startswith("TASK [") else task
            if "tunnel and its firewall]" in task and line.startswith(f"changed: [{server}]"):
                break
        os.killpg(process.pid, signal.SIGKILL)
    capture = Capture(lab.bridge(), LEAKS)
    until(
        lambda: lab.run(CLIENT, f"wg-migrate exec -- ping -c 1 -W 1 {WEB_ADDRESS}", check=False).count(
            " 0% packet loss"
        ),
        "pings",
    )
    lab.wait_until_live()
    assert capture.stop() == []
    lab.play("playbooks/rotate-keys.yml")
    lab.wait_until_live()
    assert "changed=0" in lab.play("site.yml").rpartition("PLAY RECAP")[2]
