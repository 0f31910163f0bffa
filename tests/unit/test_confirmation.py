from __future__ import annotations

import dataclasses

import pytest
from client_samples import CONFIG
from fake_system import FakeSystem
from wg_migrate import confirmation, tunnel
from wg_migrate.config import COPY, PATH, Config, dump
from wg_migrate.errors import WgMigrateError
from wg_migrate.system import Outcome

BOOT = "/proc/sys/kernel/random/boot_id"
CHANGED = dataclasses.replace(CONFIG, keepalive=21)
STOP = f"systemctl stop {confirmation.TIMER}.timer"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    """Return a client that is deployed, on which tunnel.up and tunnel.down only remember what they were asked for."""
    made = FakeSystem({"systemd-run": "", "systemctl": ""}, {PATH: dump(CONFIG), COPY: dump(CONFIG), BOOT: "first\n"})

    def up(system: FakeSystem, config: Config) -> None:
        system.ran.append(f"up {config.keepalive}")

    monkeypatch.setattr(tunnel, "up", up)
    monkeypatch.setattr(tunnel, "down", lambda system: system.ran.append("down"))
    return made


def change(host: FakeSystem) -> None:
    confirmation.arm(host, 60)
    host.write(PATH, dump(CHANGED))


def test_a_change_is_armed_before_it_is_made(host: FakeSystem) -> None:
    confirmation.arm(host, 60)
    assert host.files[confirmation.MARKER] == "first\n"
    assert host.ran[0] == STOP  # the timer of an earlier change would take this one back
    assert host.ran[1].startswith("systemd-run ")
    assert "--on-active=60 " in host.ran[1]
    assert host.ran[1].endswith(" /usr/local/bin/wg-migrate roll-back")


def test_without_a_timer_there_is_no_change(host: FakeSystem) -> None:
    host.answers["systemd-run"] = Outcome(1, "", "Failed to start transient timer unit")
    with pytest.raises(WgMigrateError, match="Failed to start transient timer unit"):
        confirmation.arm(host, 60)


def test_a_confirmed_change_stays(host: FakeSystem) -> None:
    change(host)
    host.ran.clear()
    confirmation.confirm(host)
    assert host.ran == [STOP]
    assert (host.files[PATH], host.files[COPY]) == (dump(CHANGED), dump(CHANGED))
    assert host.modes[COPY] == 0o600
    assert not confirmation.roll_back(host)
    assert host.files[PATH] == dump(CHANGED)


KEYS = [f"{CONFIG.key_directory}/{peer}.{suffix}" for peer in ("proxy1", "proxy2", "exit") for suffix in ("key", "psk")]
FOREIGN_KEY = f"{CONFIG.key_directory}/mine.key"


def without_proxy2(host: FakeSystem) -> None:
    """Take a proxy out of the configuration; there are keys for all peers, and one that is somebody else's."""
    for path in (*KEYS, FOREIGN_KEY):
        host.write(path, "KEY")
    confirmation.arm(host, 60)
    host.write(PATH, dump(dataclasses.replace(CONFIG, paths=CONFIG.paths[:1])))


def keys(host: FakeSystem) -> list[str]:
    return host.list_files(CONFIG.key_directory)


def test_with_a_peer_its_keys_go_once_there_is_no_way_back(host: FakeSystem) -> None:
    without_proxy2(host)
    assert len(keys(host)) == 7
    confirmation.confirm(host)
    assert keys(host) == sorted([*(path for path in KEYS if "proxy2" not in path), FOREIGN_KEY])


def test_keys_stay_for_the_way_back(host: FakeSystem) -> None:
    without_proxy2(host)
    assert confirmation.roll_back(host)
    confirmation.keep(host)
    assert len(keys(host)) == 7


def test_of_a_damaged_copy_nobody_can_tell_which_peers_it_had(host: FakeSystem) -> None:
    without_proxy2(host)
    host.write(COPY, "damaged")
    confirmation.confirm(host)
    assert len(keys(host)) == 7
    assert host.files[COPY] == host.files[PATH]


def test_an_unconfirmed_change_is_taken_back(host: FakeSystem) -> None:
    change(host)
    assert confirmation.roll_back(host)
    assert host.files[PATH] == dump(CONFIG)
    assert host.ran[-1] == f"up {CONFIG.keepalive}"
    assert confirmation.MARKER not in host.files
    with pytest.raises(WgMigrateError, match="Is the address that you connect from in client_management_sources"):
        confirmation.confirm(host)


def test_where_nothing_stood_before_nothing_stands_afterwards(host: FakeSystem) -> None:
    host.remove(COPY)
    change(host)
    assert confirmation.roll_back(host)
    assert "down" in host.ran
    assert "systemctl disable --quiet wg-migrate.service" in host.ran
    assert PATH not in host.files


def test_what_cannot_be_taken_back_is_tried_again_at_the_next_boot(
    host: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(host)

    def fail(_system: FakeSystem, _config: Config) -> None:
        raise WgMigrateError("no")

    monkeypatch.setattr(tunnel, "up", fail)
    with pytest.raises(WgMigrateError):
        confirmation.roll_back(host)
    assert confirmation.MARKER in host.files


def test_a_boot_ends_the_time_for_a_confirmation(host: FakeSystem) -> None:
    assert not confirmation.is_of_another_boot(host)
    change(host)
    assert not confirmation.is_of_another_boot(host)
    host.files[BOOT] = "second\n"
    assert confirmation.is_of_another_boot(host)
