"""The state of a run and its screen: hosts by phases, an honest bar, failures once and in words, what comes next."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from wgm.log import Asked
from wgm.record import Record, distil
from wgm.screen import line, progress, screen, summary
from wgm.state import State

PHASES = ("Check every host", "Set up every host")
ASKED = Asked(("deploy",), "deploy", "site.yml", PHASES, (), None, (), 0.0)
FIRST, SECOND = PHASES


@pytest.fixture
def state() -> State:
    """Return a run in its second phase: b failed in the first, d was not in it, c and d work."""
    made = State(list(PHASES), total=8)
    for record in [
        Record(0.1, "play", FIRST),
        Record(0.2, "start", FIRST, "Look", "a"),
        *(Record(0.3, "ok", FIRST, "Look", host) for host in "ac"),
        Record(0.4, "failed", FIRST, "Look", "b", "b is bad.\nWrite c."),
        Record(1.0, "play", SECOND),
        Record(1.1, "start", SECOND, "Install", "c"),
        Record(1.2, "changed", SECOND, "Install", "a"),
        Record(1.3, "start", SECOND, "Install", "d"),
    ]:
        made.take(record)
    return made


def text(state: State, width: int = 100, lines: int = 40, seconds: float = 5.0) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(screen(ASKED, state, seconds, lines))
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def row(shown: str, host: str) -> str:
    return " ".join(next(each for each in shown.splitlines() if each.startswith(f"{host} ")).split())


def test_each_host_has_a_word_for_each_phase(state: State) -> None:
    shown = text(state)
    assert "wgm deploy  phase 2 of 2, 5 s" in shown
    assert row(shown, "a") == "a ✓ 1 done ▸ waits"
    assert row(shown, "b") == "b ✗ failed ·"
    assert row(shown, "c") == "c ✓ 1 done ▸ Install"
    assert row(shown, "d") == "d - ▸ Install"


def test_a_phase_that_has_not_begun_is_on_the_screen_from_the_start() -> None:
    assert all(words in text(State(list(PHASES))) for words in PHASES)


def test_a_failure_is_seen_at_once(state: State) -> None:
    assert "failed on b: Look: b is bad." in text(state)


def test_the_words_fit_a_narrow_terminal(state: State) -> None:
    assert max(map(len, text(state, width=60).splitlines())) <= 60


def test_hosts_without_room_are_counted_and_those_in_trouble_are_shown() -> None:
    crowd = State([FIRST])
    crowd.take(Record(0.0, "play", FIRST))
    for number in range(50):
        crowd.take(Record(0.1, "ok", FIRST, "Look", f"h{number:02}"))
    crowd.take(Record(0.2, "unreachable", FIRST, "Look", "h49", "gone"))
    shown = text(crowd, lines=20)
    assert row(shown, "h49") == "h49 ✗ unreachable"
    assert row(shown, "and") == "and 39 more"
    assert len(shown.splitlines()) <= 20


def test_the_bar_measures_by_the_last_such_run_and_is_full_only_at_the_end(state: State) -> None:
    assert progress(state) == (4, 8)
    assert "4 results, 1 changed, the last such run had 8" in text(state)
    for _ in range(20):
        state.take(Record(2.0, "ok", SECOND, "Install", "a"))
    assert progress(state) == (7, 8)
    state.end(0, 3.0)
    assert progress(state) == (24, 24)


def test_without_a_run_to_compare_with_the_bar_says_so() -> None:
    assert progress(State([FIRST], results=3)) == (3, None)
    assert "no such run before to compare with" in text(State([FIRST]))


def test_a_rescued_failure_does_not_count_in_the_end(state: State) -> None:
    state.take(Record(2.0, "start", SECOND, "Go on", "b"))
    state.take(Record(2.1, "ok", SECOND, "Go on", "b"))
    for host in "abcd":
        state.take(Record(3.0, "outcome", host=host, text="ok"))
    state.end(0, 3.0)
    assert list(summary(ASKED, state, Path("x.jsonl"))) == [
        "", "wgm deploy: done, after 3 s, 5 results, 1 changed", "log: x.jsonl",
    ]  # fmt: skip


def test_who_could_not_be_reached_where_that_was_ignored_has_failed_by_the_next_tasks_words(state: State) -> None:
    state.take(Record(2.0, "unreachable", SECOND, "Ask", "c", "ssh says no"))
    assert "unreachable on c: Ask: ssh says no" in text(state)
    state.take(Record(2.1, "start", SECOND, "Refuse", "c"))
    assert "ssh says no" not in text(state)
    state.take(Record(2.2, "failed", SECOND, "Refuse", "c", "c cannot be reached: correct it."))
    state.take(Record(3.0, "outcome", host="c", text="failed"))
    state.end(2, 3.0)
    told = "\n".join(summary(ASKED, state, Path("x.jsonl")))
    assert "ssh says no" not in told
    assert "c cannot be reached: correct it." in told


def test_the_end_tells_each_failure_once_with_all_hosts_in_its_authors_words(state: State) -> None:
    state.take(Record(2.0, "failed", FIRST, "Look", "c", "b is bad.\nWrite c."))
    state.take(Record(3.0, "outcome", host="a", text="ok"))
    state.take(Record(3.0, "outcome", host="b", text="failed"))
    state.end(2, 3.0)
    assert list(summary(ASKED, state, Path("x.jsonl")))[:4] == [
        f"\nfailed on b, c: Look ({FIRST})", "  b is bad.", "  Write c.", "",
    ]  # fmt: skip


def test_a_run_that_could_not_begin_is_told_in_ansibles_words() -> None:
    state = State([FIRST])
    state.take(Record(0.1, "error", text="[ERROR]: no hosts to target."))
    state.end(1, 0.5)
    assert "[ERROR]: no hosts to target." in list(summary(ASKED, state, Path("x.jsonl")))
    state = State([FIRST])
    for words in ("[ERROR]: YAML parsing failed", "Origin: x.yml", *"abcdefgh"):
        state.take(Record(0.1, "output", text=words))
    state.end(1, 0.5)
    assert "[ERROR]: YAML parsing failed" in list(summary(ASKED, state, Path("x.jsonl")))


def test_hosts_that_were_stopped_with_the_others_say_so(state: State) -> None:
    state.end(2, 3.0)
    assert row(text(state), "a") == "a ✓ 1 done stopped, 1 done, 1 changed"


@pytest.mark.parametrize(
    ("status", "words"), [(0, "done"), (2, "not done"), (4, "not done"), (130, "interrupted"), (None, "cut off")]
)
def test_the_verdict_is_by_the_exit_status(status: int | None, words: str) -> None:
    state = State([FIRST], status=status)
    assert f"wgm deploy: {words}, after" in "\n".join(summary(ASKED, state, Path("x.jsonl")))


def test_plain_lines_name_what_begins_changes_and_fails_and_leave_out_the_rest() -> None:
    of_kind = replace(Record(0.0, "ok", FIRST, "Look", "a"), text="")
    assert line(replace(of_kind, kind="play")) == f"== {FIRST}"
    assert line(replace(of_kind, kind="changed")) == "a: changed: Look"
    assert line(replace(of_kind, kind="failed", text="long")) == "a: failed: Look"
    assert [line(replace(of_kind, kind=kind)) for kind in ("ok", "start", "skipped", "outcome", "output")] == [None] * 5


def replayed(name: str) -> State:
    """Return the state after events that ansible-runner told of in the lab, and the end that they had."""
    events = [json.loads(line) for line in (Path(__file__).parent / f"recorded_{name}.jsonl").read_text().splitlines()]
    state = State([], total=None)
    for event in events:
        for record in distil(event, 0.0):
            state.take(record)
    state.end(2, 20.0)
    return state


def test_a_recorded_verification_that_failed() -> None:
    """Its loop did not run."""
    state = replayed("verify")
    assert state.phases == [
        "Learn all addresses of the clients",
        "Gather evidence",
        "Judge what the clients' evidence says",
    ]
    assert (state.results, state.changed, state.outcomes) == (6, 0, {"client": "failed", "exit": "ok", "wire": "ok"})
    (failure,) = state.lasting()
    assert (failure.task, failure.hosts) == ("Every path carries packets both ways", ["client"])
    assert failure.text.startswith("Within 5 s there were 0 switches, and the paths carried {'wgnet1': {'packets_up': ")
    assert failure.text.endswith("with a long interval, write verify_seconds to see several switches.")
    shown = text(state, width=120)
    assert row(shown, "client") == "client ✓ 1 done ✓ 1 done ✗ failed"
    assert row(shown, "exit") == "exit - ✓ 1 done -"


def test_a_recorded_deployment_two_of_whose_hosts_were_away() -> None:
    """The playbook ignores that, and refuses in its own words; the others are stopped with them."""
    state = replayed("away")
    assert [(each.kind, each.task, each.hosts) for each in state.lasting()] == [
        ("failed", "Refuse hosts where Ansible cannot work", ["client"]),
        ("failed", "Refuse hosts where Ansible cannot work", ["wgnet2"]),
    ]
    assert state.lasting()[1].text.startswith("wgnet2 cannot be reached by SSH at 198.18.51.12: ")
    assert row(text(state), "wgnet2") == "wgnet2 ✗ failed"
    assert row(text(state), "exit") == "exit stopped, 2 done"
