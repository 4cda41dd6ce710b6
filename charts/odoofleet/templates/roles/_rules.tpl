{{- /* Rules that several roles share. Each role is complete by itself, so that one binding is enough. */ -}}
{{- define "odoofleet.rules.view" -}}
# What is wanted and how it is.
- apiGroups: [odoofleet.dev]
  resources: [odoocustomers, odootemplates, odooenvironments, odooenvironments/scale]
  verbs: [get, list, watch]
# What runs for it. No Secrets, no ConfigMaps, no logs: all three may hold what a viewer is not to see.
- apiGroups: [""]
  resources: [pods, services, persistentvolumeclaims, events]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch]
# What pods take, where a metrics-server measures it.
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [get, list]
{{- end }}

{{- define "odoofleet.rules.log" -}}
# Logs; Odoo's may name people and addresses.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}

{{- define "odoofleet.rules.exec" -}}
# A shell in a pod, where the customer's data and passwords are. kubectl asks with GET (WebSocket) or POST (SPDY).
- apiGroups: [""]
  resources: [pods/exec]
  verbs: [get, create]
{{- end }}

{{- define "odoofleet.rules.scale" -}}
# Start and stop, Production included.
- apiGroups: [odoofleet.dev]
  resources: [odooenvironments/scale]
  verbs: [get, update, patch]
{{- end }}

{{- define "odoofleet.roleHead" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  labels:
    {{- include "odoofleet.labels" .root | nindent 4 }}
{{- end }}
