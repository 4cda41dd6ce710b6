package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What a chart renders may reach what is the release's: its own pods, claims and settings, and the hosts of its environment. In
// charts with values for anything (additional objects, "tpl") the environment's author decides over it, who has no right of his
// own on other customers' things.

// checkReach judges where objects lead that a chart rendered together with a release's.
func checkReach(judged, rendered []object, r *request) *workerError {
	if failure := checkFed(judged, r); failure != nil {
		return failure
	}
	release := newReach(rendered, r)
	for _, o := range judged {
		for _, reason := range release.refused(o) {
			return fail(classReferenceNotAllowed, "%s %s", o.quoted(), reason)
		}
	}
	return nil
}

// shortestFed is the length from which on a text is looked for: shorter ones stand everywhere.
const shortestFed = 6

// checkFed refuses whatever holds what a Secret fed and is no Secret itself: others read it, too.
func checkFed(objects []object, r *request) *workerError {
	for _, pointer := range r.SecretPaths {
		text, _ := atPointer(r.Values, pointer).(string)
		needles := fedTexts(text)
		if len(needles) == 0 {
			continue
		}
		for _, o := range objects {
			if o.apiKind() == "v1/Secret" {
				continue
			}
			if field := holding(o.Object, "", needles); field != "" {
				return fail(classSecretNotAllowed, "%s holds in %q what a Secret feeds to value %q, and others read it than that Secret: "+
					"a value that Secrets feed must be rendered into Secrets alone", o.quoted(), field, dotted(pointer))
			}
		}
	}
	return nil
}

// fedTexts are the forms in which a fed text may stand in an object. An indented text of several lines is known by its longest.
func fedTexts(text string) []string {
	longest := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) > len(longest) {
			longest = line
		}
	}
	if len(longest) < shortestFed {
		return nil
	}
	return []string{longest, base64.StdEncoding.EncodeToString([]byte(text))}
}

// holding returns the field in which one of the texts stands, or nothing.
func holding(value any, field string, needles []string) string {
	stands := func(text string) bool {
		return slices.ContainsFunc(needles, func(needle string) bool { return strings.Contains(text, needle) })
	}
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			if stands(key) {
				return field + ".…"
			}
			if found := holding(child, field+"."+key, needles); found != "" {
				return found
			}
		}
	case []any:
		for i, child := range v {
			if found := holding(child, fmt.Sprintf("%s[%d]", field, i), needles); found != "" {
				return found
			}
		}
	case string:
		if stands(v) {
			return strings.TrimPrefix(field, ".")
		}
	}
	return ""
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// atPointer returns what lies at a JSON pointer (RFC 6901), or nil.
func atPointer(value any, pointer string) any {
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[unescapePointer.Replace(part)]
		case []any:
			i := 0
			if _, err := fmt.Sscanf(part, "%d", &i); err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

func dotted(pointer string) string {
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}

// reach is what the objects of a release may lead to.
type reach struct {
	request *request
	// names of what the operation brings, by kind.
	names map[string]map[string]bool
	// pods are the labels of rendered pods.
	pods []map[string]string
	// templates are the names that claims of StatefulSets begin with.
	templates []string
}

func newReach(objects []object, r *request) *reach {
	release := &reach{request: r, names: map[string]map[string]bool{}}
	for _, o := range objects {
		if pod := o.podLabels(); pod != nil {
			release.pods = append(release.pods, pod)
		}
		if !r.brings(o) {
			continue
		}
		if release.names[o.GetKind()] == nil {
			release.names[o.GetKind()] = map[string]bool{}
		}
		release.names[o.GetKind()][o.GetName()] = true
		for _, template := range o.claimTemplateNames() {
			release.templates = append(release.templates, template+"-"+o.GetName()+"-")
		}
	}
	return release
}

// refused says what is wrong with where an object leads.
func (r *reach) refused(o object) []string {
	var reasons []string
	add := func(format string, arguments ...any) { reasons = append(reasons, fmt.Sprintf(format, arguments...)) }
	for _, name := range slices.Sorted(maps.Keys(o.claims())) {
		if _, live := r.request.Volumes[name]; !live && !r.names["PersistentVolumeClaim"][name] && !r.isOfTemplate(name) {
			add("mounts volume claim %q, which the release does not render: it may be somebody else's", name)
		}
	}
	for _, name := range o.configMapNames() {
		if !r.names["ConfigMap"][name] && !slices.Contains(r.request.AllowedConfigMaps, name) && name != "kube-root-ca.crt" {
			add(`reads ConfigMap %q, which is neither rendered nor this customer's; label it "odoofleet.dev/customer" with the customer's name`, name)
		}
	}
	for _, label := range []string{"odoofleet.dev/shared", "odoofleet.dev/registry", "odoofleet.dev/generated"} {
		if _, set := o.GetLabels()[label]; set && (o.GetKind() == "Secret" || o.GetKind() == "ConfigMap") {
			add("has label %q, by which others may read it or the operator takes it for its own: leave the label out", label)
		}
	}
	for _, selector := range o.selectors() {
		if !r.selectsOwn(selector) {
			add("selects pods by %s, which may be somebody else's: let it name the release, or labels of the release's own pods that do", inWords(selector))
		}
	}
	for _, target := range o.targets() {
		if !r.names[target.kind][target.name] {
			add("leads to %s %q, which the release does not render", target.kind, target.name)
		}
	}
	if r.request.Hosts != nil {
		for _, host := range o.hosts() {
			if !slices.Contains(r.request.Hosts, host) {
				add("is for host %q, which the environment does not have: set spec.ingress.host or aliases, and bind them to the chart's values", host)
			}
		}
	}
	return reasons
}

func (r *reach) isOfTemplate(claim string) bool {
	return slices.ContainsFunc(r.templates, func(template string) bool { return strings.HasPrefix(claim, template) })
}

// selectsOwn says whether a selector can select pods of this release alone: one of its labels names the release, or what the release
// renders under a name of its own. That other releases have the same labels would need their charts' help.
func (r *reach) selectsOwn(selector map[string]string) bool {
	for _, value := range selector {
		if value == r.request.Release || strings.HasPrefix(value, r.request.Release+"-") && r.isOwnLabel(value) {
			return true
		}
	}
	return false
}

// isOwnLabel says whether pods of the release carry the value.
func (r *reach) isOwnLabel(value string) bool {
	return slices.ContainsFunc(r.pods, func(pod map[string]string) bool {
		for _, own := range pod {
			if own == value {
				return true
			}
		}
		return false
	})
}
