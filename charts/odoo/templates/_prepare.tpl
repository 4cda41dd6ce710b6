{{/* What prepare.py has to know. */}}
{{- define "odoo.prepare" -}}
{{- $addons := list -}}
{{- range .Values.git.customerAddons -}}
  {{- $addons = append $addons (dict "url" .url "ref" .ref "path" (.path | default ".")) -}}
{{- end -}}
{{- $addonsImage := "" -}}
{{- with .Values.addons.image -}}
  {{- if .repository }}{{ $addonsImage = include "odoo.imageName" (list $ . "latest") }}{{ end -}}
{{- end -}}
{{- dict
  "release" .Release.Name
  "odooVersion" .Values.odooVersion
  "image" (include "odoo.imageName" (list . .Values.image .Values.odooVersion))
  "addons" $addons
  "addonsImage" $addonsImage
  "refresh" .Values.git.refresh
  "baseUrl" (include "odoo.baseUrl" .)
  "reportUrl" "http://127.0.0.1:8069"
  "bootstrap" .Values.bootstrap
  "modules" .Values.modules
  | toJson -}}
{{- end }}

{{/* Where people reach Odoo; empty when no host leads in. TLS of a Gateway is the Gateway's own. */}}
{{- define "odoo.baseUrl" -}}
{{- $expose := include "odoo.expose" . -}}
{{- if has $expose (list "Ingress" "HTTPRoute") -}}
{{ ternary "https" "http" (or (eq $expose "HTTPRoute") (not (empty .Values.ingress.tls))) }}://{{ .Values.ingress.host }}
{{- end -}}
{{- end }}
