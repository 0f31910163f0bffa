"""What a plan for a wg-quick interface shows to people: the state before and after, and changed files. No secrets."""

from __future__ import annotations

from typing import Any

from . import nft
from .quick import DROPIN, Plan
from .quick_conf import Paths, Peer, Wanted, masked, parse_peers, render_sysctls
from .quick_have import Have


def result(have: Have, want: Wanted, planned: Plan) -> dict[str, Any]:
    """Return what wireguard_quick returns for a plan that leads to an interface."""
    return {
        "changed": bool(planned.steps),
        "actions": planned.actions,
        "before": describe(have, want.name),
        "after": describe_after(have, want, planned),
        "diff": diff(have, planned, want, want.name),
        "left_out": list(planned.left_out),
    }


def describe(have: Have, name: str) -> dict[str, Any]:
    """Return the state before, as it runs, without secrets."""
    device, known = have.device, {peer.public_key: peer.name for peer in parse_peers(have.conf)}
    return {
        "name": name,
        "enabled": have.enabled,
        "active": have.active and device is not None,
        "addresses": sorted(device.addresses) if device else [],
        "listen_port": device.listen_port if device else None,
        "mtu": device.mtu if device else None,
        "peers": [
            _describe_peer(Peer(known.get(key, ""), key, peer.preshared_key, tuple(sorted(peer.allowed_ips))))
            for key, peer in sorted((device.peers if device else {}).items())
        ],
        "nftables": have.table,
        "sysctls": dict(sorted(have.sysctls.items())),
    }


def describe_after(have: Have, want: Wanted, planned: Plan) -> dict[str, Any]:
    """Return the state that a plan leads to, without secrets; what WireGuard chooses itself is as before."""
    before = describe(have, want.name)
    return {
        "name": want.name,
        "enabled": True,
        "active": True,
        "addresses": sorted(want.addresses),
        "listen_port": before["listen_port"] if want.listen_port is None else want.listen_port,
        "mtu": before["mtu"] if want.mtu is None else want.mtu,
        "peers": [_describe_peer(peer) for peer in sorted(planned.peers, key=lambda peer: peer.public_key)],
        "nftables": nft.fingerprint(want.nftables) if want.nftables else None,
        "sysctls": {**_restored(have), **dict(sorted(want.sysctls.items()))},
    }


def describe_absent(have: Have, name: str) -> dict[str, Any]:
    """Return the state after a removal."""
    return {**describe(Have(), name), "sysctls": _restored(have)}


def _restored(have: Have) -> dict[str, str | None]:
    return {**dict(sorted(have.sysctls.items())), **(have.remembered or {})}


def _describe_peer(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "public_key": peer.public_key,
        "preshared_key": "(secret)" if peer.preshared_key else "",
        "allowed_ips": sorted(peer.allowed_ips),
    }


def diff(have: Have, planned: Plan, want: Wanted | None, name: str) -> list[dict[str, str]]:
    """Return the files that change, as Ansible's diff shows them, secrets masked; `want` is None for a removal."""
    paths = Paths(name)
    nft_text = nft.render(paths.table, want.nftables) if want and want.nftables else ""
    sysctl_text = render_sysctls(want.sysctls) if want and want.sysctls else ""
    texts = [
        (paths.conf, masked(have.conf), masked(planned.conf)),
        (paths.nft, have.nft_file or "", nft_text),
        (paths.sysctl, have.sysctl_file or "", sysctl_text),
        (paths.dropin, have.dropin or "", DROPIN if want and have.userspace else ""),
    ]
    return [
        {"before_header": path, "after_header": path, "before": before, "after": after}
        for path, before, after in texts
        if before != after
    ]
