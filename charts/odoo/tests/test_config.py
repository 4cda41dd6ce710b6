"""odoo.conf, the database, sizes."""
import base64
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from chart import FULL, PROXY, SECRET, Case, Rendered, helm

MIB, GIB = 2 ** 20, 2 ** 30
TEMPLATE_TEXT = "{{ .Release.Name }}{{ lookup \"v1\" \"Secret\" \"odoo\" \"database\" }}"


class Options(Case):
    def test_defaults(self):
        options = Rendered().options()
        self.assertEqual(options["db_host"], "acme-prod-postgresql")
        self.assertEqual((options["db_name"], options["dbfilter"], options["list_db"]), ("odoo", "", False))
        self.assertEqual((options["admin_passwd"], options["proxy_mode"]), ("", False))

    def test_values_are_never_templates(self):
        rendered = Rendered({"odoo": {"config": {"report_title": TEMPLATE_TEXT}}, "podAnnotations": {"note": TEMPLATE_TEXT},
                             "mail": {"host": "smtp.example.com", "from": TEMPLATE_TEXT}})
        self.assertEqual(rendered.options()["report_title"], TEMPLATE_TEXT)
        self.assertEqual(rendered.options()["email_from"], TEMPLATE_TEXT)
        pod = rendered.get("Deployment", "-web")["spec"]["template"]
        self.assertEqual(pod["metadata"]["annotations"]["note"], TEMPLATE_TEXT)

    def test_options_of_the_chart_are_refused(self):
        for key in ("db_password", "addons_path", "db_name", "dbfilter", "list_db", "workers", "data_dir", "smtp_password",
                    "proxy_mode", "longpolling_port"):
            self.refused({"odoo": {"config": {key: "x"}}}, f"odoo.config.{key}")

    def test_no_secret_in_the_config_map(self):
        rendered = Rendered({"odoo": {"config": {"admin_passwd": "m4ster"}},
                             "postgresql": {"auth": {"existingSecret": "", "password": "d4tabase"}}})
        for kind in ("ConfigMap", "Deployment", "StatefulSet"):
            text = str([o for o in rendered.all if o["kind"] == kind])
            self.assertNotIn("m4ster", text)
            self.assertNotIn("d4tabase", text)
        self.assertEqual(base64.b64decode(rendered.get("Secret", "-odoo")["data"]["admin_passwd"]), b"m4ster")
        database = rendered.get("Secret", "-postgresql")
        self.assertEqual(base64.b64decode(database["data"]["password"]), b"d4tabase")
        self.assertEqual(database["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")

    def test_named_secrets_leave_none_of_ours(self):
        self.assertFalse([o for o in Rendered(FULL).all if o["kind"] == "Secret"])

    def test_a_master_password_goes_before_the_name_of_a_secret(self):
        # The operator always names one.
        both = Rendered({"odoo": {"existingSecret": "named", "config": {"admin_passwd": "m4ster"}}})
        self.assertEqual(base64.b64decode(both.get("Secret", "-odoo")["data"]["admin_passwd"]), b"m4ster")
        self.assertNotIn("secretName: named", both.text)

    def test_cron(self):
        rendered = Rendered(FULL, {"cron": {"threads": 3}})
        web, cron = rendered.options(), rendered.options("cron")
        self.assertEqual(web["max_cron_threads"], 0)
        self.assertEqual((cron["workers"], cron["http_enable"], cron["max_cron_threads"]), (0, False, 3))
        self.assertEqual({k: v for k, v in cron.items() if k not in ("workers", "http_enable", "max_cron_threads")},
                         {k: v for k, v in web.items() if k not in ("workers", "max_cron_threads")})
        self.assertEqual(Rendered().options()["max_cron_threads"], 1)

    def test_names_of_options_by_version(self):
        self.assertEqual(Rendered({"odooVersion": "16.0"}).options()["gevent_port"], 8072)
        old = Rendered({"odooVersion": "15.0"}).options()
        self.assertEqual((old["longpolling_port"], "gevent_port" in old), (8072, False))
        for version in ("15.0", "17.0", "18.0"):
            options = Rendered({"odooVersion": version}).options()
            self.assertEqual((options["without_demo"], "with_demo" in options), ("all", False))
        new = Rendered({"odooVersion": "19.0"}).options()
        self.assertEqual((new["with_demo"], "without_demo" in new), (False, False))

    def test_addons_path(self):
        self.assertEqual(Rendered(FULL).options()["addons_path"],
                         "/mnt/addons/0/src/addons,/mnt/addons/1,/mnt/addons/image,/mnt/extra-addons")



class Database(Case):
    def test_password_must_come_from_somewhere(self):
        self.refused({"postgresql": {"auth": {"existingSecret": ""}}}, "postgresql.auth.existingSecret", "postgresql.auth.password")

    def test_nothing_is_random(self):
        values = {**SECRET, **FULL}
        self.assertEqual(helm(values).stdout, helm(values).stdout)

    def test_embedded(self):
        pod = Rendered().get("StatefulSet", "-postgresql")["spec"]["template"]["spec"]
        self.assertEqual((pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]), (999, 999))
        container = pod["containers"][0]
        self.assertEqual(container["name"], "postgresql")
        self.assertIn({"name": "PGDATA", "value": "/pgdata/data"}, container["env"])
        # Odoo makes its database itself; one that exists but is empty would stay so.
        self.assertNotIn("POSTGRES_DB", [e["name"] for e in container["env"]])
        volumes = {v["name"]: v for v in pod["volumes"]}
        self.assertEqual(volumes["shm"]["emptyDir"]["medium"], "Memory")
        self.assertEqual(volumes["data"]["persistentVolumeClaim"]["claimName"], "acme-prod-postgresql")

    def test_parameters(self):
        container = Rendered({"postgresql": {"parameters": {"max_connections": 300, "work_mem": "16MB"}}}).get(
            "StatefulSet", "-postgresql")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(container["args"], ["postgres", "-c", "huge_pages=off", "-c", "max_connections=300", "-c", "shared_buffers=192MB", "-c", "work_mem=16MB"])

    def test_external(self):
        external = {"postgresql": {"enabled": False}, "externalDatabase": {
            "host": "pg.example.com", "port": 6432, "user": "acme", "database": "acme_prod", "existingSecret": "pg", "sslmode": "verify-full"}}
        rendered = Rendered(external, {"page": {"enabled": False}})
        self.assertEqual([w["metadata"]["name"] for w in rendered.workloads()], ["acme-prod-web"])
        self.assertEqual({k: v for k, v in rendered.options().items() if k.startswith("db_")}, {
            "db_host": "pg.example.com", "db_port": 6432, "db_user": "acme", "db_name": "acme_prod", "db_sslmode": "verify-full", "db_maxconn": 32})
        volumes = rendered.pods()[0]["spec"]["volumes"]
        self.assertEqual(next(v for v in volumes if v["name"] == "database")["secret"]["secretName"], "pg")
        self.refused({"postgresql": {"enabled": False}}, "externalDatabase.host")
        for host in ("fd00::5", "::ffff:10.9.8.7", "10.9.8.7"):
            self.assertEqual(Rendered(external, {"externalDatabase": {"host": host, "cidrs": ["fd00::/64"]}}).options()["db_host"], host)


