"""The core is a package of its own inside the add-on: tests import it as `olic`, without Odoo."""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "odoofleet_license")]
collect_ignore = ["odoo"]
