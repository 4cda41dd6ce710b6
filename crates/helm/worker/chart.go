package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
)

// A chart has to fit into an object of one MiB, so these bounds are generous.
const (
	maxArchive  = 16 << 20
	maxUnpacked = 64 << 20
)

func init() { archive.MaxDecompressedChartSize = maxUnpacked }

// loadChart reads the archive once, and loads what it has verified.
func loadChart(path, digest string) (*chartv2.Chart, *workerError) {
	content, failure := readArchive(path)
	if failure != nil {
		return nil, failure
	}
	sum := sha256.Sum256(content)
	if hex.EncodeToString(sum[:]) != strings.ToLower(strings.TrimPrefix(digest, "sha256:")) {
		return nil, fail(classChart, "chart archive %q does not have the digest %q", path, digest)
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(content))
	if err != nil {
		return nil, fail(classChart, "chart archive %q is not readable: %s", path, err)
	}
	c, ok := loaded.(*chartv2.Chart)
	if !ok || c.Metadata == nil {
		return nil, fail(classChart, "chart archive %q is of an API version that is not supported", path)
	}
	return c, checkChart(c)
}

func readArchive(path string) ([]byte, *workerError) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fail(classChart, "chart archive %q cannot be opened", path)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxArchive+1))
	switch {
	case err != nil:
		return nil, fail(classChart, "chart archive %q cannot be read", path)
	case len(content) > maxArchive:
		return nil, fail(classChart, "chart archive %q is larger than %d MiB", path, maxArchive>>20)
	}
	return content, nil
}

// checkChart refuses what Helm's command line refuses, and what would reach beyond the namespace or the archive.
func checkChart(c *chartv2.Chart) *workerError {
	if err := c.Validate(); err != nil {
		return fail(classChart, "chart %q is not valid: %s", c.Name(), err)
	}
	if kind := c.Metadata.Type; kind != "" && kind != "application" {
		return fail(classChart, "chart %q is of type %q and cannot be installed", c.Name(), kind)
	}
	if crds := c.CRDObjects(); len(crds) > 0 {
		return fail(classKindNotAllowed, "chart %q brings CustomResourceDefinitions, in %q", c.Name(), crds[0].Filename)
	}
	accessor, err := chart.NewAccessor(c)
	if err == nil {
		err = action.CheckDependencies(c, accessor.MetaDependencies())
	}
	if err != nil {
		return fail(classChart, "chart %q is incomplete: %s", c.Name(), err)
	}
	return checkSchemas(c)
}

// checkSchemas refuses schemas that refer to something outside of themselves: Helm would fetch it by HTTP, or read it from
// this machine's files.
func checkSchemas(c *chartv2.Chart) *workerError {
	if len(c.Schema) > 0 {
		var schema any
		if err := json.Unmarshal(c.Schema, &schema); err != nil {
			return fail(classChart, `"values.schema.json" of chart %q is not valid JSON`, c.Name())
		}
		if reference := outsideReference(schema); reference != "" {
			return fail(classChart, `"values.schema.json" of chart %q refers to %q; put that into the schema itself`, c.Name(), reference)
		}
	}
	for _, dependency := range c.Dependencies() {
		if failure := checkSchemas(dependency); failure != nil {
			return failure
		}
	}
	return nil
}

func outsideReference(value any) string {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			target, isText := child.(string)
			if isText && (key == "$ref" || key == "$dynamicRef") && strings.Contains(target, ":") {
				return target
			}
			if found := outsideReference(child); found != "" {
				return found
			}
		}
	case []any:
		for _, child := range v {
			if found := outsideReference(child); found != "" {
				return found
			}
		}
	}
	return ""
}