class Sizes(Case):
    def test_processes_fit_the_memory_and_the_connections(self):
        for size in ("S", "M", "L"):
            rendered = Rendered({"size": size})
            options = rendered.options()
            pod = rendered.get("Deployment", "-web")["spec"]["template"]["spec"]["containers"][0]
            limit = self.bytes(pod["resources"]["limits"]["memory"])
            # With workers: those, gevent and one for scheduled actions; else one process for all.
            processes = options["workers"] + 2 if options["workers"] else 1
            # What a process may hold: address space that is no memory apart.
            held = options["limit_memory_soft"] - 512 * MIB
            self.assertLessEqual(max(options["workers"], 1) * held, limit, size)
            database = rendered.get("StatefulSet", "-postgresql")["spec"]["template"]["spec"]["containers"][0]
            accepted = next(int(a.split("=")[1]) for a in database["args"] if a.startswith("max_connections="))
            self.assertLess((processes + 1) * options["db_maxconn"], accepted, size)

    def test_reports_print_and_processes_at_rest_stay(self):
        for size in ("S", "M", "L"):
            for role in ("web", "cron"):
                options = Rendered({"size": size, "cron": {"enabled": True}}).options(role)
                # RLIMIT_AS, which wkhtmltopdf inherits: it reserves 1.4 GiB before the first page, and reports grow from there.
                self.assertGreaterEqual(options["limit_memory_hard"], 2.5 * GIB, size)
                # Compared with the address space: 640 MiB, once Odoo's own default, recycled every worker of 16 and later at rest.
                self.assertGreaterEqual(options["limit_memory_soft"], 1.5 * GIB, size)
                self.assertLess(options["limit_memory_soft"], options["limit_memory_hard"])

    def test_prepare_makes_no_pod_larger(self):
        def memory(containers):
            return [self.bytes(c["resources"]["requests"]["memory"]) for c in containers]
        for size in ("S", "M", "L"):
            pod = Rendered(FULL, PROXY, {"size": size}).pod()
            self.assertLessEqual(max(memory(pod["initContainers"])), sum(memory(pod["containers"])))

    def bytes(self, text):
        return int(text[:-2]) * {"Mi": 2 ** 20, "Gi": 2 ** 30}[text[-2:]]

    def test_explicit_values_win(self):
        resources = {"requests": {"memory": "1Gi"}, "limits": {"memory": "8Gi"}}
        rendered = Rendered({"size": "M", "workers": 6, "resources": resources, "odoo": {"config": {"limit_memory_hard": 2147483648}}})
        self.assertEqual(rendered.options()["workers"], 6)
        self.assertEqual(rendered.options()["limit_memory_hard"], 2147483648)
        given = rendered.container("odoo")["resources"]
        self.assertEqual({kind: {"memory": given[kind]["memory"]} for kind in given}, resources)
        self.assertEqual(Rendered({"size": "M", "workers": 0}).options()["workers"], 0)

    def test_workers_must_fit(self):
        self.refused({"workers": 21, "size": "M"}, "workers", "resources.limits.memory")
        self.refused({"size": "M", "resources": {"limits": {"memory": "1000M"}}}, "resources.limits.memory")
        self.refused({"resources": {"limits": {"memory": "200Mi"}}}, "resources.limits.memory")
        Rendered({"workers": 20, "size": "M"})  # exactly 5 GiB
        # Limits of address space do not add up to memory.
        Rendered({"workers": 4, "resources": {"limits": {"memory": "2Gi"}}, "odoo": {"config": {"limit_memory_soft": 2 * GIB}}})

    def test_one_limit_draws_the_other_along(self):
        for given, soft, hard in (({"hard": GIB}, GIB, GIB), ({"soft": 5 * GIB}, 5 * GIB, 5 * GIB), ({"soft": GIB}, GIB, 4 * GIB),
                                  ({"hard": 3 * GIB}, 1.5 * GIB, 3 * GIB), ({"soft": GIB, "hard": 2 * GIB}, GIB, 2 * GIB)):
            options = Rendered({"odoo": {"config": {f"limit_memory_{key}": value for key, value in given.items()}}}).options()
            self.assertEqual((options["limit_memory_soft"], options["limit_memory_hard"]), (soft, hard), given)
        self.refused({"odoo": {"config": {"limit_memory_soft": GIB, "limit_memory_hard": GIB // 2}}}, "limit_memory_soft")


@unittest.skipUnless(shutil.which("wkhtmltopdf"), "needs wkhtmltopdf")
class Reports(unittest.TestCase):
    def test_a_hundred_pages_print_below_the_hard_limit(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        rows = "".join(f"<tr><td>{number}</td><td>[FURN_{number}] 发票 Large desk</td><td>{number * 3.5:.2f}</td></tr>" for number in range(6000))
        (folder / "invoice.html").write_text(f"<meta charset=utf-8><script>1 + 1</script><table cellpadding=4>{rows}</table>", encoding="utf-8")
        for size in ("S", "M", "L"):
            hard = Rendered({"size": size}).options()["limit_memory_hard"]
            result = subprocess.run(["sh", "-c", f"ulimit -v {hard // 1024}; exec wkhtmltopdf -q invoice.html {size}.pdf"], cwd=folder,
                                    capture_output=True, text=True, check=False, timeout=300)
            self.assertIn(result.returncode, (0, 1), result.stderr)
            pages = re.findall(rb"/Type /Page\b", (folder / f"{size}.pdf").read_bytes())
            self.assertGreaterEqual(len(pages), 100)


if __name__ == "__main__":
    unittest.main()
