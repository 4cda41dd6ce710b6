"""The pods' init containers: what each may read and write, what it is told, what restarts the pods."""
import ast
import subprocess
import unittest

from chart import CHART, FULL, PROXY, Case, Rendered, merged


def mounts(container):
    return {m["mountPath"]: not m.get("readOnly", False) for m in container["volumeMounts"]}


def variables(container):
    return {e["name"]: e["value"] for e in container["env"]}


class InitContainers(Case):
    @classmethod
    def setUpClass(cls):
        cls.full = Rendered(FULL)

    def test_order(self):
        names = [c["name"] for c in self.full.pod()["initContainers"]]
        self.assertEqual(names, ["addons-0", "addons-1", "addons-image", "configure", "prepare"])
        self.assertEqual([c["name"] for c in self.full.pod("-cron")["initContainers"]], names[:-1])

    def test_prepare_is_the_same_odoo_with_the_same_means(self):
        for rendered in (self.full, Rendered({"resources": {"limits": {"memory": "3Gi"}}})):
            prepare, odoo = rendered.container("prepare"), rendered.container("odoo")
            self.assertEqual((prepare["image"], prepare["resources"]), (odoo["image"], odoo["resources"]))
            self.assertEqual(prepare["command"], ["python3", "/etc/odoofleet/prepare.py"])
            self.assertEqual(variables(prepare), {"ODOO_RC": "/run/odoo/odoo.conf", "HOME": "/var/lib/odoo"})
        self.assertEqual(self.full.container("configure")["resources"]["limits"]["memory"], "512Mi")

    def test_what_each_may_write(self):
        self.assertEqual(mounts(self.full.container("prepare")), {
            "/etc/odoofleet": False, "/run/odoo": True, "/tmp": True, "/var/lib/odoo": True, "/var/lib/odoo/.odoofleet": False, "/run/secrets/database": False,
            "/run/secrets/bootstrap": False, "/mnt/addons": False})
        self.assertEqual(mounts(self.full.container("configure")), {
            "/etc/odoofleet": False, "/run/odoo": True, "/run/secrets/database": False, "/run/secrets/odoo": False,
            "/run/secrets/mail": False, "/mnt/addons": False})
        self.assertEqual(mounts(self.full.container("addons-0")), {
            "/etc/odoofleet": False, "/mnt/addons": True, "/tmp": True, "/var/lib/odoo": True, "/run/secrets/git": False})
        self.assertNotIn("/mnt/addons", mounts(Rendered().container("prepare")))

    def test_what_is_kept_of_addons_is_written_by_those_that_fetch_them(self):
        for pod in self.full.pods():
            for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
                if not container["name"].startswith("addons-") and "/var/lib/odoo" in mounts(container):
                    kept = [m for m in container["volumeMounts"] if m["mountPath"] == "/var/lib/odoo/.odoofleet"]
                    self.assertEqual(kept, [{"name": "filestore", "mountPath": "/var/lib/odoo/.odoofleet", "subPath": ".odoofleet", "readOnly": True}])
        self.assertNotIn(".odoofleet", str(Rendered().pods()))

    def test_what_git_may_ask(self):
        self.assertNotIn("ALLOWED_HOSTS", variables(self.full.container("addons-0")))
        listed = Rendered(FULL, {"git": {"allowedHosts": ["git.example.com", "git.corp"]}})
        for suffix in ("-web", "-cron"):
            self.assertEqual(variables(listed.container("addons-1", suffix))["ALLOWED_HOSTS"], "git.example.com git.corp")
        self.assertEqual(variables(self.full.container("addons-0"))["CREDENTIALS"], "git")
        for hosts in ("git.example.com", ["https://git.example.com"], ["a b"], [""]):
            self.refused({"git": {"allowedHosts": hosts}}, "schema")

    def test_first_password_is_seen_by_prepare_alone(self):
        volume = next(v for v in self.full.pod()["volumes"] if v["name"] == "bootstrap")
        self.assertEqual(volume["secret"], {"secretName": "first", "optional": True, "items": [{"key": "administrator_password", "path": "password"}]})
        users = [(p["metadata"]["labels"]["app.kubernetes.io/component"], c["name"]) for p in self.full.pods()
                 for c in p["spec"].get("initContainers", []) + p["spec"]["containers"] if "bootstrap" in str(c["volumeMounts"])]
        self.assertEqual(users, [("web", "prepare")])
        self.assertNotIn("bootstrap", str(Rendered().pod()["volumes"]))

    def test_addons_are_told_where_they_keep_their_pin(self):
        self.assertEqual(variables(self.full.container("addons-1")), {
            "URL": "ssh://git@git.example.com:2222/acme/more.git", "REF": "0a1b2c3", "SUBPATH": ".", "DEST": "/mnt/addons/1",
            "COMMIT_FILE": "/mnt/addons/1.commit", "PIN": "/var/lib/odoo/.odoofleet/addons/1.json", "REFRESH": "2026-11",
            "SIZE_LIMIT": str(2 ** 30), "KEEP": "/var/lib/odoo/.odoofleet/addons/1"})
        limited = Rendered(FULL, {"git": {"sizeLimit": "200M"}})
        self.assertEqual(variables(limited.container("addons-0"))["SIZE_LIMIT"], "200000000")
        self.assertEqual(variables(limited.container("addons-0", "-cron")), variables(limited.container("addons-0")))


