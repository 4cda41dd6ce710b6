package main

import (
	"slices"
	"strings"
	"testing"
)

func objectsOf(t *testing.T, manifest string) []object {
	t.Helper()
	objects, err := parseManifest(manifest)
	must(t, err)
	return objects
}

func TestKinds(t *testing.T) {
	r := &request{Namespace: "odoo", Inputs: &Inputs{AllowedKinds: defaultKinds}}
	for manifest, want := range map[string]string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n":                                   "",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: odoo}\n":                  "",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: kube-system}\n":           `is for namespace "kube-system"`,
		"apiVersion: v2\nkind: ConfigMap\nmetadata: {name: a}\n":                                   `kind "v2/ConfigMap", which is not allowed`,
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n":       "not allowed",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n":                                   "not allowed",
		"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}": "not allowed",
		"apiVersion: v1\nkind: ConfigMap\nkind: Namespace\nmetadata: {name: a}\n":                  "not allowed",
		"metadata: {name: a}\n": "not allowed",
	} {
		failure := checkKinds(objectsOf(t, manifest), r)
		switch {
		case want == "" && failure != nil, want != "" && failure == nil:
			t.Errorf("%q: %v", manifest, failure)
		case want != "" && (failure.Class != classKindNotAllowed || !strings.Contains(failure.Message, want)):
			t.Errorf("%q: %s %s", manifest, failure.Class, failure.Message)
		}
	}
}

// An object with "items" is a list to those who apply it, whatever its kind says.
func TestKindsBehindItems(t *testing.T) {
	r := &request{Namespace: "odoo", Inputs: &Inputs{AllowedKinds: defaultKinds}}
	for _, field := range []string{"items", "Items"} {
		o, err := parseObject("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" + field + ": [{apiVersion: v1, kind: Namespace, metadata: {name: b}}]\n")
		must(t, err)
		if failure := checkKinds([]object{o}, r); failure == nil || failure.Class != classKindNotAllowed {
			t.Errorf("%s: %v", field, failure)
		}
	}
}

func TestSecretsOfPods(t *testing.T) {
	manifest := `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      imagePullSecrets: [{name: pull}]
      volumes:
      - {name: a, secret: {secretName: volume}}
      - {name: b, projected: {sources: [{secret: {name: projected}}, {configMap: {name: not-a-secret}}]}}
      - {name: c, csi: {driver: d, nodePublishSecretRef: {name: csi}}}
      - {name: d, azureFile: {secretName: azure, shareName: s}}
      - {name: e, iscsi: {secretRef: {name: iscsi}}}
      initContainers: [{name: i, env: [{name: A, valueFrom: {secretKeyRef: {name: init, key: k, optional: true}}}]}]
      ephemeralContainers: [{name: e, envFrom: [{secretRef: {name: ephemeral}}]}]
      containers:
      - name: c
        env: [{name: B, valueFrom: {configMapKeyRef: {name: not-a-secret-either, key: k}}}, {name: secretName, value: plain}]
        envFrom: [{secretRef: {name: env-from}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sa}
secrets: [{name: mountable}]
imagePullSecrets: [{name: sa-pull}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, envFrom: [{secretRef: {name: cron}}]}]}}}}}
---
apiVersion: example.org/v1
kind: Rollout
metadata: {name: other-kind}
spec: {template: {spec: {containers: [{name: a, envFrom: [{secretRef: {name: rollout}}]}]}}}
---
apiVersion: v1
kind: Secret
metadata: {name: volume}
---
apiVersion: v1
kind: Secret
metadata: {name: hooked, annotations: {helm.sh/hook: pre-install}}
`
	wanted := []string{"azure", "cron", "csi", "env-from", "ephemeral", "init", "iscsi", "mountable", "projected", "pull", "rollout", "sa-pull"}
	objects := objectsOf(t, manifest)
	failure := checkSecrets(objects, &request{Inputs: &Inputs{AllowedSecrets: []string{"unrelated"}}})
	if failure == nil || failure.Class != classSecretNotAllowed || !strings.Contains(failure.Message, "odoofleet.dev/customer") {
		t.Fatalf("%v", failure)
	}
	var named []string
	for _, detail := range failure.Details {
		named = append(named, strings.Trim(detail[strings.LastIndex(detail, " ")+1:], `"`))
	}
	slices.Sort(named)
	if !slices.Equal(named, wanted) {
		t.Errorf("found %v\nwant %v", named, wanted)
	}
	if failure = checkSecrets(objects, &request{Inputs: &Inputs{AllowedSecrets: wanted}}); failure != nil {
		t.Errorf("%v", failure)
	}
}

