package gitops

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// Figures of others that alerts and dashboards look at.
var foreign = []string{
	"kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes", "certmanager_certificate_expiration_timestamp_seconds",
}

// Labels that Prometheus gives to what it scrapes.
var scraped = []string{"job", "namespace", "instance", "pod", "service", "container", "endpoint"}

// The operator's figures and their labels; `UPDATE_GOLDEN=1 cargo test -p odoofleet` writes them.
func figures(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(string(read(t, "testdata/metrics.txt"))) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), "{")
		all[name] = append(all[name], strings.Split(strings.TrimSuffix(rest, "}"), ",")...)
	}
	return all
}

func parse(t *testing.T, expression string) parser.Expr {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return parsed
}

// Names of figures and of labels that the operator does not have.
func unknown(t *testing.T, expression string) []string {
	t.Helper()
	known := figures(t)
	var wrong []string
	parser.Inspect(parse(t, expression), func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok || slices.Contains(foreign, selector.Name) {
			return nil
		}
		has, found := known[selector.Name]
		if !found {
			wrong = append(wrong, selector.Name)
			return nil
		}
		for _, matcher := range selector.LabelMatchers {
			if matcher.Name != labels.MetricName && !slices.Contains(has, matcher.Name) && !slices.Contains(scraped, matcher.Name) {
				wrong = append(wrong, selector.Name+"{"+matcher.Name+"}")
			}
		}
		return nil
	})
	return wrong
}

func alerts(t *testing.T) []monitoring.Rule {
	t.Helper()
	var rule monitoring.PrometheusRule
	strict(t, read(t, config, "prometheus", "prometheusrule.yaml"), &rule)
	var all []monitoring.Rule
	for _, group := range rule.Spec.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

func TestAlertsAreRulesThatPrometheusTakes(t *testing.T) {
	var rule monitoring.PrometheusRule
	strict(t, read(t, config, "prometheus", "prometheusrule.yaml"), &rule)
	groups, err := yaml.Marshal(rule.Spec)
	if err != nil {
		t.Fatal(err)
	}
	_, problems := rulefmt.Parse(groups, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, problem := range problems {
		t.Error(problem)
	}
}

func TestAlertsLookAtFiguresThatThereAre(t *testing.T) {
	for _, alert := range alerts(t) {
		if wrong := unknown(t, alert.Expr.StrVal); len(wrong) > 0 {
			t.Errorf("%s looks at %v, which the operator does not show", alert.Alert, wrong)
		}
	}
}

func TestTheServiceMonitorFindsTheOperatorsPort(t *testing.T) {
	var monitor monitoring.ServiceMonitor
	strict(t, read(t, config, "prometheus", "servicemonitor.yaml"), &monitor)
	service := manifest(t, config, "operator", "service.yaml")
	has := service["metadata"].(map[string]any)["labels"].(map[string]any)
	for key, value := range monitor.Spec.Selector.MatchLabels {
		if has[key] != value {
			t.Errorf("the Service has no label %s=%s", key, value)
		}
	}
	ports := service["spec"].(map[string]any)["ports"].([]any)
	if name := ports[0].(map[string]any)["name"]; name != monitor.Spec.Endpoints[0].Port {
		t.Errorf("the Service's port is %v, the monitor's %s", name, monitor.Spec.Endpoints[0].Port)
	}
}

func TestTheDashboardLooksAtFiguresThatThereAre(t *testing.T) {
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Query string }
		}
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, config, "prometheus", "dashboards", "odoofleet.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	// What Grafana puts in the place of its variables.
	fill := []string{"$__rate_interval", "5m", "$__range", "1h"}
	for _, variable := range dashboard.Templating.List {
		fill = append(fill, "$"+variable.Name, ".+")
		// label_values(figure, label)
		if figure, _, ok := strings.Cut(strings.TrimPrefix(variable.Query, "label_values("), ","); ok {
			if wrong := unknown(t, figure); len(wrong) > 0 {
				t.Errorf("variable %s is filled with %v, which the operator does not show", variable.Name, wrong)
			}
		}
	}
	ids, count := map[int]bool{}, 0
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("two panels have the number %d", panel.ID)
		}
		ids[panel.ID] = true
		for _, target := range panel.Targets {
			count++
			if wrong := unknown(t, strings.NewReplacer(fill...).Replace(target.Expr)); len(wrong) > 0 {
				t.Errorf("panel %q looks at %v, which the operator does not show", panel.Title, wrong)
			}
		}
	}
	if count == 0 {
		t.Fatal("the dashboard has no expression")
	}
}

