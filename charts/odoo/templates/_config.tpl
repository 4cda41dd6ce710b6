{{/* Options that the chart composes, or that would undo what it promises. */}}
{{- define "odoo.reservedOptions" -}}
addons_path config data_dir db_filter db_host db_name db_password db_port db_replica_host db_replica_port db_sslmode
db_template db_user dbfilter gevent_port http_enable http_interface http_port init list_db logfile longpolling_port
max_cron_threads pidfile proxy_mode save smtp_password smtp_port smtp_server smtp_ssl smtp_user stop_after_init syslog
update workers xmlrpc xmlrpc_interface xmlrpc_port
{{- end }}

{{- define "odoo.major" -}}{{ splitList "." .Values.odooVersion | first | int }}{{- end }}

{{/* odoo.conf of the web pods, as JSON without any secret; files/configure.py adds those. */}}
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
  "http_interface" "0.0.0.0"
  "http_port" 8069
  "limit_memory_hard" $size.hard
  "limit_memory_soft" $size.soft
  "list_db" false
  "max_cron_threads" (ternary 0 .Values.cron.threads .Values.cron.enabled)
  "proxy_mode" (has (include "odoo.expose" .) (list "Ingress" "HTTPRoute"))
  "without_demo" (ternary true "all" (ge $major 19))
  "workers" $size.workers
-}}
{{- with .Values.mail }}{{ if .host -}}
  {{- $_ := set $options "smtp_server" .host -}}
  {{- $_ := set $options "smtp_port" .port -}}
  {{- $_ := set $options "smtp_ssl" .startTLS -}}
  {{- if .user }}{{ $_ := set $options "smtp_user" .user }}{{ end -}}
  {{- if .from }}{{ $_ := set $options "email_from" .from }}{{ end -}}
  {{- if .fromFilter }}{{ $_ := set $options "from_filter" .fromFilter }}{{ end -}}
{{- end }}{{ end -}}
{{- mergeOverwrite $options (omit .Values.odoo.config "admin_passwd" "limit_memory_soft" "limit_memory_hard") | toJson -}}
{{- end }}
