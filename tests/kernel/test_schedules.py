"""Schedules and failover on real packets: batches in nftables, paths that die and come back, changes on the way."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from wg_migrate import control, tunnel
from wg_migrate.batches import TABLE, draw_batches
from wg_migrate.choice import Chooser
from wg_migrate.errors import WgMigrateError
from wg_migrate.randomness import generator
from wg_migrate.repair import REQUEST
from wg_migrate.schedule import parse

from .topology import WEB, Capture, Topology, built, ping, wait_for


@pytest.fixture(scope="module")
def topology() -> Iterator[Topology]:
    with built("namespace") as made:
        yield made


def say(topology: Topology, **request: Any) -> dict[str, Any]:
    return control.ask(request, topology.client.path(control.PATH))


def flood(topology: Topology, packets: int) -> None:
    """Send datagrams through wg0, no faster than the queues take them."""
    with topology.client.inside(topology.config.inner_namespace), socket.socket(type=socket.SOCK_DGRAM) as sender:
        for number in range(packets):
            sender.sendto(b"", (WEB, 9))
            if number % 20 == 0:
                time.sleep(0.004)


@contextlib.contextmanager
def cut_off(topology: Topology, number: int) -> Iterator[None]:
    """Have a proxy drop all that comes in, as a dead one would."""
    proxy = topology.proxies[number - 1]
    rules = "type filter hook prerouting priority -400; policy accept; iifname eth0 drop;"
    proxy.run("nft -f -", stdin=f"table inet cut {{ chain c {{ {rules} }}; }}")
    try:
        yield
    finally:
        proxy.run("nft delete table inet cut")


def share(status: dict[str, Any]) -> float:
    """Return wgnet1's share of the packets of this session."""
    found: float = status["paths"]["wgnet1"]["share_session"]
    return found


def sent_up(status: dict[str, Any]) -> int:
    return sum(path["packets_up_session"] for path in status["paths"].values())


def table_stands(topology: Topology) -> bool:
    return TABLE in topology.client.run("nft list tables", "wgnet")


def test_nftables_walks_through_the_batches_that_were_drawn(topology: Topology) -> None:
    """With a seed the table can be drawn here too, and tells where every packet has to go."""
    document = {"packets": [50, 70], "strategy": "uniform", "seed": 5}
    plan = parse(document)
    rng = generator(5)
    names = ["wgnet1", "wgnet2"]
    drawn = draw_batches(plan, Chooser(plan, names, rng), [0, 1], rng, [0.0, 0.0])
    with topology.loop(document) as status:
        flood(topology, 1500)
        wait_for(lambda: sent_up(status()) >= 1500, "wireguard-go has sent all")
        now = status()
    sent = sent_up(now)
    expected, left = dict.fromkeys(names, 0), sent
    for batch in drawn:
        expected[names[batch.path]] += min(left, batch.packets)
        left -= min(left, batch.packets)
    assert left == 0
    assert 1500 <= sent <= 1520  # WireGuard's own are few
    for name in names:
        # Some packets may have gone between the draw and the first count.
        assert now["paths"][name]["packets_up_session"] == pytest.approx(expected[name], abs=5), expected
    assert now["replayed"] is True
    assert now["switches"] > 10


def test_weights_come_out(topology: Topology) -> None:
    with topology.loop({"packets": [50, 70], "strategy": "weighted", "weights": {"wgnet1": 7, "wgnet2": 3}}) as status:
        flood(topology, 10000)
        assert share(status()) == pytest.approx(0.7, abs=0.03)


def test_the_cap_holds_in_every_session(topology: Topology) -> None:
    """Weights drawn with so small an alpha put nearly all on one path; the cap does not let them."""
    document = {"packets": [50, 70], "strategy": "dirichlet", "alpha": 0.01, "max_share": 0.6, "session": 0}
    with topology.loop(document) as status:
        for number in range(6):
            say(topology, command="new_session")
            flood(topology, 600 + 300 * number)
            # From the 500th on it holds, and wireguard-go sends when it comes to it.
            wait_for(lambda: sent_up(status()) >= 500, "wireguard-go has sent 500")
            now = status()
            assert now["session"]["number"] == number + 2
            assert 0.4 <= share(now) <= 0.6, now


def test_without_a_cap_such_a_session_is_on_one_path(topology: Topology) -> None:
    with topology.loop({"packets": [50, 70], "strategy": "dirichlet", "alpha": 0.01, "session": 0}) as status:
        flood(topology, 1000)
        assert not 0.1 < share(status()) < 0.9


def test_a_schedule_is_changed_on_the_way_and_nothing_is_lost(topology: Topology) -> None:
    schedules: list[dict[str, Any]] = [
        {"packets": [5, 9], "strategy": "uniform"},
        {"period": 0.005, "jitter": 0.5, "strategy": "uniform"},
        {"packets_mean": 20, "strategy": "weighted", "weights": [1, 2]},
        {"packets": [50, 70], "strategy": "round_robin"},
        {"period": 0.01},
    ]
    answers: list[int] = []
    with topology.loop(0.01) as status, Capture(topology) as capture:
        pinging = threading.Thread(target=lambda: answers.append(ping(topology, 600)))
        pinging.start()
        for document in schedules:
            time.sleep(0.4)
            changed = say(topology, command="schedule", schedule=document)
            assert document.items() <= changed["schedule"].items()
            assert table_stands(topology) == ("period" not in document)
        pinging.join()
        assert status()["switches_failed"] == 0
    assert answers == [600]
    assert capture.leaks() == {}


