"""The report as its user meets it: the page, the figures, and what is said where something is wrong."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from capture_samples import ETHERNET, EXIT, OVERLAY, UPLINK, Scene, download, frame, udp

from observe.report import draw
from observe.report.capture import load
from observe.report.cli import main
from observe.report.findings import find
from observe.report.page import page
from observe.report.style import sign

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ["glance", "shares", "observers", "bursts", "across", "leaks", "points"]


class Page(HTMLParser):
    """What a page has of tags, and of pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attributes.get(name) or "" for each, attributes in self.tags if each == tag]

    @property
    def pictures(self) -> list[str]:
        return [base64.b64decode(source.partition("base64,")[2]).decode() for source in self.attributes("img", "src")]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    scene = Scene()
    download(scene)
    return scene.write(tmp_path / "capture", offsets={"wgnet1": 1.5})


def written(capture: Path) -> Page:
    assert main([str(capture)]) == 0
    return Page((capture / "report.html").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a capture with its report, for those who only look at it: a page takes a second."""
    directory = tmp_path_factory.mktemp("whole")
    scene = Scene()
    download(scene)
    scene.write(directory)
    command = [str(each) for each in (ROOT / "scripts" / "report", directory, "--json", directory / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{directory}/report\.html \(\d+ kB\)\n", done.stdout)
    return directory


def looked_at(whole: Path) -> Page:
    return Page((whole / "report.html").read_text())


def test_the_page_has_every_part_with_picture_words_and_table(whole: Path) -> None:
    made = looked_at(whole)
    assert made.attributes("section", "id") == SECTIONS
    assert len(made.pictures) == 5  # no leak, so no picture of leaks
    assert all(len(words) > 40 for words in made.attributes("img", "alt"))
    assert len(made.attributes("table", "class")) >= 6
    assert "Not in this report" not in made.text


def test_the_page_needs_nothing_beside_itself(whole: Path) -> None:
    made = looked_at(whole)
    assert {"script", "link", "iframe", "object"} & {tag for tag, _ in made.tags} == set()
    assert all(source.startswith("data:image/svg+xml;base64,") for source in made.attributes("img", "src"))
    text = (whole / "report.html").read_text()
    assert "default-src 'none'" in text
    assert "url(" not in text
    for picture in made.pictures:
        assert picture.startswith("<?xml")
        assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', picture))


def test_the_same_capture_gives_the_same_page(whole: Path) -> None:
    assert page(find(load(whole))) == (whole / "report.html").read_text()


def test_every_figure_names_its_point_and_its_packets(whole: Path) -> None:
    made = looked_at(whole)
    for words in (
        "client, overlay layer, 1500 packets",
        "wgnet1, overlay layer, 750 packets",
        "exit, outer layer, 1500 packets",
    ):
        assert words in made.text
    assert "client, outer layer, 1500 packets. What was captured there: not tcp port 22." in made.text


def test_leaks_are_an_alarm_and_names_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    scene = Scene()
    download(scene)
    scene.see("client", "eth0", 0.5, frame(udp((UPLINK, 5353), ("198.51.100.53", 53), 60), True), ETHERNET)
    made = written(scene.write(tmp_path, command=["curl", "<script>alert(1)</script>"], client="<b>client</b>"))
    assert "lead alarm" in made.attributes("p", "class")
    assert f"{UPLINK}:5353 > 198.51.100.53:53 udp" in made.text
    assert len(made.pictures) == 6
    assert "<script>alert(1)</script>" in made.text
    assert {"script", "b"} & {tag for tag, _ in made.tags} == set()


def test_the_figures_are_written_for_programs(whole: Path) -> None:
    figures = json.loads((whole / "figures.json").read_text())
    assert figures["switches"]["count"] == 9
    assert [path["packets_down"] for path in figures["shares"]["paths"]] == [500, 500]
    assert figures["leaks"]["counts"]["leaks"] == 0
    assert figures["missing"] == {}
    glance = figures["glance"]
    assert sum(sum(series["bytes_down"]) for series in glance["whole"]) == glance["sent"]["bytes_down"]


def test_what_is_missing_is_said_on_the_page_and_beside_it(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (capture / "wgnet2.pcapng").write_bytes((capture / "wgnet2.pcapng").read_bytes()[:-30])
    (capture / "wgnet1.pcapng").write_bytes(b"nothing")
    made = written(capture)
    said = capsys.readouterr().err
    for where in (said, made.text):
        assert "its file is cut short in the middle of a packet" in where
        assert "wgnet1.pcapng is no pcapng file" in where
    assert "wgnet1: not known" in "".join(made.pictures)


def edited(directory: Path, **changes: Any) -> None:
    path = directory / "capture.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


WRONG = [
    ({"format": 2}, "its format is 2, and this report reads format 1"),
    ({"points": "all"}, "points is 'all', no list"),
    ({"started": "yesterday"}, "no time such as 2026-01-02T03:04:05+00:00"),
    ({"seconds": None}, "seconds is None, no number"),
    ({"network": {}}, "paths is None, no list"),
    (
        {"points": [{"name": "a", "role": "proxy", "file": "../a", "interfaces": []}]},
        "no file's name in this directory",
    ),
    ({"points": [{"name": "a", "role": "judge", "file": None, "interfaces": []}]}, "role 'judge' is none of"),
    ({"points": []}, "holds no packets"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_description_is_refused_in_a_sentence(
    capture: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    edited(capture, **changes)
    assert main([str(capture)]) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (capture / "report.html").exists()


def test_a_directory_that_is_no_capture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "write a directory that scripts/capture has made" in capsys.readouterr().err
    (tmp_path / "capture.json").write_text("{")
    assert main([str(tmp_path)]) == 1
    assert "capture.json cannot be read" in capsys.readouterr().err


def test_a_capture_without_packets_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(Scene().write(tmp_path))]) == 1
    assert "holds no packets" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_said(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(capture), "--output", str(capture / "nowhere" / "a.html")]) == 1
    assert f"{capture}/nowhere is no directory: make it first" in capsys.readouterr().err
    (capture / "report.html").mkdir()
    assert main([str(capture)]) == 1
    assert capsys.readouterr().err == f"report: {capture}/report.html is a directory: write a file's name\n"


def test_one_packet_alone_makes_a_page(tmp_path: Path) -> None:
    scene = Scene()
    scene.see("client", "wgnet1", 0.5, udp((OVERLAY, 4), EXIT[1:], 112))
    made = written(scene.write(tmp_path))
    assert "There was no switch." in made.text
    assert "There were fewer than two switches" in made.text
    assert "Not in this report" in made.text


@pytest.mark.parametrize("role", ["client", "proxy", "exit"])
def test_any_one_point_makes_a_page(capture: Path, role: str) -> None:
    points = json.loads((capture / "capture.json").read_text())["points"]
    edited(capture, points=[point for point in points if point["role"] == role])
    assert set(written(capture).attributes("section", "id")) == set(SECTIONS)


def test_paths_are_told_apart_without_colour() -> None:
    signs = [sign(number) for number in range(6)]
    for others in ("line", "hatch", "marker", "colour"):
        assert len({str(getattr(each, others)) for each in signs}) == 6
    luminance = [
        sum(weight * int(each.colour[at : at + 2], 16) for weight, at in ((0.3, 1), (0.59, 3), (0.11, 5)))
        for each in signs
    ]
    assert all(abs(one - other) > 20 for one, other in itertools.pairwise(luminance))


def test_the_page_of_a_long_capture_stays_small(tmp_path: Path) -> None:
    scene = Scene()
    download(scene, seconds=3.0, period=0.01)
    capture = scene.write(tmp_path, seconds=3.0)
    made = written(capture)
    assert (capture / "report.html").stat().st_size < 1_000_000
    assert "too many to be marked one by one" in made.text
    assert "299 switches" in made.text
    assert draw.MOST_MARKS < 299
