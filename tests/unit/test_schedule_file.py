from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from client_samples import CONFIG
from fake_system import FakeSystem
from loop_rig import FakeNft, FakeNudge, FakeSwitch, World
from wg_migrate import config, control, loop_service, privileges, schedule_file
from wg_migrate.errors import WgMigrateError
from wg_migrate.schedule import Schedule, parse, plain

WEIGHTED = {"period": 0.3, "strategy": "weighted", "weights": [1, 2, 3], "health": {"silence": 1}}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"period": 0.02, "jitter": 0.5},
        {"packets": [50, 70], "strategy": "dirichlet", "alpha": 0.5, "max_share": 0.6, "no_repeat": True},
        {"packets_mean": 20.5, "batches": 64, "strategy": "weighted", "weights": {"wgnet1": 2, "wgnet2": 1}},
        {"strategy": "weighted", "weights": [0.1, 0.2], "session": 0, "seed": 2**53 - 1, "health": {"trial": 9}},
    ],
    ids=str,
)
def test_what_is_written_is_read_again(document: dict[str, Any]) -> None:
    schedule = parse(document)
    assert schedule_file.load(FakeSystem(files={schedule_file.PATH: schedule_file.dump(schedule)})) == schedule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100000,
        "9" * 5000,
        "[]",
        "5",
        "null",
        '{"interval": 0}',
        '{"period": 0}',
        '{"period": NaN}',
        '{"period": "x"}',
        '{"period": 1, "packets_mean": 20}',
        '{"health": []}',
    ],
    ids=lambda text: text[:20],
)
def test_a_broken_file_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(WgMigrateError, match=r"write|it has period"):
        schedule_file.load(FakeSystem(files={schedule_file.PATH: text}))


def test_a_missing_file_names_the_playbook() -> None:
    with pytest.raises(WgMigrateError, match=r"start the loop with playbooks/migrate\.yml"):
        schedule_file.load(FakeSystem())