@pytest.mark.parametrize(
    "document",
    [
        {"strategy": "random"},
        {"packets": [50, 70], "strategy": "weighted", "weights": [1, 2, 3]},
        {"packets": [50, 70], "max_share": 0.4},
        {"packets": [1, 10_000_000], "batches": 8192},
    ],
    ids=str,
)
def test_a_refused_schedule_leaves_the_old_one(topology: Topology, document: dict[str, Any]) -> None:
    with topology.loop({"packets": [50, 70]}) as status:
        before = status()
        with pytest.raises(WgMigrateError, match="write"):
            say(topology, command="schedule", schedule=document)
        flood(topology, 500)
        after = status()
        assert after["schedule"] == before["schedule"]
        assert after["switches"] > before["switches"]


def test_a_table_that_nft_refuses_leaves_the_old_one(topology: Topology) -> None:
    broken = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from wg_migrate import batches; from wg_migrate.cli import main\n"
        "body = batches.body\nbatches.body = lambda drawn, *rest: body(drawn, *rest) + 'nonsense' * (len(drawn) < 40)\n"
        "sys.exit(main())"
    )
    with topology.loop({"packets": [50, 70], "no_repeat": True}, broken) as status:
        before = status()
        with pytest.raises(WgMigrateError, match="nonsense"):
            say(topology, command="schedule", schedule={"packets": [5, 7], "batches": 16})
        assert status()["schedule"] == before["schedule"]
        assert table_stands(topology)


def test_without_the_loop_the_batches_are_gone_and_packets_pass(topology: Topology) -> None:
    with topology.loop({"packets": [50, 70]}):
        assert table_stands(topology)
    assert not table_stands(topology)
    assert ping(topology, 50) == 50


@pytest.mark.parametrize("document", [{"period": 30}, {"packets": [50, 70]}], ids=str)
def test_a_dead_path_is_left_at_once_and_taken_back(topology: Topology, document: dict[str, Any]) -> None:
    """Long before a period of 30 s is over."""
    with topology.loop({**document, "health": {"trial": 0.5}}) as status, Capture(topology) as capture:
        active = status()["active"]
        with cut_off(topology, int(active[-1])):
            flood(topology, 50)
            wait_for(lambda: status()["paths"][active]["health"] == "down", "it is seen that the path is dead")
            wait_for(lambda: ping(topology, 1, 0.2) == 1, "packets pass")
            assert ping(topology, 100) == 100
            assert status()["active"] != active
            assert not status()["all_down"]
        wait_for(lambda: status()["paths"][active]["health"] == "up", "the path is taken back")
        assert ping(topology, 100) == 100
    assert capture.leaks() == {}


def test_with_all_paths_dead_nothing_leaks_and_it_resumes_by_itself(topology: Topology) -> None:
    with topology.loop({"period": 0.01, "health": {"trial": 0.5}}) as status, Capture(topology) as capture:
        with cut_off(topology, 1), cut_off(topology, 2):
            flood(topology, 50)
            wait_for(lambda: bool(status()["all_down"]), "it is said that all are down")
            assert ping(topology, 20, 0.2) == 0
        wait_for(lambda: not status()["all_down"], "a path is back")
        assert ping(topology, 50) == 50
    assert capture.leaks() == {}
    assert set(capture.seen) >= {"udp 192.0.2.11 51820", "udp 192.0.2.12 51820"}


def test_a_device_that_is_gone_is_asked_for(topology: Topology) -> None:
    with topology.loop(0.05) as status:
        assert not topology.system.exists(REQUEST)
        topology.client.run("ip -n wgnet link delete wgnet2")
        wait_for(lambda: topology.system.exists(REQUEST), "the loop asks for repair")
        assert status()["paths"]["wgnet2"]["why"] == "its device is gone"
        topology.system.remove(REQUEST)
        tunnel.up(topology.system, topology.config)
        wait_for(lambda: status()["paths"]["wgnet2"]["health"] == "up", "the path is taken back")
        assert ping(topology, 100) == 100


def test_an_exit_that_answers_no_echo_requests_does_no_harm(topology: Topology) -> None:
    rules = "type filter hook input priority -400; policy accept; icmp type echo-request drop;"
    topology.exit.run("nft -f -", stdin=f"table inet mute {{ chain c {{ {rules} }}; }}")
    try:
        with topology.loop(0.01) as status:
            assert ping(topology, 400) == 400
            now = status()
    finally:
        topology.exit.run("nft delete table inet mute")
    assert [path["probes_answered"] for path in now["paths"].values()] == [0, 0]
    assert [path["health"] for path in now["paths"].values()] == ["up", "up"]
    assert all("not probed" in path["why"] for path in now["paths"].values())
