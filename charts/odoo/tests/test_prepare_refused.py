"""Every reason that configure and prepare give, and that what they refuse stays as it was."""
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from odoos import Fake
from pod import PASSWORD, free_port, needs_postgresql, psycopg2


@needs_postgresql
class Foreign(Fake):
    def untouched(self, reason, words):
        before = self.server.dump("shop")
        output, told = self.fails(reason, words)
        self.assertEqual((self.server.dump("shop"), self.starts(output)), (before, 0))
        # prepare alone says the same: what configure saw may have changed since.
        self.refused(self.pod.run("prepare"), reason, words)
        self.assertEqual(self.server.dump("shop"), before)
        return told

    def test_tables_without_odoo(self):
        self.server.query("CREATE DATABASE shop OWNER odoo", superuser=True)
        self.query("CREATE TABLE ledger (id int); INSERT INTO ledger VALUES (1)")
        self.assertNotIn("database", self.untouched("DatabaseForeign", "holds 1 tables but no Odoo"))

    def test_another_release(self):
        self.initialised()
        self.pod.prepare["release"] = "globex-prod"
        self.untouched("DatabaseForeign", "belongs to the release acme-prod, not to globex-prod")
        # What the message advises for a restored copy.
        self.query("DELETE FROM ir_config_parameter WHERE key LIKE 'odoofleet.%'")
        self.runs()
        self.assertEqual(self.parameters()["odoofleet.release"], "globex-prod")

    def test_what_another_release_has_begun(self):
        self.server.query("CREATE DATABASE shop OWNER odoo", superuser=True)
        self.query("CREATE TABLE odoofleet_prepare (key text PRIMARY KEY, value text NOT NULL); "
                   "INSERT INTO odoofleet_prepare VALUES ('initialising', 'globex-prod')")
        self.untouched("DatabaseForeign", "belongs to the release globex-prod")

    def test_an_odoo_that_somebody_has_not_finished(self):
        self.initialised()
        self.query("DELETE FROM ir_config_parameter WHERE key LIKE 'odoofleet.%'")
        self.query("UPDATE ir_module_module SET state = 'to install', latest_version = NULL WHERE name = 'base'")
        self.untouched("DatabaseForeign", "not finished initialising")

    def test_another_series(self):
        self.initialised()
        for version, words in (("17.0.1.3", "is of Odoo 17.0, the image is Odoo 18.0"), ("saas~18.2.1.3", "is of Odoo saas~18.2")):
            self.query("UPDATE ir_module_module SET latest_version = %s WHERE name = 'base'", version)
            self.untouched("OdooVersionMismatch", words)

    def test_an_image_of_another_series(self):
        self.pod.prepare["odooVersion"] = "17.0"
        self.fails("ConfigurationInvalid", "The image holds Odoo 18.0, but odooVersion is 17.0")

    def test_an_image_without_odoo(self):
        self.pod.odoo = "/usr/bin/env"
        self.fails("ConfigurationInvalid", "The image has no Odoo")

    def test_odoo_behind_a_wrapper(self):
        wrapper = self.pod.root / "odoo"
        wrapper.write_text(f'#!/bin/sh\nexec "{self.pod.odoo.split()[0]}" {self.source}/odoo-bin "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
        self.pod.odoo = str(wrapper)
        self.assertEqual(self.pod.run("configure", "web")[0], 0)
        self.assertEqual(self.pod.run("prepare")[0], 0)


@needs_postgresql
class Refused(Fake):
    def setUp(self):
        super().setUp()
        self.pod.wait = 2

    def role(self, text):
        self.server.query(f"ALTER ROLE odoo {text}", superuser=True)

    def test_no_answer_is_waited_for(self):
        self.pod.options["db_port"] = free_port()
        begun = time.monotonic()
        told = self.fails("DatabaseUnreachable", "Connection refused.*Look at")[1]
        self.assertGreater(time.monotonic() - begun, 2)
        self.assertNotIn("database", told)
        self.pod.options["db_host"] = "no-such-host.invalid"
        self.fails("DatabaseUnreachable", "translate host name")

    def test_a_server_that_comes_later(self):
        self.pod.wait = 30
        self.server.stop()
        process = self.pod.start("configure", "web")
        self.pod.until(process, "waiting: ")
        self.server.start("127.0.0.1")
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, output)

    def test_refusals_are_told_at_once(self):
        self.pod.wait = 60
        begun = time.monotonic()
        (self.pod.root / "secrets/database/password").write_text("wrong", encoding="utf-8")
        self.fails("DatabaseRefused", "password authentication failed.*Correct")
        (self.pod.root / "secrets/database/password").write_text(PASSWORD, encoding="utf-8")
        self.role("NOLOGIN")
        try:
            self.fails("DatabaseRefused", "not permitted to log in")
        finally:
            self.role("LOGIN")
        self.assertLess(time.monotonic() - begun, 30)

    def test_a_role_that_may_not_create(self):
        self.role("NOCREATEDB")
        try:
            self.fails("DatabaseRefused", "permission denied to create database")
            self.server.query("CREATE DATABASE shop", superuser=True)
            if self.server.query("SELECT current_setting('server_version_num')::int >= 150000") == [(True,)]:
                self.fails("DatabaseRefused", "may not create tables in shop")
        finally:
            self.role("CREATEDB")

    def test_no_connection_left(self):
        self.role("CONNECTION LIMIT 0")
        try:
            self.fails("DatabaseConnectionsExhausted", "too many connections for role.*max_connections")
        finally:
            self.role("CONNECTION LIMIT -1")

    @unittest.skipUnless(os.getuid() == 0, "mounts a small file system: needs root")
    def test_a_full_database(self):
        place = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, place)
        mount(self, place, "size=12m")
        shutil.chown(place, "postgres", "postgres")
        self.server.query(f"CREATE TABLESPACE small LOCATION '{place}'", superuser=True)
        self.server.query("CREATE DATABASE shop OWNER odoo TABLESPACE small", superuser=True)
        self.addCleanup(lambda: self.server.query("DROP TABLESPACE small", superuser=True))
        self.addCleanup(self.drop, "shop")
        filler = "CREATE TABLE odoofleet_filler AS SELECT repeat(md5(i::text), 200) FROM generate_series(1, 100000) i"
        with self.assertRaises(psycopg2.errors.DiskFull):
            self.query(filler)
        (place / "filler").write_bytes(b"0" * (os.statvfs(place).f_bavail * os.statvfs(place).f_bsize - 65536))
        self.fails("DatabaseFull", "volume.*larger")
        # No fault of what goes in: with room again it goes on by itself.
        (place / "filler").unlink()
        self.assertEqual(self.runs()[2]["initialised"], True)

    def test_passwords_that_odoo_would_read_otherwise(self):
        (self.pod.root / "secrets/odoo/admin_passwd").write_text("a\nlist_db = True", encoding="utf-8")
        output, told = self.fails("ConfigurationInvalid", "^admin_passwd: ")
        self.assertNotIn("list_db", output)
        self.assertFalse((self.pod.root / "run/odoo.conf").exists())

    def test_no_password(self):
        (self.pod.root / "secrets/database/password").unlink()
        self.fails("ConfigurationInvalid", "no key password")

    def test_an_empty_administrators_password(self):
        (self.pod.root / "secrets/bootstrap/password").write_text("\n", encoding="utf-8")
        self.fails("ConfigurationInvalid", "empty password")
        # A Secret that is named and not there is no random password that nobody knows.
        (self.pod.root / "secrets/bootstrap/password").unlink()
        self.pod.prepare["bootstrap"]["existingSecret"] = "acme-admin"
        self.fails("ConfigurationInvalid", "The Secret acme-admin holds no key administrator_password")
        # A Secret is no part of what is remembered: a corrected one counts at once.
        (self.pod.root / "secrets/bootstrap/password").write_text("better\n", encoding="utf-8")
        self.runs()
        self.assertTrue(self.accepts(self.password_of("boss"), "better"))

    def test_tables_of_another_role(self):
        self.initialised()
        self.server.query("ALTER TABLE ir_module_module OWNER TO postgres", dbname="shop", superuser=True)
        self.fails("DatabaseRefused", "permission denied for table ir_module_module")

    def test_anything_else(self):
        self.pod.prepare["addons"] = [{"url": "https://git.example.com/a.git", "ref": "main", "path": "."}]
        self.fails("PrepareFailed", "No such file.*0.commit")


