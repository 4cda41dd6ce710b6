"""Tests of the chart: python3 charts/odoo/tests/run.py --helm PATH. Needs charts/requirements.txt."""
import argparse
import os
import pathlib
import sys
import unittest


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", default="helm", help="the helm to render with")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    os.environ["HELM"] = arguments.helm
    suite = unittest.defaultTestLoader.discover(str(pathlib.Path(__file__).parent))
    result = unittest.TextTestRunner(verbosity=2 if arguments.verbose else 1).run(suite)
    for test, reason in result.skipped:
        print(f"NOT RUN: {test}: {reason}", file=sys.stderr)
    sys.exit(not result.wasSuccessful() or result.testsRun == 0)


main()
