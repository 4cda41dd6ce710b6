package main

import (
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// The transform gives any chart what only some charts have a value for: live replica counts, so that an upgrade does not
// wake what sleeps, volumes that keep the size that they have, and pods without service links and ServiceAccount tokens.

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
func transform(node *yaml.RNode, i *Inputs) error {
	kind := node.GetKind()
	if kind == "PersistentVolumeClaim" {
		return raiseVolume(node, i.Volumes[node.GetName()])
	}
	path, hasPods := podTemplates[kind]
	if !hasPods {
		return nil
	}
	// An alias or a merge key may stand where a field is to be set: written out, it means the same.
	if err := node.DeAnchor(); err != nil {
		return err
	}
	for _, field := range []string{"enableServiceLinks", "automountServiceAccountToken"} {
		if err := set(node, path, field, "false", yaml.NodeTagBool); err != nil {
			return err
		}
	}
	switch kind {
	case "Deployment", "StatefulSet":
		if n := i.replicasOf(kind, node.GetName()); n != nil {
			return set(node, []string{"spec"}, "replicas", strconv.FormatInt(*n, 10), yaml.NodeTagInt)
		}
	case "CronJob":
		if i.SuspendCronJobs {
			return set(node, []string{"spec"}, "suspend", "true", yaml.NodeTagBool)
		}
	}
	return nil
}

func (i *Inputs) replicasOf(kind, name string) *int64 {
	if n, named := i.Replicas[kind+"/"+name]; named {
		return &n
	}
	return i.OtherReplicas
}

// raiseVolume asks for the size that a claim has already, if that is larger than the rendered one: volumes never shrink, and
// one may have been enlarged elsewhere.
func raiseVolume(node *yaml.RNode, has string) error {
	if has == "" {
		return nil
	}
	if err := node.DeAnchor(); err != nil {
		return err
	}
	path := []string{"spec", "resources", "requests"}
	rendered, err := node.Pipe(yaml.Lookup(append(path, "storage")...))
	if err != nil || yaml.IsMissingOrNull(rendered) || rendered.YNode().Kind != yaml.ScalarNode {
		return err
	}
	asked, err := resource.ParseQuantity(rendered.YNode().Value)
	if err != nil {
		return nil // the API server has its own word for it
	}
	live, err := resource.ParseQuantity(has)
	if err != nil || live.Cmp(asked) <= 0 {
		return err
	}
	return set(node, path, "storage", has, yaml.NodeTagString)
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
