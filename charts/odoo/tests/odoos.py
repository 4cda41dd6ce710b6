"""The two Odoos of the tests: the stand-in, always; the real one, where ODOO_SRC names a source tree (ODOO_PYTHON: who runs it)."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from pod import PASSWORD, Case

SOURCE = os.environ.get("ODOO_SRC")
# Who has what a real Odoo imports.
PYTHON = os.environ.get("ODOO_PYTHON", "/usr/bin/python3")
HERE = pathlib.Path(__file__).parent


def addon(folder, name, version="1.0", depends=("base",), code="", **more):
    """A module that both know: what stands in __init__.py runs when it is loaded."""
    place = pathlib.Path(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    manifest = {"name": name, "version": version, "depends": list(depends), "license": "LGPL-3", "author": "Test", **more}
    (place / "__manifest__.py").write_text(repr(manifest), encoding="utf-8")
    (place / "__init__.py").write_text(code, encoding="utf-8")


class Odoo(Case):
    """A pod with an Odoo in it, and what the tests ask of its database."""

    series = source = None
    python = sys.executable

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source = cls.tree()
        cls.series = ".".join(re.search(r"^version_info = \((\d+), (\d+)", (cls.source / "odoo/release.py").read_text(encoding="utf-8"), re.M).groups())
        cls.golden = None

    def new_pod(self, **more):
        pod = super().new_pod(**more)
        pod.odoo = f"{self.python} {self.source}/odoo-bin"
        pod.prepare.update(odooVersion=self.series, image=f"odoo:{self.series}")
        addon(pod.root / "addons/0", "shop_first")
        self.addCleanup(self.drop, pod.options["db_name"])
        return pod

    def drop(self, name):
        self.server.query(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', superuser=True)

    def initialised(self):
        """Starts from a database that prepare has made once for the class."""
        if not type(self).golden:
            pod = self.new_pod(dbname="golden")
            self.runs(pod)
            type(self).golden = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
            self.addClassCleanup(shutil.rmtree, type(self).golden)
            shutil.copytree(pod.root / "data", type(self).golden / "data")
            self.server.query("CREATE DATABASE kept TEMPLATE golden", superuser=True)
        self.server.query(f'CREATE DATABASE "{self.pod.options["db_name"]}" TEMPLATE kept OWNER odoo', superuser=True)

    def runs(self, pod=None):
        """configure and prepare, both well; the output of prepare, and what the two told."""
        pod = pod or self.pod
        code, output, plan = pod.run("configure", "web")
        self.assertEqual(code, 0, output)
        code, output, told = pod.run("prepare")
        self.assertEqual(code, 0, output)
        self.assertFalse((pod.root / "run/prepare.conf").exists())
        self.assertNotIn(PASSWORD, output + str(told))
        return output, plan["plan"], told["database"]

    def fails(self, reason, words=".", pod=None):
        pod = pod or self.pod
        code, output, _ = pod.run("configure", "web")
        if code == 0:
            result = pod.run("prepare")
            self.assertFalse((pod.root / "run/prepare.conf").exists())
        else:
            result = code, output, pod.told()
        told = self.refused(result, reason, words)
        return result[1], told

    def starts(self, output):
        """How often Odoo was started."""
        return len(re.findall(r"^prepare: .*odoo-bin", output, re.M))

    def query(self, text, *values):
        return self.server.query(text, *values, dbname=self.pod.options["db_name"])

    def parameters(self):
        return dict(self.query("SELECT key, value FROM ir_config_parameter"))

    def module(self, name):
        rows = self.query("SELECT state, latest_version FROM ir_module_module WHERE name = %s", name)
        return rows[0] if rows else None

    def password_of(self, login):
        (value,), = self.query("SELECT password FROM res_users WHERE login = %s", login)
        return value

    def accepts(self, hashed, password):
        raise NotImplementedError

    def company(self):
        """Country, currency, language of the company."""
        raise NotImplementedError


class Fake(Odoo):
    @classmethod
    def tree(cls):
        root = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, root)
        (root / "odoo").mkdir()
        (root / "odoo/release.py").write_text("version_info = (18, 0, 0, FINAL, 0, '')\n", encoding="utf-8")
        addon(root / "odoo/addons", "base", version="1.3", depends=())
        addon(root / "addons", "web")
        (root / "odoo/addons/base/data").mkdir()
        (root / "odoo/addons/base/data/res.lang.csv").write_text('"id","code"\n"l1","en_US"\n"l2","zh_CN"\n"l3","fr_FR"\n', encoding="utf-8")
        shutil.copy(HERE / "fake_odoo.py", root / "odoo-bin")
        return root

    def accepts(self, hashed, password):
        return hashed == f"hash of {password[::-1]}"

    def company(self):
        return self.query("SELECT country_id, currency_id, lang FROM res_company")


class Real(Odoo):
    python = PYTHON

    @classmethod
    def setUpClass(cls):
        # Told once for a class.
        if not SOURCE:
            raise unittest.SkipTest("ODOO_SRC names no source tree of Odoo")
        super().setUpClass()

    @classmethod
    def tree(cls):
        return pathlib.Path(SOURCE)

    def accepts(self, hashed, password):
        code = "import sys; from passlib.context import CryptContext as C; h, p = sys.stdin.read().split(chr(0)); print(C(['pbkdf2_sha512']).verify(p, h))"
        return subprocess.run([PYTHON, "-c", code], input=f"{hashed}\0{password}", check=True, capture_output=True, text=True).stdout == "True\n"

    def company(self):
        return self.query("SELECT p.country_id, c.currency_id, p.lang FROM res_company c JOIN res_partner p ON p.id = c.partner_id")
