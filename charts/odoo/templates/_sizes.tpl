{{/*
About 5, 25 and 50 people at work. Memory in MiB. A process of Odoo is recycled above `soft` and killed above `hard`;
web, gevent and cron processes together fit the limit. PostgreSQL accepts what all processes may open.
*/}}
{{- define "odoo.sizes" -}}
S:
  workers: 0
  soft: 1024
  hard: 1280
  maxconn: 32
  web: {requests: {cpu: 250m, memory: 768Mi}, limits: {memory: 1536Mi}}
  cron: {requests: {cpu: 100m, memory: 384Mi}, limits: {memory: 1536Mi}}
  postgresql: {requests: {cpu: 100m, memory: 512Mi}, limits: {memory: 1Gi}}
  parameters: {max_connections: 100, shared_buffers: 192MB}
  shm: 128Mi
M:
  workers: 4
  soft: 640
  hard: 768
  maxconn: 16
  web: {requests: {cpu: "1", memory: 2Gi}, limits: {memory: 5Gi}}
  cron: {requests: {cpu: 250m, memory: 512Mi}, limits: {memory: 1536Mi}}
  postgresql: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}
  parameters: {max_connections: 150, shared_buffers: 384MB}
  shm: 256Mi
L:
  workers: 8
  soft: 768
  hard: 1024
  maxconn: 16
  web: {requests: {cpu: "2", memory: 4Gi}, limits: {memory: 10Gi}}
  cron: {requests: {cpu: 500m, memory: 768Mi}, limits: {memory: 2Gi}}
  postgresql: {requests: {cpu: "1", memory: 2Gi}, limits: {memory: 4Gi}}
  parameters: {max_connections: 250, shared_buffers: 1GB}
  shm: 512Mi
{{- end }}

{{/* A quantity of memory in bytes; 0 when there is none. */}}
{{- define "odoo.bytes" -}}
{{- $text := toString (. | default "0") -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if not (hasKey $factors $unit) }}{{ fail (printf "resources: memory %q: use Mi or Gi" $text) }}{{ end -}}
{{- mulf (trimSuffix $unit $text | float64) (get $factors $unit) | int64 -}}
{{- end }}

{{/* The size, with what the values say themselves in its place. */}}
{{- define "odoo.effective" -}}
{{- $size := index (include "odoo.sizes" . | fromYaml) .Values.size -}}
{{- if not (kindIs "invalid" .Values.workers) -}}
  {{- $_ := set $size "workers" .Values.workers -}}
{{- end -}}
{{- $config := .Values.odoo.config -}}
{{- $_ := set $size "soft" (int64 ($config.limit_memory_soft | default (mul $size.soft 1048576))) -}}
{{- $_ := set $size "hard" (int64 ($config.limit_memory_hard | default (mul $size.hard 1048576))) -}}
{{- $_ := set $size "web" (.Values.resources | default $size.web) -}}
{{- $_ := set $size "cron" (.Values.cron.resources | default $size.cron) -}}
{{- $_ := set $size "postgresql" (.Values.postgresql.resources | default $size.postgresql) -}}
{{- $_ := set $size "parameters" (merge dict .Values.postgresql.parameters $size.parameters) -}}
{{- toYaml $size -}}
{{- end }}
