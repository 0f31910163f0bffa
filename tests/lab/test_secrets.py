"""Who sees a secret, from the first run on machines on which nothing has been tried."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.conftest import CLIENT, EXIT, PROXIES, ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults]
HOSTS = (CLIENT, *PROXIES, EXIT)


class Spy:
    """Reads the command lines and environments of all processes again and again: the machines' are among them."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.looks = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._ended.wait(0.03):
            self.looks += 1
            for process in os.listdir("/proc"):
                if process.isdecimal():
                    for file in ("cmdline", "environ"):
                        try:
                            self.seen.add(Path(f"/proc/{process}/{file}").read_bytes())
                        except OSError:
                            continue  # it has ended

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()


LEFTOVERS = "find /tmp /var/tmp /dev/shm /root /home -type f -size -4M 2>/dev/null | xargs -r cat"


def secrets_of(lab: Lab) -> set[str]:
    """Return every private key and preshared key of the network, in base64 and, as wireguard-go is told, in hex."""
    find = "cat /etc/wireguard/*.key /etc/wireguard/*.psk /etc/wg-migrate/keys/*.key /etc/wg-migrate/keys/*.psk"
    found = {word for host in HOSTS for word in lab.run(host, f"{find} 2>/dev/null", check=False).split()}
    return found | {base64.b64decode(word).hex() for word in found}


def test_no_secret_is_printed_logged_or_shown_to_other_users(fresh: Lab) -> None:
    """Of two runs of everything at its most talkative, on machines whose keys are made meanwhile."""
    spy, said = Spy(), []
    with spy.looking():
        playbooks = ("site.yml", "site.yml", "playbooks/migrate.yml")
        said += [fresh.play(playbook, "-vvv", "--diff") for playbook in playbooks]
        fresh.wait_until_live()
        said.append(fresh.play("playbooks/verify.yml", "-vvv", "--diff"))
        said.append(fresh.run(CLIENT, "wg-migrate status --json; wg-migrate status; systemctl restart wg-migrate"))
    secrets = secrets_of(fresh)
    journal, text = "journalctl --all --no-pager --output=export", "tr -cd '[:print:]\\n'"
    places = {"output": "\n".join(said), "processes": b"\n".join(spy.seen).decode(errors="replace")}
    for host in HOSTS:
        places[f"journal of {host}"] = fresh.run(host, f"{journal} | {text}")
        places[f"files of {host}"] = fresh.run(host, f"{LEFTOVERS} | {text}")
    own = [path for path in (ROOT / "build").rglob("*") if path.is_file() and path.stat().st_size < 1 << 22]
    places["controller"] = "\n".join(path.read_bytes().decode(errors="replace") for path in own)
    print(f"{len(secrets)} secrets, {spy.looks} looks at processes, {len(spy.seen)} command lines and environments")
    assert len(secrets) == 2 * (3 + 3 + 3)
    assert min(map(len, places.values())) > 0
    assert "wg-migrate" in places["processes"]
    assert [place for place, shown in places.items() for secret in secrets if secret in shown] == []
