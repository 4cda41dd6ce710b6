{{- define "odoo.name" -}}
{{ .Values.releaseNameOverride | default .Release.Name }}
{{- end }}

{{/* Arguments of the next two: list of root and component. */}}
{{- define "odoo.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: odoo
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/*
The label `customer` is the customer's name everywhere: a Secret may be named by environments of the customer whose name it bears. An
id may be another customer's name, and never stands in its place.
*/}}
{{- define "odoo.labels" -}}
{{ include "odoo.contentLabels" . }}
{{- with (index . 0).Values.customer.name }}
odoofleet.dev/customer: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Those of Secrets and ConfigMaps: with the customer's name, all his environments might name them. */}}
{{- define "odoo.contentLabels" -}}
{{- $root := index . 0 -}}
{{ include "odoo.selector" . }}
app.kubernetes.io/part-of: odoofleet
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Values.odooVersion | quote }}
odoofleet.dev/stage: {{ $root.Values.stage }}
{{- with $root.Values.customer.id }}
odoofleet.dev/customer-id: {{ . | quote }}
{{- end }}
{{- end }}

{{/* list of root, component, suffix of the name */}}
{{- define "odoo.metadata" -}}
name: {{ print (include "odoo.name" (index . 0)) (index . 2) | quote }}
labels: {{- include "odoo.labels" . | nindent 2 }}
{{- end }}

{{/* The same for Secrets and ConfigMaps. */}}
{{- define "odoo.contentMetadata" -}}
name: {{ print (include "odoo.name" (index . 0)) (index . 2) | quote }}
labels: {{- include "odoo.contentLabels" . | nindent 2 }}
{{- end }}

{{/* The same for workloads, with the part that each plays when the environment is stopped and started. */}}
{{- define "odoo.workload" -}}
{{ include "odoo.metadata" . }}
annotations: {odoofleet.dev/role: {{ index . 3 }}}
{{- end }}

{{/*
Arguments of the next two: list of root, image, tag when the image names none. A repository that names its registry stays as it is.
A digest decides; the tag beside it is for people, and only one that was given: the chart's own guess might be untrue of it.
*/}}
{{- define "odoo.imageName" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $name := $image.repository -}}
{{- if and $root.Values.global.imageRegistry (not (regexMatch "^(localhost|[^/]*[.:][^/]*)/" $name)) -}}
  {{- $name = printf "%s/%s" (trimSuffix "/" $root.Values.global.imageRegistry) $name -}}
{{- end -}}
{{- $tag := $image.tag | default (ternary "" (index . 2) (not (empty $image.digest))) -}}
{{ $name }}{{ with $tag }}:{{ . }}{{ end }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What a digest names never changes: a policy that nobody gave for it need not look again. */}}
{{- define "odoo.image" -}}
{{- $image := index . 1 -}}
image: {{ include "odoo.imageName" . }}
imagePullPolicy: {{ $image.pullPolicy | default (ternary "IfNotPresent" (index . 0).Values.image.pullPolicy (not (empty $image.digest))) }}
{{- end }}

{{/* What may run beside other customers: the `restricted` pod security standard, and no way to the API server. */}}
{{- define "odoo.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Below what Odoo asks for, so that the pod needs no more for it; a namespace with a quota wants every container to say. */}}
{{- define "odoo.initResources" -}}
{{- include "odoo.small" (list . "50m" "64Mi" "512Mi") }}
{{- end }}

{{/* list of root, uid, fsGroup */}}
{{- define "odoo.podSecurity" -}}
{{- $root := index . 0 -}}
enableServiceLinks: false
automountServiceAccountToken: false
serviceAccountName: {{ include "odoo.name" $root | quote }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int64 (index . 1) }}
  fsGroup: {{ int64 (index . 2) }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "odoo.databaseSecret" -}}
{{- if .Values.postgresql.enabled -}}
{{ .Values.postgresql.auth.existingSecret | default (printf "%s-postgresql" (include "odoo.name" .)) }}
{{- else -}}
{{ .Values.externalDatabase.existingSecret }}
{{- end -}}
{{- end }}

{{- define "odoo.masterSecret" -}}
{{- if and .Values.odoo.existingSecret (not .Values.odoo.config.admin_passwd) -}}
{{ .Values.odoo.existingSecret }}
{{- else if .Values.odoo.config.admin_passwd -}}
{{ include "odoo.name" . }}-odoo
{{- end -}}
{{- end }}

{{/* Ingress, HTTPRoute or NodePort; empty when nothing leads in. */}}
{{- define "odoo.expose" -}}
{{- if and .Values.ingress.enabled (ne .Values.ingress.expose "None") }}{{ .Values.ingress.expose }}{{ end -}}
{{- end }}
