package main

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Helm, the template engine, the schema validator and the API server all quote values in what they say. What goes out is
// therefore put together from the parts that are known to hold none, and what is known to be secret is struck out after.

const struck = "…"

// scrubber strikes out known secrets.
type scrubber struct {
	// secrets are the contents of rendered Secrets, and values whose name says that they are secret.
	secrets []string
	// leaves are all texts among the values: only messages that a chart's author composed are cleaned of them.
	leaves []string
}

var secretKey = regexp.MustCompile(`(?i)pass|secret|token|credential|private|apikey|key$`)

func newScrubber(values map[string]any) scrubber {
	s := scrubber{}
	s.collect(values, false)
	return s
}

func (s *scrubber) collect(value any, secret bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			s.collect(child, secret || secretKey.MatchString(key))
		}
	case []any:
		for _, child := range v {
			s.collect(child, secret)
		}
	case string:
		if len(v) >= 3 {
			s.leaves = append(s.leaves, v)
			if secret {
				s.secrets = append(s.secrets, v)
			}
		}
	}
}

// addSecrets takes in what the rendered Secrets hold.
func (s *scrubber) addSecrets(objects []object) {
	add := func(text string) {
		if len(text) >= 4 {
			s.secrets = append(s.secrets, text)
		}
	}
	for _, o := range objects {
		if o.GetKind() != "Secret" {
			continue
		}
		plain, _ := o.at("stringData").(map[string]any)
		for _, value := range plain {
			add(fmt.Sprint(value))
		}
		encoded, _ := o.at("data").(map[string]any)
		for _, value := range encoded {
			text := fmt.Sprint(value)
			add(text)
			if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
				add(string(decoded))
			}
		}
	}
}

// clean strikes out the secrets, the longest first, lest a part of one remains.
func (s *scrubber) clean(text string) string { return strike(text, s.secrets) }

func strike(text string, words []string) string {
	sorted := slices.SortedFunc(slices.Values(words), func(a, b string) int { return len(b) - len(a) })
	for _, word := range sorted {
		text = replaceWhole(text, word)
	}
	return text
}

// replaceWhole replaces a word where it is not a part of a longer one: a password "odoo" must not eat "odoofleet.dev".
func replaceWhole(text, word string) string {
	var out strings.Builder
	for {
		i := strings.Index(text, word)
		if i < 0 {
			out.WriteString(text)
			return out.String()
		}
		end := i + len(word)
		if (i > 0 && isWord(text[i-1]) && isWord(word[0])) || (end < len(text) && isWord(text[end]) && isWord(word[len(word)-1])) {
			out.WriteString(text[:i+1])
			text = text[i+1:]
			continue
		}
		out.WriteString(text[:i])
		out.WriteString(struck)
		text = text[end:]
	}
}

