"""The browser on the client, in either scope: a page by HTTP/3 through the migrating tunnel, and nothing beside it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from open_website.driver import LAB, browser
from tests.lab.conftest import CLIENT, EXIT, ROOT, WEB_ADDRESS, Capture, Lab, until
from tests.lab.test_deployment import changes
from tests.lab.test_names import QUERIES
from tests.lab.test_traffic import CLIENT_ADDRESS, EXIT_ADDRESS, LEAKS

pytestmark = pytest.mark.lab
PAGE = "https://web.lab.test/"
EXIT_ADDRESSES = (EXIT_ADDRESS, "fd51:db8::20")
BESIDE = f"{LEAKS} and not (tcp port 4444 and host 198.18.51.1)"
"""The controller drives the browser; that is management."""
STRANGERS = f"src host {EXIT_ADDRESS} and ip and not dst net 198.18.51.0/24"
"""What the exit sends out for the client, but to machines of the lab."""
STUN = f"host {WEB_ADDRESS} and (port 3478 or port 3479)"
PROBE = """
<!DOCTYPE html><title>probe</title><script>
const found = {candidates: [], socket: null, fetched: null};
navigator.mediaDevices.getUserMedia({audio: true}).then(() => 'yes', error => error.name).then(async allowed => {
  found.media = allowed;
  const stun = [{urls: 'stun:198.18.51.80:3478'}, {urls: 'stun:web.lab.test:3479'}];
  const turn = {urls: 'turn:198.18.51.80:3478?transport=udp', username: 'a', credential: 'b'};
  const peers = [new RTCPeerConnection({iceServers: [...stun, turn]}), new RTCPeerConnection()];
  await Promise.all(peers.map(async peer => {
    peer.onicecandidate = event => event.candidate && found.candidates.push(event.candidate.candidate);
    peer.createDataChannel('c');
    await peer.setLocalDescription(await peer.createOffer());
    const end = Date.now() + 3000;
    while (peer.iceGatheringState != 'complete' && Date.now() < end) await new Promise(done => setTimeout(done, 50));
  }));
  const door = '127.0.0.1:DRIVER', own = new WebSocket(`ws://${door}/session`);
  found.socket = await new Promise(done => { own.onopen = () => done('open'); own.onerror = () => done('refused'); });
  found.fetched = await fetch(`http://${door}/status`, {mode: 'no-cors'}).then(() => 'answered', () => 'refused');
  document.title = JSON.stringify(found);
});
</script>
"""
ALLOWED = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # Newer Chromium asks before a page may speak to this machine; older, and a user who says yes, do not hold it back.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
)
PICTURE = b"\x89PNG\r\n\x1a\n"


def open_website(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    argv = [str(ROOT / "scripts/open_website"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)


def loaded(*arguments: str) -> dict[str, Any]:
    """Open a page once, which must succeed, and return how it came."""
    done = open_website(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    load: dict[str, Any] = json.loads(done.stdout)["loads"][0]
    return load


@pytest.fixture(scope="module")
def browsing(deployed: Lab) -> Iterator[Lab]:
    """Lend the lab with a browser on its client, which then is as it was before."""
    deployed.snapshot(CLIENT, "made")
    deployed.play("playbooks/browse.yml")
    yield deployed
    deployed.play("playbooks/browse.yml", "-e", "browser_state=absent")
    assert deployed.snapshot(CLIENT, "compare") == []


def test_a_page_comes_by_http3_through_the_migrating_tunnel(browsing: Lab, tmp_path: Path) -> None:
    lab, picture = browsing, tmp_path / "page.png"
    switches = lab.status()["loop"]["switches"]
    capture = Capture(lab.bridge(), BESIDE)
    load = loaded(PAGE, "--screenshot", str(picture))
    assert capture.stop() == []
    assert (load["protocol"], load["protocols"]) == ("h3", {"h3": 30})
    assert load["bytes"] > 950_000
    assert load["seen"] in EXIT_ADDRESSES
    assert lab.status()["loop"]["switches"] > switches
    shown = picture.read_bytes()
    assert shown.startswith(PICTURE)
    assert len(shown) > 200_000, "the pictures of the page are not on the screenshot"


@pytest.mark.usefixtures("browsing")
def test_a_name_without_a_scheme_and_http2() -> None:
    load = loaded("www.web.lab.test")
    assert (load["url"], load["protocol"]) == ("https://www.web.lab.test/", "h2")
    assert load["seen"] in EXIT_ADDRESSES


@pytest.mark.usefixtures("browsing")
@pytest.mark.parametrize(
    ("page", "why"),
    [
        (f"{PAGE}absent", "status 404"),
        ("https://nowhere.test/", "ERR_NAME_NOT_RESOLVED"),
        ("https://www.web.lab.test:444/", "ERR_CONNECTION_REFUSED"),
        # A name that the certificate does not have.
        ("https://a.b.web.lab.test/", "is the server's certificate one that it trusts?"),
    ],
)
def test_a_page_that_does_not_load_is_told(page: str, why: str) -> None:
    done = open_website(page)
    assert done.returncode == 1
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_hostile_page_learns_no_address_and_reaches_nobody(browsing: Lab) -> None:
    """WebRTC with the microphone allowed, a resolver that offers DNS over HTTPS, and the driver's own door."""
    lab = browsing
    lab.run(EXIT, "systemctl restart wg-migrate-resolver")  # it has forgotten what it knew
    lab.run("web", f"truncate -s 0 {QUERIES}")
    lab.run(CLIENT, "cp /etc/resolv.conf /run/resolv.conf.was; echo nameserver 9.9.9.9 >/etc/resolv.conf")
    captures = [Capture(lab.bridge(), words) for words in (BESIDE, STRANGERS, STUN, "udp port 5353")]
    try:
        with browser(LAB, *ALLOWED) as window:
            driver = lab.run(CLIENT, "ss -Hltnp | grep chromedriver").split()[3].rpartition(":")[2]
            lab.run("web", f"cat >/srv/web/probe.html <<'END'\n{PROBE.replace('DRIVER', driver)}END")
            window.get(f"{PAGE}probe.html")
            until(lambda: window.title.startswith("{"), "the page has tried")
            found = json.loads(window.title)
            processes = lab.run(CLIENT, "ps -eo user:20,args | grep '[c]hromium-headless-shell'").splitlines()
            seccomp = lab.run(
                CLIENT, "grep -h ^Seccomp: $(pgrep -f type=[r]enderer | sed 's:.*:/proc/&/status:')"
            ).split()
    finally:
        lab.run(CLIENT, "cat /run/resolv.conf.was >/etc/resolv.conf; rm /run/resolv.conf.was")
        lab.run("web", "rm -f /srv/web/probe.html")
    assert [capture.stop() for capture in captures] == [[], [], [], []]
    assert found == {"candidates": [], "media": "yes", "socket": "refused", "fetched": "refused"}
    asked = [line.split()[-3:-1] for line in lab.run("web", f"cat {QUERIES}").splitlines()]
    assert {name for name, kind in asked if kind in ("A", "AAAA", "HTTPS")} == {"web.lab.test."}
    assert {line.split()[0] for line in processes}.isdisjoint({"root", "ops"})
    assert not [line for line in processes if "--no-sandbox" in line]
    assert set(seccomp) == {"Seccomp:", "2"}


