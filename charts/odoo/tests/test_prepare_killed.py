"""Killed at any moment, stopped, two at once: the next start ends where an undisturbed one ends."""
import os
import signal
import time
import unittest

from odoos import Fake, Real, addon
from pod import needs_postgresql, psycopg2

HELD = "import os, time\nwhile os.path.exists({!r}):\n    time.sleep(0.1)\n"
# In the order of a first start: before and in the first transaction, between modules, between init and bootstrap, in it, in an addon.
MOMENTS = ("creates the database", "Loading module base (", "Module base loaded in", "Loading module web (", "Modules loaded.", "odoo-bin shell",
           "Loading module shop_first (")


def children(pod):
    """Processes that still run with this pod's configuration."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                if f"{pod.root}/run/prepare.conf".encode() in file.read():
                    found.append(int(number))
        except OSError:
            pass
    return found


class Killed:
    def hold(self, pod=None):
        """The addon's code waits as long as the file is there."""
        pod = pod or self.pod
        flag = pod.root / "held"
        flag.touch()
        addon(pod.root / "addons/0", "shop_first", code=HELD.format(str(flag)))
        pod.prepare["modules"]["install"] = ["shop_first"]
        return flag

    def gone(self, pod=None):
        deadline = time.monotonic() + 10
        while children(pod or self.pod):
            self.assertLess(time.monotonic(), deadline, "Odoo outlived prepare")
            time.sleep(0.05)

    def whole(self):
        for name in ("base", "web", "shop_first"):
            self.assertEqual(self.module(name)[0], "installed", name)
        self.assertEqual(self.query("SELECT count(*) FROM ir_module_module WHERE state LIKE 'to %%'"), [(0,)])
        self.assertEqual(self.query("SELECT login FROM res_users WHERE active"), [("boss",)])
        self.assertFalse(self.accepts(self.password_of("boss"), "admin"))
        self.assertEqual(self.query("SELECT * FROM odoofleet_prepare"), [])
        self.assertEqual(self.parameters()["web.base.url"], "https://erp.example.com")

    def test_killed_once_at_each_moment(self):
        for moment in MOMENTS:
            with self.subTest(moment):
                self.drop("shop")
                flag = self.hold()
                self.assertEqual(self.pod.run("configure", "web")[0], 0)
                process = self.pod.start("prepare")
                self.pod.until(process, moment)
                self.assertEqual(self.pod.killed(process)[0], -signal.SIGKILL)
                self.gone()
                flag.unlink()
                _, plan, told = self.runs()
                self.assertIn(plan["action"], ("Initialise",))
                self.assertTrue(told["initialised"])
                self.whole()

    def test_killed_again_and_again(self):
        flag = self.hold()
        for moment in MOMENTS[:4]:
            self.assertEqual(self.pod.run("configure", "web")[0], 0)
            process = self.pod.start("prepare")
            # What was done a moment before the end is not done again.
            self.pod.until(process, moment, MOMENTS[-1])
            self.pod.killed(process)
            self.gone()
        flag.unlink()
        self.runs()
        self.whole()

    def test_killed_in_an_update(self):
        self.initialised()
        self.pod.prepare["modules"]["install"] = ["shop_first"]
        self.runs()
        self.pod.prepare["image"] = "next"
        flag = self.hold()
        addon(self.pod.root / "addons/0", "shop_first", version="2.0", code=HELD.format(str(flag)))
        self.assertEqual(self.pod.run("configure", "web")[0], 0)
        process = self.pod.start("prepare")
        self.pod.until(process, "Loading module shop_first (")
        self.pod.killed(process)
        self.gone()
        flag.unlink()
        self.runs()
        self.assertEqual(self.module("shop_first"), ("installed", f"{self.series}.2.0"))
        self.whole()

    def test_stopped(self):
        self.initialised()
        flag = self.hold()
        self.assertEqual(self.pod.run("configure", "web")[0], 0)
        process = self.pod.start("prepare")
        self.pod.until(process, "Loading module shop_first (")
        begun = time.monotonic()
        code, output = self.pod.killed(process, signal.SIGTERM)
        self.assertLess(time.monotonic() - begun, 8)
        self.assertEqual((code, self.pod.told()["error"]["reason"]), (143, "PrepareFailed"), output)
        self.assertIn("goes on", self.pod.told()["error"]["message"])
        self.gone()
        flag.unlink()
        self.assertEqual(self.starts(self.runs()[0]), 1)
        self.whole()

    def test_odoo_killed_alone_is_tried_again(self):
        self.initialised()
        flag = self.hold()
        self.assertEqual(self.pod.run("configure", "web")[0], 0)
        process = self.pod.start("prepare")
        self.pod.until(process, "Loading module shop_first (")
        for number in children(self.pod):
            os.kill(number, signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        told = self.refused((process.returncode, output, self.pod.told()), "PrepareFailed", "killed .signal 9.*memory")
        self.assertTrue(told["database"]["initialised"])
        flag.unlink()
        self.assertEqual(self.starts(self.runs()[0]), 1)

    def test_two_at_once(self):
        flag = self.hold()
        other = self.new_pod()
        self.hold(other).unlink()
        for pod in (self.pod, other):
            self.assertEqual(pod.run("configure", "web")[0], 0)
        first = self.pod.start("prepare")
        output = self.pod.until(first, "Loading module shop_first (")
        second = other.start("prepare")
        waiting = other.until(second, "waiting: another pod prepares this database")
        flag.unlink()
        output += first.communicate(timeout=300)[0]
        waiting += second.communicate(timeout=300)[0]
        self.assertEqual((first.returncode, second.returncode, self.starts(output), self.starts(waiting)), (0, 0, 3, 0), output + waiting)
        self.assertEqual(self.pod.told(), other.told())
        self.whole()

    def test_sessions_of_a_dead_one_are_ended(self):
        self.initialised()
        self.hold().unlink()
        self.assertEqual(self.pod.run("configure", "web")[0], 0)
        people, left = (self.server.connect(dbname="shop", application_name=name) for name in ("odoo-7", "odoofleet-prepare"))
        left.autocommit = False
        left.cursor().execute("LOCK ir_module_module")
        # Nobody waits for ever for a table that another pod's update holds.
        code, output, told = self.pod.run("configure", "web")
        self.assertEqual((code, told), (0, {"plan": {"action": "Update", "modules": [], "total": 0}}), output)
        code, output, _ = self.pod.run("prepare")
        self.assertEqual(code, 0, output)
        self.whole()
        people.cursor().execute("SELECT 1")
        with self.assertRaises(psycopg2.OperationalError):
            left.cursor().execute("SELECT 1")


@needs_postgresql
class KilledOfFake(Killed, Fake):
    pass


@needs_postgresql
class KilledOfReal(Killed, Real):
    pass


if __name__ == "__main__":
    unittest.main()
