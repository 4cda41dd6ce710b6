"""What a restriction stops, what it leaves alone, what people read, and that nothing is ever sent."""
import ast
import pathlib
import re

import pytest
from issuer import DAY, KEYS, NOW, OTHER, UUID, issue

from olic import effects, files, words
from olic.claims import Refused
from olic.effects import ADMINISTRATOR, INTERNAL, OUTSIDE, SYSTEM, banner, refuses_new_user, refuses_web_client, refuses_write
from olic.memory import FRESH
from olic.verdict import STATES, Site, judge

ADDON = pathlib.Path(__file__).resolve().parents[1] / "odoofleet_license"


@pytest.mark.parametrize(
    "who, path, by_session, model, refused",
    [
        (INTERNAL, "/web/dataset/call_kw/sale.order/create", True, "sale.order", True),
        (INTERNAL, "/xmlrpc/2/object", False, None, True),
        (INTERNAL, "/jsonrpc", False, None, True),
        (INTERNAL, "/json/2/sale.order/create", False, None, True),
        (INTERNAL, "/mail/message/post", True, None, True),
        (INTERNAL, "/web/dataset/call_kw/pos.session/close_session_from_ui", True, "pos.session", False),
        (INTERNAL, "/web/dataset/call_kw/pos.order/sync_from_ui", True, "pos.order", False),
        (INTERNAL, "/web/dataset/call_kw/pos.config/open_ui", True, "pos.config", True),
        (INTERNAL, "/report/download", True, None, False),
        (INTERNAL, "/web/export/xlsx", True, None, False),
        (INTERNAL, "/web/login", True, None, False),
        (INTERNAL, "/web/session/logout", True, None, False),
        (INTERNAL, "/queue_job/runjob", False, None, False),
        (INTERNAL, None, False, None, False),
        (ADMINISTRATOR, "/web/dataset/call_kw/sale.order/create", True, "sale.order", False),
        (OUTSIDE, "/web/dataset/call_kw/sale.order/create", True, "sale.order", False),
        (OUTSIDE, "/my/orders/1/accept", True, None, False),
        (SYSTEM, "/web/dataset/call_kw/sale.order/create", True, "sale.order", False),
    ],
)
def test_writes_that_a_restriction_refuses(who, path, by_session, model, refused):
    assert refuses_write(True, who, path, by_session, model) is refused
    assert refuses_write(False, who, path, by_session, model) is False


def test_only_users_are_kept_from_the_web_client():
    assert [who for who in (ADMINISTRATOR, INTERNAL, OUTSIDE, SYSTEM) if refuses_web_client(True, who)] == [INTERNAL]
    assert not refuses_web_client(False, INTERNAL)


@pytest.mark.parametrize(
    "limit, before, after, refused", [(None, 5, 500, False), (5, 4, 5, False), (5, 5, 6, True), (5, 9, 9, False), (5, 9, 8, False), (5, 9, 10, True)]
)
def test_users_may_not_become_more_than_licensed(limit, before, after, refused):
    assert refuses_new_user(limit, before, after) is refused


def test_the_table_of_documents_says_what_is_done():
    for name in ("licensing.md", "licensing.zh.md"):
        text = (ADDON.parents[1] / "docs" / name).read_text()
        rows = re.findall(r"^\|[^|]+(?:\|\s*(?:yes|no|是|否)[^|]*){4}\|$", text, re.M)
        marks = [tuple(cell.strip().startswith(("yes", "是")) for cell in row.split("|")[2:6]) for row in rows]
        assert marks == [row[1:] for row in effects.TABLE], name


def verdict(days_left, users=5, **claims):
    return judge([issue(expiresAt=NOW + days_left * DAY, **claims)], KEYS, FRESH, Site(NOW, None, UUID, False, users))


@pytest.mark.parametrize(
    "days, administrators, users",
    [
        (31, None, None), (30, "info", None), (16, "info", None), (15, "warning", None), (8, "warning", None), (7, "warning", "warning"), (1, "warning", "warning"),
        (0, "danger", "warning"), (-13, "danger", "warning"), (-14, "danger", "danger"),
    ],
)
def test_the_banner_grows_louder(days, administrators, users):
    assert banner(verdict(days), ADMINISTRATOR) == administrators
    assert banner(verdict(days), INTERNAL) == users
    assert banner(verdict(days), OUTSIDE) is None


