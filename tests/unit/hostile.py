"""What nobody should write, for the fuzz tests: JSON of any shape, and valid documents with something wrong in them.

Each run tries the same cases. `FUZZ_TIMES=100 .venv/bin/pytest tests/unit -k fuzz` tries a hundred times as many, other
ones each time.
"""

from __future__ import annotations

import copy
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from fake_system import FakeSystem
from hypothesis import settings
from hypothesis import strategies as st
from wg_migrate.errors import WgMigrateError
from wg_migrate.system import System

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))

# What ends a word, a line, a string or a block in nft, wg, ip, a shell, a path, a terminal.
_ENDS = [*"\n\r\0 \t\"'{};#`\\/%\u2028\x85", "$(id)", "..", "\x1b[2J"]
_WORDS = [
    "",
    "0",
    "-1",
    "01",
    "1e400",
    "nan",
    "inf",
    "1_000",
    "\u0663",
    "\ud800",
    "true",
    "None",
    "127.0.0.1",
    "0",
    "240.0.0.1",
    "255.255.255.255",
    "224.0.0.1",
    "010.0.0.1",
    "192.0.2.1/32",
    "192.0.2.0/255.255.255.0",
    "0.0.0.0/0",
    "::/0",
    "fe80::1",
    "fe80::1%eth0/128",
    'fe80::1%} ; flush ruleset ; table x { chain "y/128',
    "fe80::1%\nPostUp = id\n/128",
    "../../etc/passwd",
    "/dev/zero",
    "wgnet01",
    "wgnet4294967296",
    "-h",
    "{{ 1 }}",
]
_OTHERS: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"x": []},
    float("nan"),
    float("inf"),
    "9" * 1200,
    "\n" * 1200,
    10**400,
]
_NUMBERS = [-1, 0, 1, 65535, 65536, 2**31, 2**32, 2**53, 2**64, 0.5, -0.0, 1e308, 5e-324]

long = st.sampled_from("9x\n").map(lambda sign: sign * 1200)
texts = st.one_of(st.sampled_from(_WORDS), st.sampled_from(_ENDS), st.text(max_size=12), long)
numbers = st.one_of(st.sampled_from(_NUMBERS), st.integers(), st.floats(), st.just(10).map(lambda base: base**400))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
deep = st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
"""JSON that is deeper than Python's stack, or just not."""
raw = st.one_of(
    st.binary(max_size=40),
    deep.map(str.encode),
    st.sampled_from([b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"NaN", b"9" * 5000, b"{}" * 2, b"null", b"\0"]),
)
"""Bytes, most of them no JSON."""


def fuzz(examples: int) -> settings:
    """Return the settings of a fuzz test that tries so many cases."""
    return settings(max_examples=examples * TIMES, derandomize=TIMES == 1, deadline=None)


def places(document: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where something stands in a document: the keys and numbers on the way to it."""
    inner: list[tuple[Any, object]] = []
    if isinstance(document, dict):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document))
    return [place for key, value in inner for place in [(*at, key), *places(value, (*at, key))]]


def everywhere(valid: object, every: int = 1) -> Iterator[Any]:
    """Yield a valid document with one thing wrong in it, at each place in each of the ways that are listed here.

    With `every`, which should be prime, one in so many of them: for what takes its time.
    """
    wrong = ((place, what) for place in places(valid) for what in (None, *_wrong(valid, place)))
    for place, what in itertools.islice(wrong, 0, None, every if TIMES == 1 else 1):
        document = copy.deepcopy(valid)
        *way, last = place
        holder: Any = document
        for key in way:
            holder = holder[key]
        if what is None:
            del holder[last]
        else:
            holder[last] = what[0]
        yield document


def _wrong(valid: Any, place: tuple[Any, ...]) -> Iterator[list[Any]]:
    """Yield what may stand at a place instead of what is right, each in a list of its own."""
    for key in place:
        valid = valid[key]
    for value in (*_OTHERS, *_WORDS, *_ENDS, *_NUMBERS):
        yield [value]
    yield from ([[valid]], [{str(valid)[:20]: valid}], [str(valid)])
    if isinstance(valid, str):
        for end in _ENDS:
            yield from ([end + valid], [valid + end], [valid[:2] + end + valid[2:]])
    elif isinstance(valid, list):
        yield from ([valid + valid], *([[*valid, value]] for value in (*_OTHERS, *_WORDS)))
    elif isinstance(valid, (int, float)):
        yield from ([valid + 0.5], [valid * 1.0], [-valid], [valid * 10**9])


@st.composite
def spoilt(draw: st.DrawFn, valid: object, most: int = 2) -> Any:
    """Return a valid document with one thing wrong, or a few."""
    document = {"": copy.deepcopy(valid)}
    for _ in range(draw(st.integers(1, most))):
        if found := places(document):
            _spoil(draw, document, draw(st.sampled_from(found)))
    return document.get("")


def _spoil(draw: st.DrawFn, document: Any, place: tuple[Any, ...]) -> None:
    *way, last = place
    for key in way:
        document = document[key]
    value = document[last]
    what = draw(st.sampled_from(["other", "near", "near", "drop", "more", "wrapped"]))
    if what == "drop":
        del document[last]
    elif what == "more" and isinstance(value, dict):
        value[draw(texts)] = draw(values)
    elif what == "more" and isinstance(value, list):
        value.append(draw(values) if not value or draw(st.booleans()) else copy.deepcopy(value[0]))
    elif what == "wrapped":
        document[last] = draw(st.sampled_from([[value], {str(value)[:20]: value}, str(value)]))
    elif what == "near" and isinstance(value, str):
        at = draw(st.integers(0, len(value)))
        document[last] = value[:at] + draw(st.sampled_from(_ENDS)) + value[at:]
    elif what == "near" and isinstance(value, (int, float)) and abs(value) < 1e300:
        document[last] = value + draw(st.sampled_from([-1e9, -1, -0.5, 0.0, 0.5, 1, 1e9, float("inf"), float("nan")]))
    else:
        document[last] = draw(values)


class PickySystem(FakeSystem):
    """A fake that does to words, paths and texts what the kernel and Python do, and answers "" to every command."""

    def attempt(self, argv: list[str], stdin: str | None = None) -> Any:
        for word in argv:
            _refuse_nul(word)
        (stdin or "").encode()
        return super().attempt(argv, stdin)

    def read(self, path: str) -> str | None:
        _refuse_nul(path)
        return super().read(path)

    def exists(self, path: str) -> bool:
        _refuse_nul(path)
        return super().exists(path)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        _refuse_nul(path)
        text.encode()
        super().write(path, text, mode)


def _refuse_nul(word: str) -> None:
    if "\0" in word:
        raise ValueError("embedded null byte")
    word.encode()


def refusal(act: Callable[..., object], *arguments: object) -> str | None:
    """Do it; return the sentence with which it was refused, if it was, after a look at it."""
    try:
        act(*arguments)
    except WgMigrateError as error:
        judge(str(error))
        return str(error)
    return None


def judge(message: str) -> None:
    """Check that a message is for a person: short, one line, nothing of Python's, and it says what to do."""
    assert 10 < len(message) < 1000, message
    assert message.isprintable(), message
    assert re.search(
        r"\b(write|give|keep|put|raise|lacks|deploy|send|start|it has|not one of this version|better)\b", message
    ), message
    assert not re.search(r"Traceback|<class|object at 0x|Error\(", message), message


def as_read(text: bytes) -> str:
    """Return the bytes of a file as System.read does."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        return System().read(file.name) or ""
