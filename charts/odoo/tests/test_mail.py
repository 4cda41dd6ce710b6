"""The mail catcher: whose mails it keeps, and that they do not go another way."""
import unittest

from chart import CATCHER, FULL, Case, Rendered

CLOSED = {25, 465, 587, 2525}


def mail(options):
    return {k: v for k, v in options.items() if k.startswith("smtp") or k in ("email_from", "from_filter")}


class Catcher(Case):
    def test_on_for_test_and_staging(self):
        for stage in ("Test", "Staging"):
            rendered = Rendered({"stage": stage})
            self.assertTrue(rendered.has("Deployment", "-mail"))
            self.assertEqual(mail(rendered.options()), {"smtp_server": "acme-prod-mail", "smtp_port": 1025, "smtp_ssl": False})
            port = next(p for p in rendered.get("Service", "-mail")["spec"]["ports"] if p["port"] == 1025)
            ports = {p["name"]: p["containerPort"] for p in rendered.container("mailpit", "-mail")["ports"]}
            self.assertEqual(ports[port["targetPort"]], 1025)

    def test_left_out(self):
        for values in ({}, {"stage": "Test", "mail": {"host": "smtp.example.com"}}, {"stage": "Test", "mail": {"catcher": {"enabled": False}}}):
            rendered = Rendered(values)
            self.assertFalse([o for o in rendered.all if o["metadata"]["name"].endswith("-mail")])
        self.assertEqual(mail(Rendered().options()), {})
        self.assertEqual(mail(Rendered(FULL).options()), {"smtp_server": "smtp.example.com", "smtp_port": 587, "smtp_ssl": True, "smtp_user": "odoo"})

    def test_by_value(self):
        self.assertTrue(Rendered({"mail": {"catcher": {"enabled": True}}}).has("Deployment", "-mail"))
        self.refused({"mail": {"host": "smtp.example.com", "catcher": {"enabled": True}}}, "mail.host", "mail.catcher.enabled")

    def test_cron_mails_there_too(self):
        rendered = Rendered(FULL, CATCHER, {"mail": {"from": "erp@example.com"}})
        for role in ("web", "cron"):
            self.assertEqual(mail(rendered.options(role)), {"smtp_server": "acme-prod-mail", "smtp_port": 1025, "smtp_ssl": False,
                                                            "email_from": "erp@example.com"})

    def test_ports_of_mail_are_closed_to_the_internet(self):
        def internet(rendered):
            return next(r for r in rendered.get("NetworkPolicy", "-web")["spec"]["egress"] if "0.0.0.0/0" in str(r.get("to")))
        ranges = [(p["port"], p["endPort"]) for p in internet(Rendered({"stage": "Test"}))["ports"] if p["protocol"] == "TCP"]
        open_ports = {port for first, last in ranges for port in range(first, last + 1)}
        self.assertEqual(set(range(1, 65536)) - open_ports, CLOSED)
        self.assertNotIn("ports", internet(Rendered()))
        self.assertNotIn("ports", internet(Rendered({"stage": "Test", "mail": {"host": "smtp.example.com"}})))

    def test_large_mails_do_not_end_it(self):
        container = Rendered({"stage": "Test"}).container("mailpit", "-mail")
        env = {one["name"]: one["value"] for one in container["env"]}
        self.assertEqual(container["resources"]["limits"]["memory"], "512Mi")
        self.assertLessEqual(12 * int(env["MP_MAX_MESSAGE_SIZE"]), 512)
        self.assertEqual((env["MP_DATABASE"], env["MP_ALLOWED_HOSTS"]), ("/tmp/mailpit.db", "localhost"))

    def test_nothing_lasts(self):
        volumes = Rendered({"stage": "Test"}).pod("-mail")["volumes"]
        self.assertEqual([set(v) - {"name"} for v in volumes], [{"emptyDir"}])


if __name__ == "__main__":
    unittest.main()
