package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/release/common"
)

const storedRelease = `{"name":"acme-prod","info":{"first_deployed":"2026-01-02T03:04:05.123456789+08:00","deleted":"","status":"pending-upgrade","description":"Preparing upgrade","notes":"<a href=\"x\"> & more","future":{"n":1.50}},` +
	`"config":{"big":12345678901234567890123,"float":1.0,"exp":1e3,"text":"中文 <&> \u2028"},"manifest":"---\n# x\n","version":7,"namespace":"odoo","apply_method":"ssa","future_field":[1.10,null,9007199254740993]}`

func TestUnlockRewritesStatusAlone(t *testing.T) {
	for name, packed := range map[string][]byte{
		"packed":     must1(packRelease([]byte(storedRelease))),
		"not packed": []byte(base64.StdEncoding.EncodeToString([]byte(storedRelease))),
	} {
		again, err := rewriteRelease(packed, common.StatusFailed, "recovered: <x>")
		must(t, err)
		plain, err := unpackRelease(again)
		must(t, err)
		var before, after map[string]json.RawMessage
		must(t, json.Unmarshal([]byte(storedRelease), &before))
		must(t, json.Unmarshal(plain, &after))
		for field, raw := range before {
			if field != "info" && string(after[field]) != string(raw) {
				t.Errorf("%s: %q became %s", name, field, after[field])
			}
		}
		var infoBefore, infoAfter map[string]json.RawMessage
		must(t, json.Unmarshal(before["info"], &infoBefore))
		must(t, json.Unmarshal(after["info"], &infoAfter))
		infoBefore["status"], infoBefore["description"] = json.RawMessage(`"failed"`), json.RawMessage(`"recovered: \u003cx\u003e"`)
		if len(infoAfter) != len(infoBefore) || len(after) != len(before) {
			t.Errorf("%s: %s", name, plain)
		}
		for field, raw := range infoBefore {
			if string(infoAfter[field]) != string(raw) {
				t.Errorf("%s: info.%s became %s", name, field, infoAfter[field])
			}
		}
	}
}

func TestUnlockOfWhatIsNotARelease(t *testing.T) {
	for name, packed := range map[string]string{
		"no base64": "!", "no JSON": base64.StdEncoding.EncodeToString([]byte("hunter2")),
		"no info":     base64.StdEncoding.EncodeToString([]byte("{}")),
		"broken gzip": base64.StdEncoding.EncodeToString([]byte{0x1f, 0x8b, 0x08, 0}),
	} {
		if _, err := rewriteRelease([]byte(packed), common.StatusFailed, ""); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func must1[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
