"""The pod in which new inputs are tried before they replace what runs."""
import json
import pathlib
import shutil
import sys
import unittest
from importlib.util import find_spec

from chart import FULL, PROXY, Case, Rendered
from odoos import Fake, addon
from pod import needs_postgresql


def without(container, *names):
    return {key: value for key, value in container.items() if key not in names}


class Rendering(Case):
    @classmethod
    def setUpClass(cls):
        cls.full = Rendered(FULL)
        cls.check = cls.full.get("Pod", "-check")

    def test_helm_runs_it_only_when_asked_to(self):
        annotations = self.check["metadata"]["annotations"]
        self.assertEqual((annotations["helm.sh/hook"], annotations["odoofleet.dev/role"]), ("test", "Check"))
        for layers in ({}, PROXY, {"replicaCount": 0}):
            self.assertTrue(Rendered(layers).has("Pod", "-check"), layers)

    def test_it_begins_as_the_web_pod_does(self):
        pod, web = self.check["spec"], self.full.pod()
        names = [container["name"] for container in pod["initContainers"]]
        self.assertEqual(names, ["addons-0", "addons-1", "addons-image", "check"])
        for mine, its in zip(pod["initContainers"], web["initContainers"], strict=False):
            if mine["name"] == "check":
                continue
            self.assertEqual(without(mine, "env"), without(its, "env"))
            kept = [one for one in its.get("env", []) if one["name"] != "KEEP"]
            self.assertEqual(mine.get("env", []), kept, "nothing is kept of what may be given up")
        odoo = self.full.container("odoo")
        self.assertEqual({pod["containers"][0]["image"], pod["initContainers"][-1]["image"]}, {odoo["image"]})
        for key in ("securityContext", "serviceAccountName", "enableServiceLinks", "automountServiceAccountToken"):
            self.assertEqual(pod[key], web[key])
        pulled = Rendered({"global": {"imagePullSecrets": [{"name": "pull"}]}, "nodeSelector": {"zone": "a"}}).get("Pod", "-check")["spec"]
        self.assertEqual((pulled["imagePullSecrets"], pulled["nodeSelector"]), ([{"name": "pull"}], {"zone": "a"}))

    def test_it_reaches_neither_volume_nor_database(self):
        kinds = {key for volume in self.check["spec"]["volumes"] for key in volume if key != "name"}
        self.assertEqual(kinds, {"configMap", "emptyDir", "secret"})

    def test_it_mounts_what_odoo_mounts_and_starts_without_it(self):
        def secrets(rendered):
            return {v["secret"]["secretName"]: v["secret"] for v in rendered.get("Pod", "-check")["spec"]["volumes"] if "secret" in v}
        mine = secrets(self.full)
        self.assertEqual(set(mine), {"git", "database", "master", "mail"})
        for volume in self.full.pod()["volumes"]:
            if volume.get("secret", {}).get("secretName") in mine:
                self.assertEqual({**volume["secret"], "optional": True}, mine[volume["secret"]["secretName"]])
        told = json.loads(self.full.config("check.json"))["secrets"]
        self.assertEqual({(one["secret"], one["key"], one["value"]) for one in told}, {
            ("database", "password", "postgresql.auth.existingSecret"), ("master", "admin_passwd", "odoo.existingSecret"),
            ("mail", "password", "mail.existingSecret")})
        check = next(c for c in self.check["spec"]["initContainers"] if c["name"] == "check")
        self.assertEqual({m["mountPath"] for m in check["volumeMounts"] if m["mountPath"].startswith("/run/secrets")},
                         {f"/run/secrets/{one['path'].split('/')[0]}" for one in told})
        external = {"postgresql": {"enabled": False, "auth": {"existingSecret": ""}}, "externalDatabase": {"host": "db", "existingSecret": "outside"}}
        self.assertEqual(set(secrets(Rendered(external))), {"outside"})
        # What the chart makes of values is not there before the upgrade.
        own = {"postgresql": {"auth": {"existingSecret": "", "password": "x"}}, "odoo": {"config": {"admin_passwd": "x"}}}
        self.assertEqual(secrets(Rendered(own)), {})

    def test_it_tries_for_ever_and_is_small(self):
        pod = self.check["spec"]
        self.assertEqual(pod["restartPolicy"], "OnFailure")
        for container in pod["initContainers"] + pod["containers"]:
            asked, most = container["resources"]["requests"], container["resources"]["limits"]
            self.assertEqual((asked["cpu"], asked["memory"], most["memory"]), ("50m", "64Mi", "512Mi"))
            self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})

    def test_nobody_takes_it_for_odoo(self):
        labels = self.check["metadata"]["labels"].items()
        services = [o["spec"]["selector"].items() for o in self.full.all if o["kind"] == "Service" and "selector" in o["spec"]]
        workloads = [o["spec"]["selector"]["matchLabels"].items() for o in self.full.workloads()]
        self.assertFalse([selector for selector in services + workloads if selector <= labels])

    def test_it_may_go_where_addons_are(self):
        expressions = self.full.get("NetworkPolicy", "-web")["spec"]["podSelector"]["matchExpressions"]
        self.assertIn("check", expressions[0]["values"])

    def test_authorities_of_git_servers(self):
        bundle = "# ours\n-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
        self.assertEqual(Rendered(FULL, {"git": {"caBundle": bundle}}).config("ca.crt"), bundle)
        self.assertNotIn("ca.crt", self.full.get("ConfigMap", "-config")["data"])
        self.refused({"git": {"caBundle": "a certificate"}}, "caBundle")
        key = "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n"
        self.refused({"git": {"caBundle": bundle + key}}, "caBundle")


