"""The state of all clients: as each tells it, and why one does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from wg_migrate.errors import WgMigrateError

from observe.hosts import Host, Inventory
from wgm import status

STATE: dict[str, Any] = {"loop": None, "loop_problem": "it was not started", "active": "wgnet1", "paths": {}}


def host(name: str, role: str = "client") -> Host:
    return Host(name, role, "192.0.2.1", 22, "ops", "192.0.2.1", (), ())


class Connection:
    def __init__(self, host: Host) -> None:
        self.host = host
        if host.name == "gone":
            raise WgMigrateError("gone is not reached")

    def close(self) -> None:
        pass


class Session:
    def __init__(
        self,
        connection: Connection,
        programs: Sequence[Sequence[str]],
        take: Callable[[int, bytes], None],
        lasting: bool,
    ) -> None:
        assert (programs, lasting) == ([["wg-migrate", "status", "--json"]], False)
        self.name = connection.host.name
        self.status = [127 if self.name == "bare" else 0]
        self.problem = "a program ended: no such file" if self.name == "bare" else ""
        text = json.dumps(STATE).encode()
        if self.name == "well":
            take(0, text[:9])  # it comes in pieces
            take(0, text[9:])

    def join(self, seconds: float) -> None:
        pass


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the inventory's clients, to be filled."""
    names: list[str] = []
    monkeypatch.setattr(status, "Connection", Connection)
    monkeypatch.setattr(status, "Session", Session)
    hosts = [host("proxy", "proxy")]
    monkeypatch.setattr(
        status, "load", lambda _: Inventory({each.name: each for each in [*map(host, names), *hosts]}, {})
    )
    return names


def test_each_client_tells_its_state(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    names.append("well")
    assert status.show([], None, as_json=False) == 0
    assert capsys.readouterr().out.startswith("client well\nloop stopped: it was not started; the default route stands")
    assert status.show([], None, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"well": STATE}


def test_one_that_does_not_tell_its_state_is_told_of_and_the_others_tell_theirs(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    names += ["gone", "bare", "well"]
    assert status.show([], None, as_json=False) == 1
    assert capsys.readouterr().out.startswith(
        "client gone\ngone is not reached\n\n"
        "client bare\nbare: nothing is deployed there: run scripts/wgm deploy\n\n"
        "client well\nloop stopped"
    )
