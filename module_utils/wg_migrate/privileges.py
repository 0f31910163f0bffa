"""Go into a network namespace, and give up the right to do so: two system calls that Python 3.9 has no words for."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNET = 0x40000000  # linux/sched.h
CAP_NET_ADMIN = 12  # linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def enter_namespace(name: str) -> None:
    """Move this thread into a named network namespace. Raises OSError; FileNotFoundError where there is none."""
    with open(f"/run/netns/{name}") as stream:
        if _libc.setns(stream.fileno(), CLONE_NEWNET) != 0:
            _raise("setns")


def keep_only_net_admin() -> None:
    """Give up every capability but CAP_NET_ADMIN, for this process and those that it starts. Raises OSError.

    A capability that is no longer permitted leaves the ambient set too (capabilities(7)), and under `noroot`
    (the unit's SecureBits) a child has nothing but that set.
    """
    mask = 1 << CAP_NET_ADMIN
    data = (_Data * 2)(_Data(mask, mask, mask), _Data(0, 0, 0))
    if _libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data) != 0:
        _raise("capset")


def _raise(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}")
