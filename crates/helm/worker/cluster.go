package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"helm.sh/helm/v4/pkg/kube"
)

// requestsPerSecond keeps the client's own brake out of the way: the API server has a fairer one, and the worker does one
// operation at a time.
const requestsPerSecond = 1000

// cluster is what stays warm between operations: the configuration, discovery and the mapping of kinds.
type cluster struct {
	namespace string
	config    *rest.Config
	kinds     *kinds
	// userAgent is that of the operation that runs.
	userAgent atomic.Pointer[string]
}

func connect(namespace, kubeconfig string) (*cluster, error) {
	config, err := loadConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	return newCluster(namespace, config)
}

func newCluster(namespace string, config *rest.Config) (*cluster, error) {
	config.QPS, config.Burst = requestsPerSecond, requestsPerSecond
	// Warnings of the API server can quote what was sent to it.
	config.WarningHandler = rest.NoWarnings{}
	config.WarningHandlerWithContext = nil
	c := &cluster{namespace: namespace, config: config}
	c.setOperation("")
	warm := rest.CopyConfig(config)
	warm.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &readOnlyTransport{next: next, userAgent: func() string { return *c.userAgent.Load() }}
	})
	client, err := discovery.NewDiscoveryClientForConfig(warm)
	if err != nil {
		return nil, err
	}
	c.kinds = newKinds(client)
	return c, nil
}

// loadConfig never looks into a home folder.
func loadConfig(kubeconfig string) (*rest.Config, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	if kubeconfig == "" {
		rules.Precedence = filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar))
	}
	if kubeconfig == "" && len(rules.Precedence) == 0 {
		return rest.InClusterConfig()
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
}

func (c *cluster) setOperation(id string) string {
	agent := "odoofleet-helm-worker/" + version
	if id != "" {
		agent = fmt.Sprintf("%s (operation %s)", agent, headerSafe(id))
	}
	c.userAgent.Store(&agent)
	return agent
}

func headerSafe(s string) string {
	b := []byte(s)
	for i, ch := range b {
		if ch < ' ' || ch > '~' {
			b[i] = '_'
		}
	}
	return string(b)
}

// getter gives Helm and the Kubernetes libraries their clients, each behind the operation's guard.
type getter struct {
	cluster *cluster
	config  *rest.Config
}

func (c *cluster) getter(g guard) *getter {
	config := rest.CopyConfig(c.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		guarded := g
		guarded.next = next
		return &guarded
	})
	// Outside of the guard: what Helm tries again needs the permit again.
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &kube.RetryingRoundTripper{Wrapped: next} })
	return &getter{cluster: c, config: config}
}

func (g *getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.cluster.kinds, nil
}

func (g *getter) ToRESTMapper() (meta.RESTMapper, error) { return g.cluster.kinds.mapper, nil }

func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig { return &fixedConfig{getter: g} }

// fixedConfig answers what libraries ask a kubeconfig for.
type fixedConfig struct{ getter *getter }

func (f *fixedConfig) RawConfig() (clientcmdapi.Config, error) { return clientcmdapi.Config{}, nil }
func (f *fixedConfig) ClientConfig() (*rest.Config, error)     { return f.getter.ToRESTConfig() }
func (f *fixedConfig) Namespace() (string, bool, error)        { return f.getter.cluster.namespace, true, nil }
func (f *fixedConfig) ConfigAccess() clientcmd.ConfigAccess    { return nil }
