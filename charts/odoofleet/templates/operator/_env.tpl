{{- /* One variable for each flag of `odoofleet run`. A flag whose empty value means "not set" is left out when empty. */ -}}
{{- define "odoofleet.env" -}}
{{- $kinds := list }}
{{- range (include "odoofleet.kinds" . | fromJson).kinds }}
{{- $kinds = append $kinds (printf "%s/%s" .apiVersion .kind) }}
{{- end -}}
- name: ODOOFLEET_NAMESPACE
  value: {{ include "odoofleet.watchNamespace" . | quote }}
- name: ODOOFLEET_SYSTEM_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: ODOOFLEET_LEASE_NAME
  value: {{ .Values.operator.leaseName | quote }}
- name: ODOOFLEET_IDENTITY
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: ODOOFLEET_CHARTS_DIR
  value: {{ .Values.operator.chartsDir | quote }}
- name: ODOOFLEET_CACHE_DIR
  value: {{ .Values.operator.cacheDir | quote }}
- name: ODOOFLEET_HELM_WORKER
  value: {{ .Values.operator.helmWorker | quote }}
- name: ODOOFLEET_WORKERS
  value: {{ .Values.operator.workers | int | quote }}
- name: ODOOFLEET_WORKER_MEMORY
  value: {{ .Values.operator.workerMemory | int | quote }}
- name: ODOOFLEET_LISTEN
  value: {{ printf "0.0.0.0:%d" (.Values.operator.port | int) | quote }}
{{- if .Values.metrics.token.secretName }}
- name: ODOOFLEET_METRICS_TOKEN_FILE
  value: {{ printf "/run/metrics-token/%s" .Values.metrics.token.key | quote }}
{{- end }}
- name: ODOOFLEET_TIME_ZONE
  value: {{ .Values.operator.timeZone | quote }}
- name: ODOOFLEET_MAX_AUTOMATIC_STOPS
  value: {{ .Values.operator.maxAutomaticStops | int | quote }}
- name: ODOOFLEET_MAX_STOPS
  value: {{ .Values.operator.maxStops | int | quote }}
- name: ODOOFLEET_ALLOWED_KINDS
  value: {{ $kinds | uniq | join "," | quote }}
{{- with .Values.operator.allowedGitHosts }}
- name: ODOOFLEET_ALLOWED_GIT_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.operator.allowedDomains }}
- name: ODOOFLEET_ALLOWED_DOMAINS
  value: {{ join "," . | quote }}
{{- end }}
# Half a minute less than the pod has: time to give the Lease back.
- name: ODOOFLEET_SHUTDOWN_SECONDS
  value: {{ sub .Values.terminationGracePeriodSeconds 30 | quote }}
- name: ODOOFLEET_LOG_FORMAT
  value: {{ .Values.operator.logFormat | quote }}
{{- with .Values.operator.nodeAddress }}
- name: ODOOFLEET_NODE_ADDRESS
  value: {{ . | quote }}
{{- end }}
{{- end }}