class Told(Case):
    def test_prepare(self):
        self.assertEqual(Rendered(FULL).options("prepare"), {
            "release": "acme-prod", "odooVersion": "18.0", "image": "odoo:18.0",
            "addons": [{"url": "https://git.example.com/acme/addons.git", "ref": "v1.4.2", "path": "src/addons"},
                       {"url": "ssh://git@git.example.com:2222/acme/more.git", "ref": "0a1b2c3", "path": "."}],
            "addonsImage": "registry.example.com/addons:7", "refresh": "2026-11", "baseUrl": "http://erp.example.com", "reportUrl": "http://127.0.0.1:8069",
            "bootstrap": {"adminLogin": "admin", "languages": ["zh_CN"], "country": "CN", "timeZone": "Asia/Shanghai", "demo": False,
                          "databaseUuid": "", "existingSecret": "first"},
            "modules": {"install": ["sale_management"], "update": "Auto", "named": ["acme_sale"]}})

    def test_defaults(self):
        told = Rendered({"image": {"digest": "sha256:" + "a" * 64}}).options("prepare")
        self.assertEqual((told["image"], told["addons"], told["addonsImage"], told["baseUrl"]), ("odoo@sha256:" + "a" * 64, [], "", ""))
        self.assertEqual(told["modules"], {"install": [], "update": "Auto", "named": []})

    def test_address(self):
        def base_url(ingress):
            return Rendered({"ingress": {"enabled": True, "host": "erp.example.com", **ingress}}).options("prepare")["baseUrl"]
        self.assertEqual(base_url({}), "http://erp.example.com")
        self.assertEqual(base_url({"tls": {"secretName": "wild"}}), "https://erp.example.com")
        self.assertEqual(base_url({"expose": "HTTPRoute", "gateway": {"name": "public"}}), "https://erp.example.com")
        self.assertEqual(base_url({"enabled": False}), "")

    def test_all_scripts_are_there(self):
        data = Rendered(FULL).get("ConfigMap", "-config")["data"]
        for suffix in ("-web", "-cron"):
            for word in " ".join(str(c.get("command")) for c in Rendered(FULL).pod(suffix)["initContainers"]).replace("'", " ").split():
                if word.startswith("/etc/odoofleet/"):
                    self.assertIn(word.rsplit("/", 1)[1], data)
        self.assertNotIn("addons.sh", Rendered().get("ConfigMap", "-config")["data"])


class Scripts(Case):
    """They lie in the ConfigMaps without their comments, and do the same."""

    def test_python(self):
        data = Rendered(FULL).get("ConfigMap", "-config")["data"]
        scripts = {file.name: file.read_text(encoding="utf-8") for file in (CHART / "files").glob("*.py")}
        self.assertEqual({name for name in data if name.endswith(".py")}, set(scripts))
        for name, source in scripts.items():
            self.assertEqual(ast.dump(ast.parse(data[name])), ast.dump(ast.parse(source)), name)
            self.assertNotRegex(data[name], r"(?m)^ *#")

    def test_sh(self):
        rendered = Rendered(FULL)
        for name, suffix, file in (("addons.sh", "-config", "addons.sh"), ("git.sh", "-config", "git.sh"), ("role.sh", "-postgresql", "role.sh"),
                                   ("version.sh", "-postgresql", "postgresql/version.sh")):
            lines = (CHART / "files" / file).read_text(encoding="utf-8").splitlines()
            self.assertEqual(rendered.config(name, suffix).splitlines(), [line for line in lines if not line.lstrip(" ").startswith("#")])
            subprocess.run(["sh", "-n"], input=rendered.config(name, suffix), text=True, check=True)


