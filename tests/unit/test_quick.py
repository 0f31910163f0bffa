"""A wg-quick interface: from each state the plan that leads to the wanted one, and nothing more."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from collections.abc import Callable
from typing import Any

import pytest
from fake_system import FakeSystem
from wg_migrate import nft, quick, quick_show
from wg_migrate.errors import WgMigrateError
from wg_migrate.quick_conf import Paths, Peer, PeerWanted, Wanted, is_ours, render, render_sysctls, settle_peers
from wg_migrate.quick_have import Configured, Device, Have
from wg_migrate.system import Outcome

Key = Callable[[str], str]
PATHS = Paths("wgnet")
FORWARD = "net.ipv4.ip_forward"
RELOAD = ("systemctl", "reload", PATHS.unit)
RESTART = ("systemctl", "restart", PATHS.unit)


@pytest.fixture
def want(key: Key) -> Wanted:
    return Wanted(
        name="wgnet",
        listen_port=51820,
        mtu=1420,
        private_key=key("p"),
        peers=(
            PeerWanted("one", key("a"), key("s"), ("10.87.0.2/32",)),
            PeerWanted("two", key("b"), key("t"), ("10.87.0.3/32",)),
        ),
        nftables="chain input {}",
        sysctls={FORWARD: "1"},
    )


def settled(want: Wanted) -> Have:
    """Return a host on which everything is as wanted."""
    peers, _ = settle_peers(want.peers, [])
    return Have(
        conf=render(want, peers),
        conf_mode=0o600,
        enabled=True,
        active=True,
        link=True,
        device=Device(
            private_key=want.private_key,
            listen_port=want.listen_port or 40000,
            mtu=want.mtu or 1420,
            addresses=frozenset(want.addresses),
            peers={
                peer.public_key: Configured(peer.preshared_key, frozenset(peer.allowed_ips)) for peer in peers
            },
            routes=frozenset(quick.wanted_routes(want, peers)),
        ),
        table=nft.fingerprint(want.nftables) if want.nftables else None,
        nft_file=nft.render(PATHS.table, want.nftables) if want.nftables else None,
        sysctl_file=render_sysctls(want.sysctls) if want.sysctls else None,
        sysctls=dict(want.sysctls),
        remembered=dict.fromkeys(want.sysctls, "0") or None,
    )  # fmt: skip


def but(have: Have, **changes: Any) -> Have:
    """Return the same host, but with a change; one of `Device` reaches the device."""
    inner = {name: changes.pop(name) for name in list(changes) if name in {f.name for f in dataclasses.fields(Device)}}
    if inner:
        assert have.device
        changes["device"] = dataclasses.replace(have.device, **inner)
    return dataclasses.replace(have, **changes)


def commands(planned: quick.Plan) -> list[tuple[str, ...]]:
    return [step.argv for step in planned.steps if isinstance(step, quick.Run)]


def written(planned: quick.Plan) -> list[str]:
    return [step.path for step in planned.steps if isinstance(step, quick.Write)]


def test_nothing_to_do_where_all_is_as_wanted(want: Wanted) -> None:
    assert quick.plan(settled(want), want).steps == ()


def test_a_bare_host_gets_everything_in_an_order_that_never_leaves_it_open(want: Wanted) -> None:
    planned = quick.plan(Have(sysctls={FORWARD: "0"}), want)
    assert [getattr(step, "argv", None) or getattr(step, "path", None) for step in planned.steps] == [
        PATHS.state,
        PATHS.sysctl,
        ("sysctl", "--quiet", "--write", f"{FORWARD}=1"),
        ("nft", "--check", "--file", "-"),
        PATHS.nft,
        PATHS.conf,
        ("systemctl", "enable", PATHS.unit),
        RESTART,
    ]
    conf = next(step for step in planned.steps if isinstance(step, quick.Write) and step.path == PATHS.conf)
    assert conf.mode == 0o600
    assert is_ours(conf.text)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"listen_port": 1}, "port 1 -> 51820"),
        ({"mtu": 1300}, "MTU 1300 -> 1420"),
        ({"addresses": frozenset({"10.0.0.1/24"})}, "addresses 10.0.0.1/24 -> none"),
    ],
)
def test_another_interface_part_restarts(want: Wanted, changes: dict[str, Any], reason: str) -> None:
    planned = quick.plan(but(settled(want), **changes), want)
    assert commands(planned) == [RESTART]
    assert planned.actions == [f"restart {PATHS.unit}: {reason}"]


def test_another_private_key_is_loaded_without_a_restart(want: Wanted) -> None:
    planned = quick.plan(but(settled(want), private_key="other"), want)
    assert commands(planned) == [RELOAD]
    assert planned.actions == [f"reload {PATHS.unit}: other private key"]


def test_a_private_key_takes_the_place_of_the_one_before_as_the_interface_does(want: Wanted) -> None:
    """The file comes after the configuration and before the reload, so that a run that was cut off is finished."""
    replacement = quick.Replacement(want.private_key, "/keys/next/wgnet.key", "/keys/wgnet.key")
    have = but(dataclasses.replace(settled(want), conf=f"{settled(want).conf}# before\n"), private_key="other")
    steps = quick.plan(have, want, replacement).steps
    places = [step.path if isinstance(step, (quick.Write, quick.Remove)) else step.argv for step in steps]
    assert places == [PATHS.conf, "/keys/wgnet.key", "/keys/next/wgnet.key", RELOAD]
    written = steps[1]
    assert isinstance(written, quick.Write)
    assert (written.text, written.mode) == (f"{want.private_key}\n", 0o600)
    assert want.private_key not in str(steps)


def test_a_peer_is_added_without_a_restart(want: Wanted) -> None:
    have = settled(dataclasses.replace(want, peers=want.peers[:1]))
    planned = quick.plan(have, want)
    assert written(planned) == [PATHS.conf]
    assert commands(planned) == [RELOAD, ("ip", "-4", "route", "replace", "10.87.0.3/32", "dev", "wgnet")]
    assert f"reload {PATHS.unit}: add peer two" in planned.actions


def test_a_peer_is_removed_with_its_route_without_a_restart(want: Wanted) -> None:
    have = settled(want)
    planned = quick.plan(have, dataclasses.replace(want, peers=want.peers[1:]))
    assert commands(planned) == [("ip", "-4", "route", "delete", "10.87.0.2/32", "dev", "wgnet"), RELOAD]
    assert f"reload {PATHS.unit}: remove peer one" in planned.actions


def test_a_route_that_somebody_else_made_stays(want: Wanted) -> None:
    have = settled(want)
    assert have.device
    assert quick.plan(but(have, routes=have.device.routes | {"192.168.7.0/24"}), want).steps == ()


@pytest.mark.parametrize("field", ["public_key", "preshared_key"])
def test_another_key_of_a_peer_reloads(want: Wanted, key: Key, field: str) -> None:
    keys: dict[str, Any] = {field: key("n")}
    changed = dataclasses.replace(want.peers[0], **keys)
    planned = quick.plan(settled(want), dataclasses.replace(want, peers=(changed, want.peers[1])))
    assert commands(planned) == [RELOAD]
    assert not any(key("n") in words for words in planned.actions)


def test_peers_left_out_by_limit_stay_configured(want: Wanted) -> None:
    unknown = tuple(PeerWanted(peer.name, allowed_ips=peer.allowed_ips) for peer in want.peers)
    planned = quick.plan(settled(want), dataclasses.replace(want, peers=unknown))
    assert planned.steps == ()
    assert planned.left_out == ()


def test_a_peer_whose_key_nobody_knows_is_left_out_and_named(want: Wanted) -> None:
    more = dataclasses.replace(want, peers=(*want.peers, PeerWanted("new", allowed_ips=("10.87.0.4/32",))))
    planned = quick.plan(settled(want), more)
    assert planned.steps == ()
    assert planned.left_out == ("new",)


def test_no_route_for_what_an_address_of_the_interface_covers(want: Wanted, key: Key) -> None:
    inside = dataclasses.replace(want, addresses=("10.87.16.1/20",))
    peers = [Peer("one", key("a"), "", ("10.87.16.2/32", "10.99.0.0/24", "fd00::/64"))]
    assert quick.wanted_routes(inside, peers) == ["10.99.0.0/24", "fd00::/64"]


def test_a_table_that_was_flushed_is_loaded_again(want: Wanted) -> None:
    assert commands(quick.plan(but(settled(want), table=None), want)) == [("nft", "--file", PATHS.nft)]


def test_new_rules_are_checked_before_the_old_ones_give_way(want: Wanted) -> None:
    planned = quick.plan(settled(want), dataclasses.replace(want, nftables="chain output {}"))
    assert commands(planned) == [("nft", "--check", "--file", "-"), ("nft", "--file", PATHS.nft)]
    assert written(planned) == [PATHS.nft]


def test_rules_no_longer_wanted_go(want: Wanted) -> None:
    planned = quick.plan(settled(want), dataclasses.replace(want, nftables=""))
    assert [argv[0] for argv in commands(planned)] == ["nft"]
    assert "delete table inet wg_migrate_wgnet" in commands(planned)[0][1]
    assert [step.path for step in planned.steps if isinstance(step, quick.Remove)] == [PATHS.nft]


def test_a_run_cut_off_after_the_files_is_finished(want: Wanted, key: Key) -> None:
    have = settled(want)
    assert have.device
    only_one = {key("a"): have.device.peers[key("a")]}
    assert commands(quick.plan(but(have, peers=only_one), want)) == [RELOAD]
    assert commands(quick.plan(but(have, routes=frozenset({"10.87.0.2/32"})), want)) == [
        ("ip", "-4", "route", "replace", "10.87.0.3/32", "dev", "wgnet")
    ]
    assert commands(quick.plan(but(have, listen_port=1), want)) == [RESTART]
    assert commands(quick.plan(but(have, enabled=False), want)) == [("systemctl", "enable", PATHS.unit)]
    assert commands(quick.plan(but(have, sysctls={FORWARD: "0"}), want)) == [
        ("sysctl", "--quiet", "--write", f"{FORWARD}=1")
    ]


def test_a_device_that_died_under_an_active_unit_is_started_again(want: Wanted) -> None:
    assert commands(quick.plan(but(settled(want), link=False, device=None), want)) == [RESTART]


def test_a_stray_device_gives_way_to_the_unit(want: Wanted) -> None:
    planned = quick.plan(but(settled(want), active=False), want)
    assert commands(planned) == [("ip", "link", "delete", "dev", "wgnet"), RESTART]


def test_a_file_that_others_can_read_is_closed(want: Wanted) -> None:
    assert written(quick.plan(but(settled(want), conf_mode=0o644), want)) == [PATHS.conf]


def test_the_first_values_of_settings_are_remembered_for_ever(want: Wanted) -> None:
    first = quick.plan(Have(sysctls={FORWARD: "0"}), want)
    memory = next(step.text for step in first.steps if isinstance(step, quick.Write))
    assert json.loads(memory) == {"sysctls": {FORWARD: "0"}}
    assert PATHS.state not in written(quick.plan(but(settled(want), sysctls={FORWARD: "5"}), want))


def test_a_setting_no_longer_wanted_gets_its_old_value(want: Wanted) -> None:
    planned = quick.plan(settled(want), dataclasses.replace(want, sysctls={}))
    assert commands(planned) == [("sysctl", "--quiet", "--write", f"{FORWARD}=0")]


def test_an_unknown_setting_is_refused(want: Wanted) -> None:
    with pytest.raises(WgMigrateError, match=r"This kernel has no setting net\.ipv4\.ip_forward"):
        quick.plan(Have(sysctls={FORWARD: None}), want)


@pytest.mark.parametrize("have", [Have(conf="[Interface]\n"), Have(link=True)])
def test_what_is_not_ours_is_refused(have: Have, want: Wanted) -> None:
    with pytest.raises(WgMigrateError, match="choose another interface name"):
        quick.plan(have, want)


def test_a_network_that_the_host_uses_is_refused(want: Wanted) -> None:
    have = but(settled(want), networks=(("eth0", ipaddress.ip_network("10.87.0.0/24")),))
    with pytest.raises(
        WgMigrateError, match=r"10\.87\.0\.2/32 for wgnet collides with 10\.87\.0\.0/24 of .* eth0: choose"
    ):
        quick.plan(have, want)


def test_removal_takes_everything_and_then_nothing(want: Wanted) -> None:
    planned = quick.plan_absent(settled(want), "wgnet")
    assert commands(planned) == [
        ("systemctl", "disable", "--now", PATHS.unit),
        ("nft", "add table inet wg_migrate_wgnet; delete table inet wg_migrate_wgnet"),
        ("sysctl", "--quiet", "--write", f"{FORWARD}=0"),
    ]
    removed = {step.path for step in planned.steps if isinstance(step, quick.Remove)}
    assert removed == {PATHS.conf, PATHS.nft, PATHS.sysctl, PATHS.state}
    assert quick.plan_absent(Have(), "wgnet").steps == ()


def test_removal_of_a_dead_device_leaves_no_failed_unit(want: Wanted) -> None:
    planned = quick.plan_absent(but(settled(want), link=False, device=None), "wgnet")
    assert ("systemctl", "reset-failed", PATHS.unit) in commands(planned)


@pytest.mark.parametrize("have", [Have(conf="[Interface]\n", enabled=True, active=True), Have(link=True, active=True)])
def test_removal_leaves_alone_what_is_not_ours(have: Have) -> None:
    assert quick.plan_absent(have, "wgnet").steps == ()


def test_where_wireguard_go_runs_behind_the_unit_it_is_started_again(want: Wanted) -> None:
    have = but(settled(want), userspace=True)
    planned = quick.plan(have, want)
    assert planned.steps[0] == quick.Write(f"write {PATHS.dropin}", PATHS.dropin, quick.DROPIN)
    assert commands(planned) == [("systemctl", "daemon-reload"), RESTART]
    assert f"restart {PATHS.unit}: another unit" in planned.actions
    assert quick.plan(but(have, dropin=quick.DROPIN), want).steps == ()


def test_with_a_kernel_that_has_wireguard_now_the_unit_is_as_it_was_made(want: Wanted) -> None:
    planned = quick.plan(but(settled(want), dropin=quick.DROPIN), want)
    assert planned.steps[0] == quick.Remove(f"remove {PATHS.dropin}", PATHS.dropin)
    assert commands(planned) == [("systemctl", "daemon-reload"), RESTART]


def test_removal_takes_what_was_added_to_the_unit(want: Wanted) -> None:
    planned = quick.plan_absent(but(settled(want), userspace=True, dropin=quick.DROPIN), "wgnet")
    steps = list(planned.steps)
    assert steps.index(quick.Remove(f"remove {PATHS.dropin}", PATHS.dropin)) > 0
    assert commands(planned)[0] == ("systemctl", "disable", "--now", PATHS.unit)
    assert commands(planned)[-1] == ("systemctl", "daemon-reload")


def test_a_removal_cut_off_is_finished() -> None:
    half = Have(nft_file="x", sysctl_file="y", remembered={FORWARD: "0"}, sysctls={FORWARD: "1"})
    planned = quick.plan_absent(half, "wgnet")
    assert commands(planned) == [("sysctl", "--quiet", "--write", f"{FORWARD}=0")]
    assert len([step for step in planned.steps if isinstance(step, quick.Remove)]) == 3


def test_a_failed_start_is_told_with_the_units_last_words() -> None:
    system = FakeSystem({"systemctl": Outcome(1, "", "Job failed."), "journalctl": "nft: no such table\n"})
    with pytest.raises(WgMigrateError, match=r"Job failed\. The unit's last words: nft: no such table"):
        quick.apply(system, [quick.Run("start", RESTART)])


def test_apply_runs_writes_and_removes_in_order(want: Wanted) -> None:
    system = FakeSystem({"nft": "", "sysctl": "", "systemctl": ""}, {"/old": "x"})
    quick.apply(system, [*quick.plan(Have(sysctls={FORWARD: "0"}), want).steps, quick.Remove("", "/old")])
    assert system.ran == [
        f"sysctl --quiet --write {FORWARD}=1",
        "nft --check --file -",
        f"systemctl enable {PATHS.unit}",
        f"systemctl restart {PATHS.unit}",
    ]
    assert set(system.files) == {PATHS.state, PATHS.sysctl, PATHS.nft, PATHS.conf}
    assert system.modes[PATHS.conf] == 0o600


def test_nothing_shown_holds_a_secret(want: Wanted, key: Key) -> None:
    changed = dataclasses.replace(want, private_key=key("q"), mtu=1300)
    have = settled(want)
    planned = quick.plan(have, changed)
    before, after = quick_show.describe(have, "wgnet"), quick_show.describe_after(have, changed, planned)
    shown = repr([planned, before, after, quick_show.diff(have, planned, changed, "wgnet")])
    assert [letter for letter in "pqst" if key(letter) in shown] == []
    assert before["peers"][0]["preshared_key"] == "(secret)"