def all_verdicts():
    for days in (100, 20, 5, -3, -20):
        for users in (5, 500):
            yield verdict(days, users)
    for clock in (NOW - 100 * DAY, NOW - 200 * DAY):
        yield judge([issue()], KEYS, FRESH._replace(mark=NOW, suspect=20 * DAY), Site(clock, None, UUID))
    for texts in ([], ["x"], [issue(notBefore=NOW + DAY)], [issue(v=2)], [issue(plan="X")], [issue(revoked=["0b5e7d10-0000-4000-8000-000000000001"])]):
        yield judge(texts, KEYS, FRESH, Site(NOW, None, UUID))
    yield judge([issue()], KEYS, FRESH, Site(NOW, None, OTHER))


@pytest.mark.parametrize("lang", ["en_US", "zh_CN", "zh_TW", "de_DE", None])
def test_every_verdict_can_be_said(lang):
    for each in all_verdicts():
        said = words.reason(each, lang), words.banner(each, 5, lang)
        assert all("{" not in sentence for sentence in said)
        assert bool(re.search("[\u4e00-\u9fff]", said[0])) is (lang or "").startswith("zh")
        assert bool(said[1]) is bool(banner(each, ADMINISTRATOR))


def test_every_reason_and_state_has_a_sentence():
    source = "".join(path.read_text() for path in (ADDON / "olic").glob("*.py") if path.name != "words.py")
    raised = set(re.findall(r'Refused\("(\w+)"', source)) | set(re.findall(r'"([A-Z]\w+)" if code', source)) | {"UnknownFormat", "NotACode", "TooMuch"}
    assert raised <= set(words.REASONS)
    assert set(words.STATES) == set(STATES)


def test_both_languages_have_the_same_blanks():
    for table in (words.REASONS, words.STATES, words.LABELS):
        for english, chinese in table.values():
            assert sorted(set(re.findall(r"\{\w+\}", english))) == sorted(set(re.findall(r"\{\w+\}", chinese)))
            assert re.search("[\u4e00-\u9fff]", chinese) and not re.search("[\u4e00-\u9fff]", english)


def test_mounted_codes_are_followed(tmp_path):
    assert files.codes(str(tmp_path / "nothing")) == []
    versions = {name: tmp_path / name for name in ("..1", "..2")}
    for number, folder in enumerate(versions.values()):
        folder.mkdir()
        (folder / "a.olic").write_text(issue(sequence=number + 3))
    link = tmp_path / "..data"
    link.symlink_to("..1")
    (tmp_path / "a.olic").symlink_to("..data/a.olic")
    assert files.codes(str(tmp_path)) == [issue()]
    (tmp_path / "swap").symlink_to("..2")
    (tmp_path / "swap").rename(link)
    assert files.codes(str(tmp_path)) == [issue(sequence=4)]


def test_files_that_are_no_codes_harm_nobody(tmp_path):
    (tmp_path / "big.olic").write_text("A" * 2**20)
    (tmp_path / "bytes.olic").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.olic").mkdir()
    (tmp_path / "dangling.olic").symlink_to("nowhere")
    (tmp_path / "readme.txt").write_text(issue())
    (tmp_path / "good.olic").write_text(issue())
    assert files.codes(str(tmp_path)) == [issue()]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_the_core_knows_neither_odoo_nor_a_network():
    allowed = {"ast", "base64", "binascii", "collections", "datetime", "functools", "hashlib", "json", "os", "re", "stat"}
    for path in (ADDON / "olic").glob("*.py"):
        assert set(imported(path)) <= allowed, path.name


def test_the_module_needs_odoo_and_the_standard_library_alone():
    # psycopg2 and reportlab are what Odoo itself cannot start without.
    allowed = {"odoo", "psycopg2", "reportlab", "logging", "os", "time"}
    for path in list(ADDON.glob("*.py")) + list((ADDON / "models").glob("*.py")) + list((ADDON / "controllers").glob("*.py")):
        assert set(imported(path)) <= allowed, path.name
    manifest = ast.literal_eval((ADDON / "__manifest__.py").read_text())
    assert manifest["depends"] == ["base", "web"] and "external_dependencies" not in manifest


def test_the_tree_reads_on_the_oldest_python():
    for path in ADDON.rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 7))


def test_refusals_name_the_claim():
    assert str(Refused("Malformed", "plan")) == "Malformed: plan"
