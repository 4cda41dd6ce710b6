{{- /*
Refuses what would end as two installations that fight: over a namespace, or over what a cluster has once. It asks the cluster, so
`helm template` and tools built on it say nothing.
*/ -}}
{{- define "odoofleet.checkAlone" -}}
{{- $name := include "odoofleet.watchNamespace" . -}}
{{- range (lookup "rbac.authorization.k8s.io/v1" "Role" $name "").items -}}
  {{- $labels := .metadata.labels | default dict -}}
  {{- $owner := include "odoofleet.otherOwner" (dict "root" $ "object" .) -}}
  {{- if and $owner (eq (get $labels "app.kubernetes.io/part-of" | toString) "odoofleet") (hasSuffix "-controller" .metadata.name) -}}
    {{- fail (printf "namespace %s belongs to the operator of %s already, and two would work against each other. Set another watchNamespace, or upgrade that release" $name $owner) -}}
  {{- end -}}
{{- end -}}
{{- if .Values.crds.install -}}
  {{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "odooenvironments.odoofleet.dev" -}}
    {{- with include "odoofleet.otherOwner" (dict "root" $ "object" .) -}}
      {{- fail (printf "this cluster has OdooFleet's kinds from %s. If that still runs, add --set crds.install=false,roles.create=false,policies.create=false and a watchNamespace of this one's own. If it was uninstalled, install under its name and namespace again: everything is found in sync" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- /* The release that an object belongs to, in words, if that is another one. */ -}}
{{- define "odoofleet.otherOwner" -}}
{{- $annotations := .object.metadata.annotations | default dict -}}
{{- $release := get $annotations "meta.helm.sh/release-name" | toString -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" | toString -}}
{{- if and $release (or (ne $release .root.Release.Name) (ne $namespace .root.Release.Namespace)) -}}
release {{ $release }} in namespace {{ $namespace }}
{{- end -}}
{{- end }}
