"""A client machine on which nothing is deployed yet, and its configuration. The peers need not be there."""

from __future__ import annotations

import dataclasses

from wg_migrate.config import Config, Exit, Path

from .machine import ClientSystem, Machine

KEYS = "/etc/wg-migrate/keys"
EXIT = Exit("exit", "192.0.2.20", 51820, "10.87.16.1", "fd00:db8::1")
PROXIES = {"proxy1": "192.0.2.11", "proxy2": "192.0.2.12"}
SCOPES = ["host", "namespace"]


def make_key(machine: Machine) -> tuple[str, str]:
    """Return a fresh key pair: private, public."""
    private = machine.run("wg genkey").strip()
    return private, machine.run("wg pubkey", stdin=private).strip()


def make_secrets(system: ClientSystem) -> None:
    """Write the client's end of each tunnel, as the module wireguard_keys would."""
    for peer in [*PROXIES, EXIT.name]:
        system.write(f"{KEYS}/{peer}.key", system.run(["wg", "genkey"]), 0o600)
        system.write(f"{KEYS}/{peer}.psk", system.run(["wg", "genpsk"]), 0o600)


def make_config(scope: str, public_keys: dict[str, str]) -> Config:
    """Return the configuration of a client of two paths, its peers with these keys."""
    return Config(
        scope=scope,
        userspace=True,
        overlay_address="10.87.0.5",
        inner_address="10.87.16.5",
        inner_address6="fd00:db8::5",
        uplink_mtu=1500,
        exit=dataclasses.replace(EXIT, public_key=public_keys[EXIT.name]),
        paths=[
            Path(f"wgnet{number}", proxy, address, 51820, public_keys[proxy])
            for number, (proxy, address) in enumerate(PROXIES.items(), 1)
        ],
        key_directory=KEYS,
        management_sources=["192.0.2.0/24"],
        dns_servers=["10.87.16.1"],
    )