class Restarts(Case):
    """Compared are whole pods: whatever differs, restarts them."""

    def restarts(self, change, *base):
        before, after = Rendered(*base), Rendered(*base, change)
        return [s for s in ("-web", "-cron") if before.get("Deployment", s)["spec"]["template"] != after.get("Deployment", s)["spec"]["template"]]

    def test_a_changed_first_start_restarts_nothing(self):
        for change in ({"country": "DE"}, {"languages": ["de_DE"]}, {"adminLogin": "boss"}, {"demo": True}, {"timeZone": "Europe/Berlin"}):
            self.assertEqual(self.restarts({"bootstrap": change}, FULL), [])

    def test_modules_restart_both(self):
        # No scheduled action may run while modules are updated.
        for change in ({"install": ["crm"]}, {"named": ["base"]}, {"update": "Never"}):
            self.assertEqual(self.restarts({"modules": change}, FULL), ["-web", "-cron"])

    def test_code_and_options_restart_both(self):
        other = merged(FULL["git"], {"refresh": "2026-12"})
        for change in ({"git": other}, {"image": {"tag": "18.0-20261101"}}, {"odoo": {"config": {"log_level": "debug"}}},
                       {"addons": {"image": {"tag": "8"}}}):
            self.assertEqual(self.restarts(change, FULL), ["-web", "-cron"])

    def test_the_address_and_the_proxy_restart_the_web_pods(self):
        self.assertEqual(self.restarts({"ingress": {"host": "new.example.com"}}, FULL), ["-web"])
        self.assertEqual(self.restarts({"proxy": {"bodySize": "1g"}}, FULL, PROXY), ["-web"])
        self.assertEqual(self.restarts({"proxy": {"bodySize": "1g"}}, FULL), [])

    def test_what_is_beside_restarts_nothing(self):
        for change in ({"page": {"contact": "somebody else"}}, {"networkPolicy": {"enabled": False}}, {"ingress": {"aliases": []}}):
            self.assertEqual(self.restarts(change, FULL), [])


class Queue(Case):
    def runner(self, suffix, *layers):
        env = variables(Rendered(*layers).container("odoo", suffix))
        return {k.removeprefix("ODOO_QUEUE_JOB_"): v for k, v in env.items() if k.startswith("ODOO_QUEUE_JOB_")}

    def test_the_cron_pod_runs_it_and_asks_the_service(self):
        self.assertEqual(self.runner("-cron", FULL), {"CHANNELS": "root:2", "HOST": "acme-prod", "PORT": "8069"})
        self.assertEqual(self.runner("-web", FULL)["CHANNELS"], "root:0")

    def test_without_cron_the_web_pod_runs_it(self):
        alone = {"queueJob": {"enabled": True, "channels": "root:4,root.mail:1"}}
        self.assertEqual(self.runner("-web", alone), {"CHANNELS": "root:4,root.mail:1", "HOST": "127.0.0.1", "PORT": "8069"})
        self.refused(merged(alone, {"replicaCount": 2, "persistence": {"accessMode": "ReadWriteMany"}}), "queueJob.enabled", "cron.enabled")

    def test_every_pod_loads_it(self):
        for version, modules in (("18.0", "base,web,queue_job"), ("19.0", "base,rpc,web,queue_job")):
            rendered = Rendered(FULL, {"odooVersion": version})
            for role in ("web", "cron"):
                self.assertEqual(rendered.options(role)["server_wide_modules"], modules)
        own = Rendered(FULL, {"odoo": {"config": {"server_wide_modules": "base,web,sentry"}}})
        self.assertEqual(own.options()["server_wide_modules"], "base,web,sentry,queue_job")

    def test_off(self):
        off = {"queueJob": {"enabled": False}}
        self.assertNotIn("server_wide_modules", Rendered(FULL, off).options())
        self.assertEqual(self.runner("-web", FULL, off), {})
        for channels in ("root:0", "sale:1", "root:1\nx", ""):
            self.refused({"queueJob": {"enabled": True, "channels": channels}}, "schema")


if __name__ == "__main__":
    unittest.main()
