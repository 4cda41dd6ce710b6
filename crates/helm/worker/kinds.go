package main

import (
	"time"

	kubernetes "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
)

// kindsLive is how long what the API server serves is taken for known: a chart that asks for a kind which came since is
// rendered without it until then. What is applied of a kind that is not known is always looked up anew.
const kindsLive = time.Minute

// kinds is what the API server serves, kept over operations, of which there is one at a time: Helm asks for all of it before it
// renders anything.
type kinds struct {
	*cache
	mapper *restmapper.DeferredDiscoveryRESTMapper

	read   time.Time // zero: to be read anew
	server *kubernetes.Info
}

func newKinds(client discovery.DiscoveryInterface) *kinds {
	c := &cache{CachedDiscoveryInterface: memory.NewMemCacheClient(client)}
	return &kinds{cache: c, mapper: restmapper.NewDeferredDiscoveryRESTMapper(c)}
}

// begin is called before an operation.
func (k *kinds) begin() {
	if time.Since(k.read) < kindsLive {
		k.isFresh = false
		return
	}
	k.read, k.server = time.Now(), nil
	k.mapper.Reset()
}

// forget has the next operation read everything anew.
func (k *kinds) forget() {
	k.read = time.Time{}
}

// Invalidate is what Helm calls before it asks. How old an answer may be was decided at the beginning of the operation.
func (*kinds) Invalidate() {}

// ServerVersion is kept as well.
func (k *kinds) ServerVersion() (*kubernetes.Info, error) {
	if k.server == nil {
		found, err := k.cache.ServerVersion()
		if err != nil {
			return nil, err
		}
		k.server = found
	}
	return k.server, nil
}

// cache is discovery as the mapper has it. A kind that it does not find in an older operation's answers it looks up anew, once.
type cache struct {
	discovery.CachedDiscoveryInterface
	isFresh bool
}

// Fresh says whether everything was read for the operation that runs.
func (c *cache) Fresh() bool { return c.isFresh }

// Invalidate has everything read anew.
func (c *cache) Invalidate() {
	c.isFresh = true
	c.CachedDiscoveryInterface.Invalidate()
}