func isWord(b byte) bool {
	return b == '_' || (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z')
}

var quotedText = regexp.MustCompile("\"[^\"]*\"|'[^']*'|`[^`]*`|[\"'`].*$")

// safeYAMLError keeps the place and strikes out all that is quoted.
func safeYAMLError(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	if strings.HasSuffix(line, "errors:") {
		line = strings.TrimSpace(strings.TrimPrefix(text, line))
		line, _, _ = strings.Cut(line, "\n")
	}
	return quotedText.ReplaceAllString(line, struck)
}

// safeServerMessage keeps a message of the API server's, but not the values that a mismatch of types quotes.
func safeServerMessage(text string) string {
	return gotValue.ReplaceAllString(invalidValue.ReplaceAllString(text, "$1 value"), ", got another type")
}

var (
	gotValue     = regexp.MustCompile(`, got .*`)
	invalidValue = regexp.MustCompile(`(Invalid|Unsupported|Duplicate) value: .*`)
	// A rule that follows a value: words without quotes and braces, so that no part of a value passes for one.
	ruleOnly = regexp.MustCompile(`^[A-Za-z][^"'{}\[\]\\]*$`)
	// Rules that go on with examples in quotes.
	knownRule = regexp.MustCompile(`": (a (?:lowercase RFC 1123|DNS-1035|valid) (?:label|subdomain)[A-Za-z0-9 ]* must consist of [a-z ]+)[^"]*$`)
)

// strictDecoding begins a list of names of fields.
const strictDecoding = "strict decoding error: "

// safeCauseMessage keeps what rule a field broke: a cause reads "Invalid value: <value>: <rule>".
func safeCauseMessage(text string) string {
	if i := strings.LastIndex(text, strictDecoding); i >= 0 {
		return text[i:]
	}
	kind, rest, hasValue := strings.Cut(text, ": ")
	if !hasValue {
		return text
	}
	switch kind {
	case "Invalid value", "Unsupported value", "Duplicate value", "Not found", "Too long", "Too many", "Internal error":
		rule := rest[strings.LastIndex(rest, ": ")+1:]
		if strings.HasPrefix(rule, " ") && ruleOnly.MatchString(strings.TrimSpace(rule)) {
			return strings.ToLower(kind) + ": " + strings.TrimSpace(rule)
		}
		if m := knownRule.FindStringSubmatch(rest); m != nil {
			return strings.ToLower(kind) + ": " + m[1]
		}
		if kind == "Too long" {
			return "too long: " + safeYAMLError(rest)
		}
		return strings.ToLower(kind)
	}
	return safeServerMessage(text)
}

// importError keeps which object is in the way.
func importError(text string) string {
	for _, line := range strings.Split(text, "\n") {
		if before, _, found := strings.Cut(line, helmNotImported); found {
			name := strings.TrimSpace(before)
			for _, prefix := range []string{"unable to continue with install: ", "unable to continue with update: "} {
				name = strings.TrimPrefix(name, prefix)
			}
			return name + " exists already and does not belong to this release"
		}
	}
	return "an object exists already and does not belong to this release"
}

var hookName = regexp.MustCompile(`(job|pod|Pod|Job)s?[ /]"?([-a-z0-9./]+)"? (failed|not ready)(: [A-Za-z]+)?`)

// hookError keeps which hook failed, and the reason that Kubernetes gives in one word.
func hookError(text string) string {
	event := "a hook"
	for _, phrase := range helmHooks {
		if strings.Contains(text, phrase) {
			event = strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(phrase, "failed "), " hooks failed"), "warning: Hook ")
		}
	}
	if m := hookName.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s hook %q failed%s", event, m[2], m[4])
	}
	if strings.Contains(text, "timed out") || strings.Contains(text, "deadline exceeded") {
		return event + " hook did not finish in time"
	}
	return event + " hook failed"
}

var (
	schemaLine    = regexp.MustCompile(`^\s*- at '((?:[^'\\]|\\.)*)': (.*)$`)
	schemaChart   = regexp.MustCompile(`^([A-Za-z0-9._-]+):$`)
	safeSchemaMsg = regexp.MustCompile(`^(got [a-z]+, want [a-z]+( or [a-z]+)*|missing propert(y|ies) .*|additional properties .* not allowed|` +
		`value must be .*|'(allOf|anyOf|oneOf|not|const)' failed.*|validation failed|propert(y|ies) .* required, if .* exists|false schema|` +
		`items at \d+ and \d+ are equal|no items match contains schema|last \d+ additionalItem\(s\) not allowed)$`)
	schemaBound   = regexp.MustCompile(`^([A-Za-z]+): got .*, want ([^ ]+)$`)
	schemaPattern = regexp.MustCompile(`does not match pattern (.*)$`)
	schemaFormat  = regexp.MustCompile(`is not valid ([a-z-]+)(:|$)`)
)

// schemaError keeps path and rule of each violation.
func schemaError(text string) *workerError {
	failure := &workerError{Class: classSchema}
	chart := ""
	for line := range strings.SplitSeq(text, "\n") {
		if m := schemaChart.FindStringSubmatch(line); m != nil {
			chart = m[1]
		} else if m := schemaLine.FindStringSubmatch(line); m != nil {
			rule := schemaRule(m[2])
			if rule == "validation failed" || strings.HasPrefix(rule, "'allOf'") {
				continue // what follows says it better
			}
			failure.Details = append(failure.Details, fmt.Sprintf("at %q: %s", m[1], rule))
		} else if strings.Contains(line, "invalid type for values") {
			failure.Details = append(failure.Details, fmt.Sprintf("values of chart %q must be a map", chart))
		}
	}
	failure.Message = "the values do not fit the chart's schema"
	if len(failure.Details) > 0 {
		failure.Message += ": " + failure.Details[0]
	}
	return failure
}

func schemaRule(message string) string {
	if safeSchemaMsg.MatchString(message) {
		return message
	}
	if m := schemaBound.FindStringSubmatch(message); m != nil {
		return m[1] + ": want " + m[2]
	}
	if i := strings.LastIndex(message, "does not match pattern "); i >= 0 {
		return schemaPattern.FindString(message[i:])
	}
	if all := schemaFormat.FindAllStringSubmatch(message, -1); all != nil {
		return "is not valid " + all[len(all)-1][1]
	}
	return "is refused by the schema"
}
