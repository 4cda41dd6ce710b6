"""Renders the chart with helm and gives its objects to the tests."""
import glob
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import yaml

CHART = pathlib.Path(__file__).resolve().parent.parent
HELM = os.environ.get("HELM", "helm")
INITDB = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)), None)
SECRET = {"postgresql": {"auth": {"existingSecret": "database"}}}

# Everything on: what holds for every pod is tried with these.
FULL = {
    "customer": {"name": "acme", "id": "C0123"},
    "size": "L",
    "replicaCount": 2,
    "cron": {"enabled": True},
    "persistence": {"accessMode": "ReadWriteMany"},
    "odoo": {"existingSecret": "master", "config": {"log_level": "info"}},
    "bootstrap": {"existingSecret": "first", "languages": ["zh_CN"], "country": "CN", "timeZone": "Asia/Shanghai"},
    "modules": {"install": ["sale_management"], "named": ["acme_sale"]},
    "queueJob": {"enabled": True},
    "git": {"refresh": "2026-11", "customerAddons": [
        {"url": "https://git.example.com/acme/addons.git", "ref": "v1.4.2", "path": "src/addons", "credentialsSecret": "git"},
        {"url": "ssh://git@git.example.com:2222/acme/more.git", "ref": "0a1b2c3"}]},
    "addons": {"image": {"repository": "registry.example.com/addons", "tag": "7"}},
    "license": {"existingSecret": "licence"},
    "mail": {"host": "smtp.example.com", "port": 587, "startTLS": True, "user": "odoo", "existingSecret": "mail"},
    "ingress": {"enabled": True, "host": "erp.example.com", "aliases": ["www.example.com"]},
    "page": {"contact": "+86 10 5555 0100"},
}

# What excludes something above.
PROXY = {"proxy": {"enabled": True, "trustedCidrs": ["10.1.0.0/16", "fd00::/8"]}}
CATCHER = {"stage": "Test", "mail": {"host": "", "user": "", "existingSecret": ""}}


def merged(*layers):
    result = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def helm(values, release="acme-prod"):
    return subprocess.run([HELM, "template", release, str(CHART), "--namespace", "odoo", "--values", "-"],
                          input=yaml.safe_dump(values), capture_output=True, text=True, check=False)


class Rendered:
    """The objects of one rendering, by kind and name."""

    def __init__(self, *layers, release="acme-prod"):
        result = helm(merged(SECRET, *layers), release)
        if result.returncode:
            raise AssertionError(result.stderr)
        self.text = result.stdout
        objects = [o for o in yaml.safe_load_all(result.stdout) if o]
        self.hooks = [o for o in objects if "helm.sh/hook" in o["metadata"].get("annotations", {})]
        self.all = [o for o in objects if o not in self.hooks]
        self.index = {(o["kind"], o["metadata"]["name"]): o for o in objects}
        self.name = release

    def get(self, kind, suffix=""):
        return self.index[kind, self.name + suffix]

    def has(self, kind, suffix=""):
        return (kind, self.name + suffix) in self.index

    def workloads(self):
        return [o for o in self.all if o["kind"] in ("Deployment", "StatefulSet")]

    def pods(self):
        return [o["spec"]["template"] for o in self.workloads()]

    def pod(self, suffix="-web", kind="Deployment"):
        return self.get(kind, suffix)["spec"]["template"]["spec"]

    def container(self, name, suffix="-web", kind="Deployment"):
        pod = self.pod(suffix, kind)
        return next(c for c in pod.get("initContainers", []) + pod["containers"] if c["name"] == name)

    def containers(self):
        return [c for p in self.pods() for c in p["spec"].get("initContainers", []) + p["spec"]["containers"]]

    def config(self, key, suffix="-config"):
        return self.get("ConfigMap", suffix)["data"][key]

    def options(self, role="web"):
        return json.loads(self.config(f"{role}.json"))


class Case(unittest.TestCase):
    def refused(self, values, *texts, release="acme-prod"):
        result = helm(merged(SECRET, values), release)
        self.assertNotEqual(result.returncode, 0, f"accepted: {values}")
        for text in texts:
            self.assertIn(text, result.stderr)
