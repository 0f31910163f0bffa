"""One kept SSH connection to a host, and commands there as root."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
from wg_migrate.errors import WgMigrateError

from observe.hosts import Host

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 30.0
"""After which a command that only looks counts as hung."""
# What paramiko has to say it says in its exceptions, too.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
_REMOTE = Path(__file__).parent / "remote"
_SUDO_ASKS = ("a password is required", "no password was provided", "Sorry, try again")


class Connection:
    """A host over SSH; its key must be known."""

    def __init__(self, host: Host) -> None:
        """Connect and log in. Raises WgMigrateError with what to correct."""
        self.host = host
        self._proxy: subprocess.Popen[bytes] | None = None
        self._client = paramiko.SSHClient()  # refuses hosts whose keys it does not know
        try:
            for path in host.known_hosts:
                self._client.load_system_host_keys(path)
            self._log_in()
        except BaseException as error:
            self.close()
            if isinstance(error, (OSError, EOFError, paramiko.SSHException)):
                raise WgMigrateError(_reason(host, error)) from None
            raise

    def _log_in(self) -> None:
        host = self.host
        stream = self._open()
        stream.settimeout(CONNECT_SECONDS)
        self._client.connect(
            host.known_as,  # the name of its key: the stream is open already
            username=host.user,
            password=host.password,
            key_filename=list(host.keys),
            allow_agent=host.agent,
            look_for_keys=False,
            sock=stream,
            timeout=CONNECT_SECONDS,
            banner_timeout=CONNECT_SECONDS,
            auth_timeout=CONNECT_SECONDS,
        )

    def _open(self) -> socket.socket:
        if not self.host.proxy_command:
            return socket.create_connection((self.host.address, self.host.port), timeout=CONNECT_SECONDS)
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            self._proxy = subprocess.Popen(self.host.proxy_command, stdin=end, stdout=end, process_group=0)
        return ours

    @property
    def peer(self) -> str:
        """The address at which the host's sshd, or the proxy command's host, is reached."""
        return self.host.address if self._proxy else str(self._transport().getpeername()[0])

    def _transport(self) -> paramiko.Transport:
        transport = self._client.get_transport()
        assert transport is not None
        return transport

    def start(self, script: str, *arguments: str) -> paramiko.Channel:
        """Run observe/remote/SCRIPT.py on the host as root: as text, so that nothing is left there.

        Its first argument tells where this connection ends: $SSH_CONNECTION. Raises WgMigrateError.
        """
        text = (_REMOTE / f"{script}.py").read_text()
        words = shlex.join(("python3", "-c", text))
        command = f'{words} "$SSH_CONNECTION" {shlex.join(arguments)}'
        if self.host.user != "root":
            ask = "-n" if self.host.become_password is None else "-S -p ''"
            command = f"sudo {ask} {command}"
        try:
            # The first is opened when PAM has made the session, for which pam_systemd waits up to 25 s (DBus's limit).
            channel = self._transport().open_session(timeout=ANSWER_SECONDS)
            channel.exec_command(command)
            if self.host.become_password is not None and self.host.user != "root":
                channel.sendall(f"{self.host.become_password}\n".encode())
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise WgMigrateError(_reason(self.host, error)) from None
        return channel

    def run(self, script: str, *arguments: str) -> str:
        """Run observe/remote/SCRIPT.py as root and return what it prints. Raises WgMigrateError."""
        channel = self.start(script, *arguments)
        channel.settimeout(ANSWER_SECONDS)
        try:
            channel.shutdown_write()  # who asks for a second password is not to wait for it
            with channel, channel.makefile("r") as out, channel.makefile_stderr("r") as errors:
                printed, said = str(out.read().decode()), errors.read().decode(errors="replace")
                if channel.recv_exit_status() == 0:
                    return printed
        except (OSError, paramiko.SSHException) as error:
            raise WgMigrateError(_reason(self.host, error)) from None
        raise WgMigrateError(refusal(self.host, said))

    def close(self) -> None:
        """End the connection, and with it all that was started over it."""
        self._client.close()
        if self._proxy:
            self._proxy.terminate()
            self._proxy.wait()


def refusal(host: Host, said: str) -> str:
    """Return why a script did not run on a host, from what was said there on standard error."""
    lines = said.strip().splitlines() or ["it ended without a word"]
    if any(words in line for line in lines for words in _SUDO_ASKS):
        return f"{host.name}: sudo wants the password of {host.user}: write ansible_become_password, or add -K"
    return f"{host.name}: {lines[-1]}"


def _reason(host: Host, error: Exception) -> str:
    """Return in one sentence why a host is not reached, and what to correct."""
    where = f"{host.name} ({host.user}@{host.address} port {host.port})"
    if isinstance(error, paramiko.BadHostKeyException):
        return f"{where} has another host key than the one in known_hosts: find out why before anything else"
    if isinstance(error, paramiko.AuthenticationException):
        return f"{where} lets nobody in with these keys: correct ansible_user or ansible_ssh_private_key_file"
    if "not found in known_hosts" in str(error):
        return f"{where} has a host key that is not known: log in once by ssh, and compare it"
    return f"{where} is not reached: {error or type(error).__name__}; try 'ansible {host.name} -m ping'"


def each[T](work: Callable[[str], T], names: Iterable[str]) -> dict[str, T]:
    """Return what WORK gives for each host, all at the same time.

    Raises WgMigrateError with what was wrong with any of them, a line each.
    """
    found: dict[str, T] = {}
    refused: list[str] = []

    def attempt(name: str) -> None:
        try:
            found[name] = work(name)
        except WgMigrateError as error:
            refused.append(str(error))

    names = list(names)
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        list(pool.map(attempt, names))
    if refused:
        raise WgMigrateError("\n".join(sorted(refused)))
    return {name: found[name] for name in names}


def connect_all(hosts: Mapping[str, Host], opened: contextlib.ExitStack) -> dict[str, Connection]:
    """Connect to all hosts at once; OPENED closes the connections, also those of an attempt that failed in the end."""

    def connect(name: str) -> Connection:
        connection = Connection(hosts[name])
        opened.callback(connection.close)
        return connection

    return each(connect, hosts)
