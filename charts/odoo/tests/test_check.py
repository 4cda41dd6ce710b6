"""The pod in which new inputs are tried before they replace what runs."""
import unittest

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
        secrets = {volume["secret"]["secretName"] for volume in self.check["spec"]["volumes"] if "secret" in volume}
        self.assertEqual(secrets, {"git"}, "credentials of git alone")

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
