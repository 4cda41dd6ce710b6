"""The add-on in real Odoos: ODOO_SRC=<folder with odoo-bin>[:<another>] python addons/tests/odoo/run.py [--pictures FOLDER]

Needs PostgreSQL's programs, an Odoo that runs with ODOO_PYTHON (default /usr/bin/python3), and addons/requirements.txt. Takes pictures of
pages where there is a Chromium. Without ODOO_SRC nothing is tested, and that is said loudly.
"""
import argparse
import base64
import os
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from harness import Camera, Odoo, Person, Postgres, banner, skip
from issuer import CURRENT, DAY, NEXT, OTHER, STRANGER, issue

DATABASE = "licensed"
TRUSTED = {
    "keys": [{"keyId": key.id, "publicKey": base64.b64encode(key.public).decode()} for key in (CURRENT, NEXT)]
}

PREPARE = """
env["ir.config_parameter"].set_param("web.base.url.freeze", "True")
groups = "group_ids" if "group_ids" in env["res.users"]._fields else "groups_id"
chinese = env["res.lang"]._activate_lang("zh_CN")
people = [("staff", "Lin Staff", ["base.group_user", "base.group_partner_manager"]), ("portal", "Pan Portal", ["base.group_portal"])]
for login, name, names in people:
    env["res.users"].with_context(no_reset_password=True).create({
        "name": name, "login": login, "password": login + "-1234", groups: [(6, 0, [env.ref(group).id for group in names])],
    })
env.cr.commit()
print("=> " + env["ir.config_parameter"].get_param("database.uuid"))
"""

UNINSTALL = """
env["ir.module.module"].search([("name", "=", "odoofleet_license")]).button_immediate_uninstall()
env = env(context={})
print("=> %d" % env["ir.config_parameter"].search_count([("key", "like", "odoofleet%")]))
print("=> %d" % env["ir.cron"].with_context(active_test=False).search_count([("name", "like", "OdooFleet%")]))
print("=> %d" % env["ir.ui.view"].with_context(active_test=False).search_count([("key", "like", "odoofleet%")]))
print("=> %d" % env["ir.model.data"].search_count([("module", "like", "odoofleet%")]))
print("=> %d" % env["ir.ui.menu"].with_context(active_test=False).search_count([("action", "like", "ir.actions.act_url"), ("name", "=", "Licence")]))
"""

LIMIT = """
groups = "group_ids" if "group_ids" in env["res.users"]._fields else "groups_id"
users = env["res.users"].with_context(no_reset_password=True)
def attempt(what):
    try:
        with env.cr.savepoint():
            what()
            env.flush_all() if hasattr(env, "flush_all") else users.flush()
        return "done"
    except Exception as error:
        return "refused: %s" % error
new = lambda login, group: users.create({"name": login, "login": login, groups: [(6, 0, [env.ref(group).id])]})
print("=> " + attempt(lambda: new("third", "base.group_user")))
print("=> " + attempt(lambda: new("guest", "base.group_portal")))
print("=> " + attempt(lambda: users.search([("login", "=", "portal")]).write({groups: [(6, 0, [env.ref("base.group_user").id])]})))
print("=> " + attempt(lambda: users.search([("login", "=", "staff")]).write({"name": "Lin S."})))
"""

ENFORCED_BY_JOBS = """
license = env["odoofleet.license"]
print("=> %s" % license.status()["restricted"])
staff = env["res.users"].search([("login", "=", "staff")])
partner = env["res.partner"].with_user(staff).search([], limit=1)
print("=> %s" % bool(staff.partner_id.with_user(staff).sudo(False).name))
job = env.ref("odoofleet_license.daily")
job.method_direct_trigger()
print("=> %s" % job.active)
"""

DUPLICATE = """
from odoo.service import db
arguments = {"neutralize_database": True} if %r == "neutralised" else {}
print("=> copied")
db.exp_duplicate_database(%r, %r, **arguments)
"""

STATUS = """
status = env["odoofleet.license"].status()
print("=> %s %s %s" % (status["state"], status["reason"], status["restricted"]))
"""


def licence(number):
    return "0b5e7d10-0000-4000-8000-%012d" % number


