"""The report's figures, from captures of which the right answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from capture_samples import (
    ETHERNET,
    EXIT,
    INNER,
    OVERLAY,
    WEB,
    Scene,
    download,
    echo,
    found,
    frame,
    pcapng,
    tcp,
    udp,
)

from observe.report import measure
from observe.report.asked import asked, kept
from observe.report.capture import load
from observe.report.evidence import gather, view
from observe.report.findings import find
from observe.report.traces import Trace


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    download(made)
    return made


def test_shares_are_those_of_the_paths(tmp_path: Path) -> None:
    scene = Scene()
    for number in range(100):
        scene.send(number / 100, 0 if number < 70 else 1, udp((INNER, 1), (WEB, 2), 140), up=True)
        scene.send(number / 100, 0 if number < 40 else 1, udp((WEB, 2), (INNER, 1), 1240), up=False)
    shares = found(scene, tmp_path).shares
    assert shares is not None
    assert [(path.packets_up, path.packets_down) for path in shares.paths] == [(70, 40), (30, 60)]
    assert [(path.bytes_up, path.bytes_down) for path in shares.paths] == [(14000, 52000), (6000, 78000)]
    assert shares.paths[0].share(shares.whole)["bytes_down"] == pytest.approx(0.4)
    assert [proxy and (proxy.packets_up, proxy.packets_down) for proxy in shares.at_proxy] == [(70, 40), (30, 60)]


def test_what_is_not_of_the_tunnel_counts_for_no_path(scene: Scene, tmp_path: Path) -> None:
    before = found(scene, tmp_path / "before").shares
    for number in range(50):
        # The loop's probes on a path, another client on a proxy, and what the proxy says to others.
        scene.see("client", "wgnet1", number / 100, echo(OVERLAY, EXIT[1], number, reply=False))
        scene.see("wgnet1", "wgnet", number / 100, udp(("10.87.0.77", 1), EXIT[1:], 100))
        scene.see("wgnet1", "wgnet", number / 100, udp((OVERLAY, 1), (EXIT[1], 53), 100))
    after = found(scene, tmp_path / "after").shares
    assert before is not None
    assert after is not None
    assert (after.paths, after.at_proxy) == (before.paths, before.at_proxy)


def test_switches_are_where_packets_begin_to_go_up_by_another_path(scene: Scene, tmp_path: Path) -> None:
    switches = found(scene, tmp_path).switches
    assert switches is not None
    assert switches.times == pytest.approx(np.arange(1, 10) / 10 + 1e-4, abs=1e-6)
    assert switches.after.tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert switches.gaps == pytest.approx(np.full(9, 0.002), abs=1e-6)


def test_packets_that_come_down_late_by_the_old_path_are_no_switches(scene: Scene, tmp_path: Path) -> None:
    for number in range(10):
        scene.send(number / 10 + 0.003, (number + 1) % 2, tcp((WEB, 443), (INNER, 50000), 900, None), up=False)
    switches = found(scene, tmp_path).switches
    assert switches is not None
    assert len(switches) == 9


def test_each_points_clock_is_set_right(scene: Scene, tmp_path: Path) -> None:
    offsets = {"client": 3.5, "wgnet1": -2.25, "exit": 0.125}
    evidence = gather(load(scene.write(tmp_path, offsets=offsets)))
    firsts = {each.point.name: float(min(packets.times[0] for packets in each.packets.values())) for each in evidence}
    assert firsts["client"] == pytest.approx(1e-4, abs=1e-6)
    assert firsts["exit"] == pytest.approx(0.0, abs=1e-6)
    assert firsts["wgnet1"] == pytest.approx(0.005, abs=1e-6)
    assert firsts["wgnet2"] == pytest.approx(0.105, abs=1e-6)


def test_a_clock_that_drifts_is_set_right(tmp_path: Path) -> None:
    scene = Scene()
    for number in range(3):
        scene.see("client", "wgnet1", number * 1.01, udp((OVERLAY, 4), EXIT[1:], 112))
    directory = scene.write(tmp_path)
    document = json.loads((directory / "capture.json").read_text())
    document["points"][0] |= {"clock_offset": 0.0, "clock_offset_end": 0.02}
    (directory / "capture.json").write_text(json.dumps(document))
    (client, *_others) = gather(load(directory))
    assert client.packets["wgnet1"].times == pytest.approx([0.0, 1.0, 2.0], abs=3e-4)


def test_the_glance_shows_the_whole_and_each_proxys_part_of_it(scene: Scene, tmp_path: Path) -> None:
    # A little traffic long before the page is no part of it.
    scene.send(-5.0, 0, tcp((INNER, 50000), (WEB, 443), 60, None), up=True)
    glance = found(scene, tmp_path).glance
    assert glance is not None
    assert glance.begin == pytest.approx(-0.05, abs=1e-3)
    assert glance.sent.packets_down == 1000
    for part in glance.parts:
        assert part.seen is not None
        assert (part.seen.packets_up, part.seen.packets_down) == (250, 500)
        assert part.source.startswith(f"wgnet{part.path + 1}, overlay layer")
    assert sum(int(series.bytes_down.sum()) for series in glance.whole) == glance.sent.bytes_down
    assert len(glance.switches) == 9


def test_a_proxy_without_a_file_is_not_invented(scene: Scene, tmp_path: Path) -> None:
    capture = load(scene.write(tmp_path))
    (tmp_path / "wgnet2.pcapng").unlink()
    result = find(capture)
    assert result.glance is not None
    assert result.shares is not None
    lost = result.glance.parts[1]
    assert (lost.series, lost.seen) == (None, None)
    assert "cannot be read" in (lost.why or "")
    assert result.shares.at_proxy[1] is None
    assert result.shares.paths[1].packets_down > 0


def test_layers_are_not_mixed_in_a_glance(scene: Scene, tmp_path: Path) -> None:
    directory = scene.write(tmp_path)
    document = json.loads((directory / "capture.json").read_text())
    (directory / "wgnet2.pcapng").write_bytes(pcapng({"eth0": scene.seen["wgnet2"]["eth0"]}))
    document["points"][2]["interfaces"] = [{"name": "eth0", "layer": "outer"}]
    (directory / "capture.json").write_text(json.dumps(document))
    glance = find(load(directory)).glance
    assert glance is not None
    assert [part.why for part in glance.parts] == [None, "its overlay layer was not captured"]


@pytest.mark.parametrize("layer", ["overlay", "outer", "inner"])
def test_a_layer_that_was_not_captured_is_said(scene: Scene, tmp_path: Path, layer: str) -> None:
    for devices in scene.seen.values():
        for device in [
            name
            for name in devices
            if name in {"overlay": {"wgnet1", "wgnet2"}, "outer": {"eth0"}, "inner": {"wg0"}}[layer]
        ]:
            del devices[device]
    result = found(scene, tmp_path)
    if layer == "overlay":
        assert result.switches is None
        assert "No packet of the client's tunnel was seen in the overlay layer of client." in result.missing["switches"]
        assert result.shares is not None
        assert "outer layer" in result.shares.source
    elif layer == "outer":
        assert result.leaks is None
        assert "leaks" in result.missing
    else:
        assert result.across is not None
        assert result.across.trips is None
        assert "could not be computed" in result.across.trips_source


def test_the_outer_layer_may_be_ipv6(tmp_path: Path) -> None:
    paths = (("wgnet1", "wgnet1", "2001:db8::11", 51820), ("wgnet2", "wgnet2", "2001:db8::12", 51820))
    scene = Scene(paths, uplink="2001:db8::7")
    for devices in ("wgnet1", "wgnet2"):
        scene.seen[devices]["eth0"] = []
    download_over_ipv6(scene)
    evidence = gather(load(scene.write(tmp_path)))
    outer = view(evidence, "client", "outer")
    assert outer is not None
    assert [total.packets_down for total in measure.by_path(outer.trace, 2)] == [500, 500]
    result = find(load(tmp_path))
    assert result.leaks is not None
    assert result.leaks.counts["wireguard"] == 1500
    assert result.leaks.counts["leaks"] == 0


def download_over_ipv6(scene: Scene) -> None:
    # What goes on to the exit is IPv4 still; the client's side is what the test looks at.
    near, far = (INNER, 50000), (WEB, 443)
    for number in range(1500):
        path, up = number // 150 % 2, number % 3 == 0
        name, _proxy, address, port = scene.paths[path]
        inner = tcp(near, far, 52, None) if up else tcp(far, near, 1300, None)
        overlay = udp((OVERLAY, 4), EXIT[1:], len(inner) + 60) if up else udp(EXIT[1:], (OVERLAY, 4), len(inner) + 60)
        ends = ((scene.uplink, 4), (address, port)) if up else ((address, port), (scene.uplink, 4))
        scene.see("client", name, number / 1000, overlay)
        scene.see("client", "eth0", number / 1000, frame(udp(*ends, len(overlay) + 80), up), ETHERNET)


def trace_of(lengths: list[int], gap: float = 0.001) -> Trace:
    path = np.repeat(np.arange(len(lengths)) % 2, lengths)
    times = np.arange(len(path)) * gap
    return Trace(times, np.full(len(path), 100), np.ones(len(path), bool), path)


def test_bursts_are_counted_between_switches_that_were_seen() -> None:
    bursts = measure.bursts(trace_of([7, 50, 60, 70, 9]))
    assert bursts.packets.tolist() == [50, 60, 70]
    assert bursts.seconds == pytest.approx([0.05, 0.06, 0.07])
    assert bursts.path.tolist() == [1, 0, 1]
    assert len(measure.bursts(trace_of([7, 50]))) == 0


def test_bursts_are_held_against_batches() -> None:
    wanted = asked({"packets": [50, 70], "strategy": "uniform"}, 2)
    assert wanted is not None
    judged = kept(measure.bursts(trace_of([9, 50, 70, 49, 71, 100, 120, 140, 141, 180, 9])), wanted)
    # 49 and 71 are neither; 100, 120, 140 are two batches; 180 three; 141 is none: three are 150 at least.
    assert (judged.within, judged.multiple, judged.left_out) == (2, 4, 0)
    strict = asked({"packets": [50, 70], "strategy": "uniform", "no_repeat": True}, 2)
    assert strict is not None
    assert kept(measure.bursts(trace_of([9, 50, 120, 9])), strict).multiple == 0


def test_bursts_are_held_against_a_period() -> None:
    wanted = asked({"period": 0.1, "jitter": 0.2}, 2)
    assert wanted is not None
    judged = kept(measure.bursts(trace_of([9, 100, 80, 120, 60, 200, 9])), wanted)
    assert (judged.within, judged.multiple) == (3, 0)  # round robin draws no path twice
    assert judged.lengths == pytest.approx([0.1, 0.08, 0.12, 0.06, 0.2])


def test_a_pause_makes_a_burst_in_time_nobodys_fault() -> None:
    trace = trace_of([9, 100, 100, 100, 9])
    late = Trace(trace.times + (trace.times > 0.15) * 0.5, trace.sizes, trace.up, trace.path)
    wanted = asked({"period": 0.1}, 2)
    assert wanted is not None
    judged = kept(measure.bursts(late), wanted)
    assert (judged.left_out, judged.within) == (1, 2)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"period": 0.1}, "every 0.1 s, round robin"),
        ({"period": 0.1, "jitter": 0.25, "strategy": "uniform"}, "every 0.1 s ± 25 %, uniform"),
        ({"packets_mean": 20, "strategy": "uniform"}, "batches of 20 packets on average, uniform"),
        ({"period": 0.2, "no_repeat": True, "strategy": "uniform"}, "uniform, never the same path twice"),
    ],
)
def test_the_schedule_is_said_in_words(document: dict[str, object], words: str) -> None:
    wanted = asked(document, 2)
    assert wanted is not None
    assert words in wanted.words


@pytest.mark.parametrize("document", [None, {"period": -1}, {"unheard_of": 1}])
def test_a_schedule_that_is_not_known_is_none(document: dict[str, object] | None) -> None:
    assert asked(document, 2) is None


def test_round_trips_by_tcps_time_stamps(tmp_path: Path) -> None:
    scene, near, far = Scene(), (INNER, 50000), (WEB, 443)
    for number in range(50):
        begin, took = number * 0.02, 0.010 + number % 5 * 0.001
        scene.see("client", "wg0", begin, tcp(near, far, 400, (1000 + number, 77)))
        scene.see("client", "wg0", begin + took, tcp(far, near, 52, (900 + number, 1000 + number)))
        scene.see("client", "wg0", begin + took + 0.002, tcp(far, near, 1300, (900 + number, 1000 + number)))
        scene.see("client", f"wgnet{number % 2 + 1}", begin, udp((OVERLAY, 4), EXIT[1:], 460))
    across = found(scene, tmp_path).across
    assert across is not None
    assert across.trips is not None
    assert across.trips.seconds == pytest.approx([0.010 + number % 5 * 0.001 for number in range(50)], abs=1e-6)
    assert "TCP" in across.trips_source
    assert "50 round trips out of 150 packets" in across.trips_source


def test_a_server_that_had_nothing_to_say_made_no_round_trip(tmp_path: Path) -> None:
    scene, near, far = Scene(), (INNER, 50000), (WEB, 443)
    for number in range(20):
        # A mere acknowledgement, and data half a second later that repeat its time.
        scene.see("client", "wg0", number, tcp(near, far, 52, (1000 + number, 1)))
        scene.see("client", "wg0", number + 0.5, tcp(far, near, 1300, (1, 1000 + number)))
        scene.see("client", f"wgnet{number % 2 + 1}", number, udp((OVERLAY, 4), EXIT[1:], 112))
    across = found(scene, tmp_path).across
    assert across is not None
    assert across.trips is None
    assert "could not be computed" in across.trips_source


def test_round_trips_by_echo_requests(tmp_path: Path) -> None:
    scene, took = Scene(), [0.010 + number * 7 % 10 / 1000 for number in range(30)]
    for number, seconds in enumerate(took):
        scene.send(number / 20, number % 2, echo(INNER, WEB, number, reply=False), up=True)
        scene.see("client", "wg0", number / 20 + seconds, echo(WEB, INNER, number, reply=True))
    across = found(scene, tmp_path).across
    assert across is not None
    assert across.trips is not None
    assert across.trips.seconds == pytest.approx(took, abs=1e-6)
    assert "ICMP" in across.trips_source


def test_udp_tells_no_round_trip(tmp_path: Path) -> None:
    scene = Scene()
    for number in range(100):
        scene.send(number / 100, number // 10 % 2, udp((INNER, 5), (WEB, 443), 1200), up=number % 2 == 0)
    across = found(scene, tmp_path).across
    assert across is not None
    assert across.trips is None
    assert "QUIC and other UDP do not tell" in across.trips_source


def test_a_dent_at_the_switch_is_seen(tmp_path: Path) -> None:
    scene, near, far = Scene(), (INNER, 50000), (WEB, 443)
    for number in range(20_000):
        time = number / 10_000
        if time % 0.1 < 0.02:  # nothing comes for 20 ms after each switch
            continue
        scene.see("client", "wg0", time, tcp(far, near, 1250, None))
    for number in range(2000):
        scene.see("client", f"wgnet{number // 100 % 2 + 1}", number / 1000, udp((OVERLAY, 4), EXIT[1:], 112))
    across = found(scene, tmp_path).across
    assert across is not None
    middle = (across.down.edges[:-1] + across.down.edges[1:]) / 2
    after = (middle > 0.0) & (middle < 0.02)
    steady = (middle > 0.03) & (middle < 0.07)
    assert across.down.middle[after].max() < 0.2e6
    assert across.down.middle[steady] == pytest.approx(12.5e6, rel=0.05)


def test_bins_are_round_and_not_too_many() -> None:
    for seconds in (0.0, 1e-4, 0.013, 0.7, 3.0, 59.9, 86400.0):
        edges = measure.bins(5.0, 5.0 + seconds, 240)
        assert len(edges) - 1 <= 240
        assert edges[0] == 5.0
        assert edges[-1] >= 5.0 + seconds
    assert measure.bins(0.0, 2.0, 240)[1] == pytest.approx(0.01)
    trace = trace_of([100, 100])
    series = measure.series(trace, measure.bins(0.0, 0.199, 7))
    assert series.packets_up.sum() == 200
    assert series.bytes_up.sum() == 20_000
