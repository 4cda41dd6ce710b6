"""Helm, kubectl, plain requests to the API server, and the counting of checks."""
import base64
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import time
import urllib.parse

import yaml


class Checks:
    """Counts; a failed check is printed and does not stop the others."""

    def __init__(self):
        self.passed, self.failed = 0, []
        self.part, self.attacks = "", {}

    def that(self, ok, what, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed.append(what)
            print(f"FAILED: {what}\n        {detail}".rstrip())
        return ok

    def equal(self, got, expected, what):
        return self.that(got == expected, what, f"expected {expected!r}\n        got      {got!r}")

    def attack(self, layer, ok, what, detail=""):
        """A check that something is refused which somebody might try, and by which layer."""
        self.count(layer)
        return self.that(ok, what, detail)

    def count(self, layer, number=1):
        parts = self.attacks.setdefault(layer, {})
        parts[self.part] = parts.get(self.part, 0) + number

    def section(self, name):
        self.part = name.rpartition(" ")[2]
        print(f"-- {name}", flush=True)

    def summary(self):
        print(f"{self.passed} passed, {len(self.failed)} failed")
        return 1 if self.failed else 0


class Command:
    def __init__(self, program, kubeconfig=None):
        self.program, self.kubeconfig = program, kubeconfig

    def run(self, *args, stdin=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("HELM_") and k != "KUBECONFIG"}
        # Without a cluster in the environment, a test of rendering cannot reach one by accident.
        env["KUBECONFIG"] = str(self.kubeconfig or os.devnull)
        return subprocess.run([self.program, *map(str, args)], input=stdin, capture_output=True, text=True, env=env, timeout=300)

    def ok(self, *args, stdin=None):
        done = self.run(*args, stdin=stdin)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, args))}: {done.stderr.strip()}")
        return done.stdout


class Kubectl(Command):
    def json(self, *args):
        return json.loads(self.ok(*args, "-o", "json"))


class Helm(Command):
    def template(self, chart, values=None, release="odoofleet", namespace="odoofleet-system", args=()):
        return self.run("template", release, chart, "--namespace", namespace, "--kube-version", "1.33.0", "--values", "-", *args,
                        stdin=json.dumps(values or {}))

    def objects(self, chart, values=None, **kwargs):
        done = self.template(chart, values, **kwargs)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [o for o in yaml.safe_load_all(done.stdout) if o]


class Api:
    """One connection to the API server as one user."""

    def __init__(self, kubeconfig, token=None):
        config = yaml.safe_load(pathlib.Path(kubeconfig).read_text())
        context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
        self.cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        tls = ssl.create_default_context(cadata=self._data(self.cluster, "certificate-authority"))
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        if not token:
            # The library reads a certificate from a file only.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
                pem.write(self._data(user, "client-certificate") + "\n" + self._data(user, "client-key"))
                pem.flush()
                tls.load_cert_chain(pem.name)
        url = urllib.parse.urlsplit(self.cluster["server"])
        self.connect = lambda: http.client.HTTPSConnection(url.hostname, url.port, context=tls, timeout=60)
        self.connection = self.connect()

    @staticmethod
    def _data(section, key):
        if f"{key}-data" in section:
            return base64.b64decode(section[f"{key}-data"]).decode()
        return pathlib.Path(section[key]).read_text()

    def call(self, method, path, body=None, content="application/json"):
        """(status, parsed answer). A watch is not read: that it was opened is the answer."""
        headers = dict(self.headers, Accept="application/json")
        if body is not None:
            headers["Content-Type"] = content
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self.connection.getresponse()
        if "watch=1" in path and response.status == 200:
            self.connection.close()
            self.connection = self.connect()
            return 200, {}
        text = response.read()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, {"message": text.decode(errors="replace")}


def without_right(answer):
    """Whether authorization refused. A policy refuses with 403 too, but only after it, and in other words."""
    message = answer[1].get("message", "")
    return answer[0] == 403 and " cannot " in message and "in API group" in message


def kubeconfig(path, api, token):
    """Writes a kubeconfig for a token; the token stays out of arguments."""
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": api.cluster}],
              "users": [{"name": "c", "user": {"token": token}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def until(what, condition, seconds=60):
    """For what cannot be watched, such as the moment from which a policy holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {seconds} s still not: {what}")
        time.sleep(0.1)
