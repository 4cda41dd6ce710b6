package main

import (
	"regexp"
	"strings"
)

var (
	templatePlace = regexp.MustCompile(`^\s*([\w./-]+\.\w+:\d+(?::\d+)?)\s*$`)
	executing     = regexp.MustCompile(`^\s*executing "[^"]*" at <[^>]*>:\s*$`)
	authored      = regexp.MustCompile(`(?s)^execution error at \(([^)]*)\): (.*)$`)
	parseFailure  = regexp.MustCompile(`^parse error (?:at|in) \(([^)]*)\): (.*)$`)
	fileFailure   = regexp.MustCompile(`(?s)^(?:error merging manifests: )?(?:parsing|annotating|YAML parse error on) ([\w./-]+): (.*)$`)
	calling       = regexp.MustCompile(`^error calling (\w+):\s*`)
	// The template engine's own form on one line, which Helm lays out on several where it can.
	oneLine      = regexp.MustCompile(`(?m)^template: ([\w./-]+\.\w+:\d+(?::\d+)?): (executing "[^"]*" at <[^>]*>:) `)
	safeTemplate = regexp.MustCompile(`^(nil pointer evaluating [\w{} .*\[\]]+|can't evaluate field \w+ in type [\w{} .*\[\]]+|` +
		`map has no entry for key "[^"]*"|wrong type for value; expected [\w.]+; got [\w{} .*\[\]]+|` +
		`wrong number of args for \w+: want .* got \d+|incompatible types for comparison|no template "[^"]*" associated with template "[^"]*"|` +
		`template "[^"]*" not defined|missing value for \w+|rendering template has a nested reference name: [\w.-]+.*)$`)
)

// isAuthored says whether the chart itself says no, by "fail" or "required".
func isAuthored(text string) bool { return authored.MatchString(text) }

// renderError keeps where and in which function a template failed. What a chart's author says by "fail" or "required" is
// kept too, without whatever values it quotes.
func (o *operation) renderError(text string) string {
	text = strings.TrimPrefix(text, "error while parsing post rendered output: ")
	if m := authored.FindStringSubmatch(text); m != nil {
		return "template " + m[1] + ": " + strike(strings.TrimSpace(m[2]), o.scrub.leaves)
	}
	if m := parseFailure.FindStringSubmatch(text); m != nil {
		return "template " + m[1] + " cannot be parsed: " + strike(m[2], o.scrub.leaves)
	}
	if m := fileFailure.FindStringSubmatch(text); m != nil {
		return "template " + m[1] + " renders invalid YAML: " + safeYAMLError(m[2])
	}
	if trace := templateTrace(text); trace != "" {
		return trace
	}
	return "the chart cannot be rendered"
}

// templateTrace goes through the engine's trace, of which each step has a place, an expression and a message.
func templateTrace(text string) string {
	var steps []string
	for line := range strings.SplitSeq(oneLine.ReplaceAllString(text, "$1\n$2\n"), "\n") {
		trimmed := strings.TrimPrefix(strings.TrimSpace(line), "template: ")
		m := templatePlace.FindStringSubmatch(line)
		switch {
		case m != nil:
			steps = append(steps, "template "+m[1])
		case executing.MatchString(line):
			steps = append(steps, strings.TrimSuffix(trimmed, ":"))
		case trimmed != "":
			steps = append(steps, templateMessage(trimmed))
			if strings.Contains(trimmed, "tpl") {
				// What follows are places in a template that came out of the values.
				return strings.Join(steps, ": ")
			}
		}
	}
	if len(steps) == 0 || !strings.HasPrefix(steps[0], "template ") {
		return ""
	}
	return strings.Join(steps, ": ")
}

// templateMessage keeps the function that failed, and its reason if that can quote no value.
func templateMessage(text string) string {
	prefix := ""
	if m := calling.FindString(text); m != "" {
		prefix, text = strings.TrimRight(m, ": "), text[len(m):]
	}
	switch {
	case safeTemplate.MatchString(text) && prefix != "":
		return prefix + ": " + text
	case safeTemplate.MatchString(text):
		return text
	case strings.HasPrefix(text, "range can't iterate over"):
		return "range cannot iterate over the value"
	case prefix != "":
		return prefix
	}
	return "it fails"
}
