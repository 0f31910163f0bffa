"""The reading of captures in tests/vm: a test that counts late packets must not miss them."""

from __future__ import annotations

from tests.vm.switches import Switch, read, switches

CLIENT, EXIT, NAMES = "10.0.0.1", "10.0.0.9", {"A": "10.0.0.2", "B": "10.0.0.3"}


def line(milliseconds: float, source: str, destination: str, length: int = 1100) -> str:
    who = {"C": CLIENT, "E": EXIT, **NAMES}
    clock = f"10:20:{30 + milliseconds / 1000:09.6f}"
    return f"{clock} IP {who[source]}.51820 > {who[destination]}.51820: UDP, length {length}"


def both(milliseconds: float, proxy: str, delay: float) -> list[str]:
    """Return a packet of the client's by a proxy, as the wire has it before and behind that."""
    return [line(milliseconds, "C", proxy), line(milliseconds + delay, proxy, "E")]


def capture() -> list[str]:
    """Return switches to A, B, A and B; B is 70 ms slower. The exit sends every 20 ms to whom it heard last."""
    sent = [(0, "A"), *((100 + 20 * n, "B") for n in range(5)), *((200 + 20 * n, "A") for n in range(5)), (300, "B")]
    lines = [entry for when, proxy in sent for entry in both(when, proxy, 10 if proxy == "A" else 80)]
    downstream = [(240, "A"), (265, "B"), (290, "A")]
    return sorted([*lines, *(line(when, "E", proxy) for when, proxy in downstream)])


def test_packets_that_the_new_path_overtook_are_late_and_the_exit_goes_astray_with_them() -> None:
    found = switches(read(capture(), 1000), CLIENT, EXIT)
    # To B nothing is late, as A is the faster. To A: what went by B at 140, 160 and 180 arrives behind 210.
    assert found == [Switch(NAMES["B"], 0, 0, 0.0), Switch(NAMES["A"], 3, 1, found[1].settled)]
    assert abs(found[1].settled - 0.05) < 1e-6


def test_short_packets_and_other_lines_do_not_count() -> None:
    lines = [line(0, "C", "A", 96), "10:20:30.0 ARP, Request who-has 10.0.0.1", line(1, "C", "A")]
    assert len(read(lines, 1000)) == 1
    assert read([line(5, "C", "A").replace("IP ", "IP6 ")], 1000)[0].destination == NAMES["A"]
