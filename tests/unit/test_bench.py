"""The parts of the benchmarks that measure nothing: what is read, compared, ordered and shown."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from bench import cli, deployment, read
from bench.bounds import BOUNDS, BenchError, Figure, of_repeats, order_of_pair, original_table, short, table, verdicts
from bench.original import LOOP
from bench.remote import download, loop_meter, sessions
from bench.run import ON_THE_WIRE, Results, document, measurements
from bench.traffic import Plan
from bench.wire import leaks_filter
from lab.topology import machine

SNMP = """Ip: Forwarding DefaultTTL FragOKs FragFails FragCreates
Ip: 1 64 5 0 12
Icmp: InMsgs
Icmp: 3
"""


def test_every_key_is_measured_once() -> None:
    measured = [key for keys, _ in measurements() for key in keys]
    assert sorted([*measured, *ON_THE_WIRE]) == sorted(BOUNDS)


@pytest.mark.parametrize(
    ("key", "value", "holds"),
    [
        ("switch_cost_ratio", 100, True),
        ("switch_cost_ratio", 99.9, False),
        ("ping_loss_excess_1ms", 0.001, True),
        ("ping_loss_excess_1ms", -0.5, True),  # better than the static tunnel
        ("ping_loss_excess_1ms", 0.0011, False),
        ("leaks", 0, True),
        ("leaks", 1, False),
        ("failover_seconds", float("nan"), False),
    ],
)
def test_a_bound_holds_up_to_its_limit(key: str, value: float, holds: bool) -> None:
    assert BOUNDS[key].holds(value) is holds


def test_a_figure_is_the_median_of_its_repeats() -> None:
    assert of_repeats([3.0, 1.0, 9.0]).value == 3.0
    assert of_repeats([1.0, 2.0]).value == 1.5
    with pytest.raises(BenchError, match="no repeat"):
        of_repeats([])


def test_pairs_alternate() -> None:
    assert [order_of_pair(number)[0] for number in range(4)] == ["static", "migrating", "static", "migrating"]


def test_the_table_marks_what_was_missed_and_what_was_not_measured() -> None:
    figures = {"switch_cost_ratio": of_repeats([90.0, 80.0]), "leaks": Figure(0, [0])}
    lines = table(figures, {"failover_seconds": "no proxy\nat all"}).splitlines()
    shown = {line.split()[0]: line for line in lines[1:]}
    assert list(shown) == ["switch_cost_ratio", "failover_seconds", "leaks"]
    assert "MISSED" in shown["switch_cost_ratio"]
    assert shown["switch_cost_ratio"].endswith("80 to 90")
    assert " ok " in f"{shown['leaks']} "
    assert "NONE" in shown["failover_seconds"]
    assert shown["failover_seconds"].endswith("no proxy")


def test_the_original_has_lines_of_its_own() -> None:
    assert original_table({}) == ""
    shown = original_table({"leaks": 1466, "rounds": [{"static": {}}]})
    assert "1466" in shown
    assert "rounds" not in shown


def test_numbers_are_short() -> None:
    assert [short(value) for value in (123456.7, 0.98765, 0, 12)] == ["123457", "0.9877", "0", "12"]


def test_the_document_has_figures_by_key_and_all_repeats() -> None:
    results = Results({"leaks": Figure(2, [2]), "switch_cost_ratio": of_repeats([200.0, 300.0])}, {"fragments": "no"})
    found = document(results, {"cores": 2}, True, 1.23)
    assert (found["leaks"], found["switch_cost_ratio"]) == (2, 250.0)
    assert found["repeats"]["switch_cost_ratio"] == [200.0, 300.0]
    assert {key: verdict["pass"] for key, verdict in found["bounds"].items()} == {
        "switch_cost_ratio": True,
        "leaks": False,
    }
    assert (found["quick"], found["errors"]) == (True, {"fragments": "no"})
    json.dumps(found)


def test_verdicts_name_their_bound() -> None:
    assert verdicts({"failover_seconds": Figure(0.3, [0.3])}) == {
        "failover_seconds": {"bound": "<= 0.5", "unit": "s", "pass": True}
    }


def test_a_quick_run_does_less_of_everything() -> None:
    full, quick = Plan(False), Plan(True)
    assert (full.times(5), full.seconds(10), full.count(2000)) == (5, 10, 2000)
    assert (quick.times(5), quick.seconds(10), quick.count(2000)) == (1, 3.0, 200)
    assert (quick.count(2000, "100ms"), quick.count(2000, "batch60")) == (200, 2000), "enough batches for each path"


def test_ping_loss() -> None:
    said = "198.51.100.1 : xmt/rcv/%loss = 2000/1999/0%, min/avg/max = 0.75/1.33/6.69\n"
    assert read.ping_loss(said, 2000) == pytest.approx(0.0005)
    with pytest.raises(BenchError, match="did not send 1000"):
        read.ping_loss(said, 1000)
    with pytest.raises(BenchError, match="unreachable"):
        read.ping_loss("unreachable", 1000)


def test_throughput_is_the_receivers() -> None:
    result = {"end": {"sum_sent": {"bits_per_second": 9.0}, "sum_received": {"bits_per_second": 8e6}}}
    assert read.throughput(json.dumps(result)) == 8.0


@pytest.mark.parametrize("said", ['{"error": "the server is busy"}', "", "{}", '{"end": []}'])
def test_a_failed_iperf3_is_no_throughput(said: str) -> None:
    with pytest.raises(BenchError, match="iperf3"):
        read.throughput(said)


def test_fragments_of_both_families_count() -> None:
    assert read.fragments_created(SNMP, "Ip6InReceives 9\nIp6FragCreates   \t3\n") == 15
    assert read.fragments_created(SNMP, "") == 12


def test_packets_missed_by_tcpdump() -> None:
    assert (
        read.dropped_by_kernel("4 packets captured\n4 packets received by filter\n7 packets dropped by kernel\n") == 7
    )
    with pytest.raises(BenchError, match="did not say"):
        read.dropped_by_kernel("tcpdump: permission denied")


def test_shares_are_of_what_was_added() -> None:
    assert read.shares({"a": 10, "b": 5}, {"a": 13, "b": 6}) == {"a": 0.75, "b": 0.25}
    assert read.shares({"a": 1}, {"a": 1}) == {"a": 0.0}


def test_the_worst_path_counts() -> None:
    assert read.worst_distance({"a": 68, "b": 32}, {"a": 0.7, "b": 0.3}) == pytest.approx(0.02)
    with pytest.raises(BenchError, match="no packet"):
        read.worst_distance({"a": 0, "b": 0}, {"a": 0.7, "b": 0.3})


def test_only_proxies_are_no_leak() -> None:
    words = leaks_filter(machine("client"), [machine("wgnet1"), machine("wgnet2")])
    allowed = words.partition("udp port 51820 and ")[2]
    assert machine("wgnet1").address4 in allowed
    assert machine("wgnet2").address4 in allowed
    assert machine("exit").address4 not in words
    assert words.startswith(f"(host {machine('client').address4} or host {machine('client').address6})")


class SteadyLoop(loop_meter.Loop):
    """A loop that never misses: it has made as many switches as its clock asks for."""

    def __init__(self, period: float) -> None:
        self._period = period

    def cpu_seconds(self) -> float:
        return 0.5

    def switches(self) -> tuple[int, float]:
        now = time.monotonic()
        return int(now / self._period), now


def test_a_loop_that_misses_nothing_has_no_error() -> None:
    found = loop_meter.watch(SteadyLoop(0.02), 0.1, 0.02)
    assert found["asked"] == found["made"] >= 5
    assert found["cpu_seconds"] == 0.0


def test_a_silence_is_seen_with_its_length(capsys: pytest.CaptureFixture[str]) -> None:
    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            for pause in (0.01, 0.25, 0.01, 0.3):
                connection.sendall(b"x" * 100)
                time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        download.main("127.0.0.1", server.getsockname()[1], 0.4)
        thread.join()
    said = capsys.readouterr().out.splitlines()
    found = json.loads(said[1])
    assert said[0] == "connected"
    assert found["bytes"] == 400
    assert 0.2 < found["silence"] <= 0.4


def test_a_session_waits_until_all_its_packets_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub counts ten packets more each time that it is asked."""
    log = tmp_path / "log"
    stub = tmp_path / "wg-migrate"
    stub.write_text(f"""#!/bin/sh
echo "$*" >>{log}
count=$(grep -c status {log})
echo '{{"paths": {{"a": {{"packets_up_session": '$((count * 10))'}}, "b": {{"packets_up_session": 5}}}}}}'
""")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        monkeypatch.setattr(sessions, "PORT", receiver.getsockname()[1])
        found = sessions.session("127.0.0.1", 30)
        receiver.setblocking(False)
        assert [len(receiver.recv(2000)) for _ in range(30)] == [sessions.SIZE] * 30
    assert found == {"sent": 30, "carried": {"a": 30, "b": 5}}
    assert log.read_text().splitlines() == ["new-session", *["status --json"] * 3]


