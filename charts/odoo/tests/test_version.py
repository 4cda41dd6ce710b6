"""What stands before PostgreSQL: a volume that it could not use is refused in plain words."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from chart import CHART, INITDB, Case, Rendered

SCRIPT = CHART / "files/postgresql/version.sh"
NOBODY = 65534


def may_mount():
    return shutil.which("unshare") and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


class InPod(Case):
    def test_before_the_database_with_the_same_image_and_volume(self):
        rendered = Rendered({"postgresql": {"image": {"tag": "17"}}})
        version, server = (rendered.container(name, "-postgresql", "StatefulSet") for name in ("version", "postgresql"))
        self.assertEqual((version["image"], version["imagePullPolicy"]), ("postgres:17", server["imagePullPolicy"]))
        self.assertEqual(version["command"], ["sh", "/etc/odoofleet/version.sh"])
        mounts = {m["name"]: m["mountPath"] for m in server["volumeMounts"]}
        self.assertEqual(version["volumeMounts"][0], {"name": "data", "mountPath": mounts["data"]})
        self.assertIn("DatabaseMajorMismatch", rendered.config("version.sh", "-postgresql"))

    def test_initdb_does_not_run_it(self):
        volumes = {v["name"]: v for v in Rendered().pod("-postgresql", "StatefulSet")["volumes"]}
        self.assertEqual(volumes["init"]["configMap"]["items"], [{"key": "role.sh", "path": "role.sh"}])


@unittest.skipUnless(INITDB, "needs PostgreSQL's server programs")
class Version(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bin = pathlib.Path(INITDB).parent
        text = subprocess.run([cls.bin / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
        cls.major = int(text.split()[2].split(".")[0])

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.root.chmod(0o777)
        self.volume = self.root / "pgdata"
        self.volume.mkdir()

    def run_it(self, before=(), user=None):
        told = self.root / "told"
        told.write_text("", encoding="utf-8")
        told.chmod(0o666)
        result = subprocess.run([*before, "sh", SCRIPT, self.volume, told], capture_output=True, text=True, check=False, user=user,
                                env={"PATH": f"{self.bin}:{os.environ['PATH']}"})
        return result.returncode, json.loads(told.read_text(encoding="utf-8") or "{}").get("error", {})

    def holds(self, version):
        (self.volume / "data").mkdir()
        (self.volume / "data/PG_VERSION").write_text(f"{version}\n", encoding="utf-8")

    def test_first_start(self):
        self.assertEqual(self.run_it(), (0, {}))
        (self.volume / "data").mkdir()
        self.assertEqual(self.run_it(), (0, {}))

    def test_same_major(self):
        self.holds(self.major)
        self.assertEqual(self.run_it(), (0, {}))

    def test_other_major(self):
        for version in (self.major - 1, self.major + 1, 9.6, self.major * 10):
            self.holds(version)
            code, error = self.run_it()
            self.assertEqual((code, error["reason"]), (1, "DatabaseMajorMismatch"))
            self.assertIn(f"PostgreSQL {version}, the image is PostgreSQL {self.major}:", error["message"])
            shutil.rmtree(self.volume / "data")

    @unittest.skipUnless(os.getuid() == 0, "needs root, to be somebody else")
    def test_volume_of_somebody_else(self):
        code, error = self.run_it(user=NOBODY)
        self.assertEqual((code, error["reason"]), (1, "VolumeNotOwned"))
        self.assertIn(f"User {NOBODY} ", error["message"])
        self.volume.chmod(0o777)
        self.assertEqual(self.run_it(user=NOBODY), (0, {}))
        self.holds(self.major)
        (self.volume / "data").chmod(0o700)
        self.assertEqual(self.run_it(user=NOBODY)[1]["reason"], "VolumeNotOwned")

    @unittest.skipUnless(may_mount(), "needs the right to mount")
    def test_read_only_volume(self):
        mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"', self.volume]
        code, error = self.run_it(before=mount)
        self.assertEqual((code, error.get("reason")), (1, "VolumeReadOnly"))


ENTRYPOINT = """set -Eeuo pipefail
eval 'initdb --username="$USER_NAME" --pwfile=<(printf "%s\\n" secret) '"$POSTGRES_INITDB_ARGS"' "$@"'
"""
STAND_IN = """#!/bin/sh
case $1 in
  --help) echo "  -c, --set NAME=VALUE      override default setting for server parameter"; echo "  -s, --show" ;;
  *) printf '%s\n' "$@" >"$ASKED" ;;
esac
"""


class HugePages(unittest.TestCase):
    """On a node that has some: neither initdb nor the server asks for them."""

    def initdb(self, path, **env):
        args = next(e["value"] for e in Rendered().container("postgresql", "-postgresql", "StatefulSet")["env"] if e["name"] == "POSTGRES_INITDB_ARGS")
        return subprocess.run(["bash", "-c", ENTRYPOINT, "entrypoint", "-D", f"{self.root}/data"], capture_output=True, text=True, check=False, cwd=self.root,
                              user="postgres" if os.getuid() == 0 else None,
                              env={"PATH": f"{path}:/usr/bin:/bin", "USER_NAME": "postgres", "POSTGRES_INITDB_ARGS": args, **env})

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.root.chmod(0o777)

    def test_initdb_that_can_be_told(self):
        (self.root / "bin").mkdir()
        (self.root / "bin/initdb").write_text(STAND_IN, encoding="utf-8")
        (self.root / "bin/initdb").chmod(0o755)
        result = self.initdb(self.root / "bin", ASKED=f"{self.root}/asked")
        self.assertEqual(result.returncode, 0, result.stderr)
        asked = (self.root / "asked").read_text(encoding="utf-8").splitlines()
        self.assertEqual(asked[2:], ["--encoding=UTF8", "--data-checksums", "--set=huge_pages=off", "-D", f"{self.root}/data"])

    @unittest.skipUnless(INITDB, "needs PostgreSQL's server programs")
    def test_the_real_initdb_whatever_its_version(self):
        result = self.initdb(pathlib.Path(INITDB).parent)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((self.root / "data/PG_VERSION").exists())

    def test_server(self):
        def pages(values):
            args = Rendered(values).container("postgresql", "-postgresql", "StatefulSet")["args"]
            return [a for a in args if a.startswith("huge_pages")]
        for size in ("S", "M", "L"):
            self.assertEqual(pages({"size": size}), ["huge_pages=off"])
        self.assertEqual(pages({"postgresql": {"parameters": {"huge_pages": "try"}}}), ["huge_pages=try"])


if __name__ == "__main__":
    unittest.main()
