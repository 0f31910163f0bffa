"""The parts of scripts/open_website that need no browser: addresses, what a page's answer means, what is printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from open_website import cli
from open_website.page import Load, PageError, address, first_line, read, summary, text

URL = "https://www.example.org/"
FOUND = {
    "url": URL,
    "title": "Example",
    "status": 200,
    "protocol": "h3",
    "milliseconds": 412.34,
    "protocols": ["h3", "h3", ""],
    "bytes": 1_000_300.0,
    "seen": None,
}


def found(**about: object) -> dict[str, Any]:
    return {**FOUND, **about}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("www.google.com", "https://www.google.com"),
        ("www.example.org:8443/a?b=://c", "https://www.example.org:8443/a?b=://c"),
        ("http://192.0.2.80/", "http://192.0.2.80/"),
        ("HTTPS://www.example.org", "HTTPS://www.example.org"),
        ("https://[2001:db8::80]/", "https://[2001:db8::80]/"),
    ],
)
def test_an_address_without_a_scheme_is_https(given: str, meant: str) -> None:
    assert address(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        "file:///etc/passwd",
        "chrome://version",
        "https://",
        "https://a:99999/",
        "a b",
        "https://[::1/",
        "https://a/\n",
    ],
)
def test_what_is_no_address_of_a_page_is_refused(given: str) -> None:
    with pytest.raises(PageError, match=r"write one such as https://www\.example\.org/"):
        address(given)


def test_a_page_is_read_with_its_resources_by_protocol() -> None:
    assert read(found()) == Load(URL, "Example", 200, "h3", 0.4123, 3, {"h3": 2, "": 1}, 1_000_300, None)


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"url": "chrome-error://chromewebdata/"}, "a page of its own: is the server's certificate"),
        ({"url": "data:,"}, "a page of its own: is the server's certificate"),
        ({"status": 0}, "no server answered"),
        ({"status": 404}, "status 404"),
        ({"status": 502}, "status 502"),
    ],
)
def test_an_error_page_is_not_taken_for_the_page(about: dict[str, object], why: str) -> None:
    with pytest.raises(PageError, match=why):
        read(found(**about))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "Message: unknown error: net::ERR_NAME_NOT_RESOLVED\n  (Session info: x)\nStacktrace:",
            "ERR_NAME_NOT_RESOLVED",
        ),
        ("Pool(host='a'): (Caused by X(\"Y: [Errno 111] Connection refused\"))", "Connection refused"),
        ("Message: timeout\n#0 0x55", "Message: timeout"),
        ("", "no reason given"),
    ],
)
def test_of_what_a_driver_says_only_the_reason_is_shown(said: str, line: str) -> None:
    assert first_line(said) == line


def test_a_load_is_shown_with_the_address_that_the_server_saw() -> None:
    shown = text(read(found(seen="198.51.100.20")))
    assert shown.splitlines()[0] == URL
    assert "h3" in shown
    assert "0.412 s" in shown
    assert "3 (1 by a protocol not told, 2 by h3), 1.00 MB in all" in shown
    assert shown.endswith("server saw  198.51.100.20")
    assert "server saw" not in text(read(found()))


def test_several_loads_have_a_median_and_their_failures() -> None:
    loads = [read(found(milliseconds=each)) for each in (100, 900, 300)]
    assert summary(loads, ["why"]) == {"loaded": 3, "failed": 1, "median_seconds": 0.3, "failures": ["why"]}
    assert summary([], ["why"])["median_seconds"] is None


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Have pages load without a browser: what the list holds, an error or a load, in its order."""
    answers: list[object] = []

    def open_page(*_: object) -> Load:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Load)
        return answer

    monkeypatch.setattr(cli, "open_page", open_page)
    return answers


def test_the_status_says_whether_the_page_was_loaded(opened: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    opened[:] = [read(found())]
    assert cli.main([URL]) == 0
    opened[:] = [PageError("the server answered with status 404")]
    assert cli.main([URL]) == 1
    assert capsys.readouterr().err == f"open_website: {URL}: the server answered with status 404\n"


def test_one_failure_of_several_is_a_failure(opened: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    opened[:] = [read(found()), PageError("timeout"), read(found())]
    assert cli.main([URL, "--repeat", "3"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 3 loaded, median load time 0.412 s"


def test_json_is_all_that_is_printed(opened: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    opened[:] = [read(found()), PageError("timeout")]
    assert cli.main([URL, "--repeat", "2", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["loaded"], told["failed"], told["failures"]) == (1, 1, [f"{URL}: timeout"])
    assert told["loads"][0]["protocol"] == "h3"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["file:///etc/passwd"], "no address of a page"),
        ([URL, "--driver", "nowhere at all"], "no address of a page"),
        ([URL, "--screenshot", "page.jpg"], "ends in .png"),
        ([URL, "--screenshot", "no/such/directory/page.png"], "in a directory that is there"),
    ],
)
@pytest.mark.usefixtures("opened")
def test_what_cannot_be_is_refused_before_a_browser_starts(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 1
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("times", ["0", "-1", "1.5", "many", "1001"])
def test_a_number_of_times_that_is_none_is_refused(times: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([URL, f"--repeat={times}"])
    assert "write a whole number from 1 to 1000" in capsys.readouterr().err


def test_an_interruption_ends_it_quietly(opened: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    opened[:] = [KeyboardInterrupt()]
    assert cli.main([URL]) == 130
    assert capsys.readouterr().err == ""


def test_a_driver_that_is_not_there_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([URL, "--driver", "http://127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert "no browser can be had at http://127.0.0.1:1" in said
    assert "playbooks/browse.yml" in said
    assert len(said.splitlines()) == 1
