"""The files of providers: what they hand out is read, what cannot work is refused, and no secret is ever told."""

from __future__ import annotations

import base64

import pytest
from hostile import fuzz, raw, refusal
from hypothesis import given
from wg_migrate.errors import WgMigrateError
from wg_migrate.keys import NO_PRESHARED_KEY
from wg_migrate.provider_file import ProviderFile, parse

OURS, THEIRS, SHARED = (base64.b64encode(name.ljust(32).encode()).decode() for name in ("OURS", "THEIRS", "SHARED"))
TEXT = f"""# A comment of the provider's
[Interface]
PrivateKey = {OURS}
Address = 10.64.0.7/32, fd00:64::7/128
DNS = 10.64.0.1

[Peer]
PublicKey = {THEIRS}
AllowedIPs = 0.0.0.0/0, ::0/0
Endpoint = 198.51.100.40:51820
"""
READ = ProviderFile(
    OURS, NO_PRESHARED_KEY, THEIRS, "198.51.100.40", 51820, ("10.64.0.7", "fd00:64::7"), ("0.0.0.0/0", "::/0")
)


def test_what_a_provider_hands_out_is_read() -> None:
    assert parse(TEXT) == READ
    assert (READ.own_address(4), READ.own_address(6)) == ("10.64.0.7", "fd00:64::7")


def test_it_is_read_as_wg_reads_it() -> None:
    """Neither case nor white space matter, comments end a line, lists may be on several; Windows ends lines its way."""
    text = TEXT.replace("[Peer]", " [PEER] # the far end").replace("PublicKey = ", "publickey=")
    text = text.replace("Address = 10.64.0.7/32, fd00:64::7/128", "Address=10.64.0.7\naddress =fd00:64::7/128")
    assert parse(text.replace("\n", "\r\n")) == READ


def test_what_else_may_stand_in_it() -> None:
    text = TEXT.replace("DNS", "MTU = 1380\nListenPort = 0\nTable = off\nPostUp = rm -rf /\nPreDown = true\nDNS")
    text = text.replace("Endpoint = 198.51.100.40", f"PresharedKey = {SHARED}\nEndpoint = [2001:DB8::40]")
    found = parse(text)
    assert (found.mtu, found.preshared_key, found.hooks) == (1380, SHARED, ("PostUp", "PreDown"))
    assert (found.address, found.port) == ("2001:db8::40", 51820)


def test_allowed_networks_tell_what_it_carries() -> None:
    narrow = parse(TEXT.replace("0.0.0.0/0, ::0/0", "192.0.2.0/24, 10.0.0.0/8"))
    assert narrow.carries("192.0.2.20")
    assert not narrow.carries("198.51.100.20")
    assert not narrow.carries("2001:db8::20")


def without(start: str) -> str:
    return "\n".join(line for line in TEXT.splitlines() if not line.startswith(start))


REFUSED = {
    "no key of ours": (without("PrivateKey"), r"it has no PrivateKey under \[Interface\]: give the whole file"),
    "no address": (without("Address"), r"no Address under \[Interface\]"),
    "no key of theirs": (without("PublicKey"), r"no PublicKey under \[Peer\]"),
    "no endpoint": (without("Endpoint"), r"no Endpoint under \[Peer\]"),
    "no file": ("", "it has no PrivateKey"),
    "a key cut off": (TEXT.replace(OURS, OURS[:40]), "its PrivateKey is no WireGuard key"),
    "a preshared key cut off": (TEXT.replace("Endpoint", "PresharedKey = A\nEndpoint"), "its PresharedKey is no"),
    "a name": (
        TEXT.replace("198.51.100.40", "vpn.example.net"),
        "Endpoint is 'vpn.example.net:51820': write an address .* 'getent ahosts vpn.example.net' tells",
    ),
    "no port": (TEXT.replace(":51820", ""), "write an address and a port, as 192.0.2.7:51820"),
    "port 0": (TEXT.replace(":51820", ":0"), "write an address and a port"),
    "an address of nobody": (TEXT.replace("10.64.0.7/32", "127.0.0.1"), "its Address '127.0.0.1' is none that a host"),
    "a network that is none": (TEXT.replace("::0/0", "::/200"), "'::/200' is no network"),
    "two peers": (TEXT + f"[Peer]\nPublicKey = {THEIRS}", "PublicKey stands in it twice, again in line 12"),
    "two empty peers": (TEXT + "[Peer]\n", r"it has several \[Peer\]"),
    "a small MTU": (TEXT.replace("DNS", "MTU = 1200\nDNS"), "its MTU is '1200': write 1280 bytes or more"),
    "another kind of tunnel": (TEXT.replace("DNS", "Jc = 3\nDNS"), "line 5 has a key that WireGuard does not know"),
    "another section": (TEXT.replace("[Peer]", "[Proxy]"), r"line 7 is no \[Interface\] and no \[Peer\]"),
    "no section": (TEXT.replace("[Interface]", ""), "line 3 is no 'Key = value' under"),
    "a key alone": (TEXT.replace("DNS = 10.64.0.1", OURS[:-1]), "line 5 is no 'Key = value'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_path_is_refused_without_a_secret(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(WgMigrateError, match=message) as error:
        parse(text)
    assert OURS[:20] not in str(error.value)


def test_no_secret_is_in_what_python_shows() -> None:
    assert OURS not in repr(READ)
    assert SHARED not in repr(parse(TEXT.replace("Endpoint", f"PresharedKey = {SHARED}\nEndpoint")))


@given(raw)
@fuzz(60)
def test_any_bytes_are_refused_with_a_sentence(text: bytes) -> None:
    assert refusal(parse, text.decode(errors="replace"))
