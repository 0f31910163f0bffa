"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time

from bench.bounds import BOUNDS, BenchError, original_table, table
from bench.deployment import measure
from bench.machines import connected
from bench.run import ORIGINAL, document, facts, run
from bench.traffic import Plan, say
from lab.shell import LabError
from lab.topology import ROOT

REPORT = ROOT / "build" / "bench.json"
DEPLOYMENT = (("site.yml",), ("playbooks/migrate.yml", "-e", "migration_interval=0.1"), ("playbooks/browse.yml",))


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the migrating tunnel in the lab, beside the static one and the original's loop; print a "
        "table and write build/bench.json. docs/benchmarks.md says what each figure is. Status 0: all was measured; "
        "1: something could not be.",
    )
    keys = [*BOUNDS, ORIGINAL]
    top.add_argument("--only", nargs="+", choices=keys, metavar="KEY", help=f"measure only these: {', '.join(keys)}")
    top.add_argument("--quick", action="store_true", help="few and short repeats, to see that all of it works")
    top.add_argument("--strict", action="store_true", help="status 1 also where a figure misses its bound")
    top.add_argument(
        "--deployment", action="store_true", help="measure how long site.yml takes, and nothing else; removes the lab"
    )
    top.add_argument("--as-is", action="store_true", help="measure what is deployed; neither boot nor deploy the lab")
    return top


def deploy() -> None:
    """Bring the lab up and deploy the network as the README does. Raises BenchError where that fails."""
    if subprocess.run([ROOT / "scripts" / "lab", "up"], cwd=ROOT, check=False).returncode != 0:
        raise BenchError("the lab did not come up")
    for playbook in DEPLOYMENT:
        argv = [str(ROOT / ".venv" / "bin" / "ansible-playbook"), *playbook]
        begin = time.monotonic()
        done = subprocess.run(
            argv, cwd=ROOT, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BenchError(f"{done.stdout[-3000:]}{done.stderr[-1000:]}\n{playbook[0]} failed")
        say(f"{playbook[0]}: {time.monotonic() - begin:.0f} s")


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    options = parser().parse_args(arguments)
    # A run that is ended must put everything back, however it is told.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan, begin = Plan(options.quick), time.monotonic()
    try:
        if options.deployment:
            print(f"\n{measure()}")
            return 0
        if not options.as_is:
            deploy()
        with connected() as machines:
            machine = facts(machines)
            results = run(machines, plan, set(options.only or [*BOUNDS, ORIGINAL]))
    except (BenchError, LabError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    found = document(results, machine, options.quick, time.monotonic() - begin)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=2) + "\n")
    print(f"\n{table(results.figures, results.errors)}{original_table(results.original)}\n")
    print(f"{found['seconds']:.0f} s; all of it is in {REPORT.relative_to(ROOT)}")
    missed = not all(verdict["pass"] for verdict in found["bounds"].values())
    return int(bool(results.errors) or (options.strict and missed))
