package main

import (
	"encoding/base64"
	"strings"
	"testing"
)

// Where rendered objects may lead. Each row is one object beside a release of its own.

const ownRelease = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: acme-prod-web}
spec:
  selector: {matchLabels: {app: acme-prod-web}}
  template:
    metadata: {labels: {app: acme-prod-web, tier: web}}
    spec: {containers: [{name: a, image: b}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: acme-prod-db}
spec:
  template: {spec: {containers: [{name: a, image: b}]}}
  volumeClaimTemplates: [{metadata: {name: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: acme-prod}
spec: {selector: {app.kubernetes.io/instance: acme-prod}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: rendered}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: of-a-hook, annotations: {helm.sh/hook: post-delete}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: of-an-upgrade, annotations: {helm.sh/hook: "pre-install, pre-upgrade"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: acme-prod-installed, annotations: {helm.sh/hook: pre-install}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: installed, annotations: {helm.sh/hook: pre-install}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: acme-prod-files}
---
`

// refusedFor wants a failure of the class that names something; no failure where there is nothing to name.
func refusedFor(t *testing.T, what string, failure *workerError, class, named string) {
	t.Helper()
	switch {
	case named == "" && failure != nil:
		t.Errorf("%s: %s", what, failure.Message)
	case named == "":
	case failure == nil || failure.Class != class || !strings.Contains(failure.Message, named):
		t.Errorf("%s: %v", what, failure)
	}
}

func TestReach(t *testing.T) {
	pod := func(volume string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b}], volumes: [{name: v, " + volume + "}]}\n"
	}
	env := func(from string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b, " + from + "}]}\n"
	}
	of := func(kind, spec string) string {
		return "apiVersion: " + kind[:strings.LastIndex(kind, "/")] + "\nkind: " + kind[strings.LastIndex(kind, "/")+1:] +
			"\nmetadata: {name: x}\nspec: " + spec + "\n"
	}
	service := func(spec string) string { return of("v1/Service", spec) }
	policy := func(spec string) string { return of("networking.k8s.io/v1/NetworkPolicy", spec) }
	ingress := func(spec string) string { return of("networking.k8s.io/v1/Ingress", spec) }
	route := func(spec string) string { return of("gateway.networking.k8s.io/v1/HTTPRoute", spec) }
	certificate := func(spec string) string { return of("cert-manager.io/v1/Certificate", spec) }
	scaler := func(spec string) string { return of("autoscaling/v2/HorizontalPodAutoscaler", spec) }
	for name, c := range map[string]struct{ manifest, refused string }{
		"a rendered claim":               {pod("persistentVolumeClaim: {claimName: acme-prod-files}"), ""},
		"a claim of its StatefulSet":     {pod("persistentVolumeClaim: {claimName: data-acme-prod-db-0}"), ""},
		"a claim that it has already":    {pod("persistentVolumeClaim: {claimName: live}"), ""},
		"a claim of somebody else":       {pod("persistentVolumeClaim: {claimName: globex-prod-files}"), `claim "globex-prod-files"`},
		"a claim by a longer name":       {pod("persistentVolumeClaim: {claimName: acme-prod-b-files}"), "claim"},
		"a rendered ConfigMap":           {pod("configMap: {name: rendered}"), ""},
		"the customer's ConfigMap":       {env("envFrom: [{configMapRef: {name: customers}}]"), ""},
		"the cluster's authority":        {pod("projected: {sources: [{configMap: {name: kube-root-ca.crt}}]}"), ""},
		"a foreign ConfigMap":            {pod("configMap: {name: globex}"), `ConfigMap "globex"`},
		"a foreign ConfigMap, projected": {pod("projected: {sources: [{configMap: {name: globex}}]}"), "ConfigMap"},
		"a foreign ConfigMap, variables": {env("envFrom: [{configMapRef: {name: globex}}]"), "ConfigMap"},
		"a foreign ConfigMap, one key":   {env("env: [{name: A, valueFrom: {configMapKeyRef: {name: globex, key: a}}}]"), "ConfigMap"},
		"a ConfigMap of a hook":          {pod("configMap: {name: of-a-hook}"), "ConfigMap"},
		"of a hook that runs now":        {pod("configMap: {name: of-an-upgrade}"), ""},
		"what the installation left":     {pod("configMap: {name: acme-prod-installed}"), ""},
		"an installation's, by any name": {pod("configMap: {name: installed}"), "ConfigMap"},
		"a Service of the release":       {service("{selector: {app.kubernetes.io/instance: acme-prod}}"), ""},
		"a Service of its pods":          {service("{selector: {app: acme-prod-web}}"), ""},
		"a Service without a selector":   {service("{ports: [{port: 1}]}"), ""},
		"a Service of any web pod":       {service("{selector: {tier: web}}"), "tier=web"},
		"a Service of another release":   {service("{selector: {app.kubernetes.io/instance: globex-prod}}"), "globex-prod"},
		"a Service of a longer name":     {service("{selector: {app.kubernetes.io/instance: acme-prod-b}}"), "acme-prod-b"},
		"an alias of the outside":        {service("{type: ExternalName, externalName: smtp.example.org}"), ""},
		"an alias of a Service":          {service("{type: ExternalName, externalName: globex-prod.odoo.svc.cluster.local}"), "globex-prod"},
		"a policy of the release":        {policy("{podSelector: {matchLabels: {app.kubernetes.io/instance: acme-prod}}}"), ""},
		"a policy by an expression":      {policy("{podSelector: {matchExpressions: [{key: a, operator: In, values: [acme-prod]}]}}"), ""},
		"a policy of two releases":       {policy("{podSelector: {matchExpressions: [{key: a, operator: In, values: [acme-prod, b]}]}}"), "no label"},
		"a policy of everybody":          {policy("{podSelector: {}, ingress: [{}]}"), "no label"},
		"a budget of everybody":          {of("policy/v1/PodDisruptionBudget", "{selector: {matchLabels: {app: odoo}}}"), "app=odoo"},
		"a Secret for everybody":         {"apiVersion: v1\nkind: Secret\nmetadata: {name: x, labels: {odoofleet.dev/shared: 'true'}}\n", "odoofleet.dev/shared"},
		"a Secret like a generated one":  {"apiVersion: v1\nkind: Secret\nmetadata: {name: x, labels: {odoofleet.dev/generated: 'true'}}\n", "odoofleet.dev/generated"},
		"its own autoscaler":             {scaler("{scaleTargetRef: {kind: Deployment, name: acme-prod-web}}"), ""},
		"an autoscaler of another":       {scaler("{scaleTargetRef: {kind: Deployment, name: globex-prod-web}}"), "globex-prod-web"},
		"its host":                       {ingress("{rules: [{host: ERP.acme.example., http: {paths: [{backend: {service: {name: acme-prod}}}]}}]}"), ""},
		"a foreign host":                 {ingress("{rules: [{host: erp.globex.example}]}"), "erp.globex.example"},
		"a foreign host for TLS":         {ingress("{tls: [{hosts: [erp.globex.example]}]}"), "erp.globex.example"},
		"every host":                     {ingress("{rules: [{http: {paths: []}}]}"), `host ""`},
		"every host, by a default":       {ingress("{defaultBackend: {service: {name: acme-prod}}}"), `host ""`},
		"a wildcard":                     {ingress("{rules: [{host: '*.acme.example'}]}"), "*.acme.example"},
		"a foreign backend":              {ingress("{rules: [{host: erp.acme.example, http: {paths: [{backend: {service: {name: globex-prod}}}]}}]}"), "globex-prod"},
		"its route":                      {route("{hostnames: [erp.acme.example], rules: [{backendRefs: [{name: acme-prod}]}]}"), ""},
		"a foreign route":                {route("{hostnames: [erp.globex.example]}"), "erp.globex.example"},
		"a route for every host":         {route("{rules: []}"), `host ""`},
		"a route to another":             {route("{hostnames: [erp.acme.example], rules: [{backendRefs: [{name: globex-prod}]}]}"), "globex-prod"},
		"its certificate":                {certificate("{dnsNames: [erp.acme.example]}"), ""},
		"a foreign certificate":          {certificate("{dnsNames: [erp.acme.example, erp.globex.example]}"), "erp.globex.example"},
		"a foreign certificate's name":   {certificate("{commonName: erp.globex.example}"), "erp.globex.example"},
	} {
		objects := objectsOf(t, ownRelease+c.manifest)
		r := &request{Release: "acme-prod", Action: actionUpgrade, ExpectedRevision: 2, Inputs: &Inputs{
			Hosts: []string{"erp.acme.example"}, AllowedConfigMaps: []string{"customers"}, Volumes: map[string]string{"live": "1Gi"},
		}}
		failure := checkReach(objects, objects, r)
		refusedFor(t, name, failure, classReferenceNotAllowed, c.refused)
	}
}

func TestWhatSecretsFeedStaysInSecrets(t *testing.T) {
	const password = "correct horse"
	key := "-----BEGIN KEY-----\n  MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----\n"
	encoded := base64.StdEncoding.EncodeToString([]byte(password))
	values := map[string]any{"odoo": map[string]any{"config": map[string]any{"admin_passwd": password, "plain": "hello world"}},
		"list": []any{map[string]any{"key/x": key}, "short"}}
	for name, c := range map[string]struct{ manifest, field string }{
		"a Secret":               {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {p: correct horse}\n", ""},
		"another kind of Secret": {"apiVersion: example.org/v1\nkind: Secret\nmetadata: {name: a}\nspec: {p: correct horse}\n", "spec.p"},
		"a ConfigMap":            {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {odoo.conf: 'admin_passwd = correct horse'}\n", "data.odoo.conf"},
		"in base64":              {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData: {p: " + encoded + "}\n", "binaryData.p"},
		"an annotation":          {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {x: correct horse}}\n", "metadata.annotations.x"},
		"an argument":            {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{args: [--, 'p=correct horse']}]}\n", "spec.containers[0].args[1]"},
		"a key":                  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {correct horse: x}\n", "data"},
		"a text, indented":       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: |\n    x\n      MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n", "data.k"},
		"what is no Secret's":    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: hello world, y: short, z: '-----BEGIN KEY-----'}\n", ""},
	} {
		r := &request{Inputs: &Inputs{Values: values, SecretPaths: []string{"/odoo/config/admin_passwd", "/list/0/key~1x", "/list/1", "/absent/0"}}}
		failure := checkFed(objectsOf(t, c.manifest), r)
		refusedFor(t, name, failure, classSecretNotAllowed, c.field)
		if failure != nil && strings.Contains(failure.Message, password) {
			t.Errorf("%s: the message tells it: %s", name, failure.Message)
		}
	}
}

func TestASecretThatIsAHookIsThereWhenTheHookRuns(t *testing.T) {
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME, annotations: {helm.sh/hook: EVENT}}\n---\n" +
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: b, envFrom: [{secretRef: {name: NAME}}]}]}\n"
	for _, c := range []struct {
		action, event, name string
		allowed             bool
	}{
		{actionInstall, "post-delete", "globex", false},
		{actionInstall, "pre-upgrade", "globex", false},
		{actionInstall, "pre-install", "made", true},
		{actionUpgrade, "pre-install", "globex", false},
		{actionUpgrade, "pre-install", "acme-prod-made", true},
		{actionUpgrade, "pre-rollback", "acme-prod-made", false},
		{actionUpgrade, "pre-upgrade", "made", true},
	} {
		r := &request{Release: "acme-prod", Action: c.action, ExpectedRevision: 2, Inputs: &Inputs{}}
		manifest := strings.NewReplacer("NAME", c.name, "EVENT", c.event).Replace(secret)
		if failure := checkSecrets(objectsOf(t, manifest), r); (failure == nil) != c.allowed {
			t.Errorf("%+v: %v", c, failure)
		}
	}
}