func TestClaimsOfSeveralPods(t *testing.T) {
	const manifest = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [MODE]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: COUNT, template: {spec: {volumes: [{name: d, persistentVolumeClaim: {claimName: CLAIM}}], containers: []}}}
`
	for name, c := range map[string]struct {
		mode, count, claim string
		allowed            bool
	}{
		"one pod":                      {"ReadWriteOnce", "1", "data", true},
		"two pods on one node's claim": {"ReadWriteOnce", "2", "data", false},
		"two pods on one pod's claim":  {"ReadWriteOncePod", "2", "data", false},
		"two pods on a shared claim":   {"ReadWriteMany", "2", "data", true},
		"a claim of somebody else":     {"ReadWriteOnce", "2", "other", true},
	} {
		objects := objectsOf(t, strings.NewReplacer("MODE", c.mode, "COUNT", c.count, "CLAIM", c.claim).Replace(manifest))
		failure := checkClaims(objects)
		if (failure == nil) != c.allowed {
			t.Errorf("%s: %v", name, failure)
		}
		if failure != nil && (failure.Class != classInvalid || !strings.Contains(failure.Message, `"data"`)) {
			t.Errorf("%s: %s %q", name, failure.Class, failure.Message)
		}
	}
}

func TestSecretsOfCertificates(t *testing.T) {
	ingress := "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec: {tls: [{hosts: [a]}, {secretName: NAME}]}\n---\n"
	certificate := "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: web}\nspec: {secretName: NAME}\n---\n"
	named := func(manifest, name string) string { return strings.ReplaceAll(manifest, "NAME", name) }
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: rendered}\n---\n"
	for name, c := range map[string]struct {
		manifest string
		allowed  bool
	}{
		"ingress of another":           {named(ingress, "globex-prod-tls"), false},
		"ingress of the customer":      {named(ingress, "customers"), true},
		"ingress of the release":       {named(ingress, "acme-prod-tls"), true},
		"ingress of a longer name":     {named(ingress, "acme-production"), false},
		"ingress, rendered Secret":     {named(ingress, "rendered") + secret, true},
		"certificate of another":       {named(certificate, "globex-prod-tls"), false},
		"certificate of the release":   {named(certificate, "acme-prod-tls"), true},
		"certificate of the customer":  {named(certificate, "customers"), true},
		"certificate, rendered Secret": {named(certificate, "rendered") + secret, true},
		"both of another":              {named(ingress+certificate, "globex-prod-tls"), false},
		"ingress without TLS":          {"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\n", true},
		"another kind of certificate":  {strings.Replace(named(certificate, "other"), "cert-manager.io", "example.org", 1), true},
	} {
		failure := checkSecrets(objectsOf(t, c.manifest), &request{Release: "acme-prod", Inputs: &Inputs{AllowedSecrets: []string{"customers"}}})
		if (failure == nil) != c.allowed {
			t.Errorf("%s: %v", name, failure)
		}
		if failure != nil && (failure.Class != classSecretNotAllowed || !strings.Contains(failure.Message, `names that begin with "acme-prod-"`)) {
			t.Errorf("%s: %s %q", name, failure.Class, failure.Message)
		}
	}
}
