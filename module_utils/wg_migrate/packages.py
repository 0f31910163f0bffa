"""Debian's packages that come for us and go with us: a record has their names before the first is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from time import monotonic, sleep

from .errors import WgMigrateError
from .reading import read_path, shown
from .system import Outcome, System

APT_TIMEOUT = 1800.0
"""Seconds after which a run of apt counts as hung: it fetches, unpacks and configures, and on slow machines all take
minutes."""
LOCK_PATIENCE = 300.0
"""Seconds for which another apt may keep its locks: a cloud's machine begins its life with one."""

_APT = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes"]
# A file of the operator's stays as it is; no question is asked.
_INSTALL = [
    *(*_APT, "--no-install-recommends", "-o", "Dpkg::Options::=--force-confdef"),
    *("-o", "Dpkg::Options::=--force-confold", "install"),
]
# Where a tunnel leads to no resolver, apt would wait for minutes at each source.
_UPDATE = [*_APT, "update", "--error-on=any", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]
_UNKNOWN_TO_LISTS = 100
"""apt-get's status where something cannot be done, such as installing what no list has."""

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9-]+)?")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9@:_.-]*\.(service|socket|timer|path)")
_USER = re.compile(r"[a-z_][a-z0-9_-]*")
# apt-get --simulate: "Inst NAME [old] (new ...)" is an upgrade, "Inst NAME (new ...)" a package that comes.
_COMES = re.compile(r"(?m)^Inst (\S+) \(")
_CANDIDATE = re.compile(r"(?m)^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))")


@dataclass(frozen=True)
class Wanted:
    """Packages by name, the record of those that came for them, and what goes with some of them.

    `idle_units` are units, by package, that are kept from starting; `users` are users, by package, that a package
    leaves behind. `advice` is what else helps where packages are not to be had.
    """

    names: tuple[str, ...]
    record: str
    idle_units: dict[str, list[str]] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    advice: str = ""

    def units(self, coming: list[str]) -> list[str]:
        """Return the units that must stay idle when these packages come, or are free when they go."""
        return [unit for name in coming for unit in self.idle_units.get(name, [])]


def refuse_bad_names(want: Wanted) -> None:
    """Raise WgMigrateError for what cannot be the name of a package, a unit, a user or a file."""
    read_path("the record", want.record)
    for package, listed in want.idle_units.items():
        if not isinstance(listed, list):
            raise WgMigrateError(f"the units of {shown(package)} are {shown(listed)}: write a list of their names")
    packages = [*want.names, *want.idle_units, *want.users]
    units = [unit for listed in want.idle_units.values() for unit in listed]
    for kind, form, names, example in (
        ("package", _PACKAGE, packages, "wireguard-tools"),
        ("unit", _UNIT, units, "unbound.service"),
        ("user", _USER, [*want.users.values()], "unbound"),
    ):
        for name in names:
            if not isinstance(name, str) or not form.fullmatch(name):
                raise WgMigrateError(f"{shown(name)} is no name of a {kind}: write one such as {example}")


def missing(system: System, want: Wanted) -> list[str]:
    """Return the wanted packages that are not installed."""
    states = _states(system, want.names)
    return [name for name in want.names if states.get(name) != "installed"]


