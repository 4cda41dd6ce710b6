{{/* Options that the chart composes, or that would undo what it promises. */}}
{{- define "odoo.reservedOptions" -}}
addons_path config data_dir db_filter db_host db_name db_password db_port db_replica_host db_replica_port db_sslmode
db_template db_user dbfilter gevent_port http_enable http_interface http_port init list_db logfile longpolling_port
max_cron_threads pidfile proxy_mode save smtp_password smtp_port smtp_server smtp_ssl smtp_user stop_after_init syslog
update workers xmlrpc xmlrpc_interface xmlrpc_port
{{- end }}

{{- define "odoo.major" -}}{{ splitList "." .Values.odooVersion | first | int }}{{- end }}

{{/* odoo.conf of the web pods, as JSON without any secret; files/configure.py adds those, and http_interface as the pod needs it. */}}
{{- define "odoo.options" -}}
{{- $size := include "odoo.effective" . | fromYaml -}}
{{- $name := include "odoo.name" . -}}
{{- $external := .Values.externalDatabase -}}
{{- $auth := .Values.postgresql.auth -}}
{{- $embedded := .Values.postgresql.enabled -}}
{{- $major := include "odoo.major" . | int -}}
{{- $port := ternary "gevent_port" "longpolling_port" (ge $major 16) -}}
{{- $paths := list -}}
{{- range $i, $addon := .Values.git.customerAddons -}}
  {{- $paths = append $paths (printf "/mnt/addons/%d/%s" $i ($addon.path | default ".") | clean) -}}
{{- end -}}
{{- if .Values.addons.image.repository }}{{ $paths = append $paths "/mnt/addons/image" }}{{ end -}}
{{- $options := dict
  "addons_path" (append $paths "/mnt/extra-addons" | join ",")
  "admin_passwd" ""
  "data_dir" "/var/lib/odoo"
  "db_host" (ternary (printf "%s-postgresql" $name) $external.host $embedded)
  "db_maxconn" $size.maxconn
  "db_name" (ternary $auth.database $external.database $embedded)
  "db_port" (ternary 5432 $external.port $embedded)
  "db_sslmode" (ternary "disable" $external.sslmode $embedded)
  "db_user" (ternary $auth.username $external.user $embedded)
  "dbfilter" ""
  $port 8072
  "http_port" 8069
  "limit_memory_hard" $size.hard
  "limit_memory_soft" $size.soft
  "list_db" false
  "max_cron_threads" (ternary 0 .Values.cron.threads .Values.cron.enabled)
  "proxy_mode" (or (has (include "odoo.expose" .) (list "Ingress" "HTTPRoute")) (not (empty (include "odoo.hasProxy" .))))
  (ternary "with_demo" "without_demo" (ge $major 19)) (ternary false "all" (ge $major 19))
  "workers" $size.workers
-}}
{{- $given := omit .Values.odoo.config "admin_passwd" "limit_memory_soft" "limit_memory_hard" -}}
{{- if .Values.queueJob.enabled -}}
  {{- $modules := splitList "," ($given.server_wide_modules | default (ternary "base,rpc,web" "base,web" (ge $major 19))) -}}
  {{- $given = omit $given "server_wide_modules" -}}
  {{- $_ := set $options "server_wide_modules" (append $modules "queue_job" | uniq | join ",") -}}
{{- end -}}
{{- mergeOverwrite $options (include "odoo.mailOptions" . | fromJson) $given | toJson -}}
{{- end }}

{{/* The same for the cron pod. */}}
{{- define "odoo.cronOptions" -}}
{{- mergeOverwrite (include "odoo.options" . | fromJson) (dict "workers" 0 "http_enable" false "max_cron_threads" .Values.cron.threads) | toJson -}}
{{- end }}

{{/*
The one runner of queue_job is the cron pod's, if there is one: it asks the web pods for each job. As variables, because Odoo 19
reads no section of odoo.conf but its own. Argument: list of root, component.
*/}}
{{- define "odoo.queueJob" -}}
{{- $root := index . 0 -}}
{{- $cron := $root.Values.cron.enabled -}}
{{- $runs := eq (index . 1) (ternary "cron" "web" $cron) -}}
- {name: ODOO_QUEUE_JOB_CHANNELS, value: {{ ternary $root.Values.queueJob.channels "root:0" $runs | quote }}}
- {name: ODOO_QUEUE_JOB_HOST, value: {{ ternary (include "odoo.name" $root) "127.0.0.1" $cron | quote }}}
- {name: ODOO_QUEUE_JOB_PORT, value: "8069"}
{{- end }}
