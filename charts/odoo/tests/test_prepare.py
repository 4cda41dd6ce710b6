"""What prepare makes of a database: initialised once, installed, updated, taken over; each with the stand-in and with the real Odoo."""
import time
import unittest

from odoos import Fake, Real, addon
from pod import needs_postgresql

LOGIN = "boss@example.com"
ADMINISTRATOR = "Vier&zwanzig Zeichen \" '"


class First:
    def test_a_new_database(self):
        self.pod.prepare["bootstrap"].update(adminLogin=LOGIN, languages=["zh_CN", "en_US"], country="cn", timeZone="Asia/Shanghai",
                                             databaseUuid="11111111-2222-3333-4444-555555555555")
        self.pod.prepare["modules"]["install"] = ["shop_first"]
        (self.pod.root / "secrets/bootstrap/password").write_text(ADMINISTRATOR + "\n", encoding="utf-8")
        output, plan, told = self.runs()
        self.assertEqual(plan, {"action": "Initialise", "modules": ["base", "shop_first"], "total": 2})
        self.assertEqual((told["initialised"], told["uuid"], told["modulesFailed"]), (True, "11111111-2222-3333-4444-555555555555", []))
        self.assertRegex(told["fingerprint"], "^[0-9a-f]{64}$")
        self.assertRegex(told["updatedAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertTrue(self.accepts(self.password_of(LOGIN), ADMINISTRATOR))
        self.assertNotIn(ADMINISTRATOR, output)
        self.assertEqual([c for c, in self.query("SELECT code FROM res_lang WHERE active ORDER BY code")], ["en_US", "zh_CN"])
        self.assertEqual(self.company(), [(48, 6, "zh_CN")])
        parameters = self.parameters()
        self.assertEqual((parameters["web.base.url"], parameters["web.base.url.freeze"], parameters["report.url"]),
                         ("https://erp.example.com", "True", "http://127.0.0.1:8069"))
        self.assertEqual((parameters["odoofleet.release"], parameters["odoofleet.fingerprint"]), ("acme-prod", told["fingerprint"]))
        for name in ("base", "web", "shop_first"):
            self.assertEqual(self.module(name)[0], "installed", name)
        self.assertEqual(self.query("SELECT count(*) FROM ir_module_module WHERE demo"), [(0,)])
        self.assertEqual(self.query("SELECT encoding, datcollate FROM pg_database WHERE datname = current_database()"), [(6, "C")])
        self.assertEqual({e for e, in self.query("SELECT extname FROM pg_extension")}, {"plpgsql", "pg_trgm", "unaccent"})

        # The same again starts no Odoo and changes nothing.
        before, begun = self.server.dump("shop"), time.monotonic()
        output, plan, again = self.runs()
        self.assertLess(time.monotonic() - begun, 5)
        self.assertEqual((plan["action"], self.starts(output), again), ("Nothing", 0, told))
        self.assertEqual(self.server.dump("shop"), before)

    def test_a_password_that_nobody_knows(self):
        self.initialised()
        self.assertEqual(self.query("SELECT count(*) FROM res_users WHERE login = 'admin'"), [(0,)])
        self.assertFalse(self.accepts(self.password_of("boss"), "admin"))

    def test_demo_data_and_no_known_password_with_them(self):
        self.pod.prepare["bootstrap"]["demo"] = True
        self.runs()
        self.assertNotEqual(self.query("SELECT count(*) FROM ir_module_module WHERE demo"), [(0,)])
        for login, hashed in self.query("SELECT login, password FROM res_users WHERE active AND password <> ''"):
            self.assertFalse(self.accepts(hashed, login), login)

    def test_wrong_settings_are_named_and_may_be_corrected(self):
        bootstrap = self.pod.prepare["bootstrap"]
        for key, value, right in (("languages", ["xx_YY"], []), ("country", "ZZ", "CN"), ("timeZone", "Asia/Peking", "")):
            bootstrap[key] = value
            self.fails("ConfigurationInvalid", f"bootstrap.{key}: Odoo knows no .*{value if isinstance(value, str) else value[0]}")
            output, _ = self.fails("ConfigurationInvalid", f"bootstrap.{key}")
            self.assertEqual(self.starts(output), 0)
            bootstrap[key] = right
        self.assertEqual(self.runs()[2]["initialised"], True)

    def test_a_ready_but_empty_database(self):
        self.server.query("CREATE DATABASE shop OWNER odoo", superuser=True)
        self.server.query("CREATE EXTENSION pg_stat_statements", dbname="shop", superuser=True)
        self.assertEqual(self.runs()[1]["action"], "Initialise")


class Later:
    def setUp(self):
        super().setUp()
        self.initialised()

    def test_a_module_that_is_listed_later(self):
        before = self.runs()[2]["fingerprint"]
        self.pod.prepare["modules"]["install"] = ["shop_first"]
        output, plan, told = self.runs()
        self.assertEqual((plan, self.starts(output)), ({"action": "Update", "modules": ["shop_first"], "total": 1}, 1))
        self.assertNotEqual(told["fingerprint"], before)
        self.assertEqual(self.module("shop_first"), ("installed", f"{self.series}.1.0"))

    def installed(self, **more):
        addon(self.pod.root / "addons/0", "shop_first", **more)
        self.pod.prepare["modules"]["install"] = ["shop_first"]
        return self.runs()

    def test_another_version(self):
        self.installed()
        for image, version in (("a", "2.0"), ("b", f"{self.series}.3.0"), ("c", "2.5.1")):
            addon(self.pod.root / "addons/0", "shop_first", version=version)
            self.pod.prepare["image"] = image
            output, plan, _ = self.runs()
            self.assertEqual((plan, self.starts(output)), ({"action": "Update", "modules": ["shop_first"], "total": 1}, 1))
            self.assertTrue(self.module("shop_first")[1].endswith(version))

    def test_newer_code_under_the_same_name_is_used_older_is_not(self):
        self.installed(version="2.0")
        addon(self.pod.root / "addons/0", "shop_first", version="1.0")
        output, plan, told = self.runs()
        self.assertEqual((plan["action"], self.starts(output)), ("Nothing", 0))
        addon(self.pod.root / "addons/0", "shop_first", version="2.1")
        output, plan, newer = self.runs()
        self.assertEqual((plan["action"], self.starts(output), newer["fingerprint"]), ("Update", 1, told["fingerprint"]))

    def test_never_checks_only(self):
        self.installed()
        addon(self.pod.root / "addons/0", "shop_first", version="2.0")
        self.pod.prepare["modules"]["update"] = "Never"
        output, plan, _ = self.runs()
        self.assertEqual((plan["action"], self.starts(output)), ("Nothing", 0))
        self.assertIn("of another version than their code: shop_first", output)
        self.pod.prepare["modules"]["named"] = ["shop_first"]
        self.assertEqual(self.starts(self.runs()[0]), 1)

    def test_named_ones_are_updated_once(self):
        self.installed()
        self.pod.prepare["modules"]["named"] = ["shop_first"]
        self.assertEqual([self.starts(self.runs()[0]) for _ in range(2)], [1, 0])
        self.pod.prepare["modules"]["named"] = ["all"]
        self.assertEqual(self.runs()[1]["modules"], ["base"])

    def test_another_image_with_the_same_modules_starts_no_odoo(self):
        before = self.runs()[2]
        self.pod.prepare["image"] = "odoo:next"
        output, plan, told = self.runs()
        self.assertEqual((plan["action"], self.starts(output)), ("Nothing", 0))
        self.assertNotEqual(told["fingerprint"], before["fingerprint"])

    def test_commits_are_part_of_the_fingerprint(self):
        self.pod.prepare["addons"] = [{"url": "https://git.example.com/a.git", "ref": "main", "path": "."}]
        told = []
        for commit in ("1" * 40, "2" * 40):
            (self.pod.root / "addons/0.commit").write_text(commit, encoding="utf-8")
            told.append(self.runs()[2]["fingerprint"])
        # Neither where a branch is called another name, nor what counts for a new database or needs no Odoo.
        self.pod.prepare["addons"][0]["ref"] = "2" * 40
        self.pod.prepare["bootstrap"]["country"] = "FR"
        self.pod.prepare["baseUrl"] = ""
        self.assertEqual((len(set(told)), self.runs()[2]["fingerprint"]), (2, told[1]))

    def test_a_module_that_breaks(self):
        addon(self.pod.root / "addons/0", "shop_second", depends=["shop_first"], code="raise ValueError('broken on purpose')")
        self.pod.prepare["modules"]["install"] = ["shop_second"]
        output, told = self.fails("ModuleUpdateFailed", "at shop_second: .*broken on purpose.*tried again when")
        self.assertEqual((told["database"]["modulesFailed"], told["database"]["initialised"], self.starts(output)), (["shop_second"], True, 1))
        first = told
        # Not tried again, not even after a restart; but when something that goes in has changed.
        output, told = self.fails("ModuleUpdateFailed")
        self.assertEqual((told["error"], told["database"]["modulesFailed"], self.starts(output)), (first["error"], ["shop_second"], 0))
        for change in (self.pod.prepare, self.pod.options):
            change["refresh"] = "1"
            self.assertEqual([self.starts(self.fails("ModuleUpdateFailed")[0]) for _ in range(2)], [1, 0])
        addon(self.pod.root / "addons/0", "shop_second", depends=["shop_first"])
        self.pod.prepare["image"] = "repaired"
        output, _, told = self.runs()
        self.assertEqual((self.starts(output), told["modulesFailed"], self.module("shop_second")[0]), (1, [], "installed"))
        self.assertEqual(self.query("SELECT * FROM odoofleet_prepare"), [])

    def test_a_secret_in_an_exception_stays_out_of_the_message(self):
        (self.pod.root / "secrets/bootstrap/password").write_text(ADMINISTRATOR, encoding="utf-8")
        addon(self.pod.root / "addons/0", "shop_second", code=f"raise ValueError({'it is ' + ADMINISTRATOR!r})")
        self.pod.prepare["modules"]["install"] = ["shop_second"]
        _, told = self.fails("ModuleUpdateFailed", r"it is \*\*\*")
        self.assertNotIn(ADMINISTRATOR, str(told))
        self.assertNotIn(ADMINISTRATOR, str(self.query("SELECT * FROM odoofleet_prepare")))

    def test_modules_that_are_not_there(self):
        self.pod.prepare["modules"]["install"] = ["shop_zero"]
        output, _ = self.fails("ModuleNotFound", "shop_zero is in no folder")
        self.assertEqual(self.starts(output), 0)
        addon(self.pod.root / "addons/0", "shop_second", depends=["shop_lost"])
        self.pod.prepare["modules"]["install"] = ["shop_second"]
        self.fails("ModuleNotFound", "shop_lost, on which shop_second depends,")
        self.pod.prepare["modules"]["install"] = []
        self.installed()
        for change in ({"installable": False}, None):
            if change:
                addon(self.pod.root / "addons/0", "shop_first", **change)
            else:
                (self.pod.root / "addons/0/shop_first/__manifest__.py").unlink()
            self.pod.prepare["modules"].update(install=[], update="Auto")
            output, told = self.pod.run("configure", "web")[1:], None
            _, told = self.fails("ModuleNotFound", "1 installed modules have no code in addons_path: shop_first")
            self.assertEqual(told["database"]["modulesFailed"], ["shop_first"])
        self.pod.prepare["modules"]["update"] = "Never"
        self.assertIn("no code in addons_path: shop_first", self.runs()[0])

    def test_what_was_to_be_removed_is_not(self):
        self.installed()
        self.query("UPDATE ir_module_module SET state = 'to remove' WHERE name = 'shop_first'")
        addon(self.pod.root / "addons/0", "shop_second")
        self.pod.prepare["modules"]["install"] = ["shop_first", "shop_second"]
        self.runs()
        self.assertEqual((self.module("shop_first")[0], self.module("shop_second")[0]), ("installed", "installed"))

    def test_addresses_follow_until_people_set_them(self):
        self.pod.prepare.update(baseUrl="https://new.example.com", reportUrl="http://acme:8069")
        output, _, _ = self.runs()
        parameters = self.parameters()
        self.assertEqual((parameters["web.base.url"], parameters["report.url"], self.starts(output)), ("https://new.example.com", "http://acme:8069", 0))
        self.query("UPDATE ir_config_parameter SET value = 'https://mine.example.com' WHERE key = 'web.base.url'")
        self.pod.prepare["baseUrl"] = "https://other.example.com"
        self.runs()
        self.assertEqual(self.parameters()["web.base.url"], "https://mine.example.com")
        self.pod.prepare["baseUrl"] = ""
        self.runs()
        self.assertEqual(self.parameters()["web.base.url"], "https://mine.example.com")


class TakenOver:
    def setUp(self):
        super().setUp()
        self.initialised()
        # As if another chart had made it.
        self.query("DELETE FROM ir_config_parameter WHERE key LIKE 'odoofleet.%'")
        self.query("DROP TABLE odoofleet_prepare")

    def test_an_odoo_of_somebody_else(self):
        self.query("UPDATE ir_config_parameter SET value = 'https://old.example.com' WHERE key = 'web.base.url'")
        users = self.query("SELECT id, login, password FROM res_users ORDER BY id")
        self.pod.prepare["bootstrap"].update(adminLogin="other", country="FR")
        self.pod.prepare["baseUrl"] = "https://new.example.com"
        self.query("UPDATE ir_module_module SET latest_version = '0.1' WHERE name = 'web'")
        self.query("UPDATE ir_module_module SET latest_version = %s WHERE name = 'base'", f"{self.series}.0.1")
        self.query("UPDATE ir_module_module SET state = 'to install' WHERE name = 'shop_first'")
        output, plan, told = self.runs()
        self.assertEqual((plan, self.starts(output)), ({"action": "Update", "modules": ["base", "web"], "total": 2}, 1))
        parameters = self.parameters()
        self.assertEqual((parameters["odoofleet.release"], parameters["odoofleet.fingerprint"]), ("acme-prod", told["fingerprint"]))
        self.assertEqual(parameters["web.base.url"], "https://old.example.com")
        self.assertEqual(self.query("SELECT id, login, password FROM res_users ORDER BY id"), users)
        # Somebody's half begun installation is not ours to finish.
        self.assertEqual(self.module("shop_first")[0], "uninstalled")
        self.assertEqual(self.starts(self.runs()[0]), 0)

    def test_a_failed_update_leaves_it_theirs(self):
        addon(self.pod.root / "addons/0", "shop_first", code="raise ValueError('broken on purpose')")
        self.pod.prepare["modules"]["install"] = ["shop_first"]
        self.fails("ModuleUpdateFailed")
        self.assertFalse([key for key in self.parameters() if key.startswith("odoofleet")])
        self.assertEqual(self.starts(self.fails("ModuleUpdateFailed")[0]), 0)

    def test_imported_modules_have_no_code(self):
        self.query("ALTER TABLE ir_module_module ADD COLUMN IF NOT EXISTS imported boolean")
        self.query("INSERT INTO ir_module_module (name, state, latest_version, imported) VALUES ('studio_customization', 'installed', '1.0', true)")
        self.assertEqual(self.runs()[1]["action"], "Nothing")


@needs_postgresql
class FirstOfFake(First, Fake):
    pass


@needs_postgresql
class FirstOfReal(First, Real):
    pass


@needs_postgresql
class LaterOfFake(Later, Fake):
    pass


@needs_postgresql
class LaterOfReal(Later, Real):
    pass


@needs_postgresql
class TakenOverOfFake(TakenOver, Fake):
    pass


@needs_postgresql
class TakenOverOfReal(TakenOver, Real):
    pass


if __name__ == "__main__":
    unittest.main()
