package main

import (
	"fmt"
	"regexp"
	"strconv"
)

// step is one part of a path as changedPaths writes it: a field, or a place in a list.
type step struct {
	field string
	// index is the place in a list, or every.
	index  int
	inList bool
}

// every stands for all places in a list.
const every = -1

var firstStep = regexp.MustCompile(`^(?:\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,9}|\*)\]|\[("(?:[^"\\]|\\.)*")\])`)

// parsePath reads a path such as `metadata.annotations["a.b/c"]` or `spec.list[*].name`.
func parsePath(path string) ([]step, error) {
	var steps []step
	for rest := path; rest != ""; {
		found := firstStep.FindStringSubmatch(rest)
		if found == nil || steps == nil && rest[0] == '.' || steps != nil && rest[0] != '.' && rest[0] != '[' {
			return nil, fmt.Errorf("%q is no path as drift is told", shortened(path))
		}
		rest = rest[len(found[0]):]
		switch {
		case found[1] != "":
			steps = append(steps, step{field: found[1]})
		case found[2] == "*":
			steps = append(steps, step{index: every, inList: true})
		case found[2] != "":
			index, err := strconv.Atoi(found[2])
			if err != nil {
				return nil, err
			}
			steps = append(steps, step{index: index, inList: true})
		default:
			field, err := strconv.Unquote(found[3])
			if err != nil {
				return nil, fmt.Errorf("%q is no path as drift is told", shortened(path))
			}
			steps = append(steps, step{field: field})
		}
	}
	if steps == nil {
		return nil, fmt.Errorf("a path is empty")
	}
	return steps, nil
}

// covers says whether a path is at or below the steps.
func covers(above []step, path string) bool {
	steps, err := parsePath(path)
	if err != nil || len(steps) < len(above) {
		return false
	}
	for i, one := range above {
		same := one == steps[i] || one.inList && steps[i].inList && one.index == every
		if !same {
			return false
		}
	}
	return true
}

// overlay sets in one value what lies at the steps as another value has it. Items of lists are taken for the same by their name, or
// else by their place.
func overlay(wanted, live any, steps []step) {
	if len(steps) == 0 {
		return
	}
	next, last := steps[0], len(steps) == 1
	if !next.inList {
		overlayField(wanted, live, next.field, steps[1:])
		return
	}
	items, _ := live.([]any)
	own, _ := wanted.([]any)
	for i, item := range items {
		if next.index != every && next.index != i {
			continue
		}
		at := sameItem(own, item, i)
		switch {
		case at < 0:
		case last:
			own[at] = item
		default:
			overlay(own[at], item, steps[1:])
		}
	}
}

func overlayField(wanted, live any, field string, rest []step) {
	own, isMap := wanted.(map[string]any)
	if !isMap {
		return
	}
	other, _ := live.(map[string]any)
	value, there := other[field]
	if len(rest) > 0 {
		if _, has := own[field]; has {
			overlay(own[field], value, rest)
		}
		return
	}
	_, has := own[field]
	switch {
	case has && there:
		own[field] = value
	case has:
		// Somebody has taken it away.
		delete(own, field)
	}
}

func sameItem(own []any, item any, place int) int {
	if named, ok := item.(map[string]any); ok && named["name"] != nil {
		for i, one := range own {
			if other, ok := one.(map[string]any); ok && other["name"] == named["name"] {
				return i
			}
		}
		return -1
	}
	if place < len(own) {
		return place
	}
	return -1
}
