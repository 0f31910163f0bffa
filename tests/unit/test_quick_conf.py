"""The conf file of wg-quick: what is refused, written and read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from wg_migrate.errors import WgMigrateError
from wg_migrate.quick_conf import (
    Peer,
    PeerWanted,
    Wanted,
    is_ours,
    masked,
    parse_peers,
    render,
    render_sysctls,
    settle_peers,
    wanted,
)

Key = Callable[[str], str]


def parameters(**changes: Any) -> dict[str, Any]:
    return {
        "name": "wgnet", "addresses": [], "listen_port": None, "mtu": None, "peers": [], "nftables": "", "sysctls": {},
        **changes,
    }  # fmt: skip


def peer(name: str, *allowed_ips: str, public_key: str | None = None) -> dict[str, Any]:
    return {"name": name, "public_key": public_key, "preshared_key": None, "allowed_ips": list(allowed_ips)}


def test_the_whole_file(key: Key) -> None:
    want = Wanted(
        name="wg0",
        addresses=("10.87.16.1/20", "fd00::1/64"),
        listen_port=51820,
        mtu=1340,
        private_key=key("p"),
        nftables="chain input {}",
        sysctls={"net.ipv4.ip_forward": "1"},
    )
    peers = [Peer("one", key("a"), key("s"), ("10.87.16.2/32", "fd00::2/128")), Peer("two", key("b"))]
    assert render(want, peers).splitlines()[1:] == [
        "[Interface]",
        f"PrivateKey = {key('p')}",
        "ListenPort = 51820",
        "Address = 10.87.16.1/20",
        "Address = fd00::1/64",
        "MTU = 1340",
        "PreUp = sysctl --quiet --load=/etc/sysctl.d/60-wg-migrate-wg0.conf",
        "PreUp = nft --file /etc/wg-migrate/wg0.nft",
        "PostDown = nft 'add table inet wg_migrate_wg0; delete table inet wg_migrate_wg0'",
        "",
        "[Peer]",
        "# one",
        f"PublicKey = {key('a')}",
        f"PresharedKey = {key('s')}",
        "AllowedIPs = 10.87.16.2/32, fd00::2/128",
        "",
        "[Peer]",
        "# two",
        f"PublicKey = {key('b')}",
    ]


def test_an_interface_without_table_and_settings_has_no_hooks(key: Key) -> None:
    text = render(Wanted("wgnet", private_key=key("p")), [])
    assert "Up" not in text
    assert "Address" not in text


def test_peers_are_read_back_as_written(key: Key) -> None:
    peers = [Peer("one", key("a"), key("s"), ("10.0.0.2/32", "fd00::2/128")), Peer("two.example", key("b"))]
    assert parse_peers(render(Wanted("wgnet", private_key=key("p")), peers)) == peers
    assert parse_peers(None) == []


def test_only_a_file_that_begins_with_our_line_is_ours() -> None:
    assert is_ours(render(Wanted("wgnet"), []))
    assert not is_ours("[Interface]\n")
    assert not is_ours(None)


def test_masks_every_secret_and_nothing_else(key: Key) -> None:
    text = render(Wanted("wgnet", private_key=key("p")), [Peer("one", key("a"), key("s"))])
    assert key("p") not in masked(text)
    assert key("s") not in masked(text)
    assert masked(text).count("(secret)") == 2
    assert key("a") in masked(text)
    assert masked(None) == ""


def test_a_key_not_known_in_this_run_stays_as_it_is_in_the_file(key: Key) -> None:
    present = [Peer("one", key("a"), key("s"), ("10.0.0.2/32",)), Peer("gone", key("g"))]
    wanted_peers = [PeerWanted("one", allowed_ips=("10.0.0.9/32",)), PeerWanted("never-seen")]
    peers, left_out = settle_peers(wanted_peers, present)
    assert peers == [Peer("one", key("a"), key("s"), ("10.0.0.9/32",))]
    assert left_out == ["never-seen"]


def test_new_keys_replace_those_in_the_file(key: Key) -> None:
    present = [Peer("one", key("a"), key("s"))]
    peers, _ = settle_peers([PeerWanted("one", key("n"), key("t"))], present)
    assert peers == [Peer("one", key("n"), key("t"))]
    without, _ = settle_peers([PeerWanted("one", key("n"), "")], present)
    assert without == [Peer("one", key("n"), "")]


def test_parameters_are_brought_into_the_kernels_form(key: Key) -> None:
    want = wanted(
        parameters(addresses=["10.0.0.1"], peers=[peer("one", "10.0.0.7/24", "FD00::0:2")], sysctls={"a.b": 1}),
        key("p"),
    )
    assert want.addresses == ("10.0.0.1/32",)
    assert want.peers[0].allowed_ips == ("10.0.0.0/24", "fd00::2/128")
    assert render_sysctls(want.sysctls).endswith("\na.b = 1\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a name"}, "'a name' cannot name the interface: write 1 to 15"),
        ({"name": "sixteen-letters-"}, "write 1 to 15"),
        ({"name": "$(reboot)"}, "cannot name the interface"),
        ({"listen_port": 0}, "listen_port 0 is no UDP port: write one from 1 to 65535"),
        ({"listen_port": 65536}, "is no UDP port"),
        ({"mtu": 1279}, "mtu 1279 is refused: write 1280"),
        ({"addresses": ["10.0.0.300/24"]}, "'10.0.0.300/24' is no address: write for example"),
        ({"peers": [peer("one", "10.0.0.0/33")]}, "'10.0.0.0/33' is no network: write for example"),
        ({"peers": [peer("one", "0.0.0.0/0")]}, "Peer 'one' asks for every address: list"),
        ({"peers": [peer("one", "::/0")]}, "Peer 'one' asks for every address: list"),
        ({"peers": [peer("a\nb")]}, "cannot name a peer: write"),
        ({"peers": [peer("one"), peer("one")]}, "peer name 'one' stands twice"),
        ({"peers": [peer("one", "10.0.0.1"), peer("two", "10.0.0.1/32")]}, "'10.0.0.1/32' stands twice"),
        ({"peers": [peer("one", public_key="short")]}, "public key of peer 'one' is no WireGuard key"),
        ({"sysctls": {"net.x; reboot": 1}}, "is no kernel setting: write for example net.ipv4.ip_forward"),
    ],
)
def test_bad_input_is_refused_with_what_to_write(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WgMigrateError) as refused:
        wanted(parameters(**changes), "")
    assert message in str(refused.value)


def test_one_public_key_for_two_peers_is_refused(key: Key) -> None:
    peers = [peer("one", public_key=key("a")), peer("two", public_key=key("a"))]
    with pytest.raises(WgMigrateError, match=r"public key .* stands twice"):
        wanted(parameters(peers=peers), "")
