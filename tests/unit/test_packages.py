"""Packages that come for us and go with us, on a fake machine whose apt answers as Debian's does."""

from __future__ import annotations

from typing import Any

import pytest
from fake_system import FakeSystem
from wg_migrate import packages
from wg_migrate.errors import WgMigrateError
from wg_migrate.packages import Wanted
from wg_migrate.system import Outcome

APT = "env DEBIAN_FRONTEND=noninteractive apt-get --yes"
INSTALL = f"{APT} --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install"
URIS, SIMULATE, PURGE = f"{INSTALL} --print-uris", f"{INSTALL} --simulate", f"{APT} purge"
UPDATE = f"{APT} update"
QUERY = "dpkg-query --show"
RECORD = "/r/packages"
WANT = Wanted(
    ("nftables", "unbound"), RECORD, {"unbound": ["unbound.service"]}, {"unbound": "unbound"}, "Or do without."
)
NAMES = ["nftables", "unbound"]
POLICY = "{}:\n  Installed: (none)\n  Candidate: {}\n  Version table:\n"
BOTH = POLICY.format("nftables", "1.1.3-1") + POLICY.format("unbound", "1.22.0-2")
# What apt-get of Debian 13 prints, shortened: an upgrade, and three that come.
SIMULATED = """NOTE: This is only a simulation!
Inst libssl3t64 [3.5.1-1] (3.5.4-1 Debian:13.2/stable [amd64])
Inst libnftables1 (1.1.3-1 Debian:13.2/stable [amd64])
Inst nftables (1.1.3-1 Debian:13.2/stable [amd64])
Inst unbound (1.22.0-2 Debian:13.2/stable [amd64])
Conf libssl3t64 (3.5.4-1 Debian:13.2/stable [amd64])
"""
NO_LISTS: Any = {"unbound": "unbound.service"}
CAME = ["libnftables1", "nftables", "unbound"]


def apt(**answers: str | Outcome) -> FakeSystem:
    """Return a machine whose apt can fetch both packages, but for what is answered otherwise."""
    usual: dict[str, str | Outcome] = {
        "URIS": "", "SIMULATE": SIMULATED, "INSTALL": "", "UPDATE": "", "PURGE": "",
    }  # fmt: skip
    lines = {"URIS": URIS, "SIMULATE": SIMULATE, "INSTALL": INSTALL, "UPDATE": UPDATE, "PURGE": PURGE}
    answered = {lines[name]: answer for name, answer in (usual | answers).items()}
    return FakeSystem({**answered, "apt-cache policy": BOTH, "systemctl": "", "userdel": "", QUERY: ""})


def failed(said: str) -> Outcome:
    return Outcome(100, "", said)


def test_missing_are_those_that_are_not_installed_whatever_else_dpkg_knows_of_them() -> None:
    said = Outcome(1, "nftables config-files\nprocps installed\n", "dpkg-query: no packages found matching unbound")
    want = Wanted(("procps", "nftables", "unbound"), RECORD)
    assert packages.missing(FakeSystem({QUERY: said}), want) == NAMES


def test_lists_that_have_all_and_archives_that_are_there_are_not_read_anew() -> None:
    system = apt()
    packages.make_available(system, WANT, NAMES)
    assert [line for line in system.ran if line.startswith(UPDATE)] == []


@pytest.mark.parametrize(
    "told", ["'http://mirror.example/unbound.deb' unbound.deb 1 SHA256:0\n", failed("E: Unable to locate package")]
)
def test_lists_are_read_anew_where_something_must_be_fetched_or_is_unknown(told: str | Outcome) -> None:
    system = apt(URIS=told)
    packages.make_available(system, WANT, NAMES)
    assert len([line for line in system.ran if line.startswith(UPDATE)]) == 1


def test_what_no_source_has_is_refused_by_its_name() -> None:
    system = apt(URIS=failed("E: Unable to locate package unbound"))
    system.answers["apt-cache policy"] = POLICY.format("nftables", "1.1.3-1") + POLICY.format("unbound", "(none)")
    with pytest.raises(WgMigrateError, match=r"^its package sources have no unbound\. Add .* Or do without\.$"):
        packages.make_available(system, WANT, NAMES)


def test_lists_that_cannot_be_read_are_told_in_apts_words() -> None:
    broken = failed("Err:1 http://mirror.example\nE: Failed to fetch http://mirror.example/InRelease\n")
    system = apt(URIS=failed(""), UPDATE=broken)
    with pytest.raises(
        WgMigrateError, match=r"could not be read \(E: Failed to fetch .*InRelease\)\. Or do without\.$"
    ):
        packages.make_available(system, WANT, NAMES)


