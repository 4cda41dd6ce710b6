package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func valid(d time.Duration) validity {
	return validity{ValidForMillis: d.Milliseconds(), SentAtMillis: now().Milliseconds()}
}

func isOver(p *permit) bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func TestPermitEndsByItself(t *testing.T) {
	p := newPermit(valid(50 * time.Millisecond))
	if p.check() != nil {
		t.Fatal("it ended at once")
	}
	<-p.ended
	if reason := p.check(); reason == nil || reason.Class != classPermitExpired {
		t.Errorf("%v", reason)
	}
	p.renew(valid(time.Hour))
	if p.check() == nil {
		t.Error("what is over was renewed")
	}
}

func TestPermitIsRenewed(t *testing.T) {
	p := newPermit(valid(time.Hour))
	p.renew(valid(2 * time.Hour))
	if p.check() != nil || isOver(p) {
		t.Error("a renewed permit is over")
	}
	p.renew(valid(0))
	if p.check() == nil || !isOver(p) {
		t.Error("a permit of no length lasts")
	}
}

func TestPermitThatWaitedInThePipe(t *testing.T) {
	sent := now().Milliseconds() - 10_000
	p := newPermit(validity{ValidForMillis: 8_000, SentAtMillis: sent})
	if p.check() == nil {
		t.Error("a permit that ended before it was read lasts")
	}
	if newPermit(validity{ValidForMillis: 8_000}).check() == nil {
		t.Error("a permit of unknown age lasts")
	}
	future := now().Milliseconds() + 3_600_000
	v := validity{ValidForMillis: 1, SentAtMillis: future}
	if v.until() > now()+time.Second {
		t.Error("a sender's clock that is ahead prolongs the permit")
	}
}

func TestPermitKeepsItsFirstReason(t *testing.T) {
	p := newPermit(valid(time.Hour))
	p.end(fail(classUnreachable, "a"))
	p.end(fail(classDeadline, "b"))
	if p.check().Class != classUnreachable {
		t.Errorf("%v", p.check())
	}
}

func TestGuard(t *testing.T) {
	var reached *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = r
		if r.URL.Path == "/forbidden" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	failed := 0
	over := newPermit(valid(0))
	lasting := newPermit(valid(time.Hour))
	send := func(p *permit, keepData bool, method, path string) error {
		reached = nil
		g := &guard{next: http.DefaultTransport, permit: p, userAgent: "worker", keepData: keepData, failedRead: func(int) { failed++ }}
		request, err := http.NewRequest(method, server.URL+path, nil)
		must(t, err)
		response, err := g.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	for _, c := range []struct {
		permit   *permit
		keepData bool
		method   string
		path     string
		class    string
	}{
		{over, false, "GET", "/api/v1/pods", ""},
		{over, false, "POST", "/api/v1/namespaces/odoo/pods", classPermitExpired},
		{over, false, "PUT", "/api/v1/namespaces/odoo/pods/a", classPermitExpired},
		{over, false, "PATCH", "/api/v1/namespaces/odoo/pods/a", classPermitExpired},
		{over, false, "DELETE", "/api/v1/namespaces/odoo/pods/a", classPermitExpired},
		{over, false, "PATCH", "/api/v1/namespaces/odoo/pods/a?dryRun=All", ""},
		{over, false, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", ""},
		{over, false, "POST", "/api/v1/namespaces/odoo/serviceaccounts/a/token", classPermitExpired},
		{lasting, false, "POST", "/api/v1/namespaces/odoo/pods", ""},
		{lasting, true, "DELETE", "/api/v1/namespaces/odoo/persistentvolumeclaims/a", classWouldDeleteData},
		{lasting, true, "DELETE", "/apis/apps/v1/namespaces/odoo/statefulsets/a", classWouldDeleteData},
		{lasting, true, "DELETE", "/apis/apps/v1/namespaces/odoo/statefulsets", classWouldDeleteData},
		{lasting, true, "DELETE", "/api/v1/namespaces/odoo/configmaps/persistentvolumeclaims-notes", ""},
		{lasting, false, "DELETE", "/api/v1/namespaces/odoo/persistentvolumeclaims/a", ""},
	} {
		err := send(c.permit, c.keepData, c.method, c.path)
		var failure *workerError
		if c.class == "" && (err != nil || reached == nil) {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
		if c.class != "" && (!errors.As(err, &failure) || failure.Class != c.class || (reached != nil && mutates(reached))) {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
	must(t, send(lasting, false, "PATCH", "/a?force=true"))
	if reached.URL.RawQuery != "fieldValidation=Strict&force=true" || reached.UserAgent() != "worker" {
		t.Errorf("%s %s", reached.URL.RawQuery, reached.UserAgent())
	}
	must(t, send(lasting, false, "PATCH", "/a?fieldValidation=Ignore"))
	if reached.URL.RawQuery != "fieldValidation=Ignore" {
		t.Errorf("%s", reached.URL.RawQuery)
	}
	must(t, send(lasting, false, "GET", "/forbidden"))
	if failed != 1 {
		t.Errorf("%d failed reads", failed)
	}
}

// A guard that only tries needs no permit, since it changes nothing: not even by a deletion, whose body outweighs its query.
func TestGuardThatOnlyTries(t *testing.T) {
	var reached []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached = append(reached, r.Method+" "+r.URL.RawQuery)
	}))
	defer server.Close()
	g := &guard{next: http.DefaultTransport, permit: newPermit(valid(0)), dryRun: true, keepData: true, failedRead: func(int) {}}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		request, err := http.NewRequest(method, server.URL+"/api/v1/namespaces/odoo/configmaps/a", strings.NewReader("{}"))
		must(t, err)
		response, err := g.RoundTrip(request)
		must(t, err)
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", method, response.Status)
		}
	}
	want := []string{"POST dryRun=All&fieldValidation=Strict", "PUT dryRun=All&fieldValidation=Strict", "PATCH dryRun=All&fieldValidation=Strict"}
	if !slices.Equal(reached, want) {
		t.Errorf("%v", reached)
	}
	request, err := http.NewRequest(http.MethodDelete, server.URL+"/api/v1/namespaces/odoo/persistentvolumeclaims/a", nil)
	must(t, err)
	var failure *workerError
	if _, err := g.RoundTrip(request); !errors.As(err, &failure) || failure.Class != classWouldDeleteData {
		t.Errorf("%v", err)
	}
}
