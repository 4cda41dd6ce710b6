{{/*
About 5, 25 and 50 people at work. PostgreSQL accepts what all processes may open.
*/}}
{{- define "odoo.sizes" -}}
S:
  workers: 0
  maxconn: 32
  web: {requests: {cpu: 250m, memory: 768Mi}, limits: {memory: 1536Mi}}
  cron: {requests: {cpu: 100m, memory: 384Mi}, limits: {memory: 1536Mi}}
  postgresql: {requests: {cpu: 100m, memory: 512Mi}, limits: {memory: 1Gi}}
  parameters: {max_connections: 100, shared_buffers: 192MB}
  shm: 128Mi
M:
  workers: 4
  maxconn: 16
  web: {requests: {cpu: "1", memory: 2Gi}, limits: {memory: 5Gi}}
  cron: {requests: {cpu: 250m, memory: 512Mi}, limits: {memory: 1536Mi}}
  postgresql: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}
  parameters: {max_connections: 150, shared_buffers: 384MB}
  shm: 256Mi
L:
  workers: 8
  maxconn: 16
  web: {requests: {cpu: "2", memory: 4Gi}, limits: {memory: 10Gi}}
  cron: {requests: {cpu: 500m, memory: 768Mi}, limits: {memory: 2Gi}}
  postgresql: {requests: {cpu: "1", memory: 2Gi}, limits: {memory: 4Gi}}
  parameters: {max_connections: 250, shared_buffers: 1GB}
  shm: 512Mi
{{- end }}

{{/*
Bytes of *address space*, not of memory. In odoo/service/server.py, Worker.check_limits, ThreadedServer.process_limit and
GeventServer.process_limits compare psutil's vms with limit_memory_soft, and set_limit_memory_hard sets RLIMIT_AS to limit_memory_hard,
which wkhtmltopdf inherits.
- hard: wkhtmltopdf of Debian's Qt reserves 1.4 GiB for a page, of which it uses 70 MiB, and 100 pages take 30 MiB more. Below 1.4
  GiB it ends with signal 11, and every report with it.
- soft: a process at rest has some 500 MiB more address space than memory (libraries, stacks, arenas). What it may hold is therefore
  about 1 GiB, and as many of those as there are workers fit the pod's memory limit; what is above is recycled after its request.
The memory itself is guarded by the pod's limit.
*/}}
{{- define "odoo.addressSpace" -}}
{soft: 1610612736, hard: 4294967296}
{{- end }}

{{/* A quantity in bytes; 0 when there is none. */}}
{{- define "odoo.bytes" -}}
{{- $text := toString (. | default "0") -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if not (hasKey $factors $unit) }}{{ fail (printf "resources: %q: use Mi or Gi" $text) }}{{ end -}}
{{- mulf (trimSuffix $unit $text | float64) (get $factors $unit) | int64 -}}
{{- end }}

{{/* The size, with what the values say themselves in its place. */}}
{{- define "odoo.effective" -}}
{{- $size := index (include "odoo.sizes" . | fromYaml) .Values.size -}}
{{- if not (kindIs "invalid" .Values.workers) -}}
  {{- $_ := set $size "workers" .Values.workers -}}
{{- end -}}
{{- $space := include "odoo.addressSpace" . | fromYaml -}}
{{- $soft := int64 (.Values.odoo.config.limit_memory_soft | default 0) -}}
{{- $hard := int64 (.Values.odoo.config.limit_memory_hard | default 0) -}}
{{- /* One that is given alone draws the other along. */ -}}
{{- $_ := set $size "soft" ($soft | default (ternary (min $hard (int64 $space.soft)) (int64 $space.soft) (gt $hard 0))) -}}
{{- $_ := set $size "hard" ($hard | default (max $soft (int64 $space.hard))) -}}
{{- $volumes := list .Values.ephemeralStorage.tmp -}}
{{- if include "odoo.hasAddons" . }}{{ $volumes = append $volumes (include "odoo.addonsSize" .) }}{{ end -}}
{{- $_ := set $size "web" (include "odoo.resources" (list . (.Values.resources | default $size.web) $volumes) | fromYaml) -}}
{{- $_ := set $size "cron" (include "odoo.resources" (list . (.Values.cron.resources | default $size.cron) $volumes) | fromYaml) -}}
{{- $_ := set $size "postgresql" (include "odoo.resources" (list . (.Values.postgresql.resources | default $size.postgresql) (list "272Mi")) | fromYaml) -}}
{{- /* PostgreSQL takes a node's huge pages where it finds some; without a limit for them the pod is ended at the first touch. */ -}}
{{- $_ := set $size "parameters" (merge dict .Values.postgresql.parameters $size.parameters (dict "huge_pages" "off")) -}}
{{- toYaml $size -}}
{{- end }}
