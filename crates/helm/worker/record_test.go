package main

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func packed(text string) []byte { return must1(packRelease([]byte(text))) }

const (
	byHelm3 = `{"name":"acme-prod","info":{"first_deployed":"2026-01-02T03:04:05.123456789+08:00","last_deployed":"2026-01-02T03:04:05Z","deleted":"",` +
		`"status":"deployed"},"chart":{"metadata":{"name":"odoo","version":"1.2.3"},"lock":null,"templates":[],"values":{},"schema":null,"files":null},` +
		`"manifest":"---\n","hooks":[{"name":"h","kind":"Job","path":"p","manifest":"","events":["pre-upgrade"],"last_run":{"started_at":"","completed_at":"","phase":""}}],` +
		`"version":2,"namespace":"odoo"}`
)

func TestRecordsOfEitherHelmAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"Helm 3": byHelm3,
		"Helm 4": strings.Replace(byHelm3, `"version":2,`, `"version":2,"apply_method":"ssa",`, 1),
	} {
		for how, record := range map[string][]byte{"packed": packed(text), "not packed": []byte(base64.StdEncoding.EncodeToString([]byte(text)))} {
			rel, err := parseRecord(record)
			must(t, err)
			if rel.Name != "acme-prod" || rel.Version != 2 || rel.Info.Status != "deployed" || rel.Chart.Name() != "odoo" || len(rel.Hooks) != 1 {
				t.Errorf("%s, %s: %+v", name, how, rel)
			}
		}
	}
}

func TestRecordsThatCannotBeRead(t *testing.T) {
	whole := packed(byHelm3)
	inner := must1(base64.StdEncoding.DecodeString(string(whole)))
	for name, c := range map[string]struct {
		record []byte
		says   string
	}{
		"nothing":             {nil, "it is not valid JSON"},
		"no base64":           {[]byte("!hunter2"), "it is not base64"},
		"base64 cut off":      {whole[:len(whole)-3], "it is not base64"},
		"gzip cut off":        {[]byte(base64.StdEncoding.EncodeToString(inner[:len(inner)/2])), "it is cut off"},
		"gzip's head only":    {[]byte(base64.StdEncoding.EncodeToString(inner[:4])), "it is not gzip"},
		"no gzip, no JSON":    {[]byte(base64.StdEncoding.EncodeToString([]byte("hunter2"))), "it is not valid JSON"},
		"unpacks to too much": {packed(`{"name":"` + string(bytes.Repeat([]byte("a"), maxRelease)) + `"}`), "it unpacks to more than 64 MiB"},
		"unknown field":       {packed(strings.Replace(byHelm3, `"name"`, `"parts":"hunter2","name"`, 1)), `unknown field "parts"`},
		"long unknown field":  {packed(`{"` + strings.Repeat("é", 500) + `":1}`), `unknown field "` + strings.Repeat("é", 64) + `…"`},
		"another type":        {packed(`{"name":["hunter2"]}`), "its fields are not those of a release"},
		"no info":             {packed(`{"name":"acme-prod"}`), `it has no "info" with a status`},
		"no chart":            {packed(`{"name":"acme-prod","info":{"status":"deployed"}}`), `it has no "chart" with metadata`},
		"null":                {packed(`null`), `it has no "info" with a status`},
	} {
		if _, err := parseRecord(c.record); err == nil || err.Error() != c.says {
			t.Errorf("%s: %v", name, err)
		}
	}
}
