package main

import (
	"bytes"
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// gate is a post-renderer that is compiled in. Helm hands it all that the chart rendered, hooks included, after rendering
// and before it stores or applies anything: it transforms what passes, and an error of its stops the operation.
type gate struct {
	request *request
	// see, if there is one, is shown the objects as the chart renders them, before they are transformed.
	see func([]object)
	// judge looks at the transformed objects.
	judge func([]object) *workerError
	// passed is told when rendering and transforming have succeeded.
	passed func(hooks)
	// amend, if there is one, changes what was judged before Helm gets it.
	amend func([]*yaml.RNode) ([]*yaml.RNode, error)
	hooks hooks
	// done is set once rendering is over: what fails later is no fault of the templates.
	done bool
}

func (g *gate) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	nodes, err := kio.ParseAll(rendered.String())
	if err != nil {
		return nil, fail(classRender, "%s", safeYAMLError(err.Error()))
	}
	if nodes, err = flatten(nodes); err != nil {
		return nil, err
	}
	if g.see != nil {
		plain, err := toObjects(nodes)
		if err != nil {
			return nil, err
		}
		g.see(plain)
	}
	objects := make([]object, 0, len(nodes))
	for _, node := range nodes {
		if err := transform(node, g.request.Inputs); err != nil {
			return nil, fail(classRender, "%s %q cannot be transformed", node.GetKind(), node.GetName())
		}
		if err := markHook(node, g.request.Release); err != nil {
			return nil, fail(classRender, "%s %q cannot be transformed", node.GetKind(), node.GetName())
		}
		o, err := toObject(node)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	g.hooks = countHooks(objects)
	g.done = true
	g.passed(g.hooks)
	if failure := g.judge(objects); failure != nil {
		return nil, failure
	}
	if g.amend != nil {
		if nodes, err = g.amend(nodes); err != nil {
			return nil, err
		}
	}
	text, err := kio.StringAll(nodes)
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	return bytes.NewBufferString(text), nil
}

func toObjects(nodes []*yaml.RNode) ([]object, error) {
	objects := make([]object, 0, len(nodes))
	for _, node := range nodes {
		o, err := toObject(node)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// toObject reads the node's text with the parser that Helm's client uses, so that both see the same.
func toObject(node *yaml.RNode) (object, error) {
	text, err := node.String()
	if err != nil {
		return object{}, err
	}
	o, err := parseObject(text)
	if err != nil {
		return object{}, fail(classRender, "%s %q: %s", node.GetKind(), node.GetName(), safeYAMLError(err.Error()))
	}
	return o, nil
}

// flatten replaces each List by what is in it, with the annotation by which Helm knows the file.
func flatten(nodes []*yaml.RNode) ([]*yaml.RNode, error) {
	var flat []*yaml.RNode
	for _, node := range nodes {
		items := node.Field("items")
		if node.GetKind() != "List" || items == nil {
			flat = append(flat, node)
			continue
		}
		if err := node.DeAnchor(); err != nil {
			return nil, err
		}
		elements, err := node.Field("items").Value.Elements()
		if err != nil {
			return nil, fail(classRender, `"items" of a List is not a list`)
		}
		file := node.GetAnnotations()[filenameAnnotation]
		for _, element := range elements {
			if file != "" {
				if err := element.PipeE(yaml.SetAnnotation(filenameAnnotation, file)); err != nil {
					return nil, err
				}
			}
			flat = append(flat, element)
		}
	}
	return flat, nil
}

// filenameAnnotation is how Helm marks the file of each object that passes a post-renderer.
const filenameAnnotation = "postrenderer.helm.sh/postrender-filename"

// isRenderersOwn tells of annotations that objects have only while they pass the gate.
func isRenderersOwn(annotation string) bool {
	return annotation == filenameAnnotation || strings.HasPrefix(annotation, "config.kubernetes.io/") ||
		strings.HasPrefix(annotation, "internal.config.kubernetes.io/")
}

func countHooks(objects []object) hooks {
	counted := hooks{}
	for _, o := range objects {
		if !o.isHook() || o.isTest() {
			continue
		}
		counted.Total++
		if o.runsAt("upgrade") {
			counted.Upgrade++
		}
	}
	return counted
}