class Scenario:
    def __init__(self, odoo, postgres, pictures):
        self.odoo, self.postgres = odoo, postgres
        self.camera = Camera(pictures)
        self.now = int(time.time())
        self.uuid = None
        self.checked = 0

    def run(self):
        self.installs()
        self.odoo.start(DATABASE)
        self.every_state()
        self.entering()
        self.users_and_features()
        self.odoo.stop()
        self.jobs_and_updates()
        self.copies()
        self.uninstalls()
        self.expect(self.odoo.complaints(), [], "the log complains of nothing of ours")

    def expect(self, found, wanted, what):
        self.checked += 1
        if found != wanted:
            raise AssertionError("Odoo %s: %s: %r instead of %r" % (self.odoo.series, what, found, wanted))

    def contains(self, text, part, what):
        self.checked += 1
        if part not in text:
            raise AssertionError("Odoo %s: %s: %r is not in %r" % (self.odoo.series, what, part, text[:2000]))

    def code(self, number, begins=-100, ends=265, **changed):
        """A licence of days around today, for this database."""
        values = {
            "licenseId": licence(number), "issuedAt": self.now + min(begins, 0) * DAY, "notBefore": self.now + begins * DAY,
            "expiresAt": self.now + ends * DAY + 3600, "databases": [{"uuid": self.uuid, "purpose": "Production"}],
        }
        values.update(changed)
        return issue(**values)

    def installs(self):
        self.odoo.run(DATABASE, "-i", "odoofleet_license,odoofleet_license_example")
        self.uuid = self.odoo.shell(DATABASE, PREPARE)[0]
        self.expect(self.odoo.complaints(), [], "the log of the installation")

    def person(self, login, password):
        person = Person(self.odoo)
        self.expect(person.log_in(login, password), True, "%s logs in" % login)
        return person

    def every_state(self):
        """(name, codes, state for people, banner for administrators, banner for users or None, restricted)."""
        self.expect_state("missing", [], "warning", None, False)
        self.expect_state("active", [self.code(1)], None, None, False)
        self.expect_state("soon", [self.code(2, ends=25)], "info", None, False)
        self.expect_state("sooner", [self.code(3, ends=12)], "warning", None, False)
        self.expect_state("soonest", [self.code(4, ends=5)], "warning", "warning", False)
        self.expect_state("grace", [self.code(5, ends=-4)], "danger", "warning", False)
        self.expect_state("expired", [self.code(6, ends=-20)], "danger", None, True)
        self.expect_state("later", [self.code(7, begins=5)], "warning", None, False)
        foreign = [{"uuid": OTHER, "purpose": "Production"}]
        self.expect_state("foreign", [self.code(8, databases=foreign)], "warning", None, False)
        self.expect_state("foreign-at-once", [self.code(9, databases=foreign, bindingGraceDays=0)], "danger", None, True)
        self.expect_state("crowded", [self.code(10, maxUsers=1)], "warning", None, False)
        self.expect_state("refused", [issue(STRANGER)], "warning", None, False)
        self.expect_state("revoked", [self.code(11, revoked=[licence(11)])], "danger", None, True)

    def expect_state(self, name, codes, for_administrators, for_users, restricted):
        # What an earlier state left behind is no part of this one.
        self.forget()
        self.odoo.mount(*codes)
        admin = self.person("admin", "admin")
        page = admin.web_client()
        self.expect(page.status, 200, "%s: the administrator's web client" % name)
        shown = banner(page.text)
        self.expect(shown and shown[0], for_administrators, "%s: banner for administrators" % name)
        own = admin.get("/odoofleet/license")
        self.expect(own.status, 200, "%s: the page" % name)
        self.contains(own.text, self.uuid, "%s: the page names the database" % name)
        self.contains(own.text, "OREQ1.", "%s: the page has the request" % name)
        ok, partner = admin.call("res.partner", "create", {"name": "Made in " + name})
        self.expect(ok, True, "%s: an administrator writes (%s)" % (name, partner))

        staff = self.person("staff", "staff-1234")
        client = staff.web_client()
        self.expect(client.status, 303 if restricted else 200, "%s: the user's web client" % name)
        if not restricted:
            shown = banner(client.text)
            self.expect(shown and shown[0], for_users, "%s: banner for users" % name)
        self.contains(staff.get("/odoofleet/license").text, "cannot be used" if restricted else "<h1", "%s: the user's page" % name)
        ok, found = staff.call("res.partner", "search_read", [], fields=["name"], limit=1)
        self.expect(ok and len(found), 1, "%s: a user reads" % name)
        ok, sentence = staff.call("res.partner", "write", [partner], {"comment": name})
        self.expect(ok, not restricted, "%s: a user writes (%s)" % (name, sentence))
        if restricted:
            self.contains(sentence, "Nothing can be saved", "%s: why a user's write is refused" % name)
        portal = self.person("portal", "portal-1234")
        if self.has("portal") or int(self.odoo.series) >= 16:
            answer = portal.get("/my" if self.has("portal") else "/web/login_successful")
            self.expect(answer.status, 200, "%s: the portal" % name)
        self.expect(portal.get("/odoofleet/license").status, 404, "%s: the page for the portal" % name)
        self.both_languages(name, admin, staff, restricted)

    def both_languages(self, name, admin, staff, restricted):
        me = admin.call("res.users", "search", [["login", "=", "admin"]])[1]
        for lang, title in (("zh_CN", "软件授权"), ("en_US", "Licence")):
            for whose, ids in ((admin, me), (admin, [staff_id(self.postgres)])):
                self.expect(whose.call("res.users", "write", ids, {"lang": lang})[0], True, "%s: the language" % name)
            page = admin.get("/odoofleet/license").text
            self.contains(page, "<h1>%s</h1>" % title, "%s: the page in %s" % (name, lang))
            shown = banner(admin.web_client().text)
            if shown:
                self.contains(shown[1], "查看授权" if lang == "zh_CN" else "Licence page", "%s: the banner in %s" % (name, lang))
            if name in ("missing", "active", "soonest", "grace", "expired"):
                prefix = "%s-%s-%s" % (self.odoo.series, name, lang)
                self.camera.take(admin, "/odoofleet/license", prefix + "-page", 1280, 1100)
                self.camera.take(admin, "/odoofleet/license", prefix + "-page-phone", 500, 1700)
            if name in ("soonest", "expired", "grace"):
                self.camera.take(admin, "/web", prefix + "-banner", 1280, 800)
                self.camera.take(admin, "/web", prefix + "-banner-phone", 500, 800)
            if name == "expired":
                self.camera.take(staff, "/web", prefix + "-stopped", 900, 500)

    def entering(self):
        self.forget()
        self.odoo.mount()
        admin, staff = self.person("admin", "admin"), self.person("staff", "staff-1234")
        good = self.code(20)
        enter = "/odoofleet/license/enter"
        self.expect(admin.post(enter, {"code": good}).status, 400, "a form without its token")
        token = admin.token("/odoofleet/license")
        for text, part in [
            ("", "no code in what was entered"), ("hello", "begins with"), (good[:-9], "A part of the code is missing"),
            (good.replace("-", "–", 1) if "-" in good else good + "–", "changed a hyphen"), (good[:40] + "x" + good[41:], "not genuine"),
            (issue(STRANGER), "a key that this add-on does not know"), (self.code(21, ends=-30), "has ended"),
            (self.code(22, databases=[{"uuid": OTHER, "purpose": "Production"}]), "another database"),
            (self.code(23, issuedAt=self.now + 40 * DAY), "30 days after"), ("A" * 200000, "too long"),
            ("<script>alert(1)</script>", "begins with"),
        ]:
            answer = admin.post(enter, {"code": text, "csrf_token": token})
            self.expect(answer.status, 422, "a bad code: %s" % part)
            self.contains(answer.text, part, "why a bad code is refused")
            self.expect("<script>alert" in answer.text, False, "what was entered is only text")
        spaced = "\r\n  ".join(good[start:start + 60] for start in range(0, len(good), 60)) + "\r\n"
        answer = admin.post(enter, {"code": spaced, "csrf_token": token})
        self.expect(answer.status, 200, "a wrapped code")
        self.contains(answer.text, "was saved", "a wrapped code")
        self.expect(admin.call("odoofleet.license", "status")[1]["state"], "Active", "the state after a code")
        older = admin.post(enter, {"code": self.code(20, sequence=2, issuedAt=self.now - 101 * DAY), "csrf_token": token})
        self.contains(older.text, "A newer code of this licence", "an older code")
        self.expect(admin.call("odoofleet.license", "status")[1]["state"], "Active", "the state after an older code")
        renewed = self.code(20, sequence=4, ends=600)
        body = multipart({"csrf_token": token, "code": ""}, "file", "new.olic", "-----BEGIN ODOOFLEET LICENSE-----\n%s\n" % renewed)
        answer = admin.post(enter, body, {"Content-Type": "multipart/form-data; boundary=line"})
        self.contains(answer.text, "was saved", "a file")
        shown = admin.call("odoofleet.license", "status")[1]
        self.expect(shown["days"], 601, "the days after a renewal")
        token = staff_token(staff, self)
        self.expect(staff.post(enter, {"code": good, "csrf_token": token}).status, 403, "a user enters a code")
        ahead = self.code(20, sequence=5, issuedAt=self.now + 10 * DAY, begins=-1)
        token = admin.token("/odoofleet/license")
        self.contains(admin.post(enter, {"code": ahead, "csrf_token": token}).text, "was saved", "a code from the near future")
        shown = admin.call("odoofleet.license", "status")[1]
        self.expect((shown["state"], shown["clock_suspect"], shown["restricted"]), ("Active", True, False), "a clock that is behind")
        self.contains(admin.get("/odoofleet/license").text, "clock is wrong", "a clock that is behind")
        self.spoiled(admin)
        # A renewal arrives in the mounted directory while Odoo runs.
        self.forget()
        self.odoo.mount(self.code(24, ends=5))
        self.expect(admin.call("odoofleet.license", "status")[1]["state"], "ExpiringSoon", "a mounted code")
        self.odoo.mount(self.code(24, ends=400, sequence=4))
        self.expect(admin.call("odoofleet.license", "status")[1]["state"], "Active", "a mounted renewal")
        admin.get("/odoofleet/license")
        self.odoo.mount()
        self.expect(admin.call("odoofleet.license", "status")[1]["state"], "Active", "the mount is lost")

    def spoiled(self, admin):
        """Whatever somebody writes into the parameters, an administrator still gets in."""
        for codes, memory in (("\x00x y", "{"), ("OLIC1.x.y", '{"mark": 1e400}'), ("[]", '{"mark": -1, "floors": 5}'), ("A" * 9000, "null")):
            self.forget()
            for key, value in (("codes", codes.replace("\x00", "\u0001")), ("memory", memory)):
                self.expect(admin.call("ir.config_parameter", "set_param", "odoofleet_license." + key, value)[0], True, "a spoiled parameter")
            self.expect(admin.web_client().status, 200, "the web client with spoiled parameters")
            self.expect(admin.get("/odoofleet/license").status, 200, "the page with spoiled parameters")
            self.expect(self.person("staff", "staff-1234").web_client().status, 200, "a login with spoiled parameters")

    def users_and_features(self):
        self.forget()
        self.odoo.mount(self.code(30, features=["partner-score"], maxUsers=2))
        admin = self.person("admin", "admin")
        partner = admin.call("res.partner", "create", {"name": "Xu"})[1]
        self.expect(admin.call("res.partner", "odoofleet_example_score", [partner])[0], True, "a feature that is included")
        self.expect(admin.call("res.partner", "odoofleet_example_available", [partner])[1], True, "a feature that is included")
        third, guest, promoted, renamed = self.odoo.shell(DATABASE, LIMIT)
        self.contains(third, "allows 2 internal users", "a third internal user")
        self.expect(guest, "done", "a portal user above the limit")
        self.contains(promoted, "allows 2 internal users", "a portal user becomes internal")
        self.expect(renamed, "done", "an internal user is changed")
        self.forget()
        self.odoo.mount(self.code(31, features=[]))
        ok, sentence = admin.call("res.partner", "odoofleet_example_score", [partner])
        self.expect(ok, False, "a feature that is not included")
        self.contains(sentence, "does not include “partner-score”", "a feature that is not included")

    def jobs_and_updates(self):
        self.forget()
        self.odoo.mount(self.code(40, ends=-20))
        self.expect(self.odoo.shell(DATABASE, ENFORCED_BY_JOBS), ["True", "True", "True"], "jobs while people are stopped")
        self.odoo.mount(self.code(41))
        self.odoo.shell(DATABASE, 'env["odoofleet.license"]._check(); env.cr.commit()')
        self.odoo.mount()
        self.odoo.run(DATABASE, "-u", "odoofleet_license")
        self.expect(self.odoo.shell(DATABASE, STATUS), ["Active Valid False"], "the state after an update")
        named = 'print("=> " + env.ref("odoofleet_license.menu").with_context(lang="zh_CN").name)'
        self.expect(self.odoo.shell(DATABASE, named), ["软件授权"], "the menu in Chinese")
        jobs = self.postgres.query(DATABASE, "SELECT count(*) FROM ir_cron c JOIN ir_model_data d ON d.res_id = c.id AND d.model = 'ir.cron' "
                                             "WHERE d.module = 'odoofleet_license'")
        self.expect(jobs, "1", "the daily job after an update")

    def copies(self):
        self.postgres.query("postgres", "CREATE DATABASE moved TEMPLATE %s" % DATABASE)
        self.expect(self.odoo.shell("moved", STATUS), ["Active Valid False"], "a database that was moved keeps its number")
        # Asked from another database: Odoo ends the connections of the one that it copies.
        self.odoo.shell("moved", DUPLICATE % ("plain", DATABASE, "copy"))
        self.expect(self.odoo.shell("copy", STATUS), ["Foreign ForeignDatabase False"], "a copy made by Odoo")
        if int(self.odoo.series) >= 16:
            self.odoo.shell("moved", DUPLICATE % ("neutralised", DATABASE, "staging"))
            self.expect(self.odoo.shell("staging", STATUS), ["Active Valid False"], "a neutralised copy")

    def uninstalls(self):
        left = self.odoo.shell(DATABASE, UNINSTALL)
        self.expect(left, ["0"] * 5, "parameters, jobs, views, names, menus after the removal")
        self.odoo.start(DATABASE)
        self.expect(self.person("staff", "staff-1234").web_client().status, 200, "the web client without the add-on")
        self.odoo.stop()

    def has(self, module):
        return self.postgres.query(DATABASE, "SELECT state FROM ir_module_module WHERE name = '%s'" % module) == "installed"

    def forget(self):
        """Takes the database's codes and memory away, as a hostile administrator would."""
        if self.odoo.process is None:
            self.postgres.query(DATABASE, "DELETE FROM ir_config_parameter WHERE key LIKE 'odoofleet_license.%'")
            return
        self.odoo.mount()
        admin = self.person("admin", "admin")
        for key in ("odoofleet_license.codes", "odoofleet_license.memory"):
            self.expect(admin.call("ir.config_parameter", "set_param", key, False)[0], True, "parameters can be edited")


