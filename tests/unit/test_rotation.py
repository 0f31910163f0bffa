from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from client_samples import CONFIG, config, public_key
from fake_system import FakeSystem
from wg_migrate import control, rotation, tunnel
from wg_migrate.config import COPY, PATH, Config, dump, load
from wg_migrate.confirmation import MARKER
from wg_migrate.errors import WgMigrateError
from wg_migrate.rotation import adopt, adopt_later
from wg_migrate.system import Outcome, System

KEYS = "/etc/wg-migrate/keys"
PEER, NEW = "proxy1", public_key("NEW PROXY1")
AFTER = dataclasses.replace(CONFIG, paths=[dataclasses.replace(CONFIG.paths[0], public_key=NEW), CONFIG.paths[1]])


def keys(place: str, word: str, peer: str = PEER) -> dict[str, str]:
    where = f"{KEYS}/{place}".rstrip("/")
    return {f"{where}/{peer}.key": f"{word}-key\n", f"{where}/{peer}.psk": f"{word}-psk\n"}


class Client(FakeSystem):
    """A client whose peer shakes hands with the keys that `peer_has`, and with no others."""

    def __init__(self, peer_has: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        wg = {"ip netns exec wgnet wg": self._wg, "wg show": self._wg}
        super().__init__({**wg, "wg set wg0": "", "systemctl stop": ""}, files)
        self.peer_has = peer_has
        self.running: Config | None = None
        self.device = "wgnet1"
        monkeypatch.setattr(tunnel, "up", self._up)
        monkeypatch.setattr(rotation, "WAIT", 0.0)

    def _up(self, _system: System, wanted: Config) -> None:
        self.running = wanted

    def _wg(self, argv: list[str], _stdin: str | None) -> Outcome:
        if "set" in argv:
            return Outcome(0, "", "")
        peer = "exit" if self.device == "wg0" else PEER
        shaken = 1800000000 if self.files[f"{KEYS}/{peer}.key"].startswith(self.peer_has) else 0
        line = "\t".join([self.device, "PEER", "psk", "192.0.2.11:51820", "0.0.0.0/0", str(shaken), "1", "2", "20"])
        return Outcome(0, f"{line}\n", "")


@pytest.fixture
def files() -> dict[str, str]:
    return {PATH: dump(CONFIG), COPY: dump(CONFIG), **keys("", "old"), **keys("next", "new")}


def test_keys_that_the_peer_answers_to_are_kept(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client("new", files, monkeypatch)
    assert adopt(client, PEER, NEW)
    assert client.files == {PATH: dump(AFTER), COPY: dump(AFTER), **keys("", "new")}
    assert client.running == AFTER
    assert {client.modes[path] for path in client.files if path.startswith(KEYS)} == {0o600}
    assert not adopt(client, PEER, NEW)


def test_a_timer_of_the_rotation_before_leaves_the_keys_of_the_next_alone(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has made its next keys, and the peer has not changed yet."""
    client = Client("old", files, monkeypatch)
    assert not adopt(client, PEER, public_key("PROXY1"))
    assert client.files == files
    assert client.running is None
    assert client.ran[-1] == f"systemctl stop wg-migrate-adopt-{PEER}.timer"


def test_keys_that_the_peer_does_not_answer_to_are_given_up(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client("old", files, monkeypatch)
    with pytest.raises(WgMigrateError, match=r"does not answer to the new keys .* the old ones are in use again"):
        adopt(client, PEER, NEW)
    assert client.files == files
    assert client.running == CONFIG
    client.peer_has = "new"
    assert adopt(client, PEER, NEW)
    assert client.running == AFTER


@pytest.mark.parametrize("peer_has", ["old", "new"])
@pytest.mark.parametrize("written", [CONFIG, AFTER], ids=["before-the-configuration", "after-it"])
def test_what_was_cut_off_in_the_middle_is_finished_or_taken_back(
    peer_has: str, written: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = {PATH: dump(written), **keys("", "new"), **keys("previous", "old")}
    client = Client(peer_has, half, monkeypatch)
    if peer_has == "new":
        assert adopt(client, PEER, NEW)
        assert client.files == {PATH: dump(AFTER), COPY: dump(AFTER), **keys("", "new")}
    else:
        with pytest.raises(WgMigrateError, match="does not answer"):
            adopt(client, PEER, NEW)
        assert {name: client.files[name] for name in keys("", "old")} == keys("", "old")
        assert {name: client.files[name] for name in keys("next", "new")} == keys("next", "new")


def test_the_exits_keys_change_too(monkeypatch: pytest.MonkeyPatch) -> None:
    new = public_key("NEW EXIT")
    held = {PATH: dump(config(scope="host")), **keys("", "old", "exit"), **keys("next", "new", "exit")}
    client = Client("new", held, monkeypatch)
    client.device = "wg0"
    assert adopt(client, "exit", new)
    assert load(client).exit.public_key == new
    # It needs no keepalive, and gets one only to shake hands at once.
    assert [line for line in client.ran if "persistent-keepalive" in line][-1].endswith("persistent-keepalive 0")


def test_a_change_that_is_not_confirmed_yet_is_not_remembered(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client("new", {**files, MARKER: "boot"}, monkeypatch)
    assert adopt(client, PEER, NEW)
    assert client.files[COPY] == dump(CONFIG)


@pytest.mark.parametrize(
    ("peer", "key", "said"),
    [
        ("proxy9", NEW, "proxy9 is no peer of this client: write one of exit, proxy1, proxy2"),
        (PEER, "key", "the public key is no WireGuard key"),
        ("proxy2", NEW, "there are no new keys towards proxy2 here: run playbooks/rotate-keys.yml"),
    ],
)
def test_what_cannot_be_adopted_is_refused_and_changes_nothing(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, peer: str, key: str, said: str
) -> None:
    client = Client("new", files, monkeypatch)
    with pytest.raises(WgMigrateError, match=said):
        adopt(client, peer, key)
    assert client.files == files
    assert client.running is None


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what the loop is asked."""
    requests: list[dict[str, Any]] = []
    monkeypatch.setattr(control, "ask", requests.append)
    return requests


@pytest.mark.parametrize("peer_has", ["new", "old"])
def test_the_path_carries_traffic_again_whichever_keys_its_peer_has(
    peer_has: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]
) -> None:
    with contextlib.suppress(WgMigrateError):
        adopt(Client(peer_has, files, monkeypatch), PEER, NEW)
    assert asked == [{"command": "hold", "path": "wgnet1", "seconds": 0}]


def test_a_timer_adopts_later_whoever_is_gone_by_then(files: dict[str, str], asked: list[dict[str, Any]]) -> None:
    """Until then the path carries nothing; without a loop it is the timer alone."""
    system = FakeSystem({"systemctl": "", "systemd-run": ""}, files)
    adopt_later(system, PEER, NEW, 20)
    assert asked == [{"command": "hold", "path": "wgnet1", "seconds": 20 + 2 * rotation.WAIT}]
    assert system.ran[-1].endswith(f"/usr/local/bin/wg-migrate adopt {PEER} {NEW}")
    assert "--on-active=20" in system.ran[-1]
    with pytest.raises(WgMigrateError, match="0 is refused: write seconds from 1 to 3600"):
        adopt_later(system, PEER, NEW, 0)
