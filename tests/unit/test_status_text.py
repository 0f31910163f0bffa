from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from test_report import ANSWER, NOT_RUNNING, OF_PATH
from wg_migrate import status_text
from wg_migrate.errors import WgMigrateError
from wg_migrate.report import LOOP_KEYS
from wg_migrate.status_text import follow, line, table

MODULES = Path(status_text.__file__).parents[1]
DEVICE = {
    "present": True,
    "live": True,
    "handshake_age": 42.0,
    "packets_up": 50004,
    "packets_down": 123_456_789,
    "bytes_up": 1_234_567,
    "bytes_down": 999,
}
STATE: dict[str, Any] = {
    "time": 1_700_000_000.0,
    "scope": "host",
    "implementation": "kernel",
    "up": True,
    "exit": "exit",
    "active": "wgnet1",
    "inner": DEVICE,
    "paths": {
        "wgnet1": {"proxy": "proxy1", **OF_PATH, **DEVICE},
        "wgnet2": {"proxy": "proxy2", **OF_PATH, **DEVICE},
    },
    "loop": {key: value for key, value in ANSWER.items() if key != "paths"},
    "loop_problem": None,
}


def state(**of_loop: Any) -> dict[str, Any]:
    """Return the sample with some of what the loop says changed."""
    changed = deepcopy(STATE)
    changed["loop"].update(of_loop)
    return changed


def stopped() -> dict[str, Any]:
    changed = {**deepcopy(STATE), "loop": None, "loop_problem": NOT_RUNNING}
    for path in changed["paths"].values():
        path.update(dict.fromkeys(LOOP_KEYS))
    return changed


def row(shown: str, name: str) -> list[str]:
    return next(each for each in shown.splitlines() if each.startswith(f"{name} ")).split()


def words(shown: str) -> str:
    """Return what is shown with its line breaks undone."""
    return " ".join(shown.split())


