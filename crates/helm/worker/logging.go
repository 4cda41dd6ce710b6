package main

import (
	"io"
	"log"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// silenceLibraries returns the worker's own logger and turns off those of Helm and the Kubernetes libraries: what they
// say can hold values and manifests.
func silenceLibraries(to io.Writer) *slog.Logger {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	log.SetOutput(io.Discard)
	klog.SetLogger(logr.Discard())
	return slog.New(slog.NewJSONHandler(to, nil))
}