@needs_postgresql
class Script(Fake):
    def check(self, **modules):
        self.pod.prepare["modules"].update(modules)
        return self.pod.run("check")

    def test_what_is_asked_for_is_there(self):
        addon(self.pod.root / "addons/0", "shop_sale", depends=("shop_first",))
        code, output, told = self.check(install=["shop_sale"], named=["all", "shop_first"])
        self.assertEqual((code, told), (0, {}), output)
        self.assertFalse((self.pod.root / "run/odoo.conf").exists())

    def test_what_is_missing_is_named(self):
        addon(self.pod.root / "addons/0", "shop_sale", depends=("shop_base",))
        self.refused(self.check(install=["shop_sale"]), "ModuleNotFound", "shop_base, on which shop_sale depends")
        self.refused(self.check(install=[], named=["shop_none"]), "ModuleNotFound", "shop_none")

    def test_a_library_that_is_missing_is_named(self):
        addons = self.pod.root / "addons/0"
        addon(addons, "shop_deep", external_dependencies={"python": ["no-such-library>=4", "psycopg2"], "bin": ["sh", "no-such-program"]})
        addon(addons, "shop_sale", depends=("shop_deep",))
        for modules in ({"install": ["shop_sale"]}, {"install": [], "named": ["shop_deep"]}):
            told = self.refused(self.check(**modules), "ModuleDependencyMissing", "shop_deep needs the Python library no-such-library>=4, which is not in the image; "
                                                                             "shop_deep needs the program no-such-program, which is not in the image")
            self.assertNotIn("psycopg2", told["error"]["message"])

    @unittest.skipUnless(find_spec("pip"), "needs pip, which brings the library that compares versions")
    def test_versions_and_markers_count(self):
        # As the image of Odoo has it.
        self.pod.env["PYTHONPATH"] = str(pathlib.Path(find_spec("pip").origin).parent / "_vendor")
        addons = self.pod.root / "addons/0"
        addon(addons, "shop_old", external_dependencies={"python": ["psycopg2-binary>=99"]})
        self.refused(self.check(install=["shop_old"]), "ModuleDependencyMissing", r"psycopg2-binary>=99, which is in the image as \d")
        addon(addons, "shop_old", external_dependencies={"python": ["psycopg2-binary>=2", "no-such-library; python_version < '3'", "yaml"]})
        self.assertEqual(self.check(install=["shop_old"])[0], 0)

    def test_what_cannot_be_imported_is_named(self):
        addons = self.pod.root / "addons/0"
        (addons / "shop_sale/models").mkdir(parents=True)
        (addons / "shop_sale/models/__init__.py").write_text("import os\nimport no_such_library.client\n", encoding="utf-8")
        addon(addons, "shop_sale", code="from . import models\n")
        told = self.refused(self.check(install=["shop_sale"]), "ModuleDependencyMissing", "shop_sale cannot be imported: ModuleNotFoundError: No module named 'no_such_library'")
        self.assertIn("shop_sale/models/__init__.py, line 2", told["error"]["message"])
        addon(addons, "shop_first", code="def f(:\n")
        self.refused(self.check(install=["shop_first"]), "ModuleDependencyMissing", "shop_first cannot be imported: SyntaxError")

    def test_what_is_not_asked_for_is_not_judged(self):
        addons = self.pod.root / "addons/0"
        addon(addons, "shop_other", code="import no_such_library\n", external_dependencies={"python": ["no-such-library"]})
        # May come of there being no database, or is the addon's own way to do without.
        addon(addons, "shop_sale", code="try:\n    import no_such_library\nexcept ImportError:\n    pass\nprint('[\"x\"]', flush=True)\nraise ValueError('no database')\n")
        code, output, told = self.check(install=["shop_sale"])
        self.assertEqual((code, told), (0, {}), output)
        self.assertIn("shop_sale is not judged, its import failed here: ValueError: no database", output)

    def test_an_odoo_that_cannot_be_imported_holds_nothing_up(self):
        folder = self.pod.root / "other"
        shutil.copytree(self.source, folder)
        (folder / "odoo/__init__.py").write_text("import no_such_library\n", encoding="utf-8")
        self.pod.odoo = f"{sys.executable} {folder}/odoo-bin"
        addon(self.pod.root / "addons/0", "shop_sale", code="import no_such_library\n")
        code, output, _ = self.check(install=["shop_sale"])
        self.assertEqual(code, 0, output)
        self.assertIn("imports are not judged, as Odoo itself cannot be imported", output)

    def test_the_python_of_odoo_is_asked(self):
        folder = self.pod.root / "image"
        folder.mkdir()
        shutil.copytree(self.source, folder / "tree")
        (folder / "python3.99").write_text(f'#!/bin/sh\ntouch {folder}/asked\nexec {sys.executable} "$@"\n', encoding="utf-8")
        (folder / "wrapper").write_text(f'#!/bin/sh\nexec {folder}/python3.99 {folder}/tree/odoo-bin "$@"\n', encoding="utf-8")
        (folder / "script").write_text(f"#!{folder}/python3.99\n# {folder}/tree/odoo-bin\n", encoding="utf-8")
        for name in ("python3.99", "wrapper", "script"):
            (folder / name).chmod(0o755)
        for name in ("wrapper", "script"):
            self.pod.odoo = str(folder / name)
            code, output, _ = self.check(install=["shop_first"])
            self.assertEqual(code, 0, output)
            (folder / "asked").unlink()

    def test_a_proxys_password_is_not_told(self):
        self.pod.env["https_proxy"] = "http://robot:s%3Acret@proxy.example.com:3128"
        addon(self.pod.root / "addons/0", "shop_sale", code="import os\nraise ImportError(os.environ['https_proxy'] + ' s:cret')\n")
        told = self.refused(self.check(install=["shop_sale"]), "ModuleDependencyMissing", r"http://robot:\*\*\*@proxy.example.com:3128 \*\*\*")
        self.assertNotIn("cret", told["error"]["message"])

    def test_a_secret_without_its_key_is_named(self):
        self.pod.secrets = [{"path": "mail/password", "secret": "acme-smtp", "key": "password", "value": "mail.existingSecret"}]
        self.refused(self.check(), "ConfigurationInvalid", "The Secret acme-smtp of mail.existingSecret is missing, or has no key password")
        (self.pod.root / "secrets/mail").mkdir()
        for text in ("two\nlines", "space "):
            (self.pod.root / "secrets/mail/password").write_text(text, encoding="utf-8")
            self.refused(self.check(), "ConfigurationInvalid", "mail.existingSecret: spaces at the ends and line breaks")
        (self.pod.root / "secrets/mail/password").write_text("change-me\n", encoding="utf-8")
        self.assertEqual(self.check()[0], 0)

    def test_another_series(self):
        self.pod.prepare["odooVersion"] = "19.0"
        self.refused(self.check(), "ConfigurationInvalid", "Odoo 18.0, but odooVersion is 19.0")

    def test_no_odoo_in_the_image(self):
        self.pod.odoo = "/nowhere/odoo"
        self.refused(self.check(), "ConfigurationInvalid", "has no Odoo")

    def test_the_database_is_not_asked(self):
        self.pod.options["db_port"] = 1
        self.assertEqual(self.check()[0], 0)


if __name__ == "__main__":
    unittest.main()
