"""What a release costs in etcd: the release as Helm stores it, gzip and base64 of its JSON. A plain `helm install` stores the
chart's templates, files and schema too. OdooFleet leaves them out; the Helm worker's tests hold what it stores."""
import base64
import gzip
import json
import unittest

import yaml

from chart import CATCHER, CHART, FULL, PROXY, Case, Rendered

KIB = 1024


def encoded(data):
    return base64.b64encode(data).decode()


def chart_files():
    """What `.helmignore` leaves. Its patterns here are names alone."""
    lines = (CHART / ".helmignore").read_text(encoding="utf-8").split()
    for file in sorted(CHART.rglob("*")):
        if file.is_file() and not any(part in {line.rstrip("/") for line in lines} for part in file.relative_to(CHART).parts):
            yield file.relative_to(CHART).as_posix(), file.read_bytes()


def payload(manifest, with_files):
    chart = {"metadata": yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8")), "lock": None,
             "values": yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))}
    if with_files:
        files = dict(chart_files())
        chart["schema"] = encoded(files["values.schema.json"])
        chart["templates"] = [{"name": n, "data": encoded(d)} for n, d in files.items() if n.startswith("templates/")]
        chart["files"] = [{"name": n, "data": encoded(d)} for n, d in files.items() if n.startswith("files/") or n == ".helmignore"]
    release = {"name": "acme-prod", "namespace": "odoo", "version": 1, "info": {"status": "deployed"}, "chart": chart,
               "config": FULL, "manifest": manifest}
    return len(base64.b64encode(gzip.compress(json.dumps(release, ensure_ascii=False).encode(), 9)))


class Size(Case):
    def test_release(self):
        manifest = Rendered(FULL, PROXY, CATCHER).text
        # OdooFleet stores no files of the chart; what is left is for two thirds the scripts in the ConfigMap.
        self.assertLess(payload(manifest, with_files=False), 44 * KIB)
        self.assertLess(payload(manifest, with_files=True), 160 * KIB)

    def test_only_what_renders_is_stored(self):
        names = {name.split("/")[0] for name, _ in chart_files()}
        self.assertEqual(names, {".helmignore", "Chart.yaml", "files", "templates", "values.schema.json", "values.yaml"})


if __name__ == "__main__":
    unittest.main()
