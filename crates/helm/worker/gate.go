package main

import (
	"bytes"
	"fmt"
	"slices"

	"sigs.k8s.io/kustomize/kyaml/kio"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// gate is a post-renderer that is compiled in. Helm hands it all that the chart rendered, hooks included, after rendering
// and before it stores or applies anything: it transforms what passes, and an error of its stops the operation.
type gate struct {
	request *request
	// judge looks at the transformed objects.
	judge func([]object) *workerError
	// passed is told when rendering and transforming have succeeded, with the number of hooks that will run.
	passed func(hooks int)
	hooks  int
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
	objects := make([]object, 0, len(nodes))
	for _, node := range nodes {
		if !g.request.Verbatim || g.request.writes() {
			if err := transform(node, g.request); err != nil {
				return nil, fail(classRender, "%s %q cannot be transformed", node.GetKind(), node.GetName())
			}
		}
		o, err := toObject(node)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	text, err := kio.StringAll(nodes)
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	g.hooks = g.request.countHooks(objects)
	g.done = true
	g.passed(g.hooks)
	if failure := g.judge(objects); failure != nil {
		return nil, failure
	}
	return bytes.NewBufferString(text), nil
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

// countHooks returns how many hooks this operation runs.
func (r *request) countHooks(objects []object) int {
	wanted := []string{"pre-" + r.hookVerb(), "post-" + r.hookVerb()}
	count := 0
	for _, o := range objects {
		if events, _ := o.hookEvents(); slices.ContainsFunc(events, func(e string) bool { return slices.Contains(wanted, e) }) {
			count++
		}
	}
	return count
}

func (r *request) hookVerb() string {
	if r.Action == actionUpgrade || (!r.writesRelease() && r.ExpectedRevision > 1) {
		return "upgrade"
	}
	return "install"
}
