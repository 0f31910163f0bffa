"""Reading the files of a capture: what was written, and what is whole of a damaged one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from capture_samples import ETHERNET, EXIT, OVERLAY, RAW, frame, pcapng, udp
from wg_migrate.errors import WgMigrateError

from observe.report.pcapng import read


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_is_read_with_its_devices_times_and_sizes(tmp_path: Path, order: str) -> None:
    long, short = udp((OVERLAY, 1), EXIT[1:], 1300), udp((OVERLAY, 1), EXIT[1:], 40)
    devices = {
        "wg0": [(0.25, short, RAW)],
        "eth0": [(1.000000007, frame(long, True), ETHERNET), (0.5, frame(short, True), ETHERNET)],
    }
    (tmp_path / "a.pcapng").write_bytes(pcapng(devices, order=order))
    recording = read(tmp_path / "a.pcapng")
    assert recording.damage is None
    wg0, eth0 = recording.devices
    assert (wg0.device, wg0.link_type, eth0.device, eth0.link_type) == ("wg0", RAW, "eth0", ETHERNET)
    assert eth0.times.tolist() == [1_700_000_000_500_000_000, 1_700_000_001_000_000_007]
    assert eth0.sizes.tolist() == [54, 1314]
    assert eth0.captured.tolist() == [54, 96]
    assert wg0.heads[0].tobytes() == short + bytes(128 - 40)


def test_microseconds_and_powers_of_two_are_resolutions(tmp_path: Path) -> None:
    whole = pcapng({"wg0": [(1.0, udp((OVERLAY, 1), EXIT[1:], 40), RAW)]})
    for resolution, ticks in ((b"\x06", 5_000_000), (b"\x8a", 5 * 1024), (b"\x03", 5_000)):
        changed = whole.replace(struct.pack("<HH", 9, 1) + b"\x09", struct.pack("<HH", 9, 1) + resolution)
        stamp = 1_700_000_001 * 10**9
        changed = changed.replace(struct.pack("<II", stamp >> 32, stamp & 0xFFFFFFFF), struct.pack("<II", 0, ticks))
        (tmp_path / "a.pcapng").write_bytes(changed)
        assert read(tmp_path / "a.pcapng").devices[0].times.tolist() == [5 * 10**9]


@pytest.mark.parametrize("lost", [1, 3, 10, 60, 130])
def test_what_is_whole_of_a_cut_file_is_read(tmp_path: Path, lost: int) -> None:
    packets = [(number / 10, udp((OVERLAY, 1), EXIT[1:], 60), RAW) for number in range(10)]
    (tmp_path / "a.pcapng").write_bytes(pcapng({"wg0": packets})[:-lost])
    recording = read(tmp_path / "a.pcapng")
    assert len(recording.devices[0].times) == (9 if lost < 92 else 8)
    assert recording.damage
    assert "cut short" in recording.damage


def test_what_stands_before_damage_is_read(tmp_path: Path) -> None:
    packets = [(number / 10, udp((OVERLAY, 1), EXIT[1:], 60), RAW) for number in range(10)]
    data = bytearray(pcapng({"wg0": packets}))
    data[-4:] = b"\1\2\3\4"
    (tmp_path / "a.pcapng").write_bytes(bytes(data))
    recording = read(tmp_path / "a.pcapng")
    assert len(recording.devices[0].times) == 9
    assert recording.damage == "damaged 92 bytes before its end"


@pytest.mark.parametrize("content", [b"", b"\n\r\r\n", b"nothing of the kind" * 9])
def test_what_is_no_pcapng_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pcapng").write_bytes(content)
    with pytest.raises(WgMigrateError, match="is no pcapng file"):
        read(tmp_path / "a.pcapng")
