"""How many packets each device of this namespace has received and sent: /proc/net/dev, without a process."""

from __future__ import annotations

import os

_FIELDS = 16


class Counters:
    """Reads the counters of the namespace in which it was made."""

    def __init__(self) -> None:
        # The file stays that of the namespace in which it was opened (proc_net(5)).
        self._file = os.open("/proc/thread-self/net/dev", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> dict[str, tuple[int, int]]:
        """Return the packets received and sent, by the device's name."""
        return parse(os.pread(self._file, 65536, 0))


def parse(text: bytes) -> dict[str, tuple[int, int]]:
    """Return the packets received and sent in the text of /proc/net/dev (proc_pid_net(5)), by the device's name.

    A line that is none of a device is left out: the last one may be cut off.
    """
    found = {}
    for line in text.split(b"\n")[2:]:
        name, _, numbers = line.partition(b":")
        fields = numbers.split()
        if len(fields) >= _FIELDS and fields[1].isdigit() and fields[9].isdigit():
            # Somebody's device may have a name that is no text; ours have not.
            found[name.strip().decode(errors="replace")] = (int(fields[1]), int(fields[9]))
    return found