SCHEDULES = {
    "every 0.1 s, round robin": {"period": 0.1, "jitter": 0.0, "strategy": "round_robin", "max_share": 1.0},
    "every 0.1 s ± 20 %, uniform": {"period": 0.1, "jitter": 0.2, "strategy": "uniform"},
    "batches of 50 to 70 packets, dirichlet alpha 1, at most 60 % on a path": {
        "packets": [50, 70], "batches": 1024, "strategy": "dirichlet", "alpha": 1.0, "max_share": 0.6,
    },
    "batches of 20 packets on average, weighted": {"packets_mean": 20.0, "strategy": "weighted"},
    "batches of 7 packets, round robin, never twice the same path": {
        "packets": [7, 7], "strategy": "round_robin", "no_repeat": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("says", SCHEDULES)
def test_the_schedule_is_told_in_words(says: str) -> None:
    assert (
        f"loop running for 12 s: {says}, session 3 for 12 s\n"
        in f"{table(state(schedule=SCHEDULES[says]))}\n".replace("\n    ", " ")
    )


def test_a_session_that_ends_and_its_weights_are_told() -> None:
    session = {"number": 4, "seconds": 7.0, "weights": [0.6, 0.3, 0.1]}
    shown = words(table(state(session=session)))
    assert "session 4 for 7 s of 60 s, weights 60 % : 30 % : 10 %" in shown


def test_the_loops_figures_are_told() -> None:
    shown = table(state(switches_missed=2))
    assert "120 switches, 2 missed, late by 0.30 ms on average and 4.00 ms at worst, now on wgnet1" in shown
    assert "refused" not in shown
    assert "refused: 3" in table(state(switches_failed=3))


def test_batches_have_no_lateness() -> None:
    assert "late by" not in table(state(schedule={"packets": [50, 70], "strategy": "uniform"}))


def test_a_seed_is_said() -> None:
    says = "a seed is set: the schedule is replayed, not random"
    assert says in table(state(replayed=True))
    assert says not in table(state())


def test_a_problem_is_said() -> None:
    assert "problem: /etc/wg-migrate/schedule.json is not used" in table(
        state(problem="/etc/wg-migrate/schedule.json is not used")
    )


def test_all_paths_down_is_said() -> None:
    assert "ALL PATHS ARE DOWN: nothing passes, and nothing leaks" in table(state(all_down=True))
    assert "ALL PATHS ARE DOWN" in line(state(all_down=True))
    assert "ALL PATHS" not in table(state()) + line(state())


def test_a_stopped_loop_is_said_with_what_to_do() -> None:
    shown = words(table(stopped()))
    assert f"loop stopped: {NOT_RUNNING}; the default route stands on wgnet1" in shown


def test_a_tunnel_that_is_not_up_is_said_with_what_to_do() -> None:
    assert "tunnel NOT up: run 'systemctl restart wg-migrate'" in table({**STATE, "up": False})


def test_a_row_has_every_figure_of_its_path() -> None:
    shown = " ".join(row(table(STATE), "wgnet1"))
    assert shown == "wgnet1 proxy1 up 12 s 42 s ago 50004 123.5 M 1.2 MB 999 B 50.0 % 49.7 % 1.20 ms 60"


def test_a_path_that_is_not_up_says_why() -> None:
    changed = state()
    changed["paths"]["wgnet2"].update(health="suspect", why="2 probes were not answered", since_seconds=0.3, rtt=None)
    shown = table(changed)
    assert row(shown, "wgnet2")[2:5] == ["suspect", "0.3", "s"]
    assert "wgnet2 is suspect: 2 probes were not answered" in shown
    assert "wgnet1 is" not in shown


def test_without_a_loop_a_path_shows_its_session() -> None:
    changed = stopped()
    changed["paths"]["wgnet2"].update(live=False, handshake_age=None)
    shown = table(changed)
    assert row(shown, "wgnet1")[2] == "session"
    assert row(shown, "wgnet2")[2:5] == ["no", "session", "never"]
    assert row(shown, "wgnet1")[-4:] == ["-"] * 4


def test_a_path_without_a_device_says_so_whatever_the_loop_thinks() -> None:
    changed = state()
    changed["paths"]["wgnet2"] = {"proxy": "proxy2", **OF_PATH, "present": False, "live": False}
    assert "no device" in " ".join(row(table(changed), "wgnet2"))


def test_a_path_that_is_pinned_says_by_which_uplink_it_leaves() -> None:
    changed = state()
    changed["paths"]["wgnet2"]["uplink"] = "wlan0"
    assert "proxy2 by wlan0" in table(changed)
    assert "proxy1 by" not in table(changed)


def test_an_answer_of_another_version_is_shown_as_far_as_it_goes() -> None:
    table({**STATE, "loop": {"interval": 0.1, "switches": 3}})
    line({**STATE, "loop": {"interval": 0.1}})


def test_sentences_go_on_in_the_next_line_of_a_narrow_screen() -> None:
    head = table(state(problem="word " * 60), width=60).partition("\n\n")[0]
    assert max(map(len, head.splitlines())) <= 60
    assert words(head).count("word") == 60


def test_the_table_fits_the_screen() -> None:
    changed = state(problem="word " * 60, session={"number": 12345, "seconds": 1e6, "weights": [0.123456, 0.876544]})
    for path in changed["paths"].values():
        path.update(
            proxy="frankfurt-2", health="suspect", why="why " * 50, packets_up=10**12, bytes_up=10**15, rtt=0.123
        )
    assert max(map(len, table(changed).splitlines())) <= 120


@pytest.mark.parametrize(
    ("seconds", "says"), [(0.25, "0.2 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (1e6, "12 d")]
)
def test_durations_are_short(seconds: float, says: str) -> None:
    changed = state(running_seconds=seconds)
    assert f"loop running for {says}:" in table(changed)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (3 * 10**12, "3.0 TB"),
        (10**15, "1.0 PB"),
    ],
)
def test_sizes_are_short(size: int, says: str) -> None:
    changed = state()
    changed["inner"] = {**DEVICE, "bytes_up": size}
    assert says in " ".join(row(table(changed), "wg0"))


OF_LOOP = {key: STATE[key] for key in ("time", "active", "loop", "loop_problem")} | {
    "paths": {"wgnet1": OF_PATH, "wgnet2": {**OF_PATH, "health": "down", "why": "no probe is answered"}}
}
"""What the loop tells one who is not root."""


def test_what_only_root_can_find_out_is_a_dash_for_others() -> None:
    shown = table(OF_LOOP)
    assert "loop running for 12 s" in shown
    assert "wgnet2 is down: no probe is answered" in shown
    assert row(shown, "wgnet1")[1:4] == ["-", "up", "12"]
    assert "tunnel" not in shown
    assert "wg0" not in shown
    assert "tunnel" not in line(OF_LOOP)
    assert "wgnet1 up 12 s" in line(OF_LOOP)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def in_turn(*found: dict[str, Any] | WgMigrateError) -> Callable[[], dict[str, Any]]:
    """Return what looks at the host and finds these one by one; after the last one somebody presses Ctrl-C."""
    coming = iter(found)

    def look() -> dict[str, Any]:
        seen = next(coming, None)
        if seen is None:
            raise KeyboardInterrupt
        if isinstance(seen, WgMigrateError):
            raise seen
        return seen

    return look


def test_following_into_a_file_prints_a_line_a_look() -> None:
    out, slept = io.StringIO(), list[float]()
    follow(in_turn(state(switches=1), stopped(), state(switches=7)), out, sleep=slept.append)
    shown = out.getvalue().splitlines()
    assert [each.split(" | ")[2] for each in shown] == ["loop at 1 switches", "loop stopped", "loop at 7 switches"]
    assert "\x1b" not in out.getvalue()
    assert 0 < slept[0] <= 1


def test_following_as_json_prints_an_object_a_line() -> None:
    out = Terminal()
    look = in_turn(state(), WgMigrateError("'wg show all dump' failed"), stopped())
    follow(look, out, as_json=True, sleep=lambda _: None)
    first, second, third = map(json.loads, out.getvalue().splitlines())
    assert (first, third["loop"]) == (STATE, None)
    assert second["error"] == "'wg show all dump' failed"


def test_a_terminal_is_drawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "13")
    out = Terminal()
    follow(in_turn(state(), state(switches=7)), out, sleep=lambda _: None)
    cleared, *frames = out.getvalue().split("\x1b[H")
    assert cleared == "\x1b[2J"
    assert len(frames) == 2
    for frame in frames:
        lines = frame.replace("\x1b[J", "").replace("\x1b[K", "").splitlines()
        assert len(lines) == 12
        assert max(map(len, lines)) == 40
    assert "7 switches" in frames[1]


def test_what_fails_later_is_shown_and_looked_at_again() -> None:
    out = io.StringIO()
    follow(in_turn(state(), WgMigrateError("no namespace wgnet"), state()), out, sleep=lambda _: None)
    assert "no namespace wgnet" in out.getvalue().splitlines()[1]
    assert len(out.getvalue().splitlines()) == 3


def test_a_client_that_is_not_deployed_is_not_followed() -> None:
    with pytest.raises(WgMigrateError, match="deploy this client first"):
        follow(in_turn(WgMigrateError("deploy this client first")), io.StringIO())


FOLLOWER = """
import sys
from wg_migrate import status_text
status_text.follow(lambda: {"time": 0.0, "error": "little"}, sys.stdout, period=0.001)
"""


def test_nobody_reading_any_more_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    # Without a buffer there would be nothing left to flush at the end.
    environment = {**os.environ, "PYTHONPATH": str(MODULES), "PYTHONUNBUFFERED": ""}
    with subprocess.Popen(
        [sys.executable, "-c", FOLLOWER], stdout=writing, stderr=subprocess.PIPE, env=environment
    ) as follower:
        os.close(writing)
        assert os.read(reading, 10)
        os.close(reading)
        _, said = follower.communicate(timeout=20)
    assert (follower.returncode, said) == (0, b"")