// Figures at one minute's distance, the last one now.
type series map[string][]float64

func TestAlertsFireWhenTheyShouldAndNotOtherwise(t *testing.T) {
	const operator = `job="odoofleet",namespace="odoofleet-system"`
	const environment = `namespace="odoo",name="acme-prod"`
	phase := func(phase string, ready, wanted float64) series {
		return series{
			`odoo_environment_phase{` + environment + `,phase="` + phase + `"}`: {1},
			`odoo_environment_replicas_desired{` + environment + `}`:            {wanted},
			`odoo_environment_replicas_ready{` + environment + `}`:              {ready},
		}
	}
	counter := func(name, labels string, values ...float64) series {
		return series{name + `{` + operator + `,` + labels + `}`: values}
	}
	now := float64(time.Now().Unix())
	tests := []struct {
		alert string
		fires series
		quiet []series
	}{
		{"OdooFleetOperatorDown", series{},
			[]series{{`odoo_operator_leader{` + operator + `,pod="a"}`: {0}, `odoo_operator_leader{` + operator + `,pod="b"}`: {1}}}},
		{"OdooFleetReconcileErrors", merged(
			counter("odoo_operator_reconcile_total", `controller="environment",result="success"`, 0, 5, 10),
			counter("odoo_operator_reconcile_total", `controller="environment",result="error"`, 0, 5, 10)),
			[]series{counter("odoo_operator_reconcile_total", `controller="environment",result="success"`, 0, 5, 10)}},
		{"OdooFleetQueueBacklog", series{`odoo_operator_helm_queue{` + operator + `}`: {21}},
			[]series{{`odoo_operator_helm_queue{` + operator + `}`: {20}}}},
		{"OdooFleetHelmFailures", counter("odoo_operator_helm_operations_total", `operation="upgrade",result="HookFailed"`, 0, 1, 1),
			[]series{counter("odoo_operator_helm_operations_total", `operation="upgrade",result="HookFailed"`, 4, 4, 4),
				counter("odoo_operator_helm_operations_total", `operation="upgrade",result="success"`, 0, 1, 2)}},
		{"OdooEnvironmentNotReady", series{`odoo_environment_ready_status{` + environment + `,condition="True"}`: {0}},
			[]series{{`odoo_environment_ready_status{` + environment + `,condition="True"}`: {1},
				`odoo_environment_ready_status{` + environment + `,condition="False"}`: {0}}}},
		{"OdooEnvironmentError", phase("Error", 0, 1), []series{phase("Running", 1, 1), phase("Stopped", 0, 0)}},
		// A customer's state may keep an environment down that wants to run.
		{"OdooEnvironmentUnavailable", phase("Pending", 0, 1), []series{phase("Running", 1, 1), phase("Stopped", 0, 1), phase("Offline", 0, 1)}},
		{"OdooVolumeAlmostFull", series{
			`kubelet_volume_stats_used_bytes{namespace="odoo",persistentvolumeclaim="a"}`:     {86},
			`kubelet_volume_stats_capacity_bytes{namespace="odoo",persistentvolumeclaim="a"}`: {100}},
			[]series{{`kubelet_volume_stats_used_bytes{namespace="other",persistentvolumeclaim="a"}`: {86},
				`kubelet_volume_stats_capacity_bytes{namespace="other",persistentvolumeclaim="a"}`: {100}}}},
		{"OdooCertificateExpiresSoon", series{`certmanager_certificate_expiration_timestamp_seconds{namespace="odoo",name="a"}`: {now + 86400}},
			[]series{{`certmanager_certificate_expiration_timestamp_seconds{namespace="odoo",name="a"}`: {now + 30*86400}}}},
	}
	tested := map[string]bool{}
	all := alerts(t)
	for _, test := range tests {
		tested[test.alert] = true
		at := slices.IndexFunc(all, func(rule monitoring.Rule) bool { return rule.Alert == test.alert })
		if at < 0 {
			t.Errorf("there is no alert %s", test.alert)
			continue
		}
		expression := all[at].Expr.StrVal
		if !fires(t, expression, test.fires) {
			t.Errorf("%s does not fire", test.alert)
		}
		for _, quiet := range test.quiet {
			if fires(t, expression, quiet) {
				t.Errorf("%s fires for %v", test.alert, quiet)
			}
		}
	}
	for _, alert := range all {
		if !tested[alert.Alert] {
			t.Errorf("nothing tests when %s fires", alert.Alert)
		}
	}
}
