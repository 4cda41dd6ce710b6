{{/* Variables of Odoo's containers, after the chart's own. */}}
{{- define "odoo.environment" -}}
{{ include "odoo.outboundProxy" . }}
{{- range .Values.env }}
- {{ toJson . }}
{{- end }}
{{- end }}

{{/* The proxy to the outside, of whoever goes there. In both cases: programs differ in which they read. */}}
{{- define "odoo.outboundProxy" -}}
{{- $proxy := .Values.outboundProxy -}}
{{- $urls := dict "HTTP" $proxy.http "HTTPS" $proxy.https -}}
{{- if or $proxy.existingSecret $proxy.http $proxy.https }}
{{- range $scheme, $url := $urls }}
{{- range $name := list (printf "%s_PROXY" $scheme) (printf "%s_proxy" (lower $scheme)) }}
{{- if $proxy.existingSecret }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $proxy.existingSecret | quote }}, key: url}}}
{{- else if $url }}
- {name: {{ $name }}, value: {{ $url | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- $own := include "odoo.name" . }}
{{- $without := list "localhost" "127.0.0.1" "::1" ".svc" ".cluster.local" $own (print $own "-postgresql") (print $own "-mail") }}
{{- if not .Values.postgresql.enabled }}{{ $without = append $without .Values.externalDatabase.host }}{{ end }}
{{- $without = concat $without .Values.networkPolicy.blockedRanges .Values.networkPolicy.blockedRangesIPv6 $proxy.except | uniq | join "," }}
{{- range list "NO_PROXY" "no_proxy" }}
- {name: {{ . }}, value: {{ $without | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* What the network policy opens for the proxy: its ranges, and the addresses in its URLs. The port of a URL in a Secret is unknown here. */}}
{{- define "odoo.proxyEgress" -}}
{{- $proxy := .Values.outboundProxy -}}
{{- $ranges := $proxy.cidrs -}}
{{- $ports := list -}}
{{- range compact (list $proxy.http $proxy.https) -}}
  {{- $host := regexReplaceAll "^https?://([^/:]+).*$" . "${1}" -}}
  {{- if regexMatch "^[0-9]+(\\.[0-9]+){3}$" $host }}{{ $ranges = append $ranges (print $host "/32") }}{{ end -}}
  {{- $ports = append $ports (regexReplaceAll "^https?://[^/:]+:?([0-9]*).*$" . "${1}" | default (ternary "443" "80" (hasPrefix "https:" .)) | int) -}}
{{- end -}}
{{- with $ranges | uniq }}
- to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- with $ports | uniq }}
  ports:
    {{- range . }}
    - {port: {{ . }}}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
