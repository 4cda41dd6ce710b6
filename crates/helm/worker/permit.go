package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// permit is the right of one operation to write. It ends by itself, can be renewed while it lasts, and once ended never
// comes back: what happened in between is not known here.
type permit struct {
	mu     sync.Mutex
	until  time.Duration
	reason *workerError
	ended  chan struct{}
	timer  *time.Timer
}

func newPermit(v validity) *permit {
	p := &permit{until: v.until(), ended: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(time.Hour, p.look)
	p.timer.Reset(max(p.until-now(), 0))
	return p
}

// readOnly is the permit of an operation that never writes.
func readOnly() *permit {
	return &permit{
		reason: fail(classPermitExpired, "this operation may not write"),
		ended:  make(chan struct{}),
	}
}

// look ends the permit if its time is over, and else looks again then.
func (p *permit) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endIfOver()
	if p.reason == nil {
		p.timer.Reset(p.until - now())
	}
}

func (p *permit) endIfOver() {
	if p.reason == nil && now() >= p.until {
		p.finish(fail(classPermitExpired, "the permit to write ran out"))
	}
}

func (p *permit) finish(reason *workerError) {
	p.reason = reason
	close(p.ended)
	if p.timer != nil {
		p.timer.Stop()
	}
}

// renew moves the end of a permit that still lasts.
func (p *permit) renew(v validity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endIfOver()
	if p.reason == nil {
		p.until = v.until()
		p.endIfOver()
		if p.reason == nil {
			p.timer.Reset(p.until - now())
		}
	}
}

// end takes the permit away.
func (p *permit) end(reason *workerError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil {
		p.finish(reason)
	}
}

// check returns why nothing may be written, or nil.
func (p *permit) check() *workerError {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endIfOver()
	return p.reason
}

// guard is the transport of one operation: every request of its Helm action passes it.
type guard struct {
	next      http.RoundTripper
	permit    *permit
	userAgent string
	// keepData refuses to delete what holds data, however Helm came to it.
	keepData bool
	// dryRun makes the API server try every write and keep none.
	dryRun bool
	// failedRead is set when an object could not be read for another reason than not being there.
	failedRead func(status int)
}

var dataPath = regexp.MustCompile(`/(persistentvolumeclaims|statefulsets)(/|$)`)

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", g.userAgent)
	if mutates(r) {
		if g.keepData && r.Method == http.MethodDelete && dataPath.MatchString(r.URL.Path) {
			return g.refuseDeletion(r)
		}
		if g.dryRun && r.Method == http.MethodDelete {
			// The body of a deletion outweighs its query, so it is not sent at all.
			return deletionAccepted(r), nil
		}
		if g.dryRun {
			onlyTry(r)
		} else if refused := g.permit.check(); refused != nil {
			return nil, refused
		}
		strict(r)
	}
	response, err := g.next.RoundTrip(r)
	if r.Method == http.MethodGet && r.URL.Query().Get("watch") == "" && g.failedRead != nil {
		if err != nil {
			g.failedRead(0)
		} else if response.StatusCode >= 400 && response.StatusCode != http.StatusNotFound {
			g.failedRead(response.StatusCode)
		}
	}
	return response, err
}

// refuseDeletion lets Helm find out that there is nothing to delete: before it makes a hook, it deletes whatever has its name.
func (g *guard) refuseDeletion(r *http.Request) (*http.Response, error) {
	look := r.Clone(r.Context())
	look.Method, look.Body, look.ContentLength, look.URL.RawQuery = http.MethodGet, nil, 0, ""
	response, err := g.next.RoundTrip(look)
	if err != nil || response.StatusCode == http.StatusNotFound {
		return response, err
	}
	response.Body.Close()
	return nil, fail(classWouldDeleteData, "the deletion of %q was refused", lastSegments(r.URL.Path))
}

// mutates says whether the request changes something in the cluster.
func mutates(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	if r.URL.Query().Get("dryRun") == "All" {
		return false
	}
	// Reviews are questions that are asked by POST.
	return !strings.Contains(r.URL.Path, "/apis/authorization.k8s.io/") &&
		!strings.Contains(r.URL.Path, "/apis/authentication.k8s.io/")
}

// strict makes the API server refuse unknown fields. Helm asks for it where it applies on the server's side; a release
// that is applied on the client's side would lose them silently.
func strict(r *http.Request) {
	if r.Method == http.MethodDelete {
		return
	}
	if query := r.URL.Query(); query.Get("fieldValidation") == "" {
		query.Set("fieldValidation", "Strict")
		r.URL.RawQuery = query.Encode()
	}
}

func onlyTry(r *http.Request) {
	query := r.URL.Query()
	query.Set("dryRun", "All")
	r.URL.RawQuery = query.Encode()
}

func deletionAccepted(r *http.Request) *http.Response {
	body := `{"kind":"Status","apiVersion":"v1","status":"Success"}`
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func lastSegments(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

// readOnlyTransport serves what outlives an operation, such as discovery.
type readOnlyTransport struct {
	next      http.RoundTripper
	userAgent func() string
}

func (t *readOnlyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if mutates(r) {
		return nil, fail(classPermitExpired, "discovery may not write")
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", t.userAgent())
	return t.next.RoundTrip(r)
}
