package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkRendered judges what a chart rendered, hooks included, before anything is written. Hooks of `helm test` are left out:
// nothing here runs them, save the check pod by the action that is for it.
func checkRendered(objects []object, r *request) *workerError {
	objects = released(objects)
	if failure := checkKinds(objects, r); failure != nil {
		return failure
	}
	if failure := checkClaims(objects); failure != nil {
		return failure
	}
	if failure := checkSecrets(objects, r); failure != nil {
		return failure
	}
	return checkReach(objects, objects, r)
}

// released leaves out the hooks of "helm test".
func released(objects []object) []object {
	return slices.DeleteFunc(slices.Clone(objects), object.isTest)
}

func checkKinds(objects []object, r *request) *workerError {
	var details []string
	for _, o := range objects {
		if reason := kindRefused(o, r); reason != "" {
			details = append(details, fmt.Sprintf("%s %s", o.quoted(), reason))
		}
	}
	if len(details) == 0 {
		return nil
	}
	failure := fail(classKindNotAllowed, "%s; leave it out through the chart's values", details[0])
	failure.Details = details
	return failure
}

func kindRefused(o object, r *request) string {
	for field := range o.Object {
		// Clients take such an object for a list and apply what is in it instead.
		if strings.EqualFold(field, "items") {
			return fmt.Sprintf("has %q and would be applied as a list", field)
		}
	}
	if !slices.Contains(r.AllowedKinds, o.apiKind()) {
		return fmt.Sprintf("is of kind %q, which is not allowed", o.apiKind())
	}
	if ns := o.GetNamespace(); ns != "" && ns != r.Namespace {
		return fmt.Sprintf("is for namespace %q, but the release is in %q", ns, r.Namespace)
	}
	return ""
}

// checkClaims refuses several pods on a rendered claim that only one node may use: on two nodes the second never starts, on one
// both write.
func checkClaims(objects []object) *workerError {
	alone := map[string]bool{}
	for _, o := range objects {
		if o.GetKind() == "PersistentVolumeClaim" {
			modes, _ := o.at("spec", "accessModes").([]any)
			alone[o.GetName()] = !slices.Contains(modes, any("ReadWriteMany")) && !slices.Contains(modes, any("ReadOnlyMany"))
		}
	}
	for _, o := range objects {
		replicas, _ := o.at("spec", "replicas").(float64)
		if o.GetKind() != "Deployment" && o.GetKind() != "StatefulSet" || replicas < 2 {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(o.claims())) {
			if alone[name] {
				return fail(classInvalid, "%s has %.0f replicas, which would share volume claim %q, and only one node may use it: use one "+
					"replica, or storage with accessMode ReadWriteMany", o.quoted(), replicas, name)
			}
		}
	}
	return nil
}

// checkSecrets refuses whatever names a Secret which is neither rendered here nor this customer's: pods, ServiceAccounts, and
// those that serve its certificate or write one into it.
func checkSecrets(objects []object, r *request) *workerError {
	allowed := map[string]bool{}
	for _, name := range r.AllowedSecrets {
		allowed[name] = true
	}
	for _, o := range objects {
		if o.GetKind() == "Secret" && r.brings(o) {
			allowed[o.GetName()] = true
		}
	}
	// Whoever writes a certificate there must not write over the generated passwords.
	ofRelease := func(name string) bool {
		return allowed[name] || strings.HasPrefix(name, r.Release+"-") && !strings.HasSuffix(name, generatedSuffix)
	}
	var details []string
	for _, o := range objects {
		for _, name := range o.secretNames() {
			if !allowed[name] {
				details = append(details, fmt.Sprintf("%s refers to Secret %q", o.quoted(), name))
			}
		}
		for _, name := range o.certificateSecrets() {
			if !ofRelease(name) {
				return fail(classSecretNotAllowed, "%s keeps its certificate in Secret %q; allowed are Secrets of this customer, those that the "+
					"chart renders, and names that begin with %q", o.quoted(), name, r.Release+"-")
			}
		}
	}
	if len(details) == 0 {
		return nil
	}
	failure := fail(classSecretNotAllowed, "%s, which is not this customer's; "+
		`label it "odoofleet.dev/customer" with the customer's name`, details[0])
	failure.Details = details
	return failure
}

// brings says whether a rendered object is there as rendered when pods read it. A hook that this operation does not run is not: another's
// object of its name would be read. What an installation's hook has made stays, and is known by the release's name.
func (r *request) brings(o object) bool {
	if !o.isHook() {
		return true
	}
	verb := actionUpgrade
	if r.ExpectedRevision <= 1 || r.Action == actionInstall {
		verb = actionInstall
	}
	return o.runsAt(verb) || o.runsAt(actionInstall) && (o.GetName() == r.Release || strings.HasPrefix(o.GetName(), r.Release+"-"))
}

// generatedSuffix ends the name of the Secret with a release's generated passwords.
const generatedSuffix = "-odoofleet"

// certificateSecrets returns the Secrets from which an Ingress serves certificates, or into which cert-manager writes one.
func (o object) certificateSecrets() []string {
	found := map[string]bool{}
	switch group, _, _ := strings.Cut(o.GetAPIVersion(), "/"); {
	case o.GetKind() == "Ingress":
		entries, _ := o.at("spec", "tls").([]any)
		for _, entry := range entries {
			if tls, ok := entry.(map[string]any); ok {
				addName(tls["secretName"], found)
			}
		}
	case o.GetKind() == "Certificate" && group == "cert-manager.io":
		addName(o.at("spec", "secretName"), found)
	}
	return slices.Sorted(maps.Keys(found))
}

// secretNames returns the Secrets that the object makes the kubelet read, sorted.
func (o object) secretNames() []string {
	found := map[string]bool{}
	if o.GetKind() == "ServiceAccount" {
		collectNames(o.at("secrets"), found)
		collectNames(o.at("imagePullSecrets"), found)
	}
	if spec := o.podSpec(); spec != nil {
		collectSecrets(spec, found)
	}
	return slices.Sorted(maps.Keys(found))
}

// collectSecrets walks a pod's specification. It goes by the names of fields, of which Kubernetes has few for this
// purpose, and so covers every volume type there is: "secretName", "secret.name" of projected volumes, "secretRef",
// "secretKeyRef", "nodePublishSecretRef" and "imagePullSecrets".
func collectSecrets(value any, found map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			switch key {
			case "secretName":
				addName(child, found)
			case "secret", "secretRef", "secretKeyRef", "nodePublishSecretRef":
				if reference, ok := child.(map[string]any); ok {
					addName(reference["name"], found)
				}
			case "imagePullSecrets":
				collectNames(child, found)
			}
			collectSecrets(child, found)
		}
	case []any:
		for _, child := range v {
			collectSecrets(child, found)
		}
	}
}

func collectNames(list any, found map[string]bool) {
	items, _ := list.([]any)
	for _, item := range items {
		if reference, ok := item.(map[string]any); ok {
			addName(reference["name"], found)
		}
	}
}

func addName(value any, found map[string]bool) {
	if name, ok := value.(string); ok && name != "" {
		found[name] = true
	}
}
