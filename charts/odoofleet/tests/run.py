#!/usr/bin/env python3
"""Tests of the chart odoofleet. Without a cluster: what it renders and refuses. With one: what people and the operator may do.

    run.py --helm PATH --kubectl PATH [--kubeconfig PATH [--write]]

The cluster must be free of OdooFleet; the tests install the chart, and remove all of it at the end. How many attacks each layer refused stands
in attacks.json.
"""
import argparse
import json
import pathlib
import sys
import tempfile

import cluster
import kustomized
import rendered
from lib import Checks, Helm, Kubectl

ATTACKS = pathlib.Path(__file__).resolve().with_name("attacks.json")


def compare(checks):
    """Counts that went down are attacks that nobody tries any more."""
    flat = lambda attacks: {f"{layer}.{part}": number for layer, parts in attacks.items() for part, number in parts.items()}
    was, now = flat(json.loads(ATTACKS.read_text()) if ATTACKS.exists() else {}), flat(checks.attacks)
    changed = {part: f"{was.get(part, 0)} -> {now.get(part, 0)}" for part in sorted(was.keys() | now.keys()) if was.get(part) != now.get(part)}
    checks.that(not changed, f"what was refused is counted in {ATTACKS.name}; if that changed, run with --write, then cargo xtask generate", changed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--kubectl", required=True)
    parser.add_argument("--kubeconfig")
    parser.add_argument("--write", action="store_true", help=f"write {ATTACKS.name}; only if nothing failed")
    args = parser.parse_args()
    if args.write and not args.kubeconfig:
        parser.error("--write needs --kubeconfig: most attacks are tried in a cluster")

    chart = pathlib.Path(__file__).resolve().parent.parent
    checks = Checks()
    rendered.run(checks, Helm(args.helm), chart)
    if args.kubeconfig:
        with tempfile.TemporaryDirectory(prefix="odoofleet-chart-") as folder:
            # First, because it leaves the cluster as empty as it needs it.
            kustomized.run(checks, Helm(args.helm), Kubectl(args.kubectl, args.kubeconfig), chart, pathlib.Path(folder))
            cluster.run(checks, Helm(args.helm, args.kubeconfig), Kubectl(args.kubectl, args.kubeconfig), chart, pathlib.Path(folder))
        if args.write and not checks.failed:
            ATTACKS.write_text(json.dumps(checks.attacks, indent=2, sort_keys=True) + "\n")
        checks.section("attacks")
        compare(checks)
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