def test_the_original_loop_deletes_adds_and_sleeps(tmp_path: Path) -> None:
    for name in ("ip", "sleep"):
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/log\n')
        stub.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", LOOP, "loop", "one", "two", "100", "0.1", "2"], env=environment, check=True)
    assert (tmp_path / "log").read_text().splitlines() == [
        "ip route delete default dev one table 100",
        "ip route add default dev two table 100",
        "sleep 0.1",
        "ip route delete default dev two table 100",
        "ip route add default dev one table 100",
        "sleep 0.1",
    ]


def test_a_key_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--only", "speed"])
    assert "switch_cost_ratio" in capsys.readouterr().err


def test_a_deployments_table_has_medians_of_each_play_and_both_ratios() -> None:
    def runs(*seconds: float) -> list[deployment.Run]:
        return [deployment.Run({"Check": each / 4, "Set up": each / 2}, each) for each in seconds]

    shown = deployment.table(runs(40.0)[0], runs(8, 12, 30), runs(24, 20, 90))
    lines = [line.split() for line in shown.splitlines()]
    assert ["Check", "10.0", "3.0", "6.0"] in lines
    assert ["Set", "up", "20.0", "6.0", "12.0"] in lines
    assert ["all", "40.0", "12.0", "24.0"] in lines
    assert "second / first: 0.30 (bound 0.25)" in shown
    assert "16 proxies / 2: 2.00 (bound 2.5)" in shown
