{{- /*
JSON {"on": …, "confined": [names]}. Unless somebody has decided, the baseline begins with the installation and stays once it is there; an
upgrade does not put it around workloads that have run without it, because what they reach in a private network is not known here.
*/ -}}
{{- define "odoofleet.baseline" -}}
{{- $namespace := include "odoofleet.watchNamespace" . -}}
{{- $confined := list -}}
{{- $there := lookup "networking.k8s.io/v1" "NetworkPolicy" $namespace (print (include "odoofleet.fullname" .) "-baseline-deny") -}}
{{- if and (kindIs "invalid" .Values.networkPolicy.baseline.enabled) (not $there) -}}
  {{- $guarded := list -}}
  {{- range (lookup "networking.k8s.io/v1" "NetworkPolicy" $namespace "").items -}}
    {{- $guarded = append $guarded (get (.metadata.labels | default dict) "app.kubernetes.io/instance" | toString) -}}
  {{- end -}}
  {{- range $kind := list "apps/v1 Deployment" "apps/v1 StatefulSet" "batch/v1 CronJob" -}}
    {{- range (lookup (splitList " " $kind | first) (splitList " " $kind | last) $namespace "").items -}}
      {{- $labels := .metadata.labels | default dict -}}
      {{- $own := eq (get $labels "app.kubernetes.io/part-of" | toString) "odoofleet" -}}
      {{- if not (and $own (has (get $labels "app.kubernetes.io/instance" | toString) $guarded)) -}}
        {{- $confined = append $confined (printf "%s/%s" (splitList " " $kind | last | lower) .metadata.name) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $on := .Values.networkPolicy.baseline.enabled -}}
{{- if kindIs "invalid" $on -}}{{- $on = not $confined -}}{{- end -}}
{{- dict "on" $on "confined" $confined | toJson -}}
{{- end }}
