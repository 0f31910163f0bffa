"""The certificate of the lab's web server, from an authority that is made for this lab and signs nothing else."""

from __future__ import annotations

from lab.shell import run
from lab.topology import BUILD, machine

DIRECTORY = BUILD / "tls"
AUTHORITY = DIRECTORY / "authority.crt"
"""Whom the client's browser is told to trust: inventory/lab/group_vars/clients.yml."""
CERTIFICATE, KEY = DIRECTORY / "web.crt", DIRECTORY / "web.key"
_AUTHORITY_KEY = DIRECTORY / "authority.key"
NAME = "web.lab.test"
DAYS = "3650"
_NEW_KEY = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", DAYS)


def authority_command() -> list[str]:
    """Return the command that makes the authority: its key is for the one certificate that follows."""
    limits = ("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0", "-addext", "keyUsage=critical,keyCertSign")
    written = ("-keyout", f"{_AUTHORITY_KEY}", "-out", f"{AUTHORITY}")
    return ["openssl", *_NEW_KEY, "-subj", "/CN=The lab's certificate authority", *limits, *written]


def certificate_command() -> list[str]:
    """Return the command that makes the server's certificate, for its names and its addresses."""
    web = machine("web")
    names = f"subjectAltName=DNS:{NAME},DNS:*.{NAME},IP:{web.address4},IP:{web.address6}"
    limits = ("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth")
    signed = ("-CA", f"{AUTHORITY}", "-CAkey", f"{_AUTHORITY_KEY}", "-keyout", f"{KEY}", "-out", f"{CERTIFICATE}")
    return ["openssl", *_NEW_KEY, "-subj", f"/CN={NAME}", "-addext", names, *limits, *signed]


def ensure_certificates() -> None:
    """Make authority and certificate where one is missing. The authority's key goes at once: nobody needs it again."""
    if AUTHORITY.exists() and CERTIFICATE.exists() and KEY.exists():
        return
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    try:
        run(authority_command(), "keys")
        run(certificate_command(), "keys")
    finally:
        _AUTHORITY_KEY.unlink(missing_ok=True)
