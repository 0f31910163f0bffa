"""The configuration file with anything in it: it is refused with a sentence, or nothing in it can do harm."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
from typing import Any

import pytest
from client_samples import CONFIG
from hostile import PickySystem, as_read, everywhere, fuzz, raw, refusal, spoilt, texts, values
from hypothesis import given
from hypothesis import strategies as st
from test_tunnel import EMPTY
from wg_migrate import cli
from wg_migrate.config import PATH, Config, dump, load, parse

SAMPLE: dict[str, Any] = {**dataclasses.asdict(CONFIG), "dns_servers": ["10.87.16.1"]}
ONE_WORD = re.compile(r"[A-Za-z0-9._:/+=-]*")
"""What nft, ip, wg and a shell take for one word, whatever stands beside it."""
SCRIPT = re.compile(r"[A-Za-z0-9._:/+=&|!@<>(){}[\]\"',;\n\t -]*")
documents = st.one_of(
    spoilt(SAMPLE), st.dictionaries(st.sampled_from(list(SAMPLE)), values), st.dictionaries(texts, values)
)


class Client(PickySystem):
    """A client with this file and its keys, and nothing of the tunnel yet; `argvs` are the commands that it ran."""

    def __init__(self, text: str | bytes | None) -> None:
        super().__init__({"": "", **EMPTY}, {})
        self.argvs: list[list[str]] = []
        self.written = text

    def attempt(self, argv: list[str], stdin: str | None = None) -> Any:
        self.argvs.append(argv)
        return super().attempt(argv, stdin)

    def read(self, path: str) -> str | None:
        found = super().read(path)
        if path == PATH:
            return as_read(self.written) if isinstance(self.written, bytes) else self.written
        return "KEY" if path.endswith((".key", ".psk")) else found


def words(value: object) -> list[object]:
    """Return all that stands in a configuration, one by one."""
    if isinstance(value, dict):
        return [word for each in value.values() for word in words(each)]
    if isinstance(value, list):
        return [word for each in value for word in words(each)]
    return [value]


def check_harmless(config: Config) -> None:
    """Check that everything in a configuration is a word of its own, of the type that its field says."""
    document = dataclasses.asdict(config)
    assert all(value is None or isinstance(value, (str, int)) for value in words(document))
    assert [word for word in words(document) if isinstance(word, str) and not ONE_WORD.fullmatch(word)] == []
    assert type(config.userspace) is bool
    for number in (config.uplink_mtu, config.keepalive, config.exit.port, *(path.port for path in config.paths)):
        assert type(number) is int
        assert 1 <= number <= 65535
    for text in (config.overlay_address, config.exit.address, *(path.address for path in config.paths)):
        assert not re.match(r"0\.|127\.|22[4-9]\.|2[345]\d\.", text)
    assert ".." not in config.key_directory.split("/")
    for name in (config.exit.name, *(path.proxy for path in config.paths)):
        assert re.fullmatch(r"\w[\w.-]*", name)
    assert parse(json.loads(dump(config))) == config


def accept(document: dict[str, Any]) -> None:
    check_harmless(parse(document))


def test_each_thing_that_is_wrong_in_a_document_is_refused_or_harmless() -> None:
    for document in everywhere(SAMPLE):
        refusal(accept, document)


@given(documents)
@fuzz(60)
def test_a_document_is_refused_or_harmless(document: dict[str, Any]) -> None:
    refusal(accept, document)


@given(st.one_of(raw, values.map(lambda value: json.dumps(value).encode())))
@fuzz(60)
def test_a_file_of_any_bytes_is_refused(text: bytes) -> None:
    """None of these is a whole configuration."""
    assert refusal(load, Client(text))


def up(system: Client) -> tuple[int, str]:
    """Run `wg-migrate up` as root; return its status and what it said to standard error."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr("os.geteuid", lambda: 0)
        patch.setattr(cli, "System", lambda: system)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            status = cli.main(["up"])
    return status, said.getvalue()


@given(st.one_of(raw, documents.map(lambda document: json.dumps(document).encode())))
@fuzz(60)
def test_up_changes_nothing_where_the_file_is_refused_and_else_runs_harmless_commands(text: bytes) -> None:
    system = Client(text)
    status, said = up(system)
    refused = refusal(load, system)
    if refused:
        assert (status, said) == (1, f"wg-migrate: {refused}\n")
        assert system.argvs == []
        assert system.files == {}
    else:
        assert said.count("\n") == status
        check_commands(system)


def check_commands(system: Client) -> None:
    """Check that each word of a command is one, and that scripts have no signs that ours have not."""
    spoken = [word for argv in system.argvs for word in argv if word != "net.ipv4.ping_group_range=0 0"]
    assert [word for word in spoken if re.search(r"[\s\"'{};`]", word)] == []
    assert [text for text in system.stdins.values() if not SCRIPT.fullmatch(text or "")] == []


def test_the_sample_is_accepted_and_comes_up() -> None:
    """Else the fuzz tests would try only what is refused."""
    system = Client(json.dumps(SAMPLE))
    assert up(system) == (0, "")
    assert "nft -f -" in system.ran
    assert any("syncconf" in line for line in system.ran)
    check_commands(system)
