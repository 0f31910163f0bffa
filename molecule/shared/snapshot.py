"""Write down what this machine is (`made`), or print how it differs from that and fail if it does (`compare`).

Needs root. All that a deployment could leave behind counts: files, packages, units, devices, addresses, routes,
rules, namespaces, nft tables, kernel settings, processes. Only the kernel is asked, and programs that the machine has
from the start: a table that stays is seen also after `nft` itself has been removed.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TREES = ("/etc", "/usr/local", "/var/lib", "/var/spool", "/opt", "/srv", "/root", "/home", "/tmp", "/run")
NOISES = (
    "/var/lib/apt(/.*)?",  # package lists and the like, refreshed on purpose
    "/var/lib/dpkg(/.*)?",  # the packages are compared themselves
    "/var/lib/systemd/(random-seed|timers/.*|timesync/.*)",  # written at shutdowns and by timers
    r"/var/lib/ucf/hashfile\.[0-9]",  # ucf's own backups
    "/etc/(passwd|group|shadow|gshadow)-",  # what stood before the last change of users
    "/etc/ld.so.cache",  # made anew with every library that comes or goes
    "/run/(adduser|initctl|sshd.pid|utmp)",  # others': locks, and what is written at a login
    "/run/(systemd|udev|dbus|lock|user|log|sudo|mount|credentials|secrets)(/.*)?",  # others'
    "/run/(netns|wireguard)",  # directories that `ip netns` and wireguard-go keep; what is in them counts
    "/tmp/(systemd-private-|ansible_|\\.).*",  # of running units, and of the module that asks
)
"""Paths that change by themselves, or are compared in another way, as regular expressions."""
NOISE = re.compile("|".join(NOISES))
NOISY_SETTINGS = re.compile(
    # The last is drawn when the first program listens with TCP Fast Open.
    r"net\.netfilter\.nf_conntrack_(count|buckets)|net\.core\.netdev_rss_key|.*\.stable_secret|net\.ipv4\.tcp_fastopen_key"
)
MADE = Path("/dev/shm/molecule-made")  # gone with the machine, and in none of TREES
OWN_PROCESSES = re.compile(r"wireguard-go|wg-migrate|wg-quick")
NETLINK_NETFILTER = 12  # linux/netlink.h
NFT_MSG_GETTABLE = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES (linux/netfilter/nfnetlink.h), nf_tables_msg_types
NLM_F_REQUEST_DUMP = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
NFTA_TABLE_NAME = 1


# systemctl gives up what takes 25 s, and on an emulated machine the list of all unit files takes longer.
PATIENT = {**os.environ, "SYSTEMD_BUS_TIMEOUT": "10min"}


def run(*argv: str) -> str:
    """Return what a program prints."""
    return subprocess.run(argv, env=PATIENT, capture_output=True, text=True, check=True).stdout


def files() -> Iterator[str]:
    """Describe every file and directory of TREES that is not noise, by mode, owner and content."""
    for tree in TREES:
        for directory, names, others in os.walk(tree):
            names[:] = [name for name in names if not NOISE.fullmatch(f"{directory}/{name}")]
            for name in (*names, *others):
                path = f"{directory}/{name}"
                if not NOISE.fullmatch(path):
                    yield describe(path)


def describe(path: str) -> str:
    """Return a file's path, mode, owner and a digest of its content."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            content = f"-> {os.readlink(path)}"
        elif stat.S_ISREG(found.st_mode):
            content = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
        else:
            content = ""
    except FileNotFoundError:
        return f"{path} vanished"
    return f"{path} {stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {content}"


def network() -> Iterator[str]:
    """Describe devices, addresses, routes of all tables, and rules, of both families."""
    for word in ("link", "address"):
        for device in json.loads(run("ip", "-json", word, "show")):
            # The kernel's count: a device that was made anew has another.
            del device["ifindex"]
            yield f"{word} {json.dumps(device, sort_keys=True)}"
    for family in ("-4", "-6"):
        for words in (("route", "show", "table", "all"), ("rule", "show")):
            for found in json.loads(run("ip", "-json", family, *words) or "[]"):
                yield f"{family} {words[0]} {json.dumps(found, sort_keys=True)}"


def nft_tables() -> Iterator[str]:
    """Ask the kernel for the names of all nft tables (linux/netfilter/nf_tables.h), as there may be no `nft`."""
    request = struct.pack("=IHHIIBBH", 20, NFT_MSG_GETTABLE, NLM_F_REQUEST_DUMP, 1, 0, 0, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.send(request)
        while True:
            data = kernel.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", data, 16)[0], "the kernel did not list its nft tables")
                yield f"family {data[16]} table {table_name(data[20:length])}"
                data = data[(length + 3) & ~3 :]


def table_name(attributes: bytes) -> str:
    """Return the name among a table's attributes; raises ValueError where there is none."""
    while attributes:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == NFTA_TABLE_NAME:
            return attributes[4:length].rstrip(b"\0").decode()
        attributes = attributes[(length + 3) & ~3 :]
    raise ValueError("a table without a name")


def settings() -> Iterator[str]:
    """Describe the network's kernel settings that can be read."""
    for path in Path("/proc/sys/net").rglob("*"):
        name = ".".join(path.parts[3:])
        if path.is_file() and os.stat(path).st_mode & stat.S_IRUSR and not NOISY_SETTINGS.fullmatch(name):
            yield f"{name} = {path.read_text().strip()}"


def units() -> Iterator[str]:
    """Describe unit files, and the services that run or failed, but for those of login sessions."""
    listed = run("systemctl", "list-unit-files", "--no-legend", "--plain").splitlines()
    yield from (line for line in listed if not re.match(r"session-\w+\.scope ", line))
    kinds = "--type=service,socket,timer,path"
    for line in run("systemctl", "list-units", kinds, "--state=active,failed", "--no-legend", "--plain").splitlines():
        name, loaded, active, sub = line.split()[:4]
        if not re.match(r"user@|user-runtime-dir@", name):
            yield f"{name} {loaded} {active} {sub if not name.endswith('.timer') else ''}"


def processes() -> Iterator[str]:
    """Name the processes that are ours, wherever they run."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if OWN_PROCESSES.search(command):
            yield command


def facts() -> list[str]:
    """Return all facts, sorted within each kind."""
    kinds = {
        "file": files(),
        "network": network(),
        "namespace": iter(run("ip", "netns", "list").splitlines()),
        "nft": nft_tables(),
        "setting": settings(),
        "unit": units(),
        "process": processes(),
        "package": iter(run("dpkg-query", "--show", "--showformat=${Package} ${Version} ${Status}\n").splitlines()),
    }
    return [f"{kind} {fact}" for kind, found in kinds.items() for fact in sorted(found)]


def main() -> int:
    """Do what the first argument says; return 1 where the machine differs."""
    now = facts()
    if sys.argv[1] == "made":
        MADE.write_text("\n".join(now))
        return 0
    differences = list(difflib.unified_diff(MADE.read_text().split("\n"), now, "as made", "now", n=0, lineterm=""))
    print("\n".join(differences))
    return int(differences != [])


sys.exit(main())
