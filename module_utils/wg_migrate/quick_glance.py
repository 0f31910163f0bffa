"""What a shell tells of a wg-quick interface, so that a module need not be started where it would change nothing. Pure.

One command reads all that `quick_have` asks of a host, and the plan is made of its answers as it is on the host.
Secrets stay there: in the place of each stands its SHA-256, which the shell makes without naming the secret on a
command line, where all users could read it. A key is 256 random bits, which a hash does not give away.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from . import quick, quick_conf, quick_have, quick_show
from .errors import WgMigrateError
from .quick_conf import ARGUMENT_SPEC, Paths, Wanted
from .system import Outcome, System

_FUNCTIONS = f"""\
exec 2>/dev/null
export LC_ALL=C
tab=$(printf '\\t')
digest() {{ set -- $(printf %s "$1" | sha256sum) && echo "sha256:$1"; }}
secret() {{ if test "$1" = '(none)'; then echo "$1"; else digest "$1"; fi; }}
key() {{ test "$(wc -c <"$1")" -eq 45 && read -r line <"$1" && digest "$line"; }}
conf() {{
    test -f "$1" && read -r line <"$1" && test "$line" = {shlex.quote(quick_conf.MARK)} || return 9
    while IFS= read -r line; do
        case $line in
            'PublicKey = '*) printf '%s\\n' "$line" ;;
            'PrivateKey = '* | 'PresharedKey = '*) echo "${{line%% *}} = $(digest "${{line#* = }}")" ;;
            *[Kk][Ee][Yy]*) digest "$line" ;;
            *) printf '%s\\n' "$line" ;;
        esac
    done <"$1"
    test -z "$line" || digest "$line"
}}
dump() {{
    wg show "$1" dump | {{
        IFS=$tab read -r private rest && echo "$(secret "$private")$tab$rest"
        while IFS=$tab read -r public preshared rest; do echo "$public$tab$(secret "$preshared")$tab$rest"; done
    }}
}}
"""
"""Of a file that is not ours, and of a line that we have not written, nothing is told that may be a key."""

_END = re.compile(r"\n==([0-9]+)\n")
"""What follows each answer: the status that the command ended with."""
_DIGEST = re.compile("sha256:([0-9a-f]{64})")
_KEY, _NEXT_KEY, _SETTINGS = "the private key", "a key that waits", "the kernel settings"


class _UnaskedError(Exception):
    """A plan needs more than the shell was asked."""


class _Asking(System):
    """A host that has the interface, as far as it takes to hear all that is asked of one: `readings` in shell."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.readings: dict[str, str] = {}
        self.settings: list[str] = []
        self._paths = Paths(name)
        self._answers = {
            "ip -json address show": json.dumps([{"ifname": name, "mtu": 0}]),
            f"wg show {name} dump": "-\t-\t1\toff\n",
        }

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        assert stdin is None  # nothing that only reads takes any
        words = shlex.join(argv)
        self.readings[words] = f"dump {self._paths.name}" if argv[0] == "wg" else words
        return Outcome(0, self._answers.get(words, ""), "")

    def read(self, path: str) -> str | None:
        if path.startswith("/proc/sys/"):
            self.settings.append(path)
        else:
            self.readings[path] = f"{'conf' if path == self._paths.conf else 'cat'} {shlex.quote(path)}"
        return None

    def mode(self, path: str) -> int | None:
        self.readings[f"mode {path}"] = f"stat -L --format=%a {shlex.quote(path)}"
        return None


class _Told(System):
    """A host as far as its shell has told of it."""

    def __init__(self, answers: Mapping[str, Outcome]) -> None:
        super().__init__()
        self._answers = answers
        lines = answers[_SETTINGS].stdout.splitlines()
        self._settings = {path: value for path, colon, value in (line.partition(":") for line in lines)}

    def _answer(self, reading: str) -> Outcome:
        if reading not in self._answers:
            raise _UnaskedError
        return self._answers[reading]

    def attempt(self, argv: list[str], stdin: str | None = None) -> Outcome:
        assert stdin is None
        return self._answer(shlex.join(argv))

    def read(self, path: str) -> str | None:
        if path.startswith("/proc/sys/"):
            if path not in self._settings:
                raise _UnaskedError
            return self._settings[path]
        answer = self._answer(path)
        return answer.stdout if answer.status == 0 else None

    def mode(self, path: str) -> int | None:
        answer = self._answer(f"mode {path}")
        return int(answer.stdout, 8) if answer.status == 0 else None


