# Odoo's code, read without importing it: series, manifests, what differs from the database, the fingerprint.
import ast
import csv
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
from collections import namedtuple

from prepare_pod import Failure

COMMIT = "/mnt/addons/{}.commit"
MANIFESTS = ("__manifest__.py", "__openerp__.py")
INSTALLED = ("installed", "to upgrade", "to remove")

Work = namedtuple("Work", "install update stale missing")


def command():
    return shlex.split(os.environ.get("ODOO_BIN") or "odoo")


def core():
    # The folder of the package odoo: beside the executable, where a wrapper says, or where Python finds it.
    for word in command():
        path = os.path.realpath(shutil.which(word) or word)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                named = re.findall(rb"(/[^\s\"']*)/odoo-bin", file.read(4096))
            for folder in (os.path.dirname(path), *map(os.fsdecode, named)):
                if os.path.isfile(f"{folder}/odoo/release.py"):
                    return f"{folder}/odoo"
    spec = importlib.util.find_spec("odoo")
    for folder in (spec and spec.submodule_search_locations) or ():
        if os.path.isfile(f"{folder}/release.py"):
            return folder
    raise Failure("ConfigurationInvalid", "The image has no Odoo: neither `odoo` nor ODOO_BIN leads to its code. Name an image of Odoo.")


def interpreter():
    # Who runs Odoo: its libraries need not be those of the first python3.
    for word in command():
        path = shutil.which(word) or word
        if os.path.basename(path).startswith("python"):
            return path
        if os.path.isfile(path):
            with open(path, "rb") as file:
                head = file.read(4096)
            found = re.search(rb"(?:/[^\s\"']*/)?python[0-9.]*(?=[\s\"']|$)", head) if head.startswith(b"#!") else None
            if found:
                return os.fsdecode(shutil.which(found[0]) or found[0])
    return sys.executable


class Code:
    def __init__(self, options, settings):
        self.core = core()
        self.series = self.release(settings["odooVersion"])
        self.folders = [f"{options.get('data_dir')}/addons/{self.series}", *options["addons_path"].split(","),
                        *self.community(), f"{self.core}/addons"]
        self.known, self.places = {}, {}

    def community(self):
        # Odoo of a source tree does not find its own addons once addons_path is set (up to 18).
        folder = os.path.join(os.path.dirname(self.core), "addons")
        return [folder] if os.path.isfile(f"{folder}/web/__manifest__.py") else []

    def release(self, wanted):
        with open(f"{self.core}/release.py", encoding="utf-8") as file:
            parts = re.search(r"^version_info\s*=\s*\(([^)]*)\)", file.read(), re.M)[1].split(",")
        series = ".".join(part.strip(" '\"") for part in parts[:2])
        if series != wanted:
            raise Failure("ConfigurationInvalid", f"The image holds Odoo {series}, but odooVersion is {wanted}. Make both the same.")
        return series

    def manifest(self, name):
        # As Odoo: the first folder that has it counts; unreadable or not installable is as good as not there.
        if name not in self.known:
            paths = (f"{folder.strip()}/{name}/{file}" for folder in self.folders for file in MANIFESTS)
            path = next(filter(os.path.isfile, paths), None)
            self.known[name] = path and self.parse(path)
            self.places[name] = path and os.path.dirname(os.path.dirname(path))
        return self.known[name]

    def place(self, name):
        # The folder of addons in which it lies.
        self.manifest(name)
        return self.places[name]

    @staticmethod
    def parse(path):
        try:
            with open(path, encoding="utf-8") as file:
                found = ast.literal_eval(file.read())
        except (OSError, SyntaxError, ValueError):
            return None
        return found if found.get("installable", True) else None

    def version(self, name):
        # As Odoo's adapt_version, whose result is what Odoo keeps in latest_version.
        version = str(self.manifest(name).get("version", "1.0"))
        if int(re.sub(r"\D", "", self.series.split(".")[0])) >= 19:
            whole = version.startswith(self.series) or version.count(".") > 2
        else:
            whole = version.startswith(self.series + ".")
        return version if whole else f"{self.series}.{version}"

    def require(self, names):
        # Every module that is to be installed has code, and so has what it depends on: all of them are given back.
        todo, seen = [(name, name) for name in names], set()
        while todo:
            name, wanted = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            if not self.manifest(name):
                why = "" if name == wanted else f", on which {wanted} depends,"
                raise Failure("ModuleNotFound", f"The module {name}{why} is in no folder of addons_path. Correct modules.install or add its addons.", modules=[name])
            todo += [(other, wanted) for other in self.manifest(name).get("depends", ())]
        return seen

    def check(self, settings):
        # Before a new database is begun. Odoo would make up a language that it does not know.
        self.require(settings["modules"]["install"])
        with open(f"{self.core}/addons/base/data/res.lang.csv", encoding="utf-8") as file:
            known = {row["code"] for row in csv.DictReader(file)}
        for code in settings["bootstrap"]["languages"]:
            if code not in known:
                raise Failure("ConfigurationInvalid", f"bootstrap.languages: Odoo knows no language {code}. Use codes such as zh_CN or en_GB.")

    def work(self, modules, wanted, same=False, theirs=False):
        # What is to do. `same`: nothing that goes in changed; then only code that became newer counts, never an older one.
        there = {name for name, module in modules.items() if module.state in INSTALLED}
        coded = {name for name in there if not modules[name].imported}
        missing = {name for name in coded if not self.manifest(name)}
        stale = {name for name in coded - missing if self.differs(modules[name].version, self.version(name), same)}
        if same:
            return Work(set(), stale if wanted["update"] == "Auto" else set(), stale, missing)
        named = {"base" if name == "all" else name for name in wanted["named"]}
        # A killed start leaves these, and Odoo goes on with them whatever it is asked to update; `settle` resets those of others.
        begun = {name for name, module in modules.items() if module.state in ("to upgrade",) + ("to install",) * (not theirs)}
        install = {name for name in wanted["install"] if name not in there}
        self.require(install | named)
        return Work(install, (named & there) | (begun - install) | (stale if wanted["update"] == "Auto" else set()), stale, missing)

    @staticmethod
    def differs(there, code, same):
        if not same or not there:
            return there != code
        try:
            return [int(n) for n in code.split(".")] > [int(n) for n in there.split(".")]
        except ValueError:
            return False


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def fingerprint(settings):
    # What cron pods wait for: nothing may be in it that does not restart the web pod.
    commits = []
    for number, addon in enumerate(settings["addons"]):
        with open(COMMIT.format(number), encoding="utf-8") as file:
            commits.append([addon["url"], addon["path"], file.read().strip()])
    return digest([1, settings["odooVersion"], settings["image"], settings["addonsImage"], commits, settings["modules"]])