def test_what_comes_is_written_down_and_masked_before_it_comes() -> None:
    system = apt()
    system.files[RECORD] = "nftables\n"
    written_before: list[str] = []

    def install(_argv: list[str], _stdin: str | None) -> Outcome:
        written_before.extend([system.files[RECORD], *system.ran])
        return Outcome(0, "", "")

    system.answers[INSTALL] = install
    assert packages.install(system, WANT, NAMES) == CAME
    assert set(written_before[0].split()) == set(CAME)
    assert "systemctl mask --quiet unbound.service" in written_before
    assert packages.recorded(system, WANT) == ["nftables", "libnftables1", "unbound"]


def test_an_upgrade_is_not_taken_for_what_came() -> None:
    system = apt()
    packages.install(system, WANT, NAMES)
    assert "libssl3t64" not in system.files[RECORD]


def test_an_installation_that_fails_leaves_the_record_and_says_why() -> None:
    system = apt(INSTALL=failed("E: Failed to fetch http://mirror.example/unbound.deb  404  Not Found\n"))
    with pytest.raises(WgMigrateError, match=r"could not be installed \(E: Failed .*404.*\)\. Or do without\.$"):
        packages.install(system, WANT, NAMES)
    assert packages.recorded(system, WANT) == CAME


def test_a_simulation_that_fails_changes_nothing() -> None:
    system = apt(SIMULATE=failed("E: Unmet dependencies.\n"))
    with pytest.raises(WgMigrateError, match="Unmet dependencies"):
        packages.install(system, WANT, NAMES)
    assert system.files == {}
    assert not [line for line in system.ran if line.startswith("systemctl")]


def test_apt_waits_for_another_apt_and_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = failed("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n")
    answers = [locked, locked, Outcome(0, "", "")]
    system = apt(URIS=failed(""))
    system.answers[UPDATE] = lambda _argv, _stdin: answers.pop(0)
    now = [0.0]
    monkeypatch.setattr("wg_migrate.packages.monotonic", lambda: now[0])
    monkeypatch.setattr("wg_migrate.packages.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    packages.make_available(system, WANT, NAMES)
    assert (answers, now[0]) == ([], 2)
    system.answers[UPDATE] = locked
    with pytest.raises(WgMigrateError, match="held by process 7"):
        packages.make_available(system, WANT, NAMES)
    assert now[0] > packages.LOCK_PATIENCE


def test_what_came_is_purged_with_its_user_and_forgotten() -> None:
    system = apt()
    system.files[RECORD] = "libnftables1\nnftables\nunbound\nunbound\n"
    # One has been removed since by somebody, one has left its configuration.
    system.answers[QUERY] = Outcome(1, "nftables installed\nunbound config-files\n", "")
    system.answers["getent passwd unbound"] = "unbound:x:100:"
    assert packages.purge(system, WANT) == ["nftables", "unbound"]
    assert f"{PURGE} nftables unbound" in system.ran
    assert "userdel unbound" in system.ran
    assert "systemctl unmask --quiet unbound.service" in system.ran
    assert system.files == {}


def test_a_purge_that_fails_is_not_forgotten() -> None:
    system = apt(PURGE=failed("E: Sub-process /usr/bin/dpkg returned an error code (1)\n"))
    system.files[RECORD] = "unbound\n"
    system.answers[QUERY] = "unbound installed\n"
    with pytest.raises(WgMigrateError, match="could not be removed"):
        packages.purge(system, WANT)
    assert system.files == {RECORD: "unbound\n"}


def test_nothing_that_came_is_nothing_to_purge() -> None:
    system = FakeSystem()
    assert packages.purge(system, WANT) == []
    assert system.ran == []


@pytest.mark.parametrize(
    ("want", "told"),
    [
        (Wanted(("-oDebug=1",), RECORD), "'-oDebug=1' is no name of a package"),
        (Wanted((), RECORD, NO_LISTS), "the units of 'unbound' are 'unbound.service'"),
        (Wanted((), RECORD, {"unbound": ["unbound"]}), "'unbound' is no name of a unit"),
        (Wanted((), RECORD, {}, {"unbound": "-r"}), "'-r' is no name of a user"),
        (Wanted((), "packages"), "the record 'packages' is no path"),
    ],
)
def test_what_is_no_name_is_refused(want: Wanted, told: str) -> None:
    with pytest.raises(WgMigrateError, match=told):
        packages.refuse_bad_names(want)