def mount(case, place, options):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False).returncode:
        case.skipTest("cannot mount a file system here")
    case.addCleanup(subprocess.run, ["umount", "--lazy", place], check=True)


@needs_postgresql
@unittest.skipUnless(os.getuid() == 0, "mounts file systems and changes users: needs root")
class Volume(Fake):
    def test_full(self):
        mount(self, self.pod.root / "data", "size=64k")
        (self.pod.root / "data/filler").write_bytes(b"0" * 40960)
        self.fails("VolumeFull", "larger")

    def test_read_only(self):
        mount(self, self.pod.root / "data", "ro")
        self.fails("VolumeReadOnly", "read-only")

    def test_of_another_user(self):
        # Root without its capabilities is a user like any other.
        plain = {"preexec_fn": lambda: [ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in range(64)]}
        self.assertEqual(self.pod.run("configure", "web")[0], 0)
        (self.pod.root / "data").chmod(0o555)
        self.refused(self.pod.run("prepare", **plain), "VolumeNotOwned", "does not let user 0 write: Permission denied")
        (self.pod.root / "data").chmod(0o755)
        (self.pod.root / "data/filestore").mkdir(0o500)
        self.refused(self.pod.run("prepare", **plain), "VolumeNotOwned", "in filestore")


if __name__ == "__main__":
    unittest.main()
