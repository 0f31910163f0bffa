from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from client_samples import CONFIG, config
from fake_system import FakeSystem
from test_report import ANSWER, NOT_RUNNING, NOW, answers, peer
from wg_migrate import control, metrics
from wg_migrate.config import PATH, dump
from wg_migrate.errors import WgMigrateError
from wg_migrate.report import report
from wg_migrate.system import Outcome, System

FILE = "/var/lib/prometheus/node-exporter/wg-migrate.prom"
NOTHING = {"wg_migrate_up": 0.0, "wg_migrate_loop_running": 0.0}

Samples = dict[str, float]
_NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? ([^ ]+)")


def parse(text: str) -> Samples:
    """Return the samples by name and labels, and refuse what the format forbids.

    https://prometheus.io/docs/instrumenting/exposition_formats/; stricter than that, every metric has a HELP and a
    TYPE, no sample has a timestamp, and no value is NaN or infinite.
    """
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    samples: Samples = {}
    family = ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            _, _, family, said = line.split(" ", 3)
            assert re.fullmatch(_NAME, family), line
            assert said, line
            assert not re.search(r"\\[^\\n]", said), line
            assert family not in kinds, f"{family} comes twice"
            kinds[family] = ""
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert (name, kinds[name]) == (family, ""), line
            assert kind in {"counter", "gauge"}, line
            # https://prometheus.io/docs/practices/naming/
            assert (kind == "counter") == name.endswith("_total"), line
            kinds[family] = kind
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample, line
            assert sample.group(1) == family, f"{line} is not in its family"
            assert kinds[family], line
            names = [name for name, _ in re.findall(_LABEL, sample.group(2) or "")]
            assert len(set(names)) == len(names), line
            key = line.rpartition(" ")[0]
            assert key not in samples, f"{key} comes twice"
            samples[key] = float(sample.groups()[-1])
            assert abs(samples[key]) < float("inf"), line
    return samples


