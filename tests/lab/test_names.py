"""DNS: every question goes through the tunnel to the exit's resolver, which validates and writes nothing down."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from .conftest import CLIENT, EXIT, WEB, Capture, Lab
from .test_traffic import EXIT_ADDRESS, LEAKS

QUERIES = "/var/log/dns/queries"
"""Where the lab's Internet logs each question."""
# Asks a server for the address of a name (RFC 1035, section 4), and prints the answer's code, "silence" or "refused".
QUESTION = """
import socket, sys
server, name = sys.argv[1:]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
family = socket.AF_INET6 if ":" in server else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as stream:
    stream.settimeout(3)
    stream.connect((server, 53))
    stream.send(bytes.fromhex("123401000001000000000000") + labels + bytes.fromhex("0000010001"))
    try:
        print(stream.recv(512)[3] & 15)
    except TimeoutError:
        print("silence")
    except ConnectionRefusedError:
        print("refused")
"""
DONE, FAILED, NO_SUCH_NAME = "0", "2", "3"
"""Codes of answers (RFC 1035, section 4.1.1)."""


def ask(lab: Lab, host: str, server: str, name: str, where: str = "") -> str:
    """Return the code of the answer to a question that a machine sends to a server."""
    return lab.run(host, f"{where} python3 -c {shlex.quote(QUESTION)} {server} {name}").strip()


def test_questions_go_to_the_exits_resolver_whomever_they_are_meant_for(deployed: Lab) -> None:
    lab = deployed
    lab.run(WEB, f"truncate -s 0 {QUERIES}")
    lab.run(EXIT, "systemctl restart wg-migrate-resolver")  # it has forgotten what it knew
    capture = Capture(lab.bridge(), LEAKS)
    for server in ("198.18.51.80", "192.0.2.53", "2001:db8::53"):
        assert ask(lab, CLIENT, server, "web.lab.test", "wg-migrate exec --") == DONE
    assert capture.stop() == []
    asked = [line for line in lab.run(WEB, f"cat {QUERIES}").splitlines() if "web.lab.test." in line]
    assert asked != []
    assert [line for line in asked if f" {EXIT_ADDRESS} " not in line] == []


def test_an_answer_that_is_not_signed_as_it_should_be_is_refused(deployed: Lab) -> None:
    lab = deployed
    assert ask(lab, WEB, "127.0.0.1", "bogus.lab.test") == DONE
    assert ask(lab, CLIENT, "192.0.2.53", "bogus.lab.test", "wg-migrate exec --") == FAILED
    assert ask(lab, CLIENT, "192.0.2.53", "nobody.lab.test", "wg-migrate exec --") == NO_SUCH_NAME


def test_the_exit_writes_no_question_down_and_answers_nobody_else(deployed: Lab) -> None:
    lab = deployed
    name = "a-name-to-look-for.lab.test"
    assert ask(lab, CLIENT, "192.0.2.53", name, "wg-migrate exec --") == NO_SUCH_NAME
    where = "journalctl --since=-5min | grep -f /var/tmp/name; grep -rlf /var/tmp/name /var/log /var/lib/unbound"
    assert lab.run(EXIT, f"cat >/var/tmp/name; {where}", check=False, stdin=name) == ""
    assert ask(lab, WEB, EXIT_ADDRESS, "web.lab.test") in ("silence", "refused")


def test_systemd_resolved_asks_the_exits_resolver_at_once(deployed: Lab) -> None:
    """By itself it binds its questions to the uplink, where they are dropped, and asks again over TCP."""
    lab = deployed
    with resolved(lab):
        counts = [dropped(lab)]
        for _ in range(3):
            assert "198.18.51.80" in lab.run(CLIENT, "wg-migrate exec -- resolvectl query --cache=no web.lab.test")
            counts.append(dropped(lab))
        # Another packet of the machine may be dropped meanwhile; a question of this kind would be each time.
        assert any(before == after for before, after in pairwise(counts)), counts


def dropped(lab: Lab) -> int:
    """Return how many packets the client's firewall has kept from the uplink."""
    chain = lab.run(CLIENT, "nft list chain inet wg_migrate output")
    return int(chain.split("counter packets ")[1].split()[0])


@contextmanager
def resolved(lab: Lab) -> Iterator[None]:
    """Have systemd-resolved on the client while the block runs; it knows of a resolver on the uplink, as from DHCP."""
    package = "cd /tmp && apt-get download --quiet systemd-resolved >/dev/null && base64 systemd-resolved_*.deb"
    stub = "cp /etc/resolv.conf /var/tmp/resolv.conf && echo nameserver 127.0.0.53 >/etc/resolv.conf"
    install = "base64 -d >/var/tmp/resolved.deb && dpkg --install /var/tmp/resolved.deb"
    begin = "systemctl restart dbus systemd-resolved && resolvectl dns eth0 198.18.51.80"
    try:
        # A proxy fetches it: the lab's client has no way to the mirror but the tunnel.
        lab.run(CLIENT, f"{stub} && {install} && {begin}", stdin=lab.run("wgnet1", package))
        yield
    finally:
        lab.run(CLIENT, "dpkg --purge systemd-resolved && cat /var/tmp/resolv.conf >/etc/resolv.conf")