def question(arguments: Mapping[str, Any]) -> str | None:
    """Return the command that tells all that a plan for the interface is made of, for the arguments of wireguard_quick.

    None where only the module can tell.
    """
    want = _wanted(arguments)
    if want is None:
        return None
    told = [f"{command}; printf '\\n==%s\\n' $?" for command in _readings(arguments, want).values()]
    return _FUNCTIONS + "\n".join(told)


def result(arguments: Mapping[str, Any], output: str) -> dict[str, Any] | None:
    """Return the result of wireguard_quick where it has nothing to do; None where only the module can tell."""
    want = _wanted(arguments)
    if want is None:
        return None
    readings, parts = _readings(arguments, want), _END.split(output)
    if len(parts) != 2 * len(readings) + 1:
        return None
    answers = {
        reading: Outcome(int(status), _DIGEST.sub(lambda found: _as_key(found[1]), text), "")
        for reading, text, status in zip(readings, parts[::2], parts[1::2])
    }
    if answers[_KEY].status != 0 or (_NEXT_KEY in answers and answers[_NEXT_KEY].status == 0):
        return None
    told = _Told(answers)
    try:
        asked = dataclasses.replace(want, private_key=answers[_KEY].stdout.strip())
        want = quick_have.with_advertised_routes(told, asked)
        have = quick_have.read(told, want.name, want.sysctls)
        planned = quick.plan(have, want)
    except (_UnaskedError, WgMigrateError, ValueError):
        return None
    if planned.steps or planned.left_out:
        return None
    return quick_show.result(have, want, planned)


def _readings(arguments: Mapping[str, Any], want: Wanted) -> dict[str, str]:
    """Return what is asked, in a fixed order: what it is called here, and the command that tells it."""
    asking = _Asking(want.name)
    quick_have.read(asking, want.name, quick_have.with_advertised_routes(asking, want).sysctls)
    waits_in = arguments.get("next_private_key_file")
    # Of which device accept_ra is asked the shell's own answer tells.
    settings = " ".join(map(shlex.quote, asking.settings))
    return {
        _KEY: f"key {shlex.quote(arguments['private_key_file'])}",
        **({_NEXT_KEY: f"test -e {shlex.quote(waits_in)}"} if waits_in is not None else {}),
        _SETTINGS: f"grep -H '' {settings} /proc/sys/net/ipv6/conf/*/accept_ra",
        **asking.readings,
    }


def _wanted(arguments: Mapping[str, Any]) -> Wanted | None:
    """Return what is asked for, but for the private key, and with each preshared key as the shell tells it."""
    if not _fit(arguments, ARGUMENT_SPEC):
        return None
    parameters = _filled(arguments, ARGUMENT_SPEC)
    if parameters["state"] != "present" or parameters["private_key_file"] is None:
        return None
    peers = [_disguised(_filled(peer, ARGUMENT_SPEC["peers"]["options"])) for peer in parameters["peers"]]
    try:
        return quick_conf.wanted({**parameters, "peers": peers}, "")
    except WgMigrateError:
        return None


def _fit(arguments: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Tell whether a module takes arguments as they stand, with nothing to convert and nothing to refuse."""
    required = {name for name, about in spec.items() if about.get("required")}
    return required <= set(arguments) <= set(spec) and all(
        _fits(value, spec[name]["type"], spec[name]) for name, value in arguments.items()
    )


def _fits(value: object, kind: str, about: Mapping[str, Any]) -> bool:
    if value is None:
        return not about.get("required") and about.get("default") is None
    if kind == "list":
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False
        return all(each is not None and _fits(each, about["elements"], about) for each in value)
    if kind == "dict":
        return isinstance(value, Mapping) and ("options" not in about or _fit(value, about["options"]))
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)


def _filled(arguments: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: about.get("default") for name, about in spec.items()}, **arguments}


def _disguised(peer: Mapping[str, Any]) -> dict[str, Any]:
    secret = peer["preshared_key"]
    return {**peer, "preshared_key": _as_key(hashlib.sha256(secret.encode()).hexdigest())} if secret else dict(peer)


def _as_key(digest: str) -> str:
    """Return a digest, in hexadecimal digits, in the form of a WireGuard key: both are of 32 bytes."""
    return base64.b64encode(bytes.fromhex(digest)).decode()
