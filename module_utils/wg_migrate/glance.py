"""What a shell tells of keys and files, so that a module need not be started where it would change nothing. Pure.

To start a module costs a host several times what a command of its shell does (docs/architecture.md). Each pair of
functions takes the arguments of a module: the question is None, and so is the result, where only the module can tell.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import keys, own_files
from .errors import WgMigrateError


def keys_question(arguments: Mapping[str, Any]) -> str | None:
    """Return the command that tells the keys of a directory that the other ends need, for wireguard_keys.

    Preshared keys are among them only where the module would reveal them: the task then does not log.
    """
    want = _wanted_keys(arguments)
    if want is None:
        return None
    reveal = "cat" if arguments.get("reveal_preshared") else "wg pubkey"
    return f"""cd {shlex.quote(want.directory)} || exit
tell() {{
    test "$(stat -L --format='%a %F' "$1")" = '{keys.MODE:o} regular file' && key=$($2 <"$1") && echo "$1 $key"
}}
for name in {_quoted(want.pairs)}; do tell "$name.key" 'wg pubkey'; done
for name in {_quoted(want.preshared)}; do tell "$name.psk" '{reveal}'; done"""


def keys_result(arguments: Mapping[str, Any], output: str) -> dict[str, Any] | None:
    """Return the result of wireguard_keys where every key is there as it should be."""
    want = _wanted_keys(arguments)
    told = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    if want is None or not all(map(keys.is_key, told.values())):
        return None
    if {f"{want.directory}/{name}" for name in told} != set(want.paths()):
        return None
    result = _unchanged(keys.describe({path: keys.KeyFile("", keys.MODE) for path in want.paths()}))
    result["public_keys"] = {name: told[f"{name}.key"] for name in want.pairs}
    if arguments.get("reveal_preshared"):
        result["preshared_keys"] = {name: told[f"{name}.psk"] for name in want.preshared}
    return result


def _wanted_keys(arguments: Mapping[str, Any]) -> keys.Wanted | None:
    directory, pairs, preshared = (arguments.get(name, []) for name in ("directory", "pairs", "preshared"))
    if arguments.get("state", "present") != "present" or arguments.get("given") or arguments.get("given_pairs"):
        return None
    if not _is_path(directory) or not _are_texts(pairs) or not _are_texts(preshared) or not (pairs or preshared):
        return None
    want = keys.Wanted(str(directory), tuple(pairs), tuple(preshared))
    try:
        keys.check(want)
    except WgMigrateError:
        return None
    return want


def files_question(arguments: Mapping[str, Any]) -> str | None:
    """Return the command that tells the modes and checksums of files, for the arguments of own_files."""
    want = _wanted_files(arguments)
    if want is None:
        return None
    paths, directories = _quoted(want.files), _quoted(want.exclusive)
    extra = f"find {directories} -maxdepth 1 -type f -printf '=%p\\n'" if directories else ""
    return f"stat -L --format='%a %n' -- {paths}\nsha256sum -- {paths}\n{extra}\necho end"


def files_result(arguments: Mapping[str, Any], output: str) -> dict[str, Any] | None:
    """Return the result of own_files where every file is as it should be, and none too many."""
    want = _wanted_files(arguments)
    if want is None:
        return None
    wanted = [f"{want.mode(path):o} {path}" for path in want.files]
    wanted += [f"{hashlib.sha256(text.encode()).hexdigest()}  {path}" for path, text in want.files.items()]
    in_ours = [path for path in want.files if path.rpartition("/")[0] in want.exclusive]
    wanted += [f"={path}" for path in in_ours] + ["end"]
    if sorted(output.splitlines()) != sorted(wanted):
        return None
    return _unchanged({path: f"{want.mode(path):04o}" for path in sorted(want.files)}) | {"diff": []}


def _wanted_files(arguments: Mapping[str, Any]) -> own_files.Wanted | None:
    files, state = arguments.get("files"), arguments.get("state", "present")
    executables, exclusive = arguments.get("executables", []), arguments.get("exclusive", [])
    if state != "present" or not isinstance(files, Mapping) or not files:
        return None
    if not all(map(_is_path, files)) or not _are_texts(list(files.values())):
        return None
    if not _are_texts(executables) or not _are_texts(exclusive) or not all(map(_is_path, exclusive)):
        return None
    if not set(executables) <= set(files):
        return None
    return own_files.Wanted(dict(files), frozenset(executables), tuple(exclusive))


def _quoted(words: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, words))


def _unchanged(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"changed": False, "actions": [], "before": dict(state), "after": dict(state)}


def _is_path(value: object) -> bool:
    """Tell whether it is a whole path that a line of output can hold."""
    return isinstance(value, str) and re.fullmatch(r"/[^\n\\]*", value) is not None


def _are_texts(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, str) for each in value)
