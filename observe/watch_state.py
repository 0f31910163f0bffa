"""What is known of each host at the moment, and what follows from two looks: rates. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Report = dict[str, Any]
_WAYS = ("bytes_up", "bytes_down")
_FADING = 0.97
"""Of the peak from one report to the next, a second later: half of it is left after 23 s."""


@dataclass
class HostState:
    """The last two things that a host told of itself, and what has become of it.

    `report` is what `wg-migrate status --json` says (client); `figures` what observe/remote/figures.py says. `heard` is
    when something was heard last, in seconds of the monotonic clock. `leaks` counts the packets that left a client
    beside its tunnel while it was watched, and `leak` is the last of them as tcpdump prints it; None where nobody can
    tell. `peak` is the highest rate of a path, in bytes a second, slowly forgotten: the measure of all bars.
    """

    name: str
    role: str
    problem: str | None = "not reached yet"
    heard: float | None = None
    report: Report | None = None
    report_before: Report | None = None
    figures: Report | None = None
    figures_before: Report | None = None
    leaks: int | None = None
    leak: str | None = None
    peak: float = 0.0

    def take_report(self, report: Report, now: float) -> None:
        """Take what the client's command said; one with key `error` tells no more than that."""
        self.heard, self.problem = now, None
        self.report_before, self.report = self.report, report
        paths = report.get("paths", {})
        rates = [rate(self.report_before, report, "paths", path, key) for path in paths for key in _WAYS]
        self.peak = max([self.peak * _FADING, *filter(None, rates)])

    def take_figures(self, figures: Report, now: float) -> None:
        """Take what a host's figures are."""
        self.heard, self.problem = now, None
        self.figures_before, self.figures = self.figures, figures

    def forget(self) -> None:
        """Begin anew after the host was away: its counters may have begun anew, and rates would be of another time."""
        self.report_before = self.figures_before = None


@dataclass(frozen=True)
class PathView:
    """A path now: bytes a second each way, the health that the loop gives it, seconds since its last handshake."""

    name: str
    proxy: str
    active: bool
    health: str
    up: float | None
    down: float | None
    share: float | None
    rtt: float | None
    handshake_age: float | None


@dataclass(frozen=True)
class ClientView:
    """A client now: its paths, switches a second, how late they are (s), leaks; and what is wrong, in sentences."""

    paths: tuple[PathView, ...]
    switches: float | None
    lateness_mean: float | None
    lateness_worst: float | None
    schedule: Report | None
    leaks: int | None
    held_back: int | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ServerView:
    """A proxy or an exit now: bytes a second from and to its clients, packets dropped, seconds since each handshake."""

    up: float | None
    down: float | None
    dropped: int | None
    handshake_ages: tuple[float | None, ...]
    problems: tuple[str, ...] = field(default=())


def rate(before: Report | None, after: Report | None, *keys: str) -> float | None:
    """Return by how much a counter grew in a second between two looks; None where that is not known.

    A counter that went back began anew.
    """
    if before is None or after is None:
        return None
    seconds = after["time"] - before["time"]
    first, last = _at(before, keys), _at(after, keys)
    if first is None or last is None or last < first or seconds <= 0:
        return None
    return (last - first) / float(seconds)


def _at(report: Report, keys: tuple[str, ...]) -> float | None:
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, (int, float)) else None


def client_view(state: HostState) -> ClientView:
    """Return what a client's last two reports show."""
    report, before = state.report, state.report_before
    held_back = state.figures["dropped"] if state.figures else None
    if report is None or "error" in report:
        said = (str(report["error"]),) if report else ()
        return ClientView((), None, None, None, None, state.leaks, held_back, said)
    # Batches have no one path that all packets take.
    loop = report["loop"] or {}
    walks = "period" not in (loop.get("schedule") or {"period": 0})
    active = None if walks else report["active"]
    paths = tuple(_path(name, path, name == active, before, report) for name, path in report["paths"].items())
    problems = [] if report["up"] else ["the tunnel is not up"]
    problems += [] if report["loop"] else [f"the loop is stopped: {report['loop_problem']}"]
    problems += ["ALL PATHS ARE DOWN"] if loop.get("all_down") else []
    problems += [loop["problem"]] if loop.get("problem") else []
    return ClientView(
        paths,
        rate(before, report, "loop", "switches"),
        None if walks else loop.get("lateness_mean"),
        None if walks else loop.get("lateness_worst"),
        loop.get("schedule"),
        state.leaks,
        held_back,
        tuple(problems),
    )


def _path(name: str, path: Report, active: bool, before: Report | None, report: Report) -> PathView:
    usual = "session" if path["live"] else "no session"
    health = (path["health"] or usual) if path["present"] else "no device"
    return PathView(
        name,
        path["proxy"],
        active,
        health,
        rate(before, report, "paths", name, "bytes_up"),
        rate(before, report, "paths", name, "bytes_down"),
        path.get("share_session"),
        path.get("rtt"),
        path.get("handshake_age"),
    )


def server_view(state: HostState) -> ServerView:
    """Return what the last two figures of a proxy or an exit show. What it receives is the clients' way up."""
    figures, before = state.figures, state.figures_before
    if figures is None:
        return ServerView(None, None, None, ())
    problems = [] if figures["counters"] else ["its WireGuard device is not there: run site.yml"]
    problems += [] if figures["dropped"] is not None else ["its nft table is not there: run site.yml"]
    ages = tuple(
        max(0.0, figures["time"] - peer["handshake"]) if peer.get("handshake") else None
        for peer in figures["peers"].values()
    )
    return ServerView(
        rate(before, figures, "counters", "rx_bytes"),
        rate(before, figures, "counters", "tx_bytes"),
        figures["dropped"],
        ages,
        tuple(problems),
    )
