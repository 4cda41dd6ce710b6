{{- define "company.name" -}}
{{ .Values.releaseNameOverride | default .Release.Name }}
{{- end }}