def _states(system: System, names: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Return what dpkg says of those packages that it knows, such as installed or config-files."""
    if not names:
        return {}
    # Its status tells that it does not know one of them.
    told = system.attempt(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names])
    return dict(line.split(" ", 1) for line in told.stdout.splitlines() if " " in line)


def make_available(system: System, want: Wanted, names: list[str]) -> None:
    """Have these packages, with all that they need, in the lists of packages, which are read anew where that may help.

    The lists are a cache: nothing of the host's own is changed. Their age tells nothing where a package is not in
    them, for a new machine's have just been emptied. Raises WgMigrateError where they are not to be had.
    """
    if not _must_read_lists(system, names):
        return
    outcome = _patiently(system, _UPDATE)
    if outcome.status != 0:
        raise _failure("the package lists could not be read", outcome, want)
    unknown = _without_candidate(system, names)
    if unknown:
        advice = (
            f"Add the source that has it (Debian: main, Ubuntu: universe) and run apt-get update there. {want.advice}"
        )
        raise WgMigrateError(f"its package sources have no {', '.join(unknown)}. {advice}".rstrip())


def _must_read_lists(system: System, names: list[str]) -> bool:
    """Tell whether a package is not in the lists, or must be fetched: old lists name files that are there no more."""
    told = system.attempt([*_INSTALL, "--print-uris", *names])
    if told.status not in (0, _UNKNOWN_TO_LISTS):
        raise _failure(f"apt-get cannot tell what {', '.join(names)} would bring", told)
    return told.status != 0 or any(line.startswith("'") for line in told.stdout.splitlines())


def _without_candidate(system: System, names: list[str]) -> list[str]:
    policy = system.run(["apt-cache", "policy", *names])
    return [name for name in names if name not in _CANDIDATE.findall(policy)]


def install(system: System, want: Wanted, names: list[str]) -> list[str]:
    """Install packages and return all that came, dependencies included; raises WgMigrateError.

    The record comes first: should this be cut off, a removal still knows what to purge. So do the masks: a masked unit
    does not start when its package comes, nor at the next boot.
    """
    simulated = _patiently(system, [*_INSTALL, "--simulate", *names])
    if simulated.status != 0:
        raise _failure(f"{', '.join(names)} could not be installed", simulated, want)
    coming = _COMES.findall(simulated.stdout)
    system.write(want.record, "".join(f"{name}\n" for name in [*recorded(system, want), *coming]))
    if want.units(coming):
        system.run(["systemctl", "mask", "--quiet", *want.units(coming)])
    outcome = _patiently(system, [*_INSTALL, *names])
    if outcome.status != 0:
        raise _failure(f"{', '.join(names)} could not be installed", outcome, want)
    return coming


def recorded(system: System, want: Wanted) -> list[str]:
    """Return the packages that came for us, each once, in the order in which they came."""
    return list(dict.fromkeys((system.read(want.record) or "").split()))


def purge(system: System, want: Wanted) -> list[str]:
    """Purge what came for us, forget it, and return what was still there; raises WgMigrateError.

    What was cut off goes on when it is called again: the record goes last.
    """
    brought = recorded(system, want)
    states = _states(system, brought)
    present = [name for name in brought if name.partition(":")[0] in states]
    if present:
        outcome = _patiently(system, [*_APT, "purge", *present])
        if outcome.status != 0:
            raise _failure(f"{', '.join(present)} could not be removed", outcome)
    for name in brought:
        user = want.users.get(name)
        if user and system.attempt(["getent", "passwd", user]).status == 0:
            system.run(["userdel", user])
    if want.units(brought):
        system.run(["systemctl", "unmask", "--quiet", *want.units(brought)])
    system.remove(want.record)
    system.remove_empty_directory(want.record.rpartition("/")[0])
    return present


def _patiently(system: System, argv: list[str]) -> Outcome:
    """Run apt, and again as long as another apt has one of its locks."""
    deadline = monotonic() + LOCK_PATIENCE
    while True:
        outcome = system.attempt(argv)
        if "Could not get lock" not in outcome.stderr or monotonic() > deadline:
            return outcome
        sleep(1)


def _failure(what: str, outcome: Outcome, want: Wanted | None = None) -> WgMigrateError:
    """Return the error that tells what failed, with apt's own reasons, and what else helps."""
    reasons = [line for line in outcome.stderr.splitlines() if line.startswith("E: ")]
    reason = " ".join(reasons) or outcome.stderr.strip() or f"status {outcome.status}"
    return WgMigrateError(f"{what} ({reason}). {want.advice if want else ''}".rstrip())
