{{- /* The alerts, as YAML. job and namespace tell the metrics of two installations apart. */ -}}
{{- define "odoofleet.alerts" -}}
{{- $operator := printf "job=%q,namespace=%q" (include "odoofleet.fullname" .) .Release.Namespace -}}
{{- $fleet := printf "namespace=%q" (include "odoofleet.watchNamespace" .) -}}
- alert: OdooFleetOperatorDown
  expr: absent(odoo_operator_leader{ {{- $operator -}} } == 1)
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: No OdooFleet operator is at work. Environments run on, but nothing is installed, changed, started or stopped.
- alert: OdooFleetReconcileErrors
  expr: >-
    sum by (controller) (rate(odoo_operator_reconcile_total{ {{- $operator -}} ,result!="success"}[10m]))
    / sum by (controller) (rate(odoo_operator_reconcile_total{ {{- $operator -}} }[10m])) > 0.1
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: {{ `"{{ $value | humanizePercentage }} of the reconciles of {{ $labels.controller }} fail."` }}
- alert: OdooFleetQueueBacklog
  expr: odoo_operator_helm_queue{ {{- $operator -}} } > 20
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: {{ `"{{ $value }} Helm operations wait for a worker: changes take effect late."` }}
- alert: OdooFleetHelmFailures
  expr: sum by (operation) (increase(odoo_operator_helm_operations_total{ {{- $operator -}} ,result!="success"}[30m])) > 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: {{ `"Helm operations ({{ $labels.operation }}) fail. kubectl get oenv -A shows where."` }}
- alert: OdooEnvironmentNotReady
  expr: odoo_environment_ready_status{ {{- $fleet -}} ,condition="True"} == 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: {{ `"Environment {{ $labels.namespace }}/{{ $labels.name }} has not been ready for 15 minutes."` }}
- alert: OdooEnvironmentError
  expr: odoo_environment_phase{ {{- $fleet -}} ,phase="Error"} == 1
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: {{ `"Environment {{ $labels.namespace }}/{{ $labels.name }} is in error and needs somebody."` }}
- alert: OdooEnvironmentUnavailable
  expr: >-
    odoo_environment_replicas_desired{ {{- $fleet -}} } > 0
    and on (namespace, name) odoo_environment_replicas_ready{ {{- $fleet -}} } == 0
    and on (namespace, name) odoo_environment_phase{ {{- $fleet -}} ,phase!~"Stopped|Offline"} == 1
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: {{ `"Nobody can work in environment {{ $labels.namespace }}/{{ $labels.name }}: no pod of it is ready."` }}
- alert: OdooVolumeAlmostFull
  expr: >-
    kubelet_volume_stats_used_bytes{ {{- $fleet -}} } / kubelet_volume_stats_capacity_bytes{ {{- $fleet -}} } > 0.85
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: {{ `"Volume {{ $labels.namespace }}/{{ $labels.persistentvolumeclaim }} is {{ $value | humanizePercentage }} full."` }}
- alert: OdooCertificateExpiresSoon
  expr: certmanager_certificate_expiration_timestamp_seconds{ {{- $fleet -}} } - time() < 14 * 86400
  for: 1h
  labels: {severity: warning}
  annotations:
    summary: {{ `"Certificate {{ $labels.namespace }}/{{ $labels.name }} expires in {{ $value | humanizeDuration }} and has not been renewed."` }}
{{- end }}
