"""As much of Hetzner's HTTP API as provisioning needs (https://docs.hetzner.cloud), on a port of this machine."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "t" * 64
"""Of the length that Hetzner's have."""
Thing = dict[str, Any]

LOCATIONS: list[Thing] = [{"id": number, "name": name} for number, name in enumerate(["fsn1", "hel1", "ash"], 1)]
SERVER_TYPES: list[Thing] = [
    {
        "id": 1,
        "name": "cx23",
        "architecture": "x86",
        "prices": [],
        "locations": [],
        "deprecated": False,
        "deprecation": None,
    },
    {
        "id": 2,
        "name": "cpx11",
        "architecture": "x86",
        "prices": [],
        "locations": [],
        "deprecated": False,
        "deprecation": None,
    },
]
IMAGES: list[Thing] = [
    {"id": 1, "name": "debian-13", "architecture": "x86", "type": "system", "status": "available", "deprecated": None,
     "os_flavor": "debian"},
]  # fmt: skip
CREATED = "2026-01-01T00:00:00+00:00"


def price(*locations: str, net: str) -> list[Thing]:
    """Return prices as /pricing has them: a text for each location."""
    return [{"location": name, "price_monthly": {"net": net, "gross": "99"}, "price_hourly": {}} for name in locations]


PRICING = {
    "currency": "EUR",
    "server_types": [
        {"id": 1, "name": "cx23", "prices": price("fsn1", "hel1", net="3.0000000000")},
        {"id": 2, "name": "cpx11", "prices": price("fsn1", "hel1", "ash", net="4.2500000000")},
    ],
    "primary_ips": [
        {"type": "ipv4", "prices": price("fsn1", "hel1", "ash", net="0.5000000000")},
        {"type": "ipv6", "prices": price("fsn1", "hel1", "ash", net="0.0000000000")},
    ],
}


