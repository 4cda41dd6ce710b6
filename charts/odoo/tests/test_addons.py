"""Fetching of addons: pinned once, and every reason, against git over files."""
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from chart import CHART
from test_prepare_refused import mount

SHELLS = [["sh"]] + ([["busybox", "sh"]] if shutil.which("busybox") else [])


def git(*arguments, **more):
    return subprocess.run(["git", "-c", "protocol.file.allow=always", *map(str, arguments)], check=True, capture_output=True, text=True, **more).stdout.strip()


class Repository:
    def __init__(self, path):
        self.path = path
        git("init", "--quiet", "--initial-branch=main", path)
        for key, value in (("user.name", "x"), ("user.email", "x@example.com"), ("uploadpack.allowAnySHA1InWant", "false")):
            git("-C", path, "config", key, value)

    def commit(self, files):
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        git("-C", self.path, "add", ".")
        git("-C", self.path, "commit", "--quiet", "--allow-empty", "-m", "x")
        return git("-C", self.path, "rev-parse", "HEAD")


@unittest.skipUnless(shutil.which("git"), "needs git")
class Case(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ("volume", "secret", "home"):
            (self.root / folder).mkdir()
        self.origin = Repository(self.root / "origin")
        self.commits = [self.origin.commit({"src/sale_x/__manifest__.py": text}) for text in ("one", "two")]
        git("-C", self.origin.path, "tag", "v1", self.commits[0])
        git("-C", self.origin.path, "tag", "-a", "-m", "x", "v2", self.commits[0])
        self.url, self.shell, self.protocols, self.env = f"file://{self.origin.path}", SHELLS[0], "https:ssh:file", {}

    def fetch(self, ref, path="src", home="home", dest="0", **more):
        """Exit code, termination message, output."""
        (self.root / home).mkdir(exist_ok=True)
        (self.root / "told").unlink(missing_ok=True)
        sources = {file.name: file.read_text(encoding="utf-8") for file in (CHART / "files").glob("*.sh")}
        for before, after in (("GIT_ALLOW_PROTOCOL=https:ssh ", f"GIT_ALLOW_PROTOCOL={self.protocols} "), ("HOME=/tmp ", f"HOME={self.root}/{home} "),
                              ("/dev/termination-log", f"{self.root}/told"), ("/run/secrets/git", f"{self.root}/secret"),
                              ("/etc/odoofleet/ca.crt", f"{self.root}/etc/ca.crt"), ("/var/lib/odoo/.odoo", f"{self.root}/volume/.odoo")):
            self.assertIn(before, "".join(sources.values()))
            sources = {name: source.replace(before, after) for name, source in sources.items()}
        scripts = self.root / f"scripts-{home}"
        scripts.mkdir(exist_ok=True)
        for name, source in sources.items():
            (scripts / name).write_text(source, encoding="utf-8")
        process = subprocess.Popen([*self.shell, scripts / "addons.sh"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={
            "PATH": os.environ["PATH"], "URL": self.url, "REF": ref, "SUBPATH": path, "DEST": f"{self.root}/addons/{dest}", **self.env}, **more)
        if home != "home":
            return process
        output, _ = process.communicate(timeout=120)
        told = (self.root / "told").read_text(encoding="utf-8")
        self.assertLess(len(told.encode()), 4000)
        return process.returncode, json.loads(told), output

    def fetched(self, ref, **more):
        code, told, output = self.fetch(ref, **more)
        self.assertEqual(code, 0, output)
        self.assertEqual((told["addon"]["url"], told["addon"]["ref"]), (self.url, ref))
        commit = told["addon"]["commit"]
        self.assertEqual((self.root / "addons/0.commit").read_text(encoding="utf-8"), commit)
        self.assertEqual(git("-C", self.root / "addons/0", "rev-parse", "HEAD"), commit)
        return commit

    def refused(self, reason, words, ref="main", **more):
        code, told, output = self.fetch(ref, **more)
        self.assertEqual((code, told.get("error", {}).get("reason")), (1, reason), output)
        self.assertRegex(told["error"]["message"], words)
        self.assertNotIn("\n", told["error"]["message"])
        return told["error"]["message"]

    def pin(self):
        return json.loads((self.root / "volume/.odoofleet/addons/0.json").read_text(encoding="utf-8"))


class Pinned(Case):
    def test_tag_branch_and_commit_in_each_shell(self):
        for self.shell in SHELLS:
            for ref, commit in (("v1", 0), ("v2", 0), ("main", 1), ("refs/heads/main", 1), ("HEAD", 1), (self.commits[0], 0)):
                self.assertEqual(self.fetched(ref), self.commits[commit], (self.shell, ref))
                self.assertEqual((self.root / "addons/0/src/sale_x/__manifest__.py").read_text(encoding="utf-8"), ["one", "two"][commit])

    def test_a_branch_that_moves_on_is_not_followed(self):
        self.assertEqual(self.fetched("main"), self.commits[1])
        self.assertEqual(self.pin(), {"url": self.url, "ref": "main", "refresh": "", "commit": self.commits[1]})
        newer = self.origin.commit({"src/sale_x/__manifest__.py": "three"})
        self.assertEqual(self.fetched("main"), self.commits[1])
        self.env = {"REFRESH": "today \"at\" \\ nine"}
        self.assertEqual([self.fetched("main"), self.pin()["refresh"]], [newer, self.env["REFRESH"]])
        self.origin.commit({"src/sale_x/__manifest__.py": "four"})
        self.assertEqual(self.fetched("main"), newer)
        # Another reference is another question, and so is the first one again.
        self.assertEqual(self.fetched("v1"), self.commits[0])
        self.assertNotEqual(self.fetched("main"), newer)

    def test_a_pin_that_is_no_pin(self):
        self.fetched("main")
        file = self.root / "volume/.odoofleet/addons/0.json"
        for text in ("", "{", file.read_text(encoding="utf-8").replace(self.commits[1], "main"), file.read_text(encoding="utf-8")[:-5]):
            file.write_text(text, encoding="utf-8")
            self.assertEqual(self.fetched("main"), self.commits[1])
            self.assertEqual(self.pin()["commit"], self.commits[1])

    def test_a_pinned_commit_that_is_no_longer_there(self):
        self.fetched("main")
        git("-C", self.origin.path, "reset", "--quiet", "--hard", self.commits[0])
        git("-C", self.origin.path, "reflog", "expire", "--expire=now", "--all")
        git("-C", self.origin.path, "gc", "--quiet", "--prune=now")
        self.refused("AddonRefNotFound", f"no commit {self.commits[1]} any more, to which main is pinned.*git.refresh")
        self.env = {"REFRESH": "1"}
        self.assertEqual(self.fetched("main"), self.commits[0])

    def test_a_server_that_gives_no_commit_by_its_id(self):
        # As servers without the second protocol do.
        self.env = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.version", "GIT_CONFIG_VALUE_0": "0"}
        self.fetched("main")
        self.origin.commit({"src/sale_x/__manifest__.py": "three"})
        self.assertEqual(self.fetched("main"), self.commits[1])
        self.assertEqual(self.fetched(self.commits[0]), self.commits[0])

    def test_several_pods_at_once(self):
        processes = [self.fetch("main", home=f"home-{number}", dest="0") if number == 0 else self.other(number) for number in range(4)]
        for _ in range(20):
            self.origin.commit({})
        for process in processes:
            output, _ = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, output)
        commits = {git("-C", self.root / f"pod-{n}/0" if n else self.root / "addons/0", "rev-parse", "HEAD") for n in range(4)}
        self.assertEqual(commits, {self.pin()["commit"]})

    def other(self, number):
        self.env = {"DEST": f"{self.root}/pod-{number}/0"}
        return self.fetch("main", home=f"home-{number}")

    def test_files_are_there_for_the_group(self):
        self.fetched("main")
        for path in (self.root / "volume/.odoofleet", self.root / "volume/.odoofleet/addons", self.root / "volume/.odoofleet/addons/0.json"):
            self.assertTrue(path.stat().st_mode & 0o020, path)


class Kept(Case):
    def setUp(self):
        super().setUp()
        self.env = {"KEEP": f"{self.root}/volume/.odoofleet/addons/0"}

    def archives(self):
        return sorted(path.name for path in (self.root / "volume/.odoofleet/addons").glob("0-*"))

    def again(self, ref="main", **more):
        """A start of another pod: nothing of the one before is left but the volume."""
        code, told, output = self.fetch(ref, **more)
        self.assertEqual(code, 0, output)
        return told["addon"]["commit"], "taken from the volume" in output

    def test_an_unchanged_start_needs_no_server(self):
        for self.shell in SHELLS:
            self.assertEqual(self.fetched("main"), self.commits[1])
            self.assertEqual(self.archives(), [f"0-{self.commits[1]}.pack"])
            self.origin.path.rename(self.root / "away")
            self.assertEqual(self.again(), (self.commits[1], True))
            self.assertEqual((self.root / "addons/0/src/sale_x/__manifest__.py").read_text(encoding="utf-8"), "two")
            self.assertEqual((self.root / "addons/0.commit").read_text(encoding="utf-8"), self.commits[1])
            self.refused("AddonRefused", "repository exists", ref="v1")
            (self.root / "away").rename(self.origin.path)
            shutil.rmtree(self.root / "volume/.odoofleet")

    def test_one_commit_is_kept(self):
        self.assertEqual(self.again("v1"), (self.commits[0], False))
        self.assertEqual(self.again("main"), (self.commits[1], False))
        self.assertEqual(self.archives(), [f"0-{self.commits[1]}.pack"])
        self.assertEqual(self.again(self.commits[1]), (self.commits[1], True))

    def test_submodules_are_kept_too(self):
        other = Repository(self.root / "other")
        other.commit({"deep/__manifest__.py": "{}"})
        git("-C", self.origin.path, "submodule", "--quiet", "add", f"file://{other.path}", "sub")
        newest = self.origin.commit({})
        self.assertEqual(self.again(path="sub"), (newest, False))
        other.path.rename(self.root / "away")
        self.assertEqual(self.again(path="sub"), (newest, True))
        self.assertTrue((self.root / "addons/0/sub/deep/__manifest__.py").is_file())

    def test_what_is_damaged_is_fetched_anew(self):
        self.fetched("main")
        archive = self.root / f"volume/.odoofleet/addons/0-{self.commits[1]}.pack"
        whole = archive.read_bytes()
        for text in (b"", whole[:-20], b"no archive"):
            archive.write_bytes(text)
            self.assertEqual(self.again(), (self.commits[1], False))
            self.assertEqual((self.root / "addons/0/src/sale_x/__manifest__.py").read_text(encoding="utf-8"), "two")
            self.assertEqual(self.again(), (self.commits[1], True))

    def test_half_a_list_of_objects_is_not_kept(self):
        broken = self.root / "bin/git"
        broken.parent.mkdir()
        real = shutil.which("git")
        broken.write_text(f'#!/bin/sh\nif [ "$1" = rev-list ]; then {real} "$@" | head -n 1; exit 1; fi\nexec {real} "$@"\n', encoding="utf-8")
        broken.chmod(0o755)
        self.env["PATH"] = f"{broken.parent}:{os.environ['PATH']}"
        self.assertEqual(self.again(), (self.commits[1], False))
        self.assertEqual(self.archives(), [])

    def forged(self, name="forged"):
        """A commit as an attacker would like it to be, and its pack."""
        other = Repository(self.root / name)
        commit = other.commit({"src/sale_x/__manifest__.py": "forged"})
        objects = git("-C", other.path, "rev-list", "--objects", "--no-walk", commit)
        return commit, subprocess.run(["git", "-C", other.path, "pack-objects", "--quiet", "--stdout"], input=objects.encode(), check=True, capture_output=True).stdout

    def test_what_others_wrote_is_not_taken_for_the_commit(self):
        self.fetched("main")
        folder = self.root / "volume/.odoofleet/addons"
        _, pack = self.forged()
        # Whole in itself, but of another commit; and what an earlier chart kept, and unpacked.
        (folder / f"0-{self.commits[1]}.pack").write_bytes(pack)
        with tarfile.open(folder / f"0-{self.commits[1]}.tar.gz", "w:gz") as archive:
            archive.add(self.root / "forged/src", "src")
        self.assertEqual(self.again(), (self.commits[1], False))
        self.assertEqual((self.root / "addons/0/src/sale_x/__manifest__.py").read_text(encoding="utf-8"), "two")
        self.assertEqual(self.archives(), [f"0-{self.commits[1]}.pack"], "what is of no use is gone")

    def test_half_a_commit_is_not_taken_for_it(self):
        self.fetched("main")
        half = "\n".join(git("-C", self.origin.path, "rev-list", "--objects", "--no-walk", self.commits[1]).splitlines()[:2])
        pack = subprocess.run(["git", "-C", self.origin.path, "pack-objects", "--quiet", "--stdout"], input=half.encode(), check=True, capture_output=True).stdout
        (self.root / f"volume/.odoofleet/addons/0-{self.commits[1]}.pack").write_bytes(pack)
        self.assertEqual(self.again(), (self.commits[1], False))
        self.assertEqual((self.root / "addons/0/src/sale_x/__manifest__.py").read_text(encoding="utf-8"), "two")

    def test_links_and_pipes_on_the_volume_lead_nowhere(self):
        self.fetched("main")
        folder = self.root / "volume/.odoofleet/addons"
        outside = self.root / "outside"
        outside.write_text("mine", encoding="utf-8")
        for number, make in enumerate((lambda path: path.symlink_to(outside), os.mkfifo)):
            for name in ("lock", "0.json", "0.json.new", f"0-{self.commits[1]}.pack", "0.new"):
                with self.subTest(f"{number} {name}"):
                    (folder / name).unlink(missing_ok=True)
                    make(folder / name)
                    self.assertEqual(self.again()[0], self.commits[1])
                    self.assertEqual(outside.read_text(encoding="utf-8"), "mine")
        for path in (folder, folder.parent):
            shutil.rmtree(self.root / "volume/.odoofleet")
            path.parent.mkdir(exist_ok=True)
            (self.root / "elsewhere").mkdir(exist_ok=True)
            for ref in ("main", self.commits[1]):
                shutil.rmtree(path, ignore_errors=True)
                path.symlink_to(self.root / "elsewhere")
                self.assertEqual(self.again(ref)[0], self.commits[1])
                self.assertEqual(list((self.root / "elsewhere").iterdir()), [])
                self.assertFalse(path.is_symlink())

    @unittest.skipUnless(os.getuid() == 0, "mounts file systems: needs root")
    def test_a_volume_without_room_for_it(self):
        mount(self, self.root / "volume", "size=64k")
        self.origin.commit({"src/big": os.urandom(200000)})
        commit, _ = self.again("main")
        self.assertEqual((self.archives(), self.pin()["commit"]), ([], commit))
        self.assertGreater(os.statvfs(self.root / "volume").f_bavail, 0, "nothing of the try is left")


class Refused(Case):
    def test_references(self):
        self.refused("AddonRefNotFound", "no branch or tag v3", ref="v3")
        self.refused("AddonRefNotFound", "40 digits", ref=self.commits[0][:7])
        self.refused("AddonRefNotFound", "no commit f+ any more", ref="f" * 40)

    def test_folders(self):
        self.refused("AddonFolderMissing", "no folder other at main", path="other")
        self.refused("AddonFolderMissing", "no folder", path="../../secret")
        (self.origin.path / "link").symlink_to(self.root)
        self.origin.commit({})
        self.env = {"REFRESH": "1"}
        self.refused("AddonFolderMissing", "no folder link", path="link")
        self.refused("AddonManifestMissing", r"folder \. of .* holds no addon", path=".")
        self.refused("AddonManifestMissing", "folder src/sale_x", path="src/sale_x")

    def test_local_paths_are_not_fetched(self):
        self.protocols = "https:ssh"
        self.refused("AddonRefused", "is not asked: it is no plain https or ssh address")

    def test_unreachable(self):
        self.url = "https://127.0.0.1:1/acme/addons.git"
        self.refused("AddonUnreachable", "Connection refused|connect to")
        self.url = "https://user:token@no-such-host.invalid/addons.git"
        message = self.refused("AddonUnreachable", "https://no-such-host.invalid/addons.git cannot be reached.*resolve host")
        self.assertNotIn("token", message)

    def test_too_large(self):
        self.origin.commit({"src/big": os.urandom(300000)})
        self.env = {"SIZE_LIMIT": "200000"}
        self.refused("AddonTooLarge", r"larger than git.sizeLimit \(200000 bytes\)")
        # Small when packed.
        self.origin.commit({"src/big": b"0" * 900000})
        self.env = {"SIZE_LIMIT": "200000", "REFRESH": "1"}
        self.refused("AddonTooLarge", "git.sizeLimit")

    @unittest.skipUnless(os.getuid() == 0, "mounts file systems: needs root")
    def test_volumes(self):
        for options, reason in (("ro", "VolumeReadOnly"), ("size=4k,nr_inodes=1", "VolumeFull")):
            with self.subTest(reason):
                mount(self, self.root / "volume", options)
                self.refused(reason, "volume of /var/lib/odoo")
                # A commit is its own pin, and needs no volume.
                self.fetched(self.commits[0])

    def test_a_volume_of_another_user(self):
        if os.getuid() == 0:
            import ctypes
            more = {"preexec_fn": lambda: [ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in range(64)]}
        else:
            more = {}
        (self.root / "volume").chmod(0o555)
        self.refused("VolumeNotOwned", r"does not let user \d+ write", **more)


class Submodules(Case):
    def nest(self, levels):
        inner = Repository(self.root / "level-0")
        inner.commit({"deep/__manifest__.py": "{}"})
        for level in range(1, levels + 1):
            outer = Repository(self.root / f"level-{level}")
            git("-C", outer.path, "submodule", "--quiet", "add", f"file://{inner.path}", "sub")
            outer.commit({})
            inner = outer
        self.url = f"file://{inner.path}"

    def test_nested(self):
        self.nest(3)
        for self.shell in SHELLS:
            self.fetched("main", path="sub/sub/sub")

    def test_too_deep(self):
        self.nest(7)
        self.refused("AddonSubmoduleFailed", "nested deeper than 5 levels", path="sub")

    def test_a_submodule_that_is_not_there(self):
        self.nest(1)
        shutil.rmtree(self.root / "level-0")
        self.refused("AddonSubmoduleFailed", "the submodule sub .file:.* cannot be fetched", path="sub")


if __name__ == "__main__":
    unittest.main()
