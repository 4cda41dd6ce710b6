package main

import (
	"context"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// meddles has admission write over a label and a value of every ConfigMap of the namespace, and waits until it does.
func (w *world) meddles() {
	w.t.Helper()
	api := w.clients.AdmissionregistrationV1()
	meta := metav1.ObjectMeta{Name: w.namespace}
	fails := admissionv1.Fail
	resources := []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}}
	_, err := api.MutatingAdmissionPolicies().Create(w.t.Context(), &admissionv1.MutatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicySpec{
		MatchConstraints:   &admissionv1.MatchResources{ResourceRules: resources},
		FailurePolicy:      &fails,
		ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionv1.ApplyConfiguration{
			Expression: `Object{metadata: Object.metadata{labels: {"app": "meddled", "more": "meddled"}}}`,
		}}},
	}}, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		w.t.Skip("the API server has no MutatingAdmissionPolicy")
	}
	must(w.t, err)
	binding := admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: meta.Name, MatchResources: &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.namespace}}}}
	_, err = api.MutatingAdmissionPolicyBindings().Create(w.t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: binding}, metav1.CreateOptions{})
	must(w.t, err)
	w.t.Cleanup(func() {
		_ = api.MutatingAdmissionPolicyBindings().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
		_ = api.MutatingAdmissionPolicies().Delete(context.Background(), meta.Name, metav1.DeleteOptions{})
	})
	must(w.t, wait.PollUntilContextTimeout(w.t.Context(), 50*time.Millisecond, 60*time.Second, true, func(ctx context.Context) (bool, error) {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
		made, err := w.clients.CoreV1().ConfigMaps(w.namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && made.Labels["app"] == "meddled", nil
	}))
}

func TestWhatAdmissionMakesOfAnObjectIsNoDrift(t *testing.T) {
	for name, by := range makers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.meddles()
			w.makes(by, "install", "acme-prod", chartArchive(t, "odoo", map[string]string{"all.yaml": driftingChart}))
			if labels := newObject(w.live("configmaps", "settings")).GetLabels(); labels["app"] != "meddled" {
				t.Fatalf("labels %v", labels)
			}
			w.noDrift("what admission has written")
		})
	}
}