def state(of_path: dict[str, Any] | None = None, **of_loop: Any) -> dict[str, Any]:
    """Return the report of a client with some changed of what the loop says, in all and of wgnet1."""
    answer = json.loads(json.dumps(ANSWER))
    answer.update(of_loop)
    answer["paths"]["wgnet1"].update(of_path or {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "ask", lambda _request: answer)
        patch.setattr("time.time", lambda: NOW)
        return report(FakeSystem(answers(), {PATH: dump(CONFIG)}))


def read(**changes: Any) -> Samples:
    return parse(metrics.text(state(**changes)))


WGNET1 = 'path="wgnet1",proxy="proxy1"'
TOLD = {
    "wg_migrate_up": 1,
    "wg_migrate_loop_running": 1,
    'wg_migrate_info{scope="host",implementation="kernel",exit="exit"}': 1,
    'wireguard_device_info{device="wgnet1",public_key="OURS-wgnet1"}': 1,
    'wireguard_peer_info{device="wg0",public_key="PUBLIC-OF-EXIT",endpoint="192.0.2.20:51820",name="exit"}': 1,
    'wireguard_peer_info{device="wgnet2",public_key="PUBLIC-OF-PROXY2",endpoint="192.0.2.12:51821",name="proxy2"}': 1,
    'wireguard_peer_receive_bytes_total{device="wgnet1",public_key="PUBLIC-OF-PROXY1"}': 7000,
    'wireguard_peer_transmit_bytes_total{device="wg0",public_key="PUBLIC-OF-EXIT"}': 8000,
    'wireguard_peer_last_handshake_seconds{device="wgnet1",public_key="PUBLIC-OF-PROXY1"}': NOW - 42,
    'wireguard_peer_last_handshake_seconds{device="wgnet2",public_key="PUBLIC-OF-PROXY2"}': 0,
    f'wg_migrate_path_health{{{WGNET1},state="up"}}': 1,
    f'wg_migrate_path_health{{{WGNET1},state="suspect"}}': 0,
    'wg_migrate_path_health{path="wgnet2",proxy="proxy2",state="down"}': 1,
    f"wg_migrate_path_active{{{WGNET1}}}": 1,
    f"wg_migrate_path_session_live{{{WGNET1}}}": 1,
    f'wg_migrate_path_packets_total{{{WGNET1},direction="up"}}': 200,
    f'wg_migrate_path_bytes_total{{{WGNET1},direction="down"}}': 200_001,
    f"wg_migrate_path_rtt_seconds{{{WGNET1}}}": 0.0012,
    f"wg_migrate_path_probes_sent_total{{{WGNET1}}}": 10,
    f"wg_migrate_path_probes_answered_total{{{WGNET1}}}": 9,
    f"wg_migrate_path_session_share_ratio{{{WGNET1}}}": 0.5,
    f"wg_migrate_path_share_ratio{{{WGNET1}}}": 0.497,
    f"wg_migrate_path_switches_total{{{WGNET1}}}": 60,
    "wg_migrate_switches_total": 120,
    "wg_migrate_switches_missed_total": 0,
    "wg_migrate_switch_lateness_mean_seconds": 0.0003,
    "wg_migrate_switch_lateness_worst_seconds": 0.004,
    "wg_migrate_all_paths_down": 0,
    "wg_migrate_loop_problem": 0,
    "wg_migrate_loop_replayed": 0,
    "wg_migrate_session_number": 3,
    'wg_migrate_schedule_info{unit="period",strategy="round_robin"}': 1,
    "wg_migrate_schedule_period_seconds": 0.1,
}


@pytest.mark.parametrize("sample", TOLD)
def test_tells(sample: str) -> None:
    assert read()[sample] == TOLD[sample]


@pytest.mark.parametrize(
    ("changes", "sample"),
    [
        ({"all_down": True}, "wg_migrate_all_paths_down"),
        ({"replayed": True}, "wg_migrate_loop_replayed"),
        ({"problem": "schedule.json is not used"}, "wg_migrate_loop_problem"),
        ({"schedule": {"packets": [50, 70], "strategy": "dirichlet", "seed": 4711}},
         'wg_migrate_schedule_info{unit="packets",strategy="dirichlet"}'),
    ],
)  # fmt: skip
def test_what_the_loop_has_to_say_is_a_sample(changes: dict[str, Any], sample: str) -> None:
    assert read(**changes)[sample] == 1


def test_the_seed_is_not_told() -> None:
    assert "4711" not in metrics.text(state(schedule={"period": 1.0, "strategy": "uniform", "seed": 4711}))


@pytest.mark.parametrize("absent", [None, float("nan"), float("inf")])
def test_what_is_not_known_is_left_out(absent: object) -> None:
    changed = state(of_path={"rtt": absent, "share": absent, "share_session": absent})
    samples = parse(metrics.text(changed))
    assert not [name for name in samples if "rtt" in name]
    assert [name for name in samples if "path_share_ratio" in name] == [
        'wg_migrate_path_share_ratio{path="wgnet2",proxy="proxy2"}'
    ]


def test_with_packets_there_is_no_period() -> None:
    samples = read(schedule={"packets_mean": 20.0, "strategy": "uniform"})
    assert "wg_migrate_schedule_period_seconds" not in samples


def test_a_stopped_loop_leaves_what_the_devices_count(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = parse(metrics.text(_stopped(monkeypatch)))
    assert (samples["wg_migrate_up"], samples["wg_migrate_loop_running"]) == (1, 0)
    assert samples[f'wg_migrate_path_packets_total{{{WGNET1},direction="up"}}'] == 200
    of_the_loop = re.compile(
        "switch|lateness|rtt|share|health|probes|session_(n|p|sec)|all_paths|schedule|problem|replayed"
    )
    assert [name for name in samples if of_the_loop.search(name)] == []


def _stopped(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    def ask(_request: dict[str, Any]) -> dict[str, Any]:
        raise WgMigrateError(NOT_RUNNING)

    monkeypatch.setattr(control, "ask", ask)
    return report(FakeSystem(answers(), {PATH: dump(CONFIG)}))


def test_a_label_may_hold_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = _stopped(monkeypatch)
    changed["paths"]["wgnet1"]["proxy"] = 'a\\b"c\nd{e},f="g"'
    samples = parse(metrics.text(changed))
    assert 'wg_migrate_path_active{path="wgnet1",proxy="a\\\\b\\"c\\nd{e},f=\\"g\\""}' in samples


def test_no_secret_is_told() -> None:
    told = metrics.text(state())
    assert "PRIVATE" not in told
    assert "PRESHARED" not in told


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    """Make a client whose loop runs, with the file of a moment ago."""
    monkeypatch.setattr(control, "ask", lambda _request: json.loads(json.dumps(ANSWER)))
    return FakeSystem(answers(), {PATH: dump(CONFIG), FILE: metrics.text(state(switches=119))})


def test_the_file_is_of_now_and_for_all_to_read(host: FakeSystem) -> None:
    metrics.write(host, FILE)
    assert parse(host.files[FILE])["wg_migrate_switches_total"] == 120
    assert host.modes[FILE] == 0o644


def test_of_a_client_that_is_not_deployed_no_old_figure_stays(host: FakeSystem) -> None:
    host.remove(PATH)
    with pytest.raises(WgMigrateError, match="deploy this client first"):
        metrics.write(host, FILE)
    assert parse(host.files[FILE]) == NOTHING


def test_where_wg_fails_no_old_figure_stays(host: FakeSystem) -> None:
    host.answers["ip netns exec wgnet wg"] = Outcome(1, "", "Unable to access interface: Operation not permitted")
    del host.answers["ip netns exec wgnet wg show all dump"]
    with pytest.raises(WgMigrateError, match="not permitted"):
        metrics.write(host, FILE)
    assert parse(host.files[FILE]) == NOTHING


@pytest.mark.parametrize("path", ["wg-migrate.prom", "/var/lib/wg-migrate.txt", "/var/lib/.prom", "", "/x.prom/"])
def test_a_file_that_nobody_would_read_is_refused_and_not_written(host: FakeSystem, path: str) -> None:
    before = set(host.files)
    with pytest.raises(WgMigrateError, match=r"write a file with its whole path that ends in \.prom"):
        metrics.write(host, path)
    assert set(host.files) == before


def test_a_real_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    class Real(FakeSystem):
        def write(self, path: str, text: str, mode: int = 0o644) -> None:
            System.write(self, path, text, mode)

    file = tmp_path / "wg-migrate.prom"
    file.write_text("old\n")
    with pytest.raises(WgMigrateError):
        metrics.write(Real(), str(file))
    assert parse(file.read_text()) == NOTHING
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_a_scope_and_a_peer_more_are_told_alike() -> None:
    system = FakeSystem(answers(), {PATH: dump(config(scope="namespace"))})
    system.answers["ip netns exec comps ip -json -statistics link show"] = "[]"
    system.answers["ip netns exec comps wg show all dump"] = peer("wg0", "PUBLIC-OF-EXIT", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "ask", lambda _request: ANSWER)
        samples = parse(metrics.text(report(system)))
    assert samples["wg_migrate_up"] == 0
    assert not [name for name in samples if 'device="wg0"' in name]
