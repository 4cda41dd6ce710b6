package main

import (
	"slices"
	"strings"
	"testing"
)

const (
	claimFiles  = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files}\nspec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 1Gi}}}\n---\n"
	database    = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec: {template: {spec: {containers: [{name: a, envFrom: [{secretRef: {name: password}}]}]}}, volumeClaimTemplates: [{metadata: {name: data}, spec: {resources: {requests: {storage: 1Gi}}}}]}\n---\n"
	password    = "apiVersion: v1\nkind: Secret\nmetadata: {name: password}\n---\n"
	webOnFiles  = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, envFrom: [{secretRef: {name: password}}]}], volumes: [{name: f, persistentVolumeClaim: {claimName: files}}]}}}\n---\n"
	webStateful = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a}]}}}\n---\n"
)

func TestDataLoss(t *testing.T) {
	everything := claimFiles + database + password + webOnFiles
	replace := strings.Replace
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"nothing":              {everything, everything, nil},
		"first claim":          {password, everything, nil},
		"stateless goes":       {webStateful + password, "", nil},
		"claim grows":          {claimFiles, replace(claimFiles, "1Gi", "2Gi", 1), nil},
		"claim removed":        {everything, database + password, []string{"PersistentVolumeClaim/files would be removed"}},
		"claim renamed":        {claimFiles, replace(claimFiles, "files", "data", 1), []string{"PersistentVolumeClaim/files would be removed"}},
		"claim becomes a hook": {claimFiles, replace(claimFiles, "{name: files}", "{name: files, annotations: {helm.sh/hook: pre-install}}", 1), []string{"PersistentVolumeClaim/files would be removed"}},
		"claim class":          {claimFiles, replace(claimFiles, "fast", "slow", 1), []string{`PersistentVolumeClaim/files would change "storageClassName"`}},
		"claim modes":          {claimFiles, replace(claimFiles, "Once", "Many", 1), []string{`PersistentVolumeClaim/files would change "accessModes"`}},
		"claim volume":         {claimFiles, replace(claimFiles, "spec: {", "spec: {volumeName: pv, ", 1), []string{`PersistentVolumeClaim/files would change "volumeName"`}},
		"database removed":     {database, webStateful, []string{"StatefulSet/db would be removed"}},
		"templates changed":    {database, replace(database, "1Gi", "2Gi", 1), []string{`StatefulSet/db would change its "volumeClaimTemplates"`}},
		"templates labelled":   {database, replace(database, "{name: data}", "{name: data, labels: {a: b}}", 1), nil},
		"password dropped":     {database + password, database, []string{"Secret/password would be removed, which StatefulSet/db reads"}},
		"password moved":       {database + password, replace(database, "name: password", "name: other", 1), []string{"Secret/password would be removed, which StatefulSet/db reads"}},
		"password kept":        {database + replace(password, "{name: password}", "{name: password, annotations: {helm.sh/resource-policy: keep}}", 1), database, nil},
		"password of the web":  {claimFiles + webOnFiles + password, claimFiles + webOnFiles, []string{"Secret/password would be removed, which Deployment/web reads"}},
		"password was no ours": {database, database, nil},
		"kept claim, web gone": {keepClaim + webOnFiles, "", nil},
		"kept claim, web stays": {keepClaim + webOnFiles, webStateful,
			[]string{"Deployment/web would no longer use PersistentVolumeClaim/files"}},
		"kept claim still used": {keepClaim + webOnFiles, webOnFiles, nil},
		"list in the old one":   {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x}}]\n", "", []string{"PersistentVolumeClaim/x would be removed"}},
		"stop deletes":          {"", replace(database, "spec: {", "spec: {persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}, ", 1), []string{"StatefulSet/db would delete its volumes whenever it is stopped"}},
		"hook recreates": {"", replace(claimFiles, "{name: files}", `{name: files, annotations: {helm.sh/hook: "pre-install, pre-upgrade"}}`, 1),
			[]string{"PersistentVolumeClaim/files is a hook that every upgrade deletes and creates again"}},
		"hook of the install": {"", replace(claimFiles, "{name: files}", `{name: files, annotations: {helm.sh/hook: pre-install}}`, 1), nil},
		"hook that stays": {"", replace(claimFiles, "{name: files}",
			`{name: files, annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: hook-failed}}`, 1), nil},
	} {
		got := dataLoss("odoo", "odoo", objectsOf(t, c.before), objectsOf(t, c.after), true)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := dataLoss("odoo", "other", nil, nil, true); !slices.Equal(got, []string{`chart "odoo" would be replaced by chart "other"`}) {
		t.Errorf("%q", got)
	}
}

var keepClaim = strings.Replace(claimFiles, "{name: files}", "{name: files, annotations: {helm.sh/resource-policy: keep}}", 1)
