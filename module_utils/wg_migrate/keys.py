"""WireGuard key pairs and preshared keys as files of one directory: NAME.key and NAME.psk, mode 0600.

Private keys are born where they are used and never leave `read` and `apply`: what a caller may show is `words` of an
action, `describe`, and `public_keys`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import WgMigrateError
from .system import System

MODE = 0o600
NO_PRESHARED_KEY = base64.b64encode(bytes(32)).decode()
"""What WireGuard takes for none: a tunnel without one has zeros in its place."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Wanted:
    """The keys that a directory must hold.

    `pairs` and `preshared` are names of keys born here; `given` maps names to preshared keys born at the other end,
    `given_pairs` to private keys that a provider made for us.
    """

    directory: str
    pairs: tuple[str, ...] = ()
    preshared: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    given_pairs: Mapping[str, str] = field(default_factory=dict, repr=False)

    def path(self, name: str, suffix: str) -> str:
        """Return the path of a key's file; `suffix` is "key" or "psk"."""
        return f"{self.directory}/{name}.{suffix}"

    def paths(self) -> list[str]:
        """Return the path of every key file that is ours, in a fixed order."""
        pairs = [self.path(name, "key") for name in (*self.pairs, *self.given_pairs)]
        return pairs + [self.path(name, "psk") for name in (*self.preshared, *self.given)]


@dataclass(frozen=True)
class KeyFile:
    """A key's file as it stands: its text, stripped, and its permission bits."""

    text: str
    mode: int


@dataclass(frozen=True)
class Action:
    """One change of one file. `kind` is generate_private, generate_preshared, write, set_mode or remove."""

    kind: str
    path: str
    words: str
    secret: str = field(default="", repr=False)


def is_key(text: str) -> bool:
    """Tell whether the text is a WireGuard key: 32 bytes in base64 (wg(8))."""
    try:
        return len(text) == 44 and len(base64.b64decode(text, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def check(want: Wanted) -> None:
    """Refuse names that cannot be file names, names used twice, and given keys that are none."""
    for name in (*want.pairs, *want.given_pairs, *want.preshared, *want.given):
        if not _NAME.fullmatch(name):
            raise WgMigrateError(
                f"'{name}' cannot name a key: write at most 100 letters, digits, '_', '.' or '-', a letter first."
            )
    paths = want.paths()
    for path in paths:
        if paths.count(path) > 1:
            raise WgMigrateError(f"{path} is named twice: a key is born here (preshared) or given, and has one name.")


def _check_given(want: Wanted) -> None:
    for noun, made_by, given in (("preshared", "wg genpsk", want.given), ("private", "wg genkey", want.given_pairs)):
        for name, key in given.items():
            if not is_key(key):
                raise WgMigrateError(
                    f"The {noun} key given for '{name}' is no WireGuard key: write what '{made_by}' prints."
                )


def read(system: System, want: Wanted) -> dict[str, KeyFile]:
    """Return the key files that exist, by path."""
    found = {}
    for path in want.paths():
        text, mode = system.read(path), system.mode(path)
        if text is not None and mode is not None:
            found[path] = KeyFile(text.strip(), mode)
    return found


def plan(have: Mapping[str, KeyFile], want: Wanted) -> list[Action]:
    """Return what makes every wanted key exist with mode 0600. A key that exists is never replaced, except a given one.

    Raises WgMigrateError for a file that holds no key: only its owner can tell whether peers still expect the old one.
    """
    _check_given(want)
    actions = []
    for name in want.pairs:
        actions += _plan_born(have, want.path(name, "key"), "generate_private", "private key")
    for name in want.preshared:
        actions += _plan_born(have, want.path(name, "psk"), "generate_preshared", "preshared key")
    for name, key in want.given_pairs.items():
        actions += _plan_given(have, want.path(name, "key"), key, "private key")
    for name, key in want.given.items():
        actions += _plan_given(have, want.path(name, "psk"), key, "preshared key")
    return actions


def plan_absent(have: Mapping[str, KeyFile], want: Wanted) -> list[Action]:
    """Return what removes exactly the named keys."""
    return [Action("remove", path, f"remove {path}") for path in want.paths() if path in have]


def _plan_born(have: Mapping[str, KeyFile], path: str, kind: str, noun: str) -> list[Action]:
    if path not in have:
        return [Action(kind, path, f"make a {noun} in {path}")]
    if not is_key(have[path].text):
        raise WgMigrateError(
            f"{path} holds no WireGuard key (cut off by a power failure?): remove the file and run this again; "
            "a new key is made, and every peer must be configured again with it."
        )
    return _plan_mode(have, path)


def _plan_given(have: Mapping[str, KeyFile], path: str, key: str, noun: str) -> list[Action]:
    if path not in have:
        return [Action("write", path, f"write the given {noun} to {path}", key)]
    if have[path].text != key:
        return [Action("write", path, f"replace the {noun} in {path} by the given one", key)]
    return _plan_mode(have, path)


def _plan_mode(have: Mapping[str, KeyFile], path: str) -> list[Action]:
    if have[path].mode == MODE:
        return []
    return [Action("set_mode", path, f"set mode of {path} to {MODE:04o} (was {have[path].mode:04o})")]


def apply(system: System, actions: list[Action]) -> None:
    """Carry out a plan."""
    for action in actions:
        if action.kind == "generate_private":
            system.write(action.path, system.run(["wg", "genkey"]), MODE)
        elif action.kind == "generate_preshared":
            system.write(action.path, system.run(["wg", "genpsk"]), MODE)
        elif action.kind == "write":
            system.write(action.path, f"{action.secret}\n", MODE)
        elif action.kind == "set_mode":
            system.set_mode(action.path, MODE)
        else:
            system.remove(action.path)


def remove_directory(system: System, directory: str) -> None:
    """Remove a key directory that is empty, unless a package brought it (/etc/wireguard comes with wireguard-tools)."""
    if system.attempt(["dpkg-query", "--search", directory]).status != 0:
        system.remove_empty_directory(directory)


def public_keys(system: System, want: Wanted) -> dict[str, str]:
    """Return the public key of each pair that exists, by name; none where `wg` is not installed yet (check mode)."""
    keys = {}
    for name in want.pairs:
        private = system.read(want.path(name, "key"))
        if private is not None:
            outcome = system.attempt(["wg", "pubkey"], stdin=private)
            if outcome.status == 0:
                keys[name] = outcome.stdout.strip()
    return keys


def preshared_keys(system: System, want: Wanted) -> dict[str, str]:
    """Return the preshared keys born here, by name: secrets, for the controller to hand to the other end."""
    texts = {name: system.read(want.path(name, "psk")) for name in want.preshared}
    return {name: text.strip() for name, text in texts.items() if text is not None}


def describe(have: Mapping[str, KeyFile]) -> dict[str, dict[str, str]]:
    """Return the key files without their secrets, for a result or a diff."""
    return {path: {"key": "(secret)", "mode": f"{file.mode:04o}"} for path, file in sorted(have.items())}


def describe_after(have: Mapping[str, KeyFile], actions: list[Action]) -> dict[str, dict[str, str]]:
    """Return what `describe` will say once the actions are done; a new secret is called so, and not shown."""
    after = describe(have)
    for action in actions:
        if action.kind == "remove":
            del after[action.path]
        else:
            key = "(secret)" if action.kind == "set_mode" else "(new secret)"
            after[action.path] = {"key": key, "mode": f"{MODE:04o}"}
    return dict(sorted(after.items()))
