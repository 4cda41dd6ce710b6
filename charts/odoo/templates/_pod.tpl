{{/* What the web and cron pods share. Argument: list of root, component. */}}
{{- define "odoo.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $v := $root.Values -}}
{{- $uid := $v.podSecurityContext.runAsUser | default (ternary 100 101 (ge (include "odoo.major" $root | int) 18)) -}}
metadata:
  labels: {{- include "odoo.labels" . | nindent 4 }}
    {{- if eq $component "web" }}
    odoofleet.dev/serves: http
    {{- end }}
  annotations:
    checksum/config: {{ include "odoo.restartsFor" . | sha256sum }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  {{- include "odoo.podSecurity" (list $root $uid 101) | nindent 2 }}
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  {{- if and $v.cron.enabled (eq $v.persistence.accessMode "ReadWriteOnce") }}
  affinity:
    podAffinity:
      # One node can mount the filestore. Both pods carry the term, so that whichever comes first chooses the node.
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {app.kubernetes.io/name: odoo, app.kubernetes.io/instance: {{ $root.Release.Name | quote }}}
            matchExpressions:
              - {key: app.kubernetes.io/component, operator: In, values: [web, cron]}
  {{- end }}
  initContainers: {{- include "odoo.initContainers" . | nindent 4 }}
  containers:
    - name: odoo
      {{- include "odoo.image" (list $root $v.image $v.odooVersion) | nindent 6 }}
      # Not the image's entrypoint, which passes the database's password as an argument.
      command: [odoo]
      env:
        - {name: ODOO_RC, value: /run/odoo/odoo.conf}
        - {name: HOME, value: /var/lib/odoo}
        {{- if $v.license.existingSecret }}
        - {name: ODOOFLEET_LICENSE_DIR, value: /run/odoofleet/license}
        {{- end }}
        {{- if $v.queueJob.enabled }}
        {{- include "odoo.queueJob" . | nindent 8 }}
        {{- end }}
        {{- with include "odoo.environment" $root | trim }}{{ . | nindent 8 }}{{ end }}
      securityContext: {{- include "odoo.containerSecurity" $root | nindent 8 }}
      {{- include (printf "odoo.%s" $component) $root | nindent 6 }}
      volumeMounts:
        - {name: config, mountPath: /etc/odoofleet, readOnly: true}
        - {name: run, mountPath: /run/odoo}
        - {name: tmp, mountPath: /tmp, subPath: odoo}
        - {name: filestore, mountPath: /var/lib/odoo}
        {{- include "odoo.keptMount" $root | nindent 8 }}
        {{- if include "odoo.hasAddons" $root }}
        - {name: addons, mountPath: /mnt/addons, readOnly: true}
        {{- end }}
        {{- if $v.license.existingSecret }}
        - {name: license, mountPath: /run/odoofleet/license, readOnly: true}
        {{- end }}
    {{- if and (eq $component "web") (include "odoo.hasProxy" $root) }}
    {{- include "odoo.proxy" $root | nindent 4 }}
    {{- end }}
  volumes: {{- include "odoo.volumes" . | nindent 4 }}
{{- end }}

{{- define "odoo.hasAddons" -}}
{{- if or .Values.git.customerAddons .Values.addons.image.repository }}true{{ end -}}
{{- end }}

{{/*
What must restart a pod when it changes; the rest of the pod's template restarts it by itself. Not in it: `bootstrap`, which
counts for a new database alone, and the scripts, which count at the next start. Cron pods do restart for `modules`: no scheduled
action may run while modules are updated.
*/}}
{{- define "odoo.restartsFor" -}}
{{- $root := index . 0 -}}
{{- if eq (index . 1) "web" -}}
{{ include "odoo.options" $root }}{{ toJson $root.Values.modules }}{{ include "odoo.baseUrl" $root }}
{{- if include "odoo.hasProxy" $root }}{{ include "odoo.proxyConfig" $root }}{{ end -}}
{{- else -}}
{{ include "odoo.cronOptions" $root }}{{ toJson $root.Values.modules }}
{{- end -}}
{{- end }}
