"""What holds for every pod, claim and object, whatever is switched on."""
import unittest

import yaml

from chart import CATCHER, CHART, FULL, PROXY, Case, Rendered


class Pods(Case):
    @classmethod
    def setUpClass(cls):
        cls.full = Rendered(FULL, PROXY, CATCHER)

    def test_all_workloads_are_there_with_their_roles(self):
        roles = {(o["kind"], o["metadata"]["name"]): o["metadata"]["annotations"]["odoofleet.dev/role"] for o in self.full.workloads()}
        self.assertEqual(roles, {
            ("Deployment", "acme-prod-web"): "Web", ("Deployment", "acme-prod-cron"): "Application",
            ("Deployment", "acme-prod-mail"): "Application", ("Deployment", "acme-prod-page"): "Page",
            ("StatefulSet", "acme-prod-postgresql"): "Database"})

    def test_no_service_links_and_no_token(self):
        for pod in self.full.pods():
            self.assertIs(pod["spec"]["enableServiceLinks"], False)
            self.assertIs(pod["spec"]["automountServiceAccountToken"], False)
            self.assertEqual(pod["spec"]["serviceAccountName"], "acme-prod")
        self.assertIs(self.full.get("ServiceAccount")["automountServiceAccountToken"], False)

    def test_restricted_pod_security(self):
        for pod in self.full.pods():
            context = pod["spec"]["securityContext"]
            self.assertIs(context["runAsNonRoot"], True)
            self.assertGreater(context["runAsUser"], 0)
            self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertEqual(context["fsGroupChangePolicy"], "OnRootMismatch")
            kinds = {key for volume in pod["spec"]["volumes"] for key in volume if key != "name"}
            self.assertLessEqual(kinds, {"configMap", "emptyDir", "persistentVolumeClaim", "secret"})
            self.assertFalse({"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod["spec"]))
        # Two pods with addons, configure and Odoo; prepare and the proxy; two of PostgreSQL; the page; the mail catcher.
        self.assertEqual(len(self.full.containers()), 2 * 5 + 2 + 2 + 1 + 1)
        for container in self.full.containers():
            context = container["securityContext"]
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertIs(context["readOnlyRootFilesystem"], True)
            self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
            self.assertNotIn("privileged", context)
            self.assertNotEqual(context.get("runAsUser"), 0)
            self.assertIn("memory", container["resources"]["limits"])

    def test_writable_places_of_odoo(self):
        odoo = self.full.get("Deployment", "-web")["spec"]["template"]["spec"]["containers"][0]
        writable = {m["mountPath"] for m in odoo["volumeMounts"] if not m.get("readOnly")}
        self.assertEqual(writable, {"/tmp", "/run/odoo", "/var/lib/odoo"})

    def test_user_by_version(self):
        for version, uid in {"15.0": 101, "17.0": 101, "18.0": 100, "19.0": 100}.items():
            pod = Rendered({"odooVersion": version}).get("Deployment", "-web")["spec"]["template"]["spec"]
            self.assertEqual((pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]), (uid, 101))
        pod = Rendered({"podSecurityContext": {"runAsUser": 1234}}).get("Deployment", "-web")["spec"]["template"]["spec"]
        self.assertEqual(pod["securityContext"]["runAsUser"], 1234)

    def test_password_is_never_an_argument_or_a_variable(self):
        for container in self.full.containers():
            self.assertFalse([e for e in container.get("env", []) if "valueFrom" in e or e["name"].endswith("PASSWORD")])
        for pod in self.full.pods():
            self.assertNotIn("envFrom", str(pod))
        odoo = self.full.get("Deployment", "-web")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(odoo["command"], ["odoo"])
        self.assertIn({"name": "ODOO_RC", "value": "/run/odoo/odoo.conf"}, odoo["env"])

    def test_configuration_lies_in_memory(self):
        for suffix in ("-web", "-cron"):
            volumes = self.full.pod(suffix)["volumes"]
            self.assertEqual(next(v for v in volumes if v["name"] == "run")["emptyDir"]["medium"], "Memory")

    def test_every_mount_has_its_volume_and_every_volume_a_mount(self):
        for pod in self.full.pods() + Rendered().pods():
            containers = pod["spec"].get("initContainers", []) + pod["spec"]["containers"]
            mounted = {m["name"] for c in containers for m in c["volumeMounts"]}
            self.assertEqual(mounted, {v["name"] for v in pod["spec"]["volumes"]})

    def test_claims_are_kept_and_plain(self):
        claims = [o for o in self.full.all if o["kind"] == "PersistentVolumeClaim"]
        self.assertEqual({c["metadata"]["name"] for c in claims}, {"acme-prod-filestore", "acme-prod-postgresql"})
        for claim in claims:
            self.assertEqual(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")
        self.assertNotIn("volumeClaimTemplates", self.full.get("StatefulSet", "-postgresql")["spec"])

    def test_no_hooks_and_only_namespaced_kinds(self):
        self.assertEqual([(o["kind"], o["metadata"]["annotations"]["helm.sh/hook"]) for o in self.full.hooks], [("Pod", "test")])
        self.assertLessEqual({o["kind"] for o in self.full.all}, {
            "ConfigMap", "Deployment", "HTTPRoute", "Ingress", "NetworkPolicy", "PersistentVolumeClaim",
            "PodDisruptionBudget", "Secret", "Service", "ServiceAccount", "StatefulSet"})

    def test_labels(self):
        for thing in self.full.all + self.full.pods():
            labels = thing["metadata"]["labels"]
            # With the customer's name on it, all his environments might name a Secret or ConfigMap.
            named = None if thing.get("kind") in ("Secret", "ConfigMap") else "acme"
            self.assertEqual((labels.get("odoofleet.dev/customer"), labels["odoofleet.dev/customer-id"]), (named, "C0123"))
            self.assertEqual(labels["app.kubernetes.io/instance"], "acme-prod")
            self.assertEqual(labels["app.kubernetes.io/part-of"], "odoofleet")
            self.assertEqual(labels["app.kubernetes.io/version"], "18.0")
        for workload in self.full.workloads():
            selector = workload["spec"]["selector"]["matchLabels"]
            self.assertLessEqual(selector.items(), workload["spec"]["template"]["metadata"]["labels"].items())
            # A selector cannot be changed: nothing in it may come from a value.
            self.assertEqual(set(selector), {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")})
        self.assertNotIn("odoofleet.dev/customer", Rendered().text)

    def test_an_id_is_never_taken_for_a_customer_s_name(self):
        # Whoever bears the label may be named by that customer's environments, and an id may be another customer's name.
        rendered = Rendered({"customer": {"id": "globex"}, "postgresql": {"auth": {"existingSecret": "", "password": "x"}}})
        for thing in rendered.all + rendered.hooks + rendered.pods():
            self.assertNotIn("odoofleet.dev/customer", thing["metadata"]["labels"])
            self.assertEqual(thing["metadata"]["labels"]["odoofleet.dev/customer-id"], "globex")

    def test_no_selector_knows_the_customer(self):
        # Selectors of workloads cannot be changed, and those of Services must find the pods of before meanwhile.
        for layers in ((), (FULL, PROXY, CATCHER), (FULL,)):
            with_customer = Rendered(*layers, {"customer": {"name": "acme", "id": "C0123"}})
            without = Rendered(*layers, {"customer": {"name": "", "id": ""}})
            found = 0
            for key, thing in with_customer.index.items():
                for one in ("selector", "podSelector"):
                    if one in thing.get("spec", {}):
                        found += 1
                        self.assertEqual(thing["spec"][one], without.index[key]["spec"][one])
                        self.assertNotIn("customer", str(thing["spec"][one]))
            self.assertGreater(found, 5)

    def test_images(self):
        digest = "sha256:" + "a" * 64
        images = {c["image"] for c in Rendered(FULL, PROXY, CATCHER, {
            "global": {"imageRegistry": "mirror.example.cn/hub/", "imagePullSecrets": [{"name": "pull"}]},
            "image": {"digest": digest}}).containers()}
        self.assertEqual(images, {
            f"mirror.example.cn/hub/odoo@{digest}", "mirror.example.cn/hub/postgres:16",
            "mirror.example.cn/hub/alpine/git:v2.49.1", "registry.example.com/addons:7",
            "mirror.example.cn/hub/nginxinc/nginx-unprivileged:1.30.4-alpine-slim", "mirror.example.cn/hub/axllent/mailpit:v1.33.1"})
        pinned = {"digest": digest}
        images = {c["image"] for p in self.every_pod(Rendered(FULL, PROXY, CATCHER, {
            "image": pinned, "postgresql": {"image": pinned}, "git": {"image": pinned}, "addons": {"image": pinned}, "proxy": {"image": pinned},
            "mail": {"catcher": {"image": pinned}}})) for c in p.get("initContainers", []) + p["containers"]}
        self.assertEqual(images, {f"{name}@{digest}" for name in (
            "odoo", "postgres:16", "alpine/git:v2.49.1", "registry.example.com/addons:7", "nginxinc/nginx-unprivileged:1.30.4-alpine-slim", "axllent/mailpit:v1.33.1")})
        both = Rendered({"image": {"tag": "18.0-20261115", **pinned}})
        self.assertEqual(both.container("odoo")["image"], f"odoo:18.0-20261115@{digest}")
        self.assertEqual(both.options("prepare")["image"], f"odoo:18.0-20261115@{digest}")
        plain = {c["image"] for c in Rendered({"odooVersion": "17.0", "page": {"enabled": False}}).containers()}
        self.assertEqual(plain, {"odoo:17.0", "postgres:16"})

    def every_pod(self, rendered):
        return [p["spec"] for p in rendered.pods()] + [o["spec"] for o in rendered.hooks]

    def test_read_me_pins_every_default_image(self):
        text = (CHART / "README.md").read_text(encoding="utf-8")
        values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
        for path in ("image", "postgresql.image", "git.image", "proxy.image", "mail.catcher.image"):
            image = values
            for key in path.split("."):
                image = image[key]
            self.assertEqual(image["digest"], "")
            self.assertIn(f"\n{path} {image['repository']}:{image['tag'] or values['odooVersion']}\n", text)

    def test_pull_policy_of_what_never_changes(self):
        pinned = {"digest": "sha256:" + "a" * 64}
        rendered = Rendered({"image": {"pullPolicy": "Always", **pinned}, "postgresql": {"image": pinned}, "proxy": {"enabled": True, "image": {"pullPolicy": "Never", **pinned}}})
        self.assertEqual({c["name"]: c["imagePullPolicy"] for c in rendered.containers()}, {
            "configure": "Always", "prepare": "Always", "odoo": "Always", "proxy": "Never", "version": "IfNotPresent", "postgresql": "IfNotPresent", "page": "Never"})

    def test_pull_policy(self):
        rendered = Rendered(FULL, {"image": {"pullPolicy": "Always"}, "git": {"image": {"pullPolicy": "Never"}}})
        self.assertEqual({c["name"]: c["imagePullPolicy"] for c in rendered.containers()}, {
            "addons-0": "Never", "addons-1": "Never", "addons-image": "Always", "configure": "Always", "prepare": "Always",
            "odoo": "Always", "version": "Always", "postgresql": "Always", "page": "Always"})

    def test_names_that_yaml_takes_for_something_else(self):
        for release in ("off", "null", "y"):
            rendered = Rendered(FULL, release=release)
            for thing in rendered.all:
                self.assertTrue(thing["metadata"]["name"].startswith(release))
                self.assertEqual(thing["metadata"]["labels"]["app.kubernetes.io/instance"], release)
        volumes = Rendered({"odoo": {"existingSecret": "on"}}).get("Deployment", "-web")["spec"]["template"]["spec"]["volumes"]
        self.assertEqual(next(v for v in volumes if v["name"] == "master")["secret"]["secretName"], "on")

    def test_name_override_names_everything(self):
        rendered = Rendered(FULL, {"releaseNameOverride": "other"})
        for thing in rendered.all:
            self.assertRegex(thing["metadata"]["name"], "^other(-|$)")
        self.assertNotIn("claimName: acme-prod", rendered.text)


def size(text):
    for unit, factor in (("Mi", 2 ** 20), ("Gi", 2 ** 30)):
        if str(text).endswith(unit):
            return float(text[:-2]) * factor
    return float(text)


class Disk(Case):
    """What pods write on the node's own disk has a bound, whatever is switched on."""
    MODES = [(), (FULL,), (FULL, PROXY), (FULL, PROXY, CATCHER), (CATCHER, {"replicaCount": 0}), ({"size": "M", "ingress": {"enabled": True, "expose": "NodePort"}},),
             ({"git": {"customerAddons": [{"url": "https://git.example.com/a", "ref": "main"}] * 12}, "cron": {"enabled": True}},),
             ({"addons": {"image": {"repository": "addons"}}, "ephemeralStorage": {"tmp": "9Gi", "addons": "3Gi", "logs": "100Mi", "request": "1Gi"}},),
             ({"postgresql": {"enabled": False}, "externalDatabase": {"host": "pg", "existingSecret": "pg"}, "page": {"enabled": False}},),
             ({key: {"requests": {"cpu": "1"}} for key in ("resources",)} | {key: {"resources": {"limits": {"memory": "4Gi"}}} for key in ("cron", "proxy", "postgresql")}, PROXY)]

    def pods(self, rendered):
        """Every pod, the one that tries changes included."""
        found = [p["spec"] for p in rendered.pods()] + [o["spec"] for o in rendered.hooks if o["kind"] == "Pod"]
        self.assertEqual(len(found), len(rendered.workloads()) + 1)
        return found

    def test_every_volume_on_it_has_a_size(self):
        for layers in self.MODES:
            for pod in self.pods(Rendered(*layers)):
                for volume in pod["volumes"]:
                    if "emptyDir" in volume:
                        self.assertGreater(size(volume["emptyDir"]["sizeLimit"]), 0, volume)

    def test_every_container_asks_for_some_and_has_a_limit(self):
        for layers in self.MODES:
            for pod in self.pods(Rendered(*layers)):
                for container in pod.get("initContainers", []) + pod["containers"]:
                    resources = container["resources"]
                    asked, most = (size(resources[kind]["ephemeral-storage"]) for kind in ("requests", "limits"))
                    self.assertTrue(0 < asked <= most, container["name"])

    def test_a_pod_may_fill_its_volumes(self):
        # The kubelet evicts a pod whose volumes and logs together are above the sum of its containers' limits.
        for layers in self.MODES:
            for pod in self.pods(Rendered(*layers)):
                volumes = sum(size(v["emptyDir"]["sizeLimit"]) for v in pod["volumes"] if "emptyDir" in v and v["emptyDir"].get("medium") != "Memory")
                limits = sum(size(c["resources"]["limits"]["ephemeral-storage"]) for c in pod["containers"])
                self.assertGreater(limits, volumes)

    def test_addons_have_room_for_what_git_may_bring(self):
        repositories = {"git": {"sizeLimit": "3Gi", "customerAddons": [{"url": "https://git.example.com/a", "ref": "main"}] * 5}}
        volumes = {v["name"]: v for v in Rendered(repositories).pod()["volumes"]}
        self.assertEqual(size(volumes["addons"]["emptyDir"]["sizeLimit"]), 5 * 4 * 3 * 2 ** 30)

    def test_given_ones_go_before_and_leave_the_rest(self):
        def resources(given):
            return Rendered({"resources": given}).container("odoo")["resources"]
        self.assertEqual(resources({"requests": {"cpu": "1"}}), {"requests": {"cpu": "1", "ephemeral-storage": "64Mi"}, "limits": {"ephemeral-storage": "5120Mi"}})
        self.assertEqual(resources({"limits": {"ephemeral-storage": "32Mi"}}), {"requests": {"ephemeral-storage": "32Mi"}, "limits": {"ephemeral-storage": "32Mi"}})
        uncounted = Rendered({"ephemeralStorage": {"enabled": False}}).container("odoo")["resources"]
        self.assertNotIn("ephemeral-storage", {**uncounted["requests"], **uncounted["limits"]}, "a node that does not count it takes no such pod")
        self.assertEqual(resources({"requests": {"ephemeral-storage": "20Gi"}}), {"requests": {"ephemeral-storage": "20Gi"}, "limits": {"ephemeral-storage": "20Gi"}})


class Scale(Case):
    def test_stopped_means_everything(self):
        stopped = Rendered(FULL, CATCHER, {"replicaCount": 0})
        replicas = {w["metadata"]["name"].removeprefix("acme-prod-"): w["spec"]["replicas"] for w in stopped.workloads()}
        self.assertEqual(replicas, {"web": 0, "cron": 0, "mail": 0, "postgresql": 0, "page": 1})
        self.assertEqual(Rendered(FULL).get("Deployment", "-page")["spec"]["replicas"], 0)
        self.assertFalse(stopped.has("PodDisruptionBudget", "-web"))

    def test_old_pods_never_meet_tables_of_new_ones(self):
        for rendered in (Rendered({"cron": {"enabled": True}}), Rendered(FULL)):
            self.assertEqual([rendered.get("Deployment", suffix)["spec"]["strategy"] for suffix in ("-web", "-cron")], [{"type": "Recreate"}] * 2)

    def test_several_replicas_have_a_budget(self):
        several = Rendered(FULL)
        self.assertFalse(Rendered().has("PodDisruptionBudget", "-web"))
        self.assertEqual(several.get("Deployment", "-cron")["spec"]["replicas"], 1)
        self.assertEqual(several.get("PodDisruptionBudget", "-web")["spec"]["maxUnavailable"], 1)

    def test_several_replicas_need_a_shared_volume(self):
        self.refused({"replicaCount": 2}, "ReadWriteMany")
        self.refused({"cron": {"enabled": True}, "persistence": {"accessMode": "ReadWriteOncePod"}}, "ReadWriteOncePod")

    def test_cron_follows_the_volume(self):
        apart = Rendered({"cron": {"enabled": True}})
        for suffix in ("-web", "-cron"):
            affinity = apart.get("Deployment", suffix)["spec"]["template"]["spec"]["affinity"]["podAffinity"]
            term = affinity["requiredDuringSchedulingIgnoredDuringExecution"][0]
            self.assertEqual(term["topologyKey"], "kubernetes.io/hostname")
            self.assertEqual(term["labelSelector"]["matchExpressions"][0]["values"], ["web", "cron"])
        self.assertNotIn("affinity", str(Rendered(FULL).pods()))

    def test_probes(self):
        rendered = Rendered(FULL)
        web = rendered.container("odoo")
        # A start that is slow is not killed, and neither is a server whose workers are all busy.
        tiny = ["python3", "-I", "-S", "/etc/odoofleet/probe.py"]
        self.assertEqual(web["startupProbe"]["exec"]["command"], [*tiny, "started"])
        self.assertEqual(web["startupProbe"]["periodSeconds"] * web["startupProbe"]["failureThreshold"], 1800)
        self.assertEqual(web["livenessProbe"]["tcpSocket"], {"port": 8069})
        self.assertEqual(web["readinessProbe"]["exec"]["command"], [*tiny, "web"])
        self.assertEqual(web["readinessProbe"]["periodSeconds"] * web["readinessProbe"]["failureThreshold"], 40)
        cron = rendered.container("odoo", "-cron")
        self.assertNotIn("startupProbe", cron)
        for probe in ("livenessProbe", "readinessProbe"):
            self.assertEqual(cron[probe]["exec"]["command"], ["python3", "/etc/odoofleet/probe.py", "cron"])
        self.assertGreaterEqual(cron["livenessProbe"]["periodSeconds"] * cron["livenessProbe"]["failureThreshold"], 600)
        database = rendered.get("StatefulSet", "-postgresql")["spec"]["template"]["spec"]
        self.assertEqual(database["containers"][0]["readinessProbe"]["exec"]["command"][0], "pg_isready")
        self.assertEqual(database["terminationGracePeriodSeconds"], 120)


if __name__ == "__main__":
    unittest.main()
