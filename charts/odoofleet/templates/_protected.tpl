{{- /*
Refuses an installation whose namespace the policies or the pod security standard do not reach. It asks the cluster, so `helm template` and
tools built on it say nothing; there the operator itself must look.
*/ -}}
{{- define "odoofleet.checkProtected" -}}
{{- $name := include "odoofleet.watchNamespace" . -}}
{{- $live := lookup "v1" "Namespace" "" "kube-system" -}}
{{- if and $live (not .Values.createWatchNamespace) -}}
  {{- $labels := (lookup "v1" "Namespace" "" $name | default (dict "metadata" dict)).metadata.labels | default dict -}}
  {{- $wanted := dict "odoofleet.dev/managed" "true" "odoofleet.dev/protected" "true" "pod-security.kubernetes.io/enforce" "restricted" -}}
  {{- range $key, $value := $wanted -}}
    {{- if ne (get $labels $key | toString) $value -}}
      {{- $all := "odoofleet.dev/managed=true odoofleet.dev/protected=true pod-security.kubernetes.io/enforce=restricted" -}}
      {{- fail (printf "namespace %s has no label %s=%s, without which not all that protects environments holds there. Run first: %s%s %s" $name $key $value
          (printf "kubectl create namespace %s (if there is none); kubectl label --overwrite namespace " $name) $name $all) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $live (not .Values.policies.create) -}}
  {{- $suffixes := list "secrets" "reserved-secrets" "named-secrets" "named-configmaps" "production" "environment-deletion"
      "namespace-deletion" "shared" "finalizers" "consents" "passwords" "routes" "bindings" "domains" -}}
  {{- $bound := list -}}
  {{- range (lookup "admissionregistration.k8s.io/v1" "ValidatingAdmissionPolicyBinding" "" "").items -}}
    {{- $bound = append $bound .spec.policyName -}}
  {{- end -}}
  {{- /* Another installation's, all of one. */ -}}
  {{- $missing := "namespace-deletion" -}}
  {{- range $bound -}}
    {{- if hasSuffix "-namespace-deletion" . -}}
      {{- $prefix := trimSuffix "namespace-deletion" . -}}
      {{- $missing = "" -}}
      {{- range $suffixes -}}{{- if not (has (print $prefix .) $bound) -}}{{- $missing = . -}}{{- end -}}{{- end -}}
      {{- if not $missing -}}{{- break -}}{{- end -}}
    {{- end -}}
  {{- end -}}
  {{- if $missing -}}
    {{- fail (printf "policies.create is false, and no other installation in this cluster has policy %s: without it environments are not protected. Leave policies.create true, or upgrade the installation that makes the policies first" $missing) -}}
  {{- end -}}
{{- end -}}
{{- end }}
