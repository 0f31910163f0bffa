"""The live view: rates from two looks, what is said of a host that is away, the screen, the line, the document."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from wg_migrate.errors import WgMigrateError

from observe import watch, watch_screen
from observe.hosts import Host, Inventory
from observe.points import Look, leaks, tcpdump_lines
from observe.watch_state import HostState, client_view, rate, server_view


def path(up: int, down: int, **others: Any) -> dict[str, Any]:
    known = {"proxy": "p1", "present": True, "live": True, "health": "up", "share_session": 0.5, "rtt": 0.0123}
    return {**known, "bytes_up": up, "bytes_down": down, "handshake_age": 12.0, **others}


def report(time: float, sent: int, switches: int, **others: Any) -> dict[str, Any]:
    loop = {"switches": switches, "lateness_mean": 0.0001, "lateness_worst": 0.002, "schedule": {"period": 0.1}}
    paths = {"wgnet1": path(sent, 3 * sent), "wgnet2": path(0, 0, health="down", proxy="p2")}
    return {"time": time, "up": True, "active": "wgnet1", "loop": loop, "loop_problem": None, "paths": paths, **others}


def figures(time: float, received: int, **others: Any) -> dict[str, Any]:
    counters = {"rx_bytes": received, "tx_bytes": 2 * received}
    peers = {"a key": {"endpoint": "192.0.2.10:1", "handshake": int(time) - 30}, "another": {"handshake": 0}}
    return {"time": time, "dropped": 5, "counters": counters, "peers": peers, **others}


@pytest.fixture
def client() -> HostState:
    state = HostState("laptop", "client", leaks=0)
    state.take_report(report(100.0, 1_000_000, 50), 10.0)
    state.take_report(report(102.0, 1_250_000, 70), 12.0)
    return state


@pytest.fixture
def proxy() -> HostState:
    state = HostState("p1", "proxy")
    state.take_figures(figures(100.0, 1000), 10.0)
    state.take_figures(figures(101.0, 1500), 11.0)
    return state


def test_rates_are_by_the_hosts_own_clock(client: HostState) -> None:
    view = client_view(client)
    assert (view.paths[0].up, view.paths[0].down, view.switches) == (125_000.0, 375_000.0, 10.0)
    assert (view.paths[0].active, view.paths[1].active, view.paths[1].health) == (True, False, "down")
    assert (view.leaks, view.problems) == (0, ())


def test_counters_that_began_anew_tell_no_rate() -> None:
    assert rate(report(1.0, 500, 1), report(2.0, 100, 1), "paths", "wgnet1", "bytes_up") is None
    assert rate(report(2.0, 100, 1), report(2.0, 200, 1), "paths", "wgnet1", "bytes_up") is None
    assert rate(report(1.0, 100, 1), report(2.0, 200, 1), "paths", "wgnet9", "bytes_up") is None
    assert rate(None, report(2.0, 200, 1), "loop", "switches") is None


def test_a_host_that_was_away_begins_anew(client: HostState) -> None:
    client.problem = "laptop: the connection broke"
    client.forget()
    assert client_view(client).paths[0].up is None
    client.take_report(report(200.0, 9_000_000, 500), 60.0)
    assert client.problem is None
    assert client_view(client).paths[0].up == pytest.approx(7_750_000 / 98)


def test_a_stopped_loop_and_dead_paths_are_said() -> None:
    state = HostState("laptop", "client")
    state.take_report(report(1.0, 0, 0, loop=None, loop_problem="it is not running", up=False), 1.0)
    assert client_view(state).problems == ("the tunnel is not up", "the loop is stopped: it is not running")
    state.take_report(report(2.0, 0, 0, loop={"switches": 1, "all_down": True, "schedule": {"period": 1}}), 2.0)
    assert client_view(state).problems == ("ALL PATHS ARE DOWN",)
    state.take_report({"time": 3.0, "error": "'ip' failed"}, 3.0)
    assert client_view(state).problems == ("'ip' failed",)


def test_batches_have_no_active_path_and_no_lateness() -> None:
    state = HostState("laptop", "client")
    loop = {"switches": 1, "lateness_mean": 0.0, "lateness_worst": 0.0, "schedule": {"packets": [50, 70]}}
    state.take_report(report(1.0, 0, 0, loop=loop), 1.0)
    view = client_view(state)
    assert (view.lateness_mean, [each.active for each in view.paths]) == (None, [False, False])


def test_a_server_tells_rates_drops_and_handshakes(proxy: HostState) -> None:
    view = server_view(proxy)
    assert (view.up, view.down, view.dropped, view.handshake_ages) == (500.0, 1000.0, 5, (30.0, None))
    proxy.take_figures(figures(102.0, 0, counters=None, dropped=None), 12.0)
    assert server_view(proxy).problems == (
        "its WireGuard device is not there: run site.yml",
        "its nft table is not there: run site.yml",
    )


def shown(states: list[HostState], now: float) -> str:
    console = Console(width=140, file=io.StringIO())
    with console.capture() as captured:
        console.print(watch_screen.screen(states, now))
    return captured.get()


def test_the_screen_shows_every_host_and_path(client: HostState, proxy: HostState) -> None:
    text = shown([client, proxy], 12.5)
    assert "10.0 switches/s, late by 0.10 ms, at worst 2.0 ms, 0 leaks" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "wgnet1" in rows["▶"]
    assert "1.0 Mbit/s" in rows["▶"]
    assert "3.0 Mbit/s" in rows["▶"]
    assert rows["▶"].count("█") == 5 + 16  # a third of the highest rate, and the highest
    assert "down" in rows["wgnet2"]
    assert "█" not in rows["wgnet2"]
    assert "30 s, never" in rows["p1"]


def test_the_measure_of_the_bars_is_forgotten_slowly(client: HostState) -> None:
    client.take_report(report(103.0, 1_250_000, 80), 13.0)
    assert client.peak == pytest.approx(375_000 * 0.97)


def test_a_host_that_is_away_is_shown(client: HostState, proxy: HostState) -> None:
    proxy.problem = "p1: nothing has been heard of it for 10 s"
    text = shown([client, proxy], 21.0)
    assert "AWAY for 10 s: p1: nothing has been heard of it for 10 s" in text
    assert "AWAY for 9 s" in text.split("p1")[0], "no news, though the connection stands"
    line = watch_screen.line([client, proxy], 13.0)
    assert "p1: AWAY for 2 s: p1: nothing has been heard" in line
    assert "laptop: wgnet1* up 1.0 Mbit/s up 3.0 Mbit/s down, wgnet2 down" in line


def test_the_document_is_json_and_whole(client: HostState, proxy: HostState) -> None:
    hosts = json.loads(json.dumps(watch_screen.document([client, proxy], 12.5)))["hosts"]
    assert hosts["laptop"]["paths"][0]["up"] == 125_000
    assert (hosts["laptop"]["away"], hosts["laptop"]["heard"], hosts["p1"]["dropped"]) == (None, 0.5, 5)


def test_a_leak_is_shown_as_it_was_seen(client: HostState) -> None:
    client.leaks, client.leak = 2, "IP 192.0.2.10.1 > 203.0.113.80.2: UDP, length 3"
    assert "2 leaks" in shown([client], 12.0)
    assert "LEAK, the last: IP 192.0.2.10.1 > 203.0.113.80.2: UDP, length 3" in shown([client], 12.0)
    client.leaks = None
    assert "leaks are not watched (no tcpdump there)" in watch_screen.line([client], 12.0)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (None, "-"),
        (0.0, "0 bit/s"),
        (12.4, "99 bit/s"),
        (125.0, "1.0 kbit/s"),
        (125e3, "1.0 Mbit/s"),
        (12.5e6, "100 Mbit/s"),
        (125e6, "1.00 Gbit/s"),
    ],
)
def test_rates_are_read_in_bits(rate: float | None, words: str) -> None:
    assert watch_screen.bits(rate) == words


CLIENT = {
    "inner_address": "10.87.16.9",
    "overlay_address": "10.87.0.9",
    "exit": {"address": "198.51.100.20", "inner_address": "10.87.16.1"},
    "paths": [{"address": "198.51.100.11", "port": 51820}],
}


def test_leaks_are_what_leaves_beside_paths_management_and_neighbours() -> None:
    expression = leaks(CLIENT, Look(("eth0",), ("192.0.2.10",), "host", (22,)), ["192.168.7.0/24"])
    for allowed in ("arp", "(udp and dst host 198.51.100.11 and dst port 51820)", "dst net 192.168.7.0/24"):
        assert f"not {allowed}" in expression
    assert "src port 22" in expression
    assert "host 10.87.16.9" not in expression
    assert tcpdump_lines("eth0", expression)[-1] == expression
    # Elsewhere the host speaks for itself.
    beside = leaks(CLIENT, Look(("eth0",), (), "namespace"), [])
    assert beside.endswith("(host 10.87.16.9 or host 10.87.0.9 or host 198.51.100.20 or host 10.87.16.1)")


def test_hosts_that_are_not_there_are_refused() -> None:
    known = {name: Host(name, "proxy", "192.0.2.1", 22, "ops", name, (), ()) for name in ("p1", "p2")}
    inventory = Inventory(known, {})
    assert watch.choose(inventory, None) == ["p1", "p2"]
    assert watch.choose(inventory, "p2") == ["p2"]
    for at in ("p3", ""):
        with pytest.raises(WgMigrateError, match=f"--at {at}: write some of p1, p2"):
            watch.choose(inventory, at)