class Service:
    """The service on a fake machine: `run` it, and `meanwhile` talks to it by its control socket."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.path = str(directory / "control.sock")
        self.nft = FakeNft()
        world = World([path.name for path in CONFIG.paths])
        world.unopened = set(world.devices)
        self.system = FakeSystem(
            {
                "wg show all dump": "",
                "wg set wg0": "",
                "nft -f -": self.nft.apply,
            },
            {config.PATH: config.dump(CONFIG)},
        )
        self.told: list[str] = []
        self.nft.table = [(1, 1)]  # left by a loop that was killed
        self.servers: list[control.ControlServer] = []
        self._make_server = control.ControlServer
        monkeypatch.setattr(control, "PATH", self.path)
        monkeypatch.setattr(control, "ControlServer", self._serve)
        monkeypatch.setattr(gc, "freeze", lambda: None)
        monkeypatch.setattr(socket, "if_nameindex", lambda: [(each, name) for name, each in world.devices.items()])
        for name, stand_in in {
            "_in_namespaces": lambda _config: FakeNudge(),
            "Probe": lambda name, _source, _target: world.open_probe(name),
            "Counters": lambda: self,
            "RouteSwitch": lambda: FakeSwitch(world),
            "notify": self._notify,
        }.items():
            monkeypatch.setattr(loop_service, name, stand_in)
        monkeypatch.setattr(privileges, "keep_only_net_admin", lambda: None)
        self.read = world.read_counters
        self._meanwhile: Callable[[], None] = lambda: None

    def run(self, schedule: dict[str, Any] | str | None, meanwhile: Callable[[], None]) -> None:
        """Run with this schedule, with a file of this text, or with none."""
        if schedule is not None:
            text = schedule if isinstance(schedule, str) else schedule_file.dump(parse(schedule))
            self.system.files[schedule_file.PATH] = text
        self._meanwhile = meanwhile
        loop_service.run(self.system)
        assert self.told[-1] == "STOPPING=1"

    def close(self) -> None:
        for server in self.servers:  # the process ends, so that the loop closes nothing
            for each in (vars(server)["_listener"], *vars(server)["_connections"]):
                each.close()

    def _serve(self, path: str, handler: control.Handler, group: str) -> control.ControlServer:
        self.servers.append(self._make_server(path, handler, group))
        return self.servers[-1]

    def _notify(self, message: str) -> None:
        self.told.append(message)
        if message == "READY=1":
            threading.Thread(target=self._talk).start()

    def _talk(self) -> None:
        try:
            self._meanwhile()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = Service(monkeypatch, tmp_path)
    yield made
    made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_file_that_does_not_fit_the_paths_any_more_is_replaced_by_round_robin(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []

    def talk() -> None:
        answers.append(control.ask({"command": "status"}, service.path))
        with pytest.raises(WgMigrateError, match="3 weights are given, and there are 2 paths"):
            control.ask({"command": "schedule", "schedule": WEIGHTED}, service.path)
        answers.append(control.ask({"command": "status"}, service.path))
        answers.append(control.ask({"command": "schedule", "schedule": {"strategy": "uniform"}}, service.path))

    service.run(WEIGHTED, talk)
    at_first, after_refusal, after_change = answers
    problem = at_first["problem"]
    assert problem.startswith(f"{schedule_file.PATH} is not used, and the loop goes round all paths instead: 3 weights")
    assert at_first["schedule"] == plain(parse({"period": 0.3, "health": {"silence": 1}}))
    assert (after_refusal["schedule"], after_refusal["problem"]) == (at_first["schedule"], problem)
    assert after_change["schedule"]["strategy"] == "uniform"
    assert schedule_file.PATH not in str(after_change["problem"])
    assert problem in capsys.readouterr().err
    assert service.system.files[schedule_file.PATH] == schedule_file.dump(parse(WEIGHTED))  # it is the user's


@pytest.mark.parametrize(("file", "reason"), [("{", "it is not JSON"), (None, "it is not there")], ids=str)
def test_without_a_schedule_the_loop_goes_round_all_paths_and_says_why(
    service: Service, file: str | None, reason: str
) -> None:
    answers = []
    service.run(file, lambda: answers.append(control.ask({"command": "status"}, service.path)))
    assert answers[0]["schedule"] == plain(Schedule(period=0.1))
    assert answers[0]["problem"].startswith(f"{schedule_file.PATH} is not used, and the loop goes round all paths")
    assert reason in answers[0]["problem"]


def test_a_file_that_fits_is_used_and_nothing_stays_behind(service: Service) -> None:
    answers = []
    document = {"packets": [50, 70], "seed": 3}
    service.run(document, lambda: answers.append(control.ask({"command": "status"}, service.path)))
    assert answers[0]["schedule"] == plain(parse(document))
    assert answers[0]["replayed"]
    assert service.nft.table is None


def test_a_file_of_the_first_version_is_a_period() -> None:
    system = FakeSystem(files={schedule_file.PATH: '{"interval": 0.25}'})
    assert schedule_file.load(system) == Schedule(period=0.25)


@pytest.mark.parametrize("period", [0.001, 0.004, 0.1, 3600])
def test_systemd_hears_from_the_loop_at_any_period(
    service: Service, monkeypatch: pytest.MonkeyPatch, period: float
) -> None:
    """And whoever asks gets an answer: brief sleeps keep neither waiting."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    asked: list[float] = []

    def talk() -> None:
        for _ in range(20):
            control.ask({"command": "status"}, service.path)
            asked.append(time.monotonic())
            time.sleep(0.02)

    before = time.process_time()
    service.run({"period": period}, talk)
    assert len(asked) == 20
    assert service.told.count("WATCHDOG=1") >= 10  # every 20 ms of 400 ms and more
    assert time.process_time() - before < 0.7 * (asked[-1] - asked[0]), "the loop does not sleep"
