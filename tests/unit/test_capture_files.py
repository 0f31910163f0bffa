"""What a capture writes: tcpdump's stream read in any portions, the file in the order of time, its blocks whole."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from pcapng_blocks import blocks
from wg_migrate.errors import WgMigrateError

from observe.clocks import Offset, Sample, estimate
from observe.pcap import Packet, Reader
from observe.point_file import PointFile, dropped_packets
from observe.points import Stream

SECOND = 1_000_000_000
RAW, ETHERNET = 12, 1


def savefile(*packets: tuple[int, bytes, int], order: str = "<", link_type: int = RAW) -> bytes:
    """Return what tcpdump writes of packets: when each was seen (ns), what is kept of it, and its length."""
    parts = [struct.pack(f"{order}IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 96, link_type)]
    for time, data, length in packets:
        parts.append(struct.pack(f"{order}4I", time // SECOND, time % SECOND, len(data), length) + data)
    return b"".join(parts)


STREAMS = [Stream("wg0", "inner", None, "tcp"), Stream("eth0", "outer", None, "")]


def begun(path: Path, begin: int = 0, offset: int = 0) -> PointFile:
    file = PointFile(path, STREAMS)
    for number, link_type in enumerate((RAW, ETHERNET)):
        assert not file.ready
        file.take(number, savefile(link_type=link_type))
    assert file.ready
    file.begin(begin, Offset(offset, 400_000))
    return file


def records(*packets: tuple[int, bytes, int]) -> bytes:
    return savefile(*packets)[24:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [1, 7, 24, 1000])
def test_a_stream_is_read_wherever_it_is_cut(order: str, size: int) -> None:
    packets = [(5 * SECOND + 7, b"abcde", 1500), (6 * SECOND, b"", 40), (7 * SECOND, bytes(96), 96)]
    data, reader = savefile(*packets, order=order), Reader()
    found = [packet for at in range(0, len(data), size) for packet in reader.feed(data[at : at + size])]
    assert found == [Packet(time, length, kept) for time, kept, length in packets]
    assert reader.header is not None
    assert (reader.header.link_type, reader.header.snap) == (RAW, 96)


def test_microseconds_are_read_as_such() -> None:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, RAW)
    assert list(Reader().feed(head + struct.pack("<4I", 1, 2, 0, 40))) == [Packet(SECOND + 2000, 40, b"")]


def test_what_is_no_capture_is_refused() -> None:
    with pytest.raises(WgMigrateError, match="is no capture: it begins with b'nonsense"):
        list(Reader().feed(b"nonsense" * 4))


def test_a_file_has_every_device_and_every_packet_in_the_order_of_time(tmp_path: Path) -> None:
    file = begun(tmp_path / "client.pcapng", offset=1_500_000)
    file.take(1, records((9 * SECOND, b"four", 1452)))
    file.take(0, records((8 * SECOND, b"three", 1340), (10 * SECOND, b"x", 1)))
    file.close([0, 3])
    found = blocks((tmp_path / "client.pcapng").read_bytes())
    assert found.devices == [("wg0", "inner", RAW, 96, 9, "tcp"), ("eth0", "outer", ETHERNET, 96, 9, "")]
    assert found.packets == [
        (0, Packet(8 * SECOND, 1340, b"three")),
        (1, Packet(9 * SECOND, 1452, b"four")),
        (0, Packet(10 * SECOND, 1, b"x")),
    ]
    assert found.figures == [(0, 2, 0), (1, 1, 3)]
    assert found.comment.startswith("clock of this host minus the controller's: +0.001500 s, known to 0.000400 s")
    assert (file.packets, found.rest) == (3, b"")


def test_packets_are_written_while_they_come(tmp_path: Path) -> None:
    """What has come before a host drops out, or the controller is killed, can be read."""
    file = begun(tmp_path / "client.pcapng")
    for second in range(1, 7):
        file.take(0, records((second * SECOND, b"", 40)))
    seen = blocks((tmp_path / "client.pcapng").read_bytes())
    assert [packet.time // SECOND for _, packet in seen.packets] == [1, 2, 3, 4]
    assert seen.rest == b""
    file.close([0, 0])


def test_all_files_begin_and_end_at_the_same_instant_by_the_hosts_own_clocks(tmp_path: Path) -> None:
    """The host's clock is 100 s ahead: what it saw at 103 was at 3 by ours."""
    file = begun(tmp_path / "exit.pcapng", begin=3 * SECOND, offset=100 * SECOND)
    file.end = 5 * SECOND
    times = [102_999_999_999, 103 * SECOND, 105 * SECOND, 105 * SECOND + 1]
    file.take(0, records(*((time, b"", 40) for time in times)))
    file.close([0, 0])
    assert [packet.time for _, packet in blocks((tmp_path / "exit.pcapng").read_bytes()).packets] == times[1:3]


def test_nothing_is_kept_before_all_have_begun(tmp_path: Path) -> None:
    file = PointFile(tmp_path / "exit.pcapng", STREAMS[:1])
    file.take(0, savefile((SECOND, b"", 40)))
    assert not (tmp_path / "exit.pcapng").exists()
    file.begin(0, Offset(0, 0))
    file.close([0])
    assert blocks((tmp_path / "exit.pcapng").read_bytes()).packets == []


def test_a_full_disk_is_said_and_not_taken_for_a_broken_connection() -> None:
    file = PointFile(Path("/dev/full"), STREAMS[:1])
    file.take(0, savefile())
    with pytest.raises(WgMigrateError, match="/dev/full cannot be written: No space left on device"):
        file.begin(0, Offset(0, 0))


def test_the_quickest_answer_tells_the_clock() -> None:
    """The host is 1000 ahead; the slow answer waited on its way back, and would tell 1400."""
    samples = [Sample(0, 1000, 1900), Sample(2000, 2020, 3012), Sample(5000, 4000, 7000)]
    assert estimate(samples) == Offset(1002, 10)
    with pytest.raises(ValueError, match="empty"):
        estimate(samples[2:])


def test_tcpdump_says_what_it_missed() -> None:
    said = "listening on wg0\n12 packets captured\n15 packets received by filter\n3 packets dropped by kernel\n"
    assert dropped_packets(said) == 3
    assert dropped_packets("tcpdump: wg0: No such device exists\n") is None
