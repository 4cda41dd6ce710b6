package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// documents reads YAML once. An upgrade builds the objects of two manifests twice each, nearly all of them the same, and reading
// YAML costs many times what reading JSON does.
type documents struct {
	known map[string][]byte
}

// asJSON is a manifest with its documents as JSON, one after the other: Helm's builder takes either, and makes the same of it.
// What is no YAML is left to the builder, which has its words for it.
func (d *documents) asJSON(manifest io.Reader) (io.Reader, error) {
	text, err := io.ReadAll(manifest)
	if err != nil {
		return nil, err
	}
	reader := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var all bytes.Buffer
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return &all, nil
		}
		if err != nil {
			return bytes.NewReader(text), nil
		}
		converted, err := d.one(document)
		if err != nil {
			return bytes.NewReader(text), nil
		}
		all.Write(converted)
		all.WriteByte('\n')
	}
}

func (d *documents) one(document []byte) ([]byte, error) {
	key := strings.TrimSpace(string(document))
	if known, ok := d.known[key]; ok {
		return known, nil
	}
	converted, err := yaml.YAMLToJSON(document)
	if err != nil {
		return nil, err
	}
	if d.known == nil {
		d.known = map[string][]byte{}
	}
	if bytes.Equal(bytes.TrimSpace(converted), []byte("null")) {
		converted = nil
	}
	d.known[key] = converted
	return converted, nil
}