class RefusalError(Exception):
    """An answer of the API other than success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": {"code": code, "message": message, "details": {}}}


class Project:
    """What is in the project, what was asked, and which requests are to fail."""

    def __init__(self) -> None:
        self.things: dict[str, dict[int, Thing]] = {
            "servers": {}, "firewalls": {}, "ssh_keys": {},
            "locations": {each["id"]: each for each in LOCATIONS},
            "server_types": {each["id"]: each for each in SERVER_TYPES},
            "images": {each["id"]: each for each in IMAGES},
        }  # fmt: skip
        self.addresses: dict[str, str] = {}
        """Addresses that servers are to get, by their names; others get the next free one."""
        self.user_data: dict[str, str] = {}
        self.passwords: list[str] = []
        """Servers for whose root a password was sent by mail."""
        self.requests: list[str] = []
        self.failing: dict[str, RefusalError] = {}
        """By the request, e.g. POST /servers NAME: once, then it succeeds."""
        self._numbers = itertools.count(100)
        self._free = (f"203.0.113.{number}" for number in itertools.count(10))
        self._lock = threading.Lock()

    def names(self, kind: str) -> list[str]:
        """Return the names of all servers, firewalls or ssh_keys."""
        return sorted(each["name"] for each in self.things[kind].values())

    def named(self, kind: str, name: str) -> Thing:
        """Return the thing of that name."""
        return next(each for each in self.things[kind].values() if each["name"] == name)

    def changes(self) -> list[str]:
        """Return the requests that were to change something."""
        return [request for request in self.requests if not request.startswith("GET ")]

    def answer(self, method: str, path: str, query: dict[str, str], body: Thing) -> Thing:
        """Carry a request out. Raises RefusalError."""
        with self._lock:
            request = f"{method} {path} {body.get('name', '')}".rstrip()
            self.requests.append(request)
            if request in self.failing:
                raise self.failing.pop(request)
            if path == "/pricing":
                return {"pricing": PRICING}
            if action := re.fullmatch(r"/(\w+)/(\d+)/actions/(\w+)", path):
                return self._act(self._known(action[1], int(action[2])), action[3], body)
            kind, _, number = path.strip("/").partition("/")
            if kind == "actions":
                return {"actions": [done(int(query["id"]))]} if not number else {"action": done(int(number))}
            if kind not in self.things:
                raise RefusalError(404, "not_found", f"no such path: {path}")
            if number:
                return self._one(method, kind, int(number), body)
            return self._create(kind, body) if method == "POST" else self._list(kind, query)

    def _known(self, kind: str, number: int) -> Thing:
        if number not in self.things[kind]:
            raise RefusalError(404, "not_found", f"{kind} {number} not found")
        return self.things[kind][number]

    def _list(self, kind: str, query: dict[str, str]) -> Thing:
        found = list(self.things[kind].values())
        for key in {"name", "architecture", "fingerprint"} & set(query):
            found = [each for each in found if each[key] == query[key]]
        if label := query.get("label_selector"):
            name, _, value = label.partition("=")
            found = [each for each in found if each["labels"].get(name) == value]
        page = {
            "page": 1,
            "per_page": 50,
            "previous_page": None,
            "next_page": None,
            "last_page": 1,
            "total_entries": len(found),
        }
        return {kind: found, "meta": {"pagination": page}}

    def _one(self, method: str, kind: str, number: int, body: Thing) -> Thing:
        thing = self._known(kind, number)
        if method == "PUT":
            thing.update(body)
        if method == "DELETE":
            if kind == "firewalls" and thing["applied_to"]:
                raise RefusalError(409, "resource_in_use", f"firewall with ID '{number}' is still in use")
            del self.things[kind][number]
            for firewall in self.things["firewalls"].values():
                firewall["applied_to"] = [each for each in firewall["applied_to"] if each["server"]["id"] != number]
            return {"action": done(next(self._numbers))} if kind == "servers" else {}
        return {kind[:-1]: thing}

    def _create(self, kind: str, body: Thing) -> Thing:
        if body["name"] in self.names(kind):
            raise RefusalError(409, "uniqueness_error", f"{kind[:-1]} name is already used")
        number = next(self._numbers)
        common = {"id": number, "name": body["name"], "labels": body.get("labels") or {}, "created": CREATED}
        if kind == "servers":
            server = self._server(common, body)
            self.things[kind][number] = server
            for each in body.get("firewalls", []):
                self._apply(self._known("firewalls", each["firewall"]), server)
            if not body.get("ssh_keys"):
                self.passwords.append(body["name"])
            return {"server": server, "action": done(number), "next_actions": [], "root_password": None}
        if kind == "firewalls":
            thing = {**common, "rules": [whole_rule(rule) for rule in body.get("rules", [])], "applied_to": []}
            self.things[kind][number] = thing
            return {"firewall": thing, "actions": []}
        fingerprint = fingerprint_of(body["public_key"])
        if any(each["fingerprint"] == fingerprint for each in self.things[kind].values()):
            raise RefusalError(409, "uniqueness_error", "SSH key with the same fingerprint already exists")
        self.things[kind][number] = {**common, "public_key": body["public_key"], "fingerprint": fingerprint}
        return {"ssh_key": self.things[kind][number]}

    def _server(self, common: Thing, body: Thing) -> Thing:
        self.user_data[body["name"]] = body.get("user_data") or ""
        address = self.addresses.get(body["name"]) or next(self._free)
        located = self._chosen("locations", body["location"])
        return {
            **common,
            "status": "running",
            "public_net": {
                "ipv4": {"id": common["id"], "ip": address, "blocked": False, "dns_ptr": ""},
                "ipv6": {"id": 1, "ip": "2001:db8::/64", "blocked": 0} if body["public_net"]["enable_ipv6"] else None,
                "floating_ips": [],
                "firewalls": [],
            },
            "private_net": [],
            "server_type": self._chosen("server_types", body["server_type"]),
            "location": located,
            "datacenter": {"id": 1, "name": f"{located['name']}-dc1", "location": located},
            "image": self._chosen("images", body["image"]),
            "iso": None, "rescue_enabled": False, "locked": False, "backup_window": None, "volumes": [],
            "placement_group": None, "primary_disk_size": 40, "included_traffic": 0,
            "protection": {"delete": False, "rebuild": False},
        }  # fmt: skip

    def _chosen(self, kind: str, wanted: object) -> Thing:
        """Return what a request names by its name or its number."""
        for each in self.things[kind].values():
            if wanted in (each["name"], each["id"], str(each["id"])):
                return each
        raise RefusalError(422, "invalid_input", f"no {kind[:-1]} {wanted}")

    def _act(self, thing: Thing, action: str, body: Thing) -> Thing:
        if action == "set_rules":
            thing["rules"] = [whole_rule(rule) for rule in body["rules"]]
        elif action == "apply_to_resources":
            for each in body["apply_to"]:
                self._apply(thing, self._known("servers", each["server"]["id"]))
        elif action == "poweron":
            thing["status"] = "running"
            return {"action": done(next(self._numbers))}
        else:
            raise RefusalError(404, "not_found", f"no such action: {action}")
        return {"actions": [done(next(self._numbers))]}

    def _apply(self, firewall: Thing, server: Thing) -> None:
        firewall["applied_to"].append({"type": "server", "server": {"id": server["id"]}})
        server["public_net"]["firewalls"].append({"id": firewall["id"], "status": "applied"})


def fingerprint_of(public_key: str) -> str:
    """Return the fingerprint that Hetzner tells keys by."""
    digest = hashlib.md5(base64.b64decode(public_key.split()[1]), usedforsecurity=False).hexdigest()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def whole_rule(rule: Thing) -> Thing:
    """Return a rule with the keys that the API fills in."""
    return {"port": None, "description": None, "destination_ips": [], "source_ips": [], **rule}


def done(number: int) -> Thing:
    """Return an action that has succeeded."""
    times = {"started": CREATED, "finished": CREATED}
    return {"id": number, "command": "", "status": "success", "progress": 100, "resources": [], "error": None, **times}


@contextmanager
def serving(project: Project) -> Iterator[str]:
    """Serve a project, and give the endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            try:
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise RefusalError(401, "unauthorized", "unable to authenticate")
                status, answer = (
                    200,
                    project.answer(self.command, url.path.removeprefix("/v1"), dict(parse_qsl(url.query)), body),
                )
            except RefusalError as refusal:
                status, answer = refusal.status, refusal.body
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: the tests ask the project."""

    for method in ("GET", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.reply)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