def test_browsers_end_with_their_sessions(browsing: Lab) -> None:
    until(lambda: not browsing.run(CLIENT, "pgrep -f [c]hromium-headless-shell", check=False), "no browser is left")


def test_only_the_management_drives_the_browser(browsing: Lab) -> None:
    lab = browsing
    inner = json.loads(lab.run(CLIENT, "ip -json address show dev wg0"))[0]["addr_info"][0]["local"]
    for host, addresses in (
        ("wgnet1", (CLIENT_ADDRESS,)),
        (EXIT, (inner, CLIENT_ADDRESS)),
        (CLIENT, ("127.0.0.1", CLIENT_ADDRESS)),
    ):
        doors = " ".join(f"http://{address}:{port}/status" for address in addresses for port in (4444, 10080))
        assert lab.run(host, f"su ops -c 'curl -s --parallel -m 2 {doors}'", check=False) == "", host
    # A page that leads a name of its own here, in the browser of somebody on the management's side.
    for header in ("Host: evil.example", "Origin: https://evil.example"):
        assert "invalid Host/Origin header" in status_with(header)
    assert '"ready":true' in status_with("Accept: */*")


def status_with(header: str) -> str:
    """Return what WebDriver answers to the controller when asked for its status with this header."""
    return urllib3.request("GET", f"{LAB}/status", headers=dict([header.split(": ")]), timeout=30).data.decode()


def test_the_browser_goes_and_comes_with_the_tunnel(browsing: Lab) -> None:
    """Taken down, the machine has the bare network again, on which no page is opened."""
    assert loaded(PAGE)["status"] == 200
    browsing.run(CLIENT, "wg-migrate down")
    try:
        bare = browsing.run(CLIENT, f"curl -s http://{WEB_ADDRESS}/whoami").strip()
        without = open_website(PAGE)
    finally:
        browsing.run(CLIENT, "systemctl start wg-migrate-loop")
    browsing.wait_until_live()
    assert bare == CLIENT_ADDRESS
    assert without.returncode == 1
    assert "no browser can be had" in without.stderr
    assert loaded(PAGE)["status"] == 200


def test_second_run_changes_nothing(browsing: Lab) -> None:
    assert changes(browsing.play("playbooks/browse.yml")) == {CLIENT: 0}


def test_a_client_whose_firewall_would_hold_the_answers_back_is_refused(browsing: Lab) -> None:
    done = browsing.playbook("playbooks/browse.yml", "-e", "browser_port=4445")
    assert done.returncode != 0
    assert "Write client_management_ports: [22, 4445]" in " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def in_namespace(browsing: Lab) -> Iterator[Lab]:
    """Lend the lab with a tunnel that the machine itself does not use, and with the browser there."""
    browsing.play("site.yml", "--limit", CLIENT, "-e", "client_scope=namespace")
    try:
        browsing.play("playbooks/browse.yml", "-e", "webdriver_url_base=/wd/hub")
        browsing.wait_until_live()
        yield browsing
    finally:
        browsing.play("site.yml", "--limit", CLIENT)
    browsing.wait_until_live()


def test_in_scope_namespace_the_machine_speaks_for_itself(in_namespace: Lab) -> None:
    lab = in_namespace
    lab.play("playbooks/verify.yml")
    assert lab.run(CLIENT, "curl -s http://198.18.51.80/whoami").strip() == CLIENT_ADDRESS
    assert lab.run(CLIENT, "wg-migrate exec -- curl -s http://198.18.51.80/whoami").strip() == EXIT_ADDRESS
    assert "table inet wg_migrate" not in lab.run(CLIENT, "nft list tables").splitlines()


def test_in_scope_namespace_and_as_an_old_selenium_server(in_namespace: Lab) -> None:
    lab = in_namespace
    capture = Capture(lab.bridge(), BESIDE)
    load = loaded(PAGE, "--driver", f"{LAB}/wd/hub")
    assert capture.stop() == []
    assert load["protocol"] == "h3"
    assert load["seen"] in EXIT_ADDRESSES
    ask = f"curl -s -m 3 http://{CLIENT_ADDRESS}:4444/wd/hub/status || echo refused"
    assert lab.run("wgnet1", ask).strip() == "refused"
