package gitops

import (
	"maps"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// Whether an expression has a result now: Prometheus's own engine over series in memory.
func fires(t *testing.T, expression string, all series) bool {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	now := time.Now()
	query, err := engine.NewInstantQuery(t.Context(), memory(t, all, now), nil, expression, now)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return len(vector) > 0
}

func merged(all ...series) series {
	one := series{}
	for _, each := range all {
		maps.Copy(one, each)
	}
	return one
}

func memory(t *testing.T, all series, now time.Time) storage.Queryable {
	t.Helper()
	stored := []storage.Series{}
	for name, values := range all {
		selector, ok := parse(t, name).(*parser.VectorSelector)
		if !ok {
			t.Fatalf("%s is no series", name)
		}
		builder := labels.NewBuilder(labels.EmptyLabels())
		for _, matcher := range selector.LabelMatchers {
			builder.Set(matcher.Name, matcher.Value)
		}
		samples := []chunks.Sample{}
		for at, value := range values {
			ago := time.Duration(len(values)-1-at) * time.Minute
			samples = append(samples, sample{now.Add(-ago).UnixMilli(), value})
		}
		stored = append(stored, storage.NewListSeries(builder.Labels(), samples))
	}
	find := func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		found := []storage.Series{}
		for _, one := range stored {
			matches := true
			for _, matcher := range matchers {
				matches = matches && matcher.Matches(one.Labels().Get(matcher.Name))
			}
			if matches {
				found = append(found, one)
			}
		}
		return &set{found: found}
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: find}}
}

// A figure at a moment.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// Series one after the other.
type set struct {
	found []storage.Series
	next  int
}

func (s *set) Next() bool                        { s.next++; return s.next <= len(s.found) }
func (s *set) At() storage.Series                { return s.found[s.next-1] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }
