"""Hosts with a firewall of their own: site.yml refuses them and says what to run, and that is enough.

ufw and firewalld are Debian's, installed here. Docker's rules are made by hand, as Docker makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.lab.conftest import CLIENT, EXIT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults]
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends"
DOCKER = """
iptables --wait -N DOCKER; iptables -N DOCKER-USER; iptables -N DOCKER-FORWARD; iptables -P FORWARD DROP
iptables -A FORWARD -j DOCKER-USER; iptables -A FORWARD -j DOCKER-FORWARD; iptables -A DOCKER-USER -j RETURN
iptables -A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -A DOCKER-FORWARD -o docker0 -j DOCKER; iptables -A DOCKER-FORWARD -i docker0 -j ACCEPT
iptables -A DOCKER ! -i docker0 -o docker0 -j DROP
"""
NO_DOCKER = "iptables -P FORWARD ACCEPT; iptables -F; iptables -X; nft delete table ip filter"
STRANGER = """nft 'table inet stranger { chain out { type filter hook output priority 0; policy drop;
 oif lo accept; tcp sport 22 accept; ct state established accept; }; }'"""
# How to put it up with SSH open, and away again.
FIREWALLS = {
    "ufw": (
        f"{INSTALL} ufw && ufw allow 22/tcp && ufw --force enable",
        "ufw --force disable; ufw --force reset; apt-get purge --yes ufw; iptables -F; iptables -X",
    ),
    "firewalld": (f"{INSTALL} firewalld", "apt-get purge --yes firewalld; rm -rf /etc/firewalld"),
    "docker": (f"{INSTALL} iptables && {{ {DOCKER} }}", NO_DOCKER),
    "a stranger's": (STRANGER, "nft delete table inet stranger"),
}
CASES = [("ufw", "wgnet1"), ("firewalld", EXIT), ("docker", "wgnet2")]
RULES = "nft --stateless list ruleset"


@pytest.fixture
def firewall(request: pytest.FixtureRequest, deployed: Lab) -> Iterator[tuple[Lab, str]]:
    """Put a firewall up on a host of the network."""
    name, host = request.param
    there, away = FIREWALLS[name]
    deployed.run(host, "apt-get update -qq" if "apt" in there else "true")
    deployed.run(host, there, timeout=300)
    yield deployed, host
    deployed.run(host, f"{{ {away}; }} 2>&1; systemctl daemon-reload", timeout=300)
    deployed.play("site.yml")
    deployed.wait_until_live()
    deployed.play("playbooks/verify.yml")


def refused(lab: Lab, host: str) -> str:
    done = lab.playbook("site.yml", "--limit", host)
    assert done.returncode != 0, done.stdout
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("firewall", CASES, ids=str, indirect=True)
def test_what_the_refusal_says_is_enough(firewall: tuple[Lab, str]) -> None:
    lab, host = firewall
    said = refused(lab, host)
    assert "The firewall of this host drops" in said
    told = re.findall(r"run there '([^']+)'", said)
    print(*told, sep="\n")
    lab.run(host, " && ".join(dict.fromkeys(told)))
    rules = lab.run(host, RULES)
    assert "changed=0" in lab.play("site.yml", "--limit", host)
    assert lab.run(host, RULES) == rules
    lab.wait_until_live()
    lab.play("playbooks/verify.yml")


@pytest.mark.parametrize("firewall", [("a stranger's", CLIENT)], ids=str, indirect=True)
def test_a_client_that_may_not_send_is_refused(firewall: tuple[Lab, str]) -> None:
    lab, host = firewall
    said = refused(lab, host)
    assert "The firewall of this host drops UDP to 198.18.51.11 port 51820, in chain out of table inet stranger" in said
