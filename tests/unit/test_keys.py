"""Keys: born once, never replaced, never shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fake_system import FakeSystem
from wg_migrate import keys
from wg_migrate.errors import WgMigrateError
from wg_migrate.system import Outcome

Key = Callable[[str], str]


def host(key: Key, files: dict[str, str] | None = None) -> FakeSystem:
    return FakeSystem({"wg genkey": f"{key('p')}\n", "wg genpsk": f"{key('s')}\n", "wg pubkey": f"{key('P')}\n"}, files)


def bring_about(system: FakeSystem, want: keys.Wanted) -> list[str]:
    actions = keys.plan(keys.read(system, want), want)
    keys.apply(system, actions)
    return [action.words for action in actions]


def test_missing_keys_are_made_with_mode_0600_and_then_left_alone(key: Key) -> None:
    system = host(key)
    want = keys.Wanted("/k", pairs=("a",), preshared=("b",), given={"c": key("g")})
    assert len(bring_about(system, want)) == 3
    assert system.files == {"/k/a.key": f"{key('p')}\n", "/k/b.psk": f"{key('s')}\n", "/k/c.psk": f"{key('g')}\n"}
    assert set(system.modes.values()) == {0o600}
    assert bring_about(system, want) == []


def test_public_and_preshared_keys_are_told_by_name(key: Key) -> None:
    system = host(key, {"/k/a.key": key("p"), "/k/b.psk": key("s")})
    want = keys.Wanted("/k", pairs=("a", "missing"), preshared=("b",))
    assert keys.public_keys(system, want) == {"a": key("P")}
    assert system.stdins["wg pubkey"] == key("p")
    assert keys.preshared_keys(system, want) == {"b": key("s")}


def test_a_host_without_wg_has_no_public_keys_yet(key: Key) -> None:
    want = keys.Wanted("/k", pairs=("a",))
    assert keys.public_keys(FakeSystem(files={"/k/a.key": key("p")}), want) == {}


def test_a_given_key_replaces_another(key: Key) -> None:
    system = host(key, {"/k/c.psk": f"{key('o')}\n"})
    words = bring_about(system, keys.Wanted("/k", given={"c": key("n")}))
    assert words == ["replace the preshared key in /k/c.psk by the given one"]
    assert system.files["/k/c.psk"] == f"{key('n')}\n"


def test_a_providers_private_key_is_written_replaced_and_never_told(key: Key) -> None:
    system = host(key, {"/k/c.key": f"{key('o')}\n"})
    want = keys.Wanted("/k", given_pairs={"b": key("b"), "c": key("n")})
    assert bring_about(system, want) == [
        "write the given private key to /k/b.key",
        "replace the private key in /k/c.key by the given one",
    ]
    assert system.files == {"/k/b.key": f"{key('b')}\n", "/k/c.key": f"{key('n')}\n"}
    assert set(system.modes.values()) == {0o600}
    assert bring_about(system, want) == []
    assert key("n") not in f"{want} {keys.describe(keys.read(system, want))}"
    assert [action.words for action in keys.plan_absent(keys.read(system, want), want)] == [
        "remove /k/b.key",
        "remove /k/c.key",
    ]


def test_a_given_private_key_that_is_none_is_refused_without_telling_it(key: Key) -> None:
    with pytest.raises(WgMigrateError, match="The private key given for 'b' is no WireGuard key") as error:
        bring_about(host(key), keys.Wanted("/k", given_pairs={"b": key("b")[:40]}))
    assert key("b")[:40] not in str(error.value)


def test_a_key_that_others_can_read_is_closed(key: Key) -> None:
    system = host(key, {"/k/a.key": key("p")})
    assert bring_about(system, keys.Wanted("/k", pairs=("a",))) == ["set mode of /k/a.key to 0600 (was 0644)"]
    assert system.modes["/k/a.key"] == 0o600


@pytest.mark.parametrize("text", ["", "short", "=" * 44])
def test_a_file_without_a_key_is_named_and_kept(key: Key, text: str) -> None:
    system = host(key, {"/k/a.key": text})
    with pytest.raises(WgMigrateError, match=r"/k/a\.key holds no WireGuard key.*remove the file"):
        bring_about(system, keys.Wanted("/k", pairs=("a",)))
    assert system.files["/k/a.key"] == text


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "-x", "a b"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(WgMigrateError, match="cannot name a key"):
        keys.check(keys.Wanted("/k", pairs=(name,)))


def test_a_preshared_key_is_born_here_or_given_not_both(key: Key) -> None:
    with pytest.raises(WgMigrateError, match="named twice"):
        keys.check(keys.Wanted("/k", preshared=("a",), given={"a": key("g")}))


def test_a_bad_given_key_is_refused_without_showing_it() -> None:
    with pytest.raises(WgMigrateError, match="given for 'a' is no WireGuard key") as refused:
        keys.plan({}, keys.Wanted("/k", given={"a": "hunter2"}))
    assert "hunter2" not in str(refused.value)


def test_removal_takes_the_named_files_only(key: Key) -> None:
    system = host(key, {"/k/a.key": key("p"), "/k/other.key": key("o")})
    want = keys.Wanted("/k", pairs=("a",), preshared=("never-made",))
    actions = keys.plan_absent(keys.read(system, want), want)
    keys.apply(system, actions)
    assert list(system.files) == ["/k/other.key"]
    assert keys.plan_absent(keys.read(system, want), want) == []


@pytest.mark.parametrize(("status", "removed"), [(0, []), (1, ["/etc/wireguard"]), (127, ["/etc/wireguard"])])
def test_a_directory_that_a_package_owns_stays(
    status: int, removed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []
    system = FakeSystem({"dpkg-query --search /etc/wireguard": Outcome(status, "", "")})
    monkeypatch.setattr(system, "remove_empty_directory", gone.append)
    keys.remove_directory(system, "/etc/wireguard")
    assert gone == removed


def test_nothing_shown_holds_a_key(key: Key) -> None:
    system = host(key, {"/k/a.key": key("p"), "/k/c.psk": key("o")})
    want = keys.Wanted("/k", pairs=("a", "n"), given={"c": key("g")})
    have = keys.read(system, want)
    actions = keys.plan(have, want)
    shown = repr([actions, keys.describe(have), keys.describe_after(have, actions)])
    assert [letter for letter in "pog" if key(letter) in shown] == []
    assert keys.describe_after(have, actions)["/k/c.psk"] == {"key": "(new secret)", "mode": "0600"}
