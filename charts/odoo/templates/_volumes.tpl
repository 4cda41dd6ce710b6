{{/* Volumes of the web and cron pods. Argument: list of root, component. */}}
{{- define "odoo.volumes" -}}
{{- $root := index . 0 -}}
{{- $v := $root.Values -}}
{{- $name := include "odoo.name" $root -}}
- {name: config, configMap: {name: {{ $name }}-config}}
- {name: run, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
- name: tmp
  {{- include "odoo.emptyDir" $v.ephemeralStorage.tmp | nindent 2 }}
- {name: filestore, persistentVolumeClaim: {claimName: {{ $name }}-filestore}}
- {name: database, secret: {secretName: {{ include "odoo.databaseSecret" $root | quote }}, items: [{key: password, path: password}]}}
{{- with include "odoo.masterSecret" $root }}
- {name: master, secret: {secretName: {{ . | quote }}, items: [{key: admin_passwd, path: admin_passwd}]}}
{{- end }}
{{- with $v.mail.existingSecret }}
- {name: mail, secret: {secretName: {{ . | quote }}, items: [{key: password, path: password}]}}
{{- end }}
{{- if eq (index . 1) "web" }}{{ with $v.bootstrap.existingSecret }}
# Optional: it counts for a new database alone, and prepare asks for it there. A database that is there starts without it.
- {name: bootstrap, secret: {secretName: {{ . | quote }}, optional: true, items: [{key: administrator_password, path: password}]}}
{{- end }}{{ end }}
{{- with $v.license.existingSecret }}
# Mounted whole, so that a renewal arrives without a restart; Odoo starts without a licence too.
- {name: license, secret: {secretName: {{ . | quote }}, optional: true}}
{{- end }}
{{- if include "odoo.hasAddons" $root }}
- name: addons
  {{- include "odoo.emptyDir" (include "odoo.addonsSize" $root) | nindent 2 }}
{{- end }}
{{- range $i, $addon := $v.git.customerAddons }}
{{- with $addon.credentialsSecret }}
- {name: git-{{ $i }}, secret: {secretName: {{ . | quote }}}}
{{- end }}
{{- end }}
{{- end }}
