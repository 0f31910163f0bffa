"""The state as a file for Prometheus' node_exporter, whose textfile collector reads every *.prom of a directory.

The format is https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4, without timestamps, which the
collector refuses); names with wireguard_ are those of https://github.com/mdlayher/wireguard_exporter. What is not known
is left out: NaN would spoil every sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .config import INNER_DEVICE
from .errors import WgMigrateError
from .report import report
from .system import System

SUFFIX = ".prom"
"""How a file must end for the textfile collector to read it."""
HEALTH = ("up", "suspect", "down")

Sample = tuple[Mapping[str, str], Any]
"""Labels and value; a value that is not a finite number stands for "not known"."""
_GAUGE, _COUNTER = "gauge", "counter"

# Name, type, key of the state, help: of WireGuard's own counters, a device and peer at a time.
_OF_PEERS = (
    ("wireguard_peer_receive_bytes_total", _COUNTER, "wireguard_bytes_received", "Bytes received from the peer."),
    ("wireguard_peer_transmit_bytes_total", _COUNTER, "wireguard_bytes_sent", "Bytes sent to the peer."),
)
# Of the running loop.
_OF_LOOP = (
    ("wg_migrate_loop_running_seconds", _GAUGE, "running_seconds", "How long the loop has been running."),
    ("wg_migrate_loop_replayed", _GAUGE, "replayed", "Whether a seed is set: the schedule is replayed, not random."),
    ("wg_migrate_switches_total", _COUNTER, "switches", "Changes of path since the loop started."),
    ("wg_migrate_switches_missed_total", _COUNTER, "switches_missed", "Deadlines that passed without a switch."),
    ("wg_migrate_switches_failed_total", _COUNTER, "switches_failed", "Switches that the kernel refused."),
    ("wg_migrate_nudges_total", _COUNTER, "nudges", "Small packets that tell the exit of a new path."),
    ("wg_migrate_nudges_failed_total", _COUNTER, "nudges_failed", "Small packets that could not be sent."),
    ("wg_migrate_repairs_total", _COUNTER, "repairs", "Repairs of the tunnel that the loop made."),
    ("wg_migrate_switch_lateness_mean_seconds", _GAUGE, "lateness_mean", "Mean delay of a switch past its deadline."),
    ("wg_migrate_switch_lateness_worst_seconds", _GAUGE, "lateness_worst", "Worst delay of a switch."),
    ("wg_migrate_all_paths_down", _GAUGE, "all_down", "Whether every path is down: nothing passes, nothing leaks."),
)
# Of a path. Packets and bytes are those inside its tunnel, from the device's counters.
_OF_PATHS = (
    ("wg_migrate_path_session_live", _GAUGE, "live", "Whether the path has a WireGuard session."),
    ("wg_migrate_path_health_seconds", _GAUGE, "since_seconds", "How long the path has been in its state of health."),
    ("wg_migrate_path_rtt_seconds", _GAUGE, "rtt", "Round trip of the last answered probe."),
    ("wg_migrate_path_probes_sent_total", _COUNTER, "probes_sent", "Probes sent over the path."),
    ("wg_migrate_path_probes_answered_total", _COUNTER, "probes_answered", "Probes answered over the path."),
    ("wg_migrate_path_switches_total", _COUNTER, "switches", "Switches to the path since the loop started."),
    ("wg_migrate_path_session_packets", _GAUGE, "packets_up_session", "Packets sent on the path in this session."),
    ("wg_migrate_path_session_share_ratio", _GAUGE, "share_session", "Share of this session's packets sent, 0 to 1."),
    ("wg_migrate_path_share_ratio", _GAUGE, "share", "Share of all packets sent since the loop started, 0 to 1."),
)


def write(system: System, path: str) -> None:
    """Replace the file by the state of now, readable for all; a reader never sees half of it.

    Where the state cannot be told (not deployed, `ip` or `wg` fails), the file says that tunnel and loop are not up, so
    that no old figures stand in it, and WgMigrateError is raised. Raises it also, with nothing written, for a path
    that node_exporter would not read; OSError where the directory cannot be written to.
    """
    if not path.startswith("/") or not path.endswith(SUFFIX) or path.endswith(f"/{SUFFIX}"):
        raise WgMigrateError(
            f"{path!r} is refused: write a file with its whole path that ends in {SUFFIX}, which is what node_exporter "
            f"reads, for example /var/lib/prometheus/node-exporter/wg-migrate{SUFFIX}"
        )
    try:
        state = report(system)
    except WgMigrateError:
        system.write(path, text(None), 0o644)
        raise
    system.write(path, text(state), 0o644)


def text(state: dict[str, Any] | None) -> str:
    """Return the metrics of a report as Prometheus reads them; None is a state that could not be told."""
    loop = state and state["loop"]
    families = [
        _family(
            "wg_migrate_up", _GAUGE, "Whether every device of the tunnel is there.", [({}, bool(state and state["up"]))]
        ),
        _family("wg_migrate_loop_running", _GAUGE, "Whether the migration loop runs and answers.", [({}, bool(loop))]),
    ]
    if state:
        families += [*_of_tunnel(state), *_of_paths(state), *_of_loop(loop or {})]
    return "".join(families)


def _of_tunnel(state: dict[str, Any]) -> list[str]:
    """Return what WireGuard itself counts, with the labels and meanings of wireguard_exporter."""
    ends = {
        INNER_DEVICE: {"proxy": state["exit"], "endpoint": state["exit_endpoint"], **state["inner"]},
        **state["paths"],
    }
    known = {name: end for name, end in ends.items() if end.get("peer_public_key")}
    labels = {name: {"device": name, "public_key": end["peer_public_key"]} for name, end in known.items()}
    about = {name: {**labels[name], "endpoint": end["endpoint"], "name": end["proxy"]} for name, end in known.items()}
    devices = [({"device": name, "public_key": end["public_key"]}, 1) for name, end in known.items()]
    # 0 is what wireguard_exporter says of a peer without a handshake.
    handshakes = [(labels[name], end["handshake_time"] or 0) for name, end in known.items()]
    info = {key: state[key] for key in ("scope", "implementation", "exit")}
    return [
        _family("wg_migrate_info", _GAUGE, "What this client was deployed as.", [(info, 1)]),
        _family("wireguard_device_info", _GAUGE, "A WireGuard device and its own public key.", devices),
        _family(
            "wireguard_peer_info",
            _GAUGE,
            "A device's peer: endpoint, name, public key.",
            [(about[n], 1) for n in known],
        ),
        *(_family(n, kind, says, [(labels[d], known[d][key]) for d in known]) for n, kind, key, says in _OF_PEERS),
        _family(
            "wireguard_peer_last_handshake_seconds",
            _GAUGE,
            "UNIX time of the last handshake with the peer, 0 without any.",
            handshakes,
        ),
    ]


def _of_paths(state: dict[str, Any]) -> list[str]:
    paths = [({"path": name, "proxy": path["proxy"]}, path) for name, path in state["paths"].items()]
    healths = [
        ({**labels, "state": health}, path["health"] == health)
        for labels, path in paths
        if path["health"]
        for health in HEALTH
    ]
    ways = [({**labels, "direction": way}, path, way) for labels, path in paths for way in ("up", "down")]
    return [
        *(
            _family(name, kind, says, [(labels, p.get(key)) for labels, p in paths])
            for name, kind, key, says in _OF_PATHS
        ),
        _family(
            "wg_migrate_path_active",
            _GAUGE,
            "Whether the default route of the paths' namespace stands on the path.",
            [(labels, labels["path"] == state["active"]) for labels, _ in paths],
        ),
        _family("wg_migrate_path_health", _GAUGE, "1 for the state of health that the path is in, else 0.", healths),
        _family(
            "wg_migrate_path_packets_total",
            _COUNTER,
            "Packets inside the path's tunnel, by direction as the client sees it.",
            [(labels, path.get(f"packets_{way}")) for labels, path, way in ways],
        ),
        _family(
            "wg_migrate_path_bytes_total",
            _COUNTER,
            "Bytes inside the path's tunnel, by direction as the client sees it.",
            [(labels, path.get(f"bytes_{way}")) for labels, path, way in ways],
        ),
    ]


def _of_loop(loop: dict[str, Any]) -> list[str]:
    schedule, session = loop.get("schedule") or {}, loop.get("session") or {}
    # The seed is not among them: who knows it knows every switch to come.
    about = {"unit": "period" if "period" in schedule else "packets", "strategy": str(schedule.get("strategy", ""))}
    problem = bool(loop["problem"]) if "problem" in loop else None
    return [
        *(_family(name, kind, says, [({}, loop.get(key))]) for name, kind, key, says in _OF_LOOP),
        _family(
            "wg_migrate_loop_problem", _GAUGE, "Whether the loop reports a problem: see its status.", [({}, problem)]
        ),
        _family(
            "wg_migrate_schedule_info", _GAUGE, "By what the loop switches, and how.", [(about, 1)] if schedule else []
        ),
        _family(
            "wg_migrate_schedule_period_seconds",
            _GAUGE,
            "Seconds between two switches, where they go by time.",
            [({}, schedule.get("period"))],
        ),
        _family(
            "wg_migrate_session_number", _GAUGE, "Which session of the schedule this is.", [({}, session.get("number"))]
        ),
        _family("wg_migrate_session_seconds", _GAUGE, "How old this session is.", [({}, session.get("seconds"))]),
    ]


def _family(name: str, kind: str, says: str, samples: Iterable[Sample]) -> str:
    """Return a metric's lines, or nothing where no sample of it is known."""
    known = [(labels, value) for labels, value in samples if isinstance(value, (int, float)) and math.isfinite(value)]
    if not known:
        return ""
    lines = [f"{name}{_braces(labels)} {_number(value)}\n" for labels, value in known]
    return f"# HELP {name} {_escape(says)}\n# TYPE {name} {kind}\n{''.join(lines)}"


def _braces(labels: Mapping[str, str]) -> str:
    pairs = [f'{name}="{_escape(value, quoted=True)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escape(words: str, quoted: bool = False) -> str:
    """Return words as the format wants them: backslash and line feed escaped, and in a label's value the quote."""
    words = words.replace("\\", "\\\\").replace("\n", "\\n")
    return words.replace('"', '\\"') if quoted else words


def _number(value: float) -> str:
    return repr(int(value)) if isinstance(value, (bool, int)) else repr(value)
