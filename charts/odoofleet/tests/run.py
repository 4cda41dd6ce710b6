#!/usr/bin/env python3
"""Tests of the chart odoofleet. Without a cluster: what it renders and refuses. With one: what people and the operator may do.

    run.py --helm PATH --kubectl PATH [--kubeconfig PATH]

The cluster must be free of OdooFleet; the tests install the chart, and remove all of it at the end.
"""
import argparse
import pathlib
import sys
import tempfile

import cluster
import rendered
from lib import Checks, Helm, Kubectl


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--kubectl", required=True)
    parser.add_argument("--kubeconfig")
    args = parser.parse_args()

    chart = pathlib.Path(__file__).resolve().parent.parent
    checks = Checks()
    rendered.run(checks, Helm(args.helm), chart)
    if args.kubeconfig:
        with tempfile.TemporaryDirectory(prefix="odoofleet-chart-") as folder:
            cluster.run(checks, Helm(args.helm, args.kubeconfig), Kubectl(args.kubectl, args.kubeconfig), chart, pathlib.Path(folder))
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
