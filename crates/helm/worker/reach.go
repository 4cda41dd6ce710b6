package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Where an object leads, read from the fields that Kubernetes, Gateway API and cert-manager have for it.

// target is an object that another one acts upon.
type target struct{ kind, name string }

// podLabels returns the labels of the object's pods, or nil.
func (o object) podLabels() map[string]string {
	path, known := podTemplates[o.GetKind()]
	if !known || o.podSpec() == nil {
		return nil
	}
	return texts(o.at(append(slices.Clone(path[:len(path)-1]), "metadata", "labels")...))
}

// claimTemplateNames returns the names of the templates from which a StatefulSet makes claims.
func (o object) claimTemplateNames() []string {
	if o.GetKind() != "StatefulSet" {
		return nil
	}
	var names []string
	templates, _ := o.at("spec", "volumeClaimTemplates").([]any)
	for _, template := range templates {
		if name, ok := field(template, "metadata", "name").(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// configMapNames returns the ConfigMaps that the object's pods read, sorted.
func (o object) configMapNames() []string {
	found := map[string]bool{}
	var collect func(any)
	collect = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for _, key := range []string{"configMap", "configMapRef", "configMapKeyRef"} {
				addName(field(v, key, "name"), found)
			}
			for _, child := range v {
				collect(child)
			}
		case []any:
			for _, child := range v {
				collect(child)
			}
		}
	}
	if spec := o.podSpec(); spec != nil {
		collect(spec)
	}
	return slices.Sorted(maps.Keys(found))
}

// selectors returns those by which the object finds pods that it acts upon. A NetworkPolicy acts upon those of its own selector; whom it
// lets in or out is no reach of its own.
func (o object) selectors() []map[string]string {
	var selector map[string]string
	switch o.GetKind() {
	case "Service":
		if selector = texts(o.at("spec", "selector")); selector == nil {
			return nil
		}
	case "NetworkPolicy":
		selector = matching(o.at("spec", "podSelector"))
	case "PodDisruptionBudget", "PodMonitor":
		selector = matching(o.at("spec", "selector"))
	default:
		return nil
	}
	return []map[string]string{selector}
}

// targets returns the objects that an autoscaler or a route leads to.
func (o object) targets() []target {
	var found []target
	add := func(kind, name any) {
		if name, ok := name.(string); ok && name != "" {
			kind, _ := kind.(string)
			found = append(found, target{kind, name})
		}
	}
	switch o.GetKind() {
	case "HorizontalPodAutoscaler", "VerticalPodAutoscaler":
		for _, path := range []string{"scaleTargetRef", "targetRef"} {
			add(o.at("spec", path, "kind"), o.at("spec", path, "name"))
		}
	case "Ingress":
		add("Service", o.at("spec", "defaultBackend", "service", "name"))
		for _, rule := range list(o.at("spec", "rules")) {
			for _, path := range list(field(rule, "http", "paths")) {
				add("Service", field(path, "backend", "service", "name"))
			}
		}
	case "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute":
		for _, rule := range list(o.at("spec", "rules")) {
			for _, backend := range list(field(rule, "backendRefs")) {
				if kind, given := field(backend, "kind").(string); !given || kind == "Service" {
					add("Service", field(backend, "name"))
				}
			}
		}
	case "Service":
		// An alias of another's Service would bring that to whoever may reach this one.
		if name, _ := o.at("spec", "externalName").(string); name != "" && isInside(name) {
			add("Service", strings.SplitN(name, ".", 2)[0])
		}
	}
	return found
}

// isInside says whether a name is one that the cluster's DNS answers.
func isInside(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".svc") || strings.Contains(host, ".svc.") || strings.HasSuffix(host, ".local")
}

// hosts returns those for which the object is, in lower case and without a dot at the end. An empty one stands for every host.
func (o object) hosts() []string {
	found := map[string]bool{}
	add := func(value any) {
		text, _ := value.(string)
		found[strings.TrimSuffix(strings.ToLower(text), ".")] = true
	}
	switch group, _, _ := strings.Cut(o.GetAPIVersion(), "/"); {
	case o.GetKind() == "Ingress":
		if o.at("spec", "defaultBackend") != nil {
			add("")
		}
		for _, rule := range list(o.at("spec", "rules")) {
			add(field(rule, "host"))
		}
		for _, tls := range list(o.at("spec", "tls")) {
			for _, host := range list(field(tls, "hosts")) {
				add(host)
			}
		}
	case group == "gateway.networking.k8s.io" && strings.HasSuffix(o.GetKind(), "Route"):
		hostnames := list(o.at("spec", "hostnames"))
		if len(hostnames) == 0 {
			add("")
		}
		for _, host := range hostnames {
			add(host)
		}
	case o.GetKind() == "Certificate" && group == "cert-manager.io":
		if name := o.at("spec", "commonName"); name != nil {
			add(name)
		}
		for _, host := range list(o.at("spec", "dnsNames")) {
			add(host)
		}
	case o.GetKind() == "Route" && group == "route.openshift.io":
		add(o.at("spec", "host"))
	}
	return slices.Sorted(maps.Keys(found))
}

// field returns what lies below the keys of a map, or nil.
func field(value any, keys ...string) any {
	for _, key := range keys {
		content, _ := value.(map[string]any)
		value = content[key]
	}
	return value
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}

// texts returns a map of texts, or nil where there is none.
func texts(value any) map[string]string {
	content, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	found := map[string]string{}
	for key, value := range content {
		found[key] = fmt.Sprint(value)
	}
	return found
}

// matching returns what a label selector wants of each pod: its labels, and expressions that allow one value only.
func matching(selector any) map[string]string {
	found := map[string]string{}
	maps.Copy(found, texts(field(selector, "matchLabels")))
	for _, expression := range list(field(selector, "matchExpressions")) {
		key, _ := field(expression, "key").(string)
		if values := list(field(expression, "values")); field(expression, "operator") == "In" && len(values) == 1 {
			found[key] = fmt.Sprint(values[0])
		}
	}
	return found
}

func inWords(selector map[string]string) string {
	if len(selector) == 0 {
		return "no label"
	}
	var words []string
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		words = append(words, fmt.Sprintf("%s=%s", key, selector[key]))
	}
	return strings.Join(words, ",")
}
