package main

import (
	"strconv"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// The transform gives any chart what only some charts have a value for: live replica counts, so that an upgrade does not
// wake what sleeps, and pods without service links and ServiceAccount tokens.

// podTemplates says where each kind keeps the specification of its pods.
var podTemplates = map[string][]string{
	"Pod":                   {"spec"},
	"PodTemplate":           {"template", "spec"},
	"Deployment":            {"spec", "template", "spec"},
	"StatefulSet":           {"spec", "template", "spec"},
	"DaemonSet":             {"spec", "template", "spec"},
	"ReplicaSet":            {"spec", "template", "spec"},
	"ReplicationController": {"spec", "template", "spec"},
	"Job":                   {"spec", "template", "spec"},
	"CronJob":               {"spec", "jobTemplate", "spec", "template", "spec"},
}

// transform changes one rendered object in place.
func transform(node *yaml.RNode, r *request) error {
	kind := node.GetKind()
	path, hasPods := podTemplates[kind]
	if !hasPods {
		return nil
	}
	// An alias or a merge key may stand where a field is to be set: written out, it means the same.
	if err := node.DeAnchor(); err != nil {
		return err
	}
	if !r.KeepServiceLinks {
		if err := setFalse(node, path, "enableServiceLinks"); err != nil {
			return err
		}
	}
	if !r.KeepServiceAccountToken {
		if err := setFalse(node, path, "automountServiceAccountToken"); err != nil {
			return err
		}
	}
	switch kind {
	case "Deployment", "StatefulSet":
		if n := r.replicasOf(kind, node.GetName()); n != nil {
			return set(node, []string{"spec"}, "replicas", strconv.FormatInt(*n, 10), yaml.NodeTagInt)
		}
	case "CronJob":
		if r.SuspendCronJobs {
			return set(node, []string{"spec"}, "suspend", "true", yaml.NodeTagBool)
		}
	}
	return nil
}

func (r *request) replicasOf(kind, name string) *int64 {
	if n, named := r.Replicas[kind+"/"+name]; named {
		return &n
	}
	return r.OtherReplicas
}

func setFalse(node *yaml.RNode, path []string, field string) error {
	return set(node, path, field, "false", yaml.NodeTagBool)
}

// set writes a scalar below a path that must exist: an object without it is for the API server to judge.
func set(node *yaml.RNode, path []string, field, value, tag string) error {
	parent, err := node.Pipe(yaml.Lookup(path...))
	if err != nil || yaml.IsMissingOrNull(parent) || parent.YNode().Kind != yaml.MappingNode {
		return err
	}
	scalar := yaml.NewRNode(&yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value})
	return parent.PipeE(yaml.SetField(field, scalar))
}
