"""Providers that are none, behind their own names: a proxy for HTTPS that answers itself.

Plugins and SDKs are told of that proxy and its certificate alone, so that they ask where they would ask otherwise.
"""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[str, Mapping[str, str]], Any]
"""What an API says to a path and its query, or the form that it is sent; None for what it does not know."""


@dataclass
class Api:
    """One provider's API: its name, the key that it takes (empty: none), what it says, what it was asked."""

    host: str
    key: str
    answer: Answer
    requests: list[str] = field(default_factory=list)


def certify(directory: Path, names: list[str]) -> tuple[Path, Path]:
    """Write a certificate for these names, which signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(pem))
    paths[1].write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return paths


@contextmanager
def serving(directory: Path, apis: list[Api]) -> Iterator[dict[str, str]]:
    """Serve these APIs, and give the environment that leads to them."""
    by_host = {api.host: api for api in apis}
    certificate, key = certify(directory, list(by_host))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    class Handler(BaseHTTPRequestHandler):
        api: Api | None = None

        def do_CONNECT(self) -> None:
            """Speak TLS from now on, as the host that is wanted."""
            self.api = by_host.get(self.path.removesuffix(":443"))
            self.send_response(200 if self.api else 502)
            self.end_headers()
            if self.api:
                self.connection = tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
                self.close_connection = False

        def do_GET(self) -> None:
            self.reply(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self.reply(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def reply(self, asked: str) -> None:
            url = urlsplit(self.path)
            assert self.api is not None
            self.api.requests.append(url.path)
            allowed = not self.api.key or self.headers.get("Authorization") == f"Bearer {self.api.key}"
            said = self.api.answer(url.path, dict(parse_qsl(asked))) if allowed else {"error": {"errors": ["no"]}}
            content = json.dumps(said).encode()
            self.send_response(401 if not allowed else 404 if said is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()
            self.close_connection = True

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests ask the APIs."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.server_address[1]}"
        trusted = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(certificate))
        try:
            yield {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "", "no_proxy": "", **trusted}
        finally:
            server.shutdown()
