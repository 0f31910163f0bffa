from __future__ import annotations

import pytest
from wg_migrate.addresses import alone, endpoint, family, read_host_address, read_host_address4, read_host_address6


@pytest.mark.parametrize("text", ["192.0.2.7", "2001:db8::7", "fd00:db8::7"])
def test_an_address_of_one_host_is_read(text: str) -> None:
    assert str(read_host_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "host", "192.0.2.7/32", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1", "fe80::1",
        "fe80::1%eth0", "2001:db8::7%eth0", "2001:DB8::7", "2001:db8:0::7", "4000::1",
    ],
)  # fmt: skip
def test_what_is_no_address_of_one_host_everywhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|is no"):
        read_host_address(text)


def test_a_family_is_asked_for() -> None:
    with pytest.raises(ValueError, match="2001:db8::7 is an IPv6 address"):
        read_host_address4("2001:db8::7")
    with pytest.raises(ValueError, match=r"192\.0\.2\.7 is an IPv4 address"):
        read_host_address6("192.0.2.7")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("192.0.2.7", ("-4", "192.0.2.7/32", "192.0.2.7:51820")),
        ("2001:db8::7", ("-6", "2001:db8::7/128", "[2001:db8::7]:51820")),
    ],
)
def test_an_address_is_written_as_its_family_is(address: str, words: tuple[str, ...]) -> None:
    assert (family(address), alone(address), endpoint(address, 51820)) == words
