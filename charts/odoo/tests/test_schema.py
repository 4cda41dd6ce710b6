"""values.schema.json: what it refuses, that it is complete, that it is bilingual."""
import json
import subprocess
import unittest

import yaml

from chart import CHART, FULL, HELM, SECRET, Case, Rendered, helm, merged

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def resolve(schema):
    for part in schema.get("allOf", []):
        schema = merged(SCHEMA["definitions"][part["$ref"].rsplit("/", 1)[1]], schema)
    return schema


def properties(schema, path=""):
    """Every property with its path, lists' items included."""
    schema = resolve(schema)
    for name, child in schema.get("properties", {}).items():
        if "$ref" in child:
            continue
        yield f"{path}.{name}".lstrip("."), child
        yield from properties(child, f"{path}.{name}")
    if "properties" in schema.get("items", {}):
        yield from properties(schema["items"], path + "[]")


class Refusals(Case):
    def test_wrong_types_name_their_path(self):
        for values, path in [({"replicaCount": "two"}, "replicaCount"), ({"ingress": {"aliases": "a.example.com"}}, "aliases"),
                             ({"odoo": {"config": {"a": {"b": 1}}}}, "config"), ({"size": "XL"}, "size"),
                             ({"persistence": {"size": 10}}, "size"), ({"externalDatabase": {"port": 99999}}, "port"),
                             ({"replicaCount": -1}, "replicaCount"), ({"global": {"imageRegistry": 5}}, "imageRegistry")]:
            self.refused(values, "schema", path)

    def test_unknown_keys(self):
        self.refused({"replicas": 2}, "replicas")
        self.refused({"ingress": {"hosts": ["a"]}}, "hosts")
        self.refused({"git": {"customerAddons": [{"url": "https://a.example.com/b", "ref": "c", "depth": 1}]}}, "depth")
        Rendered({"global": {"anything": {"of": "another chart"}}})

    def test_what_a_program_would_take_for_a_flag(self):
        for values in [{"releaseNameOverride": "-x"}, {"customer": {"id": "--all"}}, {"odoo": {"existingSecret": "-n"}},
                       {"image": {"repository": "-v"}}, {"image": {"tag": "-v"}}, {"ingress": {"host": "-h.example.com"}},
                       {"postgresql": {"auth": {"username": "--help"}}}, {"postgresql": {"auth": {"database": "-d"}}},
                       {"postgresql": {"parameters": {"-D": "x"}}}, {"odoo": {"config": {"--init": "x"}}},
                       {"externalDatabase": {"host": "-h"}}, {"mail": {"host": "-h"}}, {"persistence": {"storageClassName": "-s"}}]:
            self.refused(values, "schema")

    def test_git_values(self):
        good = {"url": "https://git.example.com/acme/addons.git", "ref": "v1.4.2", "path": "."}
        Rendered({"git": {"customerAddons": [good]}})
        for change in [{"url": "--upload-pack=x"}, {"url": "file:///etc"}, {"url": "ext::sh -c id"}, {"url": "http://git.example.com/a"},
                       {"url": "https://user:password@git.example.com/a"}, {"url": "ssh://-oProxyCommand=id/a"},
                       {"ref": "--upload-pack=x"}, {"ref": "a b"}, {"path": "../../etc"}, {"path": "/etc"}, {"path": "a/../.."}]:
            self.refused({"git": {"customerAddons": [{**good, **change}]}}, "schema")

    def test_first_start_and_modules(self):
        Rendered({"bootstrap": {"languages": ["zh_CN", "es_419", "sr@latin"], "country": "CN", "timeZone": "America/Argentina/Buenos_Aires",
                                "databaseUuid": "0f8fad5b-d9cb-469f-a165-70867728950e"}, "modules": {"install": ["l10n_cn"], "named": ["base"]}})
        for change in [{"languages": ["zh-CN"]}, {"languages": ["--init"]}, {"country": "China"}, {"timeZone": "../etc"}, {"timeZone": "-x"},
                       {"databaseUuid": "1"}, {"adminLogin": ""}, {"adminLogin": "a\nb"}, {"existingSecret": "-n"}, {"password": "x"}]:
            self.refused({"bootstrap": change}, "schema")
        for change in [{"install": ["--stop-after-init"]}, {"named": ["sale,crm"]}, {"install": "sale"}, {"update": "Always"}]:
            self.refused({"modules": change}, "schema")

    def test_what_would_be_more_than_a_value_for_nginx_or_the_page(self):
        for change in [{"bodySize": "1m; }"}, {"bodySize": "-1"}, {"timeoutSeconds": "9s"}, {"timeoutSeconds": 0},
                       {"trustedCidrs": ["10.0.0.0/8; evil"]}, {"trustedCidrs": ["10.0.0.1"]}, {"trustedCidrs": ["all"]}]:
            self.refused({"proxy": {"enabled": True, **change}}, "schema")
        self.refused({"page": {"contact": "a\nb"}}, "schema")
        for limit in ("lots", "0Gi", "1Gi; rm"):
            self.refused({"git": {"sizeLimit": limit}}, "schema")

    def test_line_breaks(self):
        self.refused({"odoo": {"config": {"log_level": "info\nlist_db = True"}}}, "schema")
        self.refused({"mail": {"host": "smtp.example.com", "from": "a\nlist_db = True"}}, "schema")

    def test_names(self):
        for release in ("a" * 42, "a.b", "1a"):
            self.refused({}, "at most 41 characters", release=release)
        Rendered(release="a" * 41)
        self.refused({"postgresql": {"auth": {"username": "postgres"}}}, "schema")


class Completeness(Case):
    def test_every_property_is_described_in_both_languages(self):
        found = list(properties(SCHEMA))
        self.assertGreater(len(found), 110)
        for path, schema in found:
            for words in (schema, schema.get("x-i18n", {}).get("zh", {})):
                self.assertTrue(words.get("title"), path)
                self.assertTrue(words.get("description"), path)
            chinese = schema["x-i18n"]["zh"]["description"]
            self.assertTrue(any("\u4e00" <= letter <= "\u9fff" for letter in chinese), f"{path}: {chinese}")
            self.assertTrue(schema["title"].isascii() and schema["description"].replace("…", "").isascii(), path)

    def test_every_default_is_in_the_schema(self):
        known = {path for path, _ in properties(SCHEMA)}

        def walk(values, path=""):
            for key, value in values.items():
                yield f"{path}{key}"
                if isinstance(value, dict):
                    yield from walk(value, f"{path}{key}.")
        for path in walk(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))):
            self.assertIn(path, known)

    def test_read_me_names_every_value(self):
        text = (CHART / "README.md").read_text(encoding="utf-8")
        for path, schema in properties(SCHEMA):
            inner = "properties" in resolve(schema) or path.rsplit(".", 1)[-1] in ("requests", "limits")
            if not inner or path == "odoo.config":
                self.assertIn(f"`{path}`", text)

    def test_lint(self):
        for values in (SECRET, merged(SECRET, FULL)):
            result = subprocess.run([HELM, "lint", "--strict", str(CHART), "--values", "-"], input=yaml.safe_dump(values),
                                    capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


class Source(Case):
    def test_no_template_of_values_and_no_lookup(self):
        for file in (CHART / "templates").iterdir():
            text = file.read_text(encoding="utf-8")
            self.assertNotRegex(text, r"\b(tpl|lookup|rand[A-Z]\w*|genCA|now|getHostByName)\b", file.name)


if __name__ == "__main__":
    unittest.main()
