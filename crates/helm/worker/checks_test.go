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
	r := &request{Namespace: "odoo", AllowedKinds: defaultKinds}
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
	r := &request{Namespace: "odoo", AllowedKinds: defaultKinds}
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
	failure := checkSecrets(objects, &request{AllowedSecrets: []string{"unrelated"}})
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
	if failure = checkSecrets(objects, &request{AllowedSecrets: wanted}); failure != nil {
		t.Errorf("%v", failure)
	}
}