def staff_id(postgres):
    return int(postgres.query(DATABASE, "SELECT id FROM res_users WHERE login = 'staff'"))


def staff_token(staff, scenario):
    """A user's page has no form; the token is that of their session all the same."""
    page = staff.web_client().text
    return page.split('csrf_token: "', 1)[1].split('"', 1)[0]


def multipart(fields, name, filename, content):
    parts = ['--line\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % item for item in fields.items()]
    parts.append('--line\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: text/plain\r\n\r\n%s\r\n--line--\r\n' % (
        name, filename, content))
    return "".join(parts).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=pathlib.Path, help="keep the pictures in this folder")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    arguments = parser.parse_args()
    sources = [pathlib.Path(folder) for folder in os.environ.get("ODOO_SRC", "").split(":") if folder]
    if not sources:
        skip("ODOO_SRC names no source tree of Odoo")
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="odoofleet-addon-"))
    folder.chmod(0o755)
    pictures = arguments.pictures or folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    postgres = Postgres(folder / "pg")
    postgres.start()
    odoo = None
    try:
        for number, source in enumerate(sources):
            since = time.monotonic()
            place = folder / ("odoo%d" % number)
            place.mkdir()
            odoo = Odoo(source.resolve(), place, postgres, TRUSTED)
            scenario = Scenario(odoo, postgres, pictures)
            scenario.run()
            if scenario.camera.program is None:
                print("! no Chromium: no pictures were taken", file=sys.stderr)
            for database in (DATABASE, "moved", "copy", "staging"):
                postgres.query("postgres", 'DROP DATABASE IF EXISTS "%s" WITH (FORCE)' % database)
            print("Odoo %s: %d facts hold, %d s" % (odoo.series, scenario.checked, time.monotonic() - since), flush=True)
    finally:
        if odoo is not None:
            odoo.stop()
        postgres.stop()
    if arguments.keep or arguments.pictures is None and scenario.camera.program:
        print("kept: %s" % folder)


main()
