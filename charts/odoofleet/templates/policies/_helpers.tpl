{{- /* Binds policy .name to the namespaces that OdooFleet manages. */ -}}
{{- define "odoofleet.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "odoofleet.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels:
        odoofleet.dev/managed: "true"
{{- end }}

{{- /*
The namespace controller must be able to empty a namespace that is being deleted: were it refused, the namespace would hang
half deleted, with the damage done. Two tests, because some distributions run all controllers as one user.
*/ -}}
{{- define "odoofleet.notNamespaceController" -}}
- name: not-the-namespace-controller
  expression: request.userInfo.username != 'system:serviceaccount:kube-system:namespace-controller'
{{- end }}
{{- define "odoofleet.namespaceLeaves" -}}
- name: namespaceLeaves
  expression: has(namespaceObject.metadata.deletionTimestamp)
{{- end }}

{{- /* The right to more than start and stop in Production, and what to say to those without it. */ -}}
{{- define "odoofleet.mayOperate" -}}
- name: mayOperate
  expression: >-
    authorizer.group('odoofleet.dev').resource('odooenvironments').namespace(request.namespace).name(request.name)
    .check('operate-production').allowed()
- name: hint
  expression: >-
    '; this needs the verb operate-production on odooenvironments.odoofleet.dev in namespace ' + request.namespace
    + ', which the role odoofleet-admin has'
{{- end }}

{{- /* Our operators, whichever installation's: the verb stands in their own ClusterRole and in no role for people. */ -}}
{{- define "odoofleet.isOperator" -}}
- name: isOperator
  expression: authorizer.group('odoofleet.dev').resource('odooenvironments').namespace(request.namespace).check('reconcile').allowed()
{{- end }}

{{- /* Annotations that allow what cannot be undone, as a list in CEL. */ -}}
{{- define "odoofleet.consents" -}}
['odoofleet.dev/allow-deletion', 'odoofleet.dev/allow-data-loss', 'odoofleet.dev/allow-takeover', 'odoofleet.dev/major-upgrade']
{{- end }}
