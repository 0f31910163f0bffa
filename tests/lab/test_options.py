"""Options of the client that are not its defaults: who may read the status, keepalive, a change's confirmation."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from tests.lab.conftest import CLIENT, Lab
from tests.lab.test_deployment import NET_ADMIN_ALONE, changes, rights_of_loop

pytestmark = pytest.mark.lab
GIVEN = {"client_status_group": "watchers", "client_keepalive": 19, "client_confirm_within": 5}


@pytest.fixture(scope="module")
def options(deployed: Lab) -> Iterator[Lab]:
    """Lend the lab with a client that has these options; all are as by default afterwards."""
    lab = deployed
    lab.run(CLIENT, "groupadd --system watchers; useradd --groups watchers member; useradd nobody-special")
    try:
        assert changes(lab.play("site.yml", "--limit", CLIENT, "-e", json.dumps(GIVEN))) == {CLIENT: 1}
        lab.wait_until_live()
        yield lab
    finally:
        lab.play("site.yml", "--limit", CLIENT)
        lab.run(CLIENT, "userdel member; userdel nobody-special; groupdel watchers")


ORDER = """
import json, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as loop:
    loop.connect("/run/wg-migrate/control.sock")
    for command in ("new_session", "status"):
        loop.send(json.dumps({"command": command}).encode())
        print(loop.recv(65536).decode())
"""


def test_members_of_the_group_read_the_status_and_change_nothing(options: Lab) -> None:
    lab = options
    assert lab.run(CLIENT, "stat -c %a:%U:%G /run/wg-migrate/control.sock").strip() == "660:root:watchers"
    state = json.loads(lab.run(CLIENT, "runuser -u member -- wg-migrate status --json"))
    assert set(state["paths"]) == {"wgnet1", "wgnet2"}
    assert "round robin" in lab.run(CLIENT, "runuser -u member -- wg-migrate status")
    refused, told = lab.run(CLIENT, f"runuser -u member -- python3 -c {shlex.quote(ORDER)}").splitlines()
    assert "the status is all that you may ask for" in json.loads(refused)["error"]
    assert json.loads(told)["session"]["number"] == state["loop"]["session"]["number"]
    for command, says in (("interval 5", "needs root"), ("exec -- true", "needs root"), ("down", "needs root")):
        assert says in lab.run(CLIENT, f"runuser -u member -- wg-migrate {command} 2>&1", check=False)
    said = lab.run(CLIENT, "runuser -u nobody-special -- wg-migrate status 2>&1", check=False)
    assert "is for root and the group" in said
    assert rights_of_loop(lab) == NET_ADMIN_ALONE


def test_a_change_that_does_not_cut_the_controller_off_is_confirmed_and_stays(options: Lab) -> None:
    lab = options
    lab.run(CLIENT, f"sleep {GIVEN['client_confirm_within']}")
    assert "persistent keepalive: every 19 seconds" in lab.run(CLIENT, "wg show all")
    assert lab.run(CLIENT, "ls /etc/wg-migrate").split() == ["config.json", "keys", "schedule.json"]
    assert lab.run(CLIENT, "systemctl is-active wg-migrate-roll-back.timer", check=False).strip() == "inactive"
