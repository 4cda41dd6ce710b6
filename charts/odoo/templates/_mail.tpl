{{- define "odoo.hasCatcher" -}}
{{- $wanted := .Values.mail.catcher.enabled -}}
{{- if kindIs "invalid" $wanted }}{{ $wanted = ne .Values.stage "Production" }}{{ end -}}
{{- if and $wanted (not .Values.mail.host) }}true{{ end -}}
{{- end }}

{{/* Options of outgoing mail, as JSON. */}}
{{- define "odoo.mailOptions" -}}
{{- $options := dict -}}
{{- with .Values.mail -}}
  {{- if .host -}}
    {{- $options = dict "smtp_server" .host "smtp_port" .port "smtp_ssl" .startTLS -}}
    {{- if .user }}{{ $_ := set $options "smtp_user" .user }}{{ end -}}
  {{- else if include "odoo.hasCatcher" $ -}}
    {{- $options = dict "smtp_server" (printf "%s-mail" (include "odoo.name" $)) "smtp_port" 1025 "smtp_ssl" false -}}
  {{- end -}}
  {{- if $options -}}
    {{- if .from }}{{ $_ := set $options "email_from" .from }}{{ end -}}
    {{- if .fromFilter }}{{ $_ := set $options "from_filter" .fromFilter }}{{ end -}}
  {{- end -}}
{{- end -}}
{{- toJson $options -}}
{{- end }}
