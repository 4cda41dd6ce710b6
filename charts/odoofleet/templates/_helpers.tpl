{{- define "odoofleet.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- /* Prefix of every object, cluster-wide ones included; 40 characters leave room for the suffixes. */ -}}
{{- define "odoofleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "odoofleet.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "odoofleet.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "odoofleet.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "odoofleet.fullname" .) -}}
{{- end }}

{{- define "odoofleet.selectorLabels" -}}
app.kubernetes.io/name: {{ include "odoofleet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "odoofleet.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "odoofleet.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: odoofleet
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "odoofleet.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest -}}
@{{ .Values.image.digest }}
{{- else -}}
:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* The operator's namespace holds what no environment may mount, name or run as. */ -}}
{{- define "odoofleet.watchNamespace" -}}
{{- if eq .Values.watchNamespace .Release.Namespace -}}
{{- fail (printf "watchNamespace %q is the operator's own namespace: install the chart into another one, such as --namespace odoofleet-system" .Values.watchNamespace) -}}
{{- end -}}
{{- .Values.watchNamespace -}}
{{- end }}
