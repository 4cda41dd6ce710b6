package main

import "testing"

func TestPathsOfSecrets(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/secrets":                                   true,
		"/api/v1/namespaces/odoo/secrets":                   true,
		"/api/v1/namespaces/odoo/secrets/a":                 true,
		"/api/v1/watch/namespaces/odoo/secrets/a":           true,
		"/api/v1/namespaces/odoo/configmaps/../secrets/a":   true,
		"/proxy/cluster/api/v1/namespaces/odoo/secrets/a":   true,
		"/api/v1/namespaces/odoo/serviceaccounts/a/token":   true,
		"/api/v1/namespaces/odoo/serviceaccounts/a":         false,
		"/api/v1/namespaces/secrets":                        false,
		"/api/v1/namespaces/secrets/configmaps":             false,
		"/api/v1/namespaces/odoo/configmaps/secrets":        false,
		"/apis/apps/v1/namespaces/odoo/deployments/secrets": false,
		"/apis/example.org/v1/namespaces/odoo/secrets/a":    false,
		"/api/v1":  false,
		"/version": false,
	} {
		if got := readsSecrets(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}
