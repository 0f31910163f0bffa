"""A run of a playbook from its first word to its exit status: played, shown and logged."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wgm import log
from wgm.commands import COMMANDS, ROOT, phases
from wgm.log import Asked
from wgm.play import play
from wgm.record import Record
from wgm.show import Show


def asked_for(
    words: Sequence[str],
    command: str,
    inventory: Sequence[str],
    limit: str | None,
    options: Sequence[str] = (),
) -> Asked:
    """Return what is asked for by these words of the command line, from now on."""
    playbook = COMMANDS[command].playbook
    return Asked(
        words=tuple(words),
        command=command,
        playbook=playbook,
        phases=tuple(phases(ROOT / playbook)),
        inventory=tuple(each if "," in each else os.path.abspath(each) for each in inventory),
        limit=limit,
        options=tuple(options),
        began=time.time(),
    )


def run(
    asked: Asked,
    variables: Mapping[str, Any],
    secret: str | None,
    aside: Callable[[Record], bool] = lambda _: False,
    to_stderr: bool = False,
) -> int:
    """Run the playbook, show and log it, and return the exit status. SECRET is the password that sudo wants.

    A record that ASIDE takes is neither shown nor logged. TO_STDERR leaves standard output to others.

    Raises WgMigrateError where no log can be written.
    """
    asked = replace(asked, total=log.total(asked))
    with contextlib.closing(log.Log(asked)) as written, Show(asked, written.path, to_stderr=to_stderr) as show:

        def take(record: Record) -> None:
            if not aside(record):
                written.write(record)
                show.take(record)

        ended = play(asked, variables, secret, take)
        seconds = time.time() - asked.began
        written.end(ended, seconds)
        show.end(ended, seconds)
    return ended
