{{/* Bring the addons. Argument: list of root, component. */}}
{{- define "odoo.addonsContainers" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $v := $root.Values -}}
{{- range $i, $addon := $v.git.customerAddons }}
- name: addons-{{ $i }}
  {{- include "odoo.image" (list $root $v.git.image "") | nindent 2 }}
  command: [sh, /etc/odoofleet/addons.sh]
  env:
    - {name: URL, value: {{ $addon.url | quote }}}
    - {name: REF, value: {{ $addon.ref | quote }}}
    - {name: SUBPATH, value: {{ $addon.path | default "." | quote }}}
    - {name: DEST, value: /mnt/addons/{{ $i }}}
    - {name: COMMIT_FILE, value: /mnt/addons/{{ $i }}.commit}
    - {name: PIN, value: /var/lib/odoo/.odoofleet/addons/{{ $i }}.json}
    - {name: REFRESH, value: {{ $v.git.refresh | quote }}}
    - {name: SIZE_LIMIT, value: {{ include "odoo.bytes" $v.git.sizeLimit | quote }}}
    {{- with $v.git.allowedHosts }}
    - {name: ALLOWED_HOSTS, value: {{ join " " . | quote }}}
    {{- end }}
    {{- with $addon.credentialsSecret }}
    - {name: CREDENTIALS, value: {{ . | quote }}}
    {{- end }}
    {{- if ne $component "check" }}
    - {name: KEEP, value: /var/lib/odoo/.odoofleet/addons/{{ $i }}}
    {{- end }}
    {{- with include "odoo.outboundProxy" $root | trim }}{{ . | nindent 4 }}{{ end }}
  # ssh needs a user that the image's passwd knows: nobody.
  securityContext: {{- include "odoo.containerSecurity" $root | nindent 4 }}
    runAsUser: 65534
  resources: {{- include "odoo.initResources" $root | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/odoofleet, readOnly: true}
    - {name: addons, mountPath: /mnt/addons}
    - {name: tmp, mountPath: /tmp, subPath: addons-{{ $i }}}
    # Keeps which commit a branch or tag meant, and the commit itself.
    - {name: filestore, mountPath: /var/lib/odoo}
    {{- if $addon.credentialsSecret }}
    - {name: git-{{ $i }}, mountPath: /run/secrets/git, readOnly: true}
    {{- end }}
{{- end }}
{{- if $v.addons.image.repository }}
- name: addons-image
  {{- include "odoo.image" (list $root $v.addons.image "latest") | nindent 2 }}
  command: [cp, -Rf, /addons/., /mnt/addons/image]
  securityContext: {{- include "odoo.containerSecurity" $root | nindent 4 }}
  resources: {{- include "odoo.initResources" $root | nindent 4 }}
  volumeMounts:
    - {name: addons, mountPath: /mnt/addons}
{{- end }}
{{- end }}

{{/* Init containers of the web and cron pods. Argument: list of root, component. */}}
{{- define "odoo.initContainers" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $v := $root.Values -}}
{{- include "odoo.addonsContainers" . }}
- name: configure
  {{- include "odoo.image" (list $root $v.image $v.odooVersion) | nindent 2 }}
  command: [python3, /etc/odoofleet/configure.py, {{ $component }}]
  securityContext: {{- include "odoo.containerSecurity" $root | nindent 4 }}
  resources: {{- include "odoo.initResources" $root | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/odoofleet, readOnly: true}
    - {name: run, mountPath: /run/odoo}
    - {name: database, mountPath: /run/secrets/database, readOnly: true}
    {{- if include "odoo.masterSecret" $root }}
    - {name: master, mountPath: /run/secrets/odoo, readOnly: true}
    {{- end }}
    {{- if $v.mail.existingSecret }}
    - {name: mail, mountPath: /run/secrets/mail, readOnly: true}
    {{- end }}
    {{- if include "odoo.hasAddons" $root }}
    - {name: addons, mountPath: /mnt/addons, readOnly: true}
    {{- end }}
{{- if eq $component "web" }}
- name: prepare
  {{- include "odoo.image" (list $root $v.image $v.odooVersion) | nindent 2 }}
  command: [python3, /etc/odoofleet/prepare.py]
  env:
    - {name: ODOO_RC, value: /run/odoo/odoo.conf}
    - {name: HOME, value: /var/lib/odoo}
    {{- with include "odoo.environment" $root | trim }}{{ . | nindent 4 }}{{ end }}
  securityContext: {{- include "odoo.containerSecurity" $root | nindent 4 }}
  # Those of the web container: it is the same Odoo, and the pod needs no more for it.
  resources: {{- toYaml (include "odoo.effective" $root | fromYaml).web | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/odoofleet, readOnly: true}
    - {name: run, mountPath: /run/odoo}
    - {name: tmp, mountPath: /tmp, subPath: prepare}
    - {name: filestore, mountPath: /var/lib/odoo}
    {{- include "odoo.keptMount" $root | nindent 4 }}
    - {name: database, mountPath: /run/secrets/database, readOnly: true}
    {{- if $v.bootstrap.existingSecret }}
    - {name: bootstrap, mountPath: /run/secrets/bootstrap, readOnly: true}
    {{- end }}
    {{- if include "odoo.hasAddons" $root }}
    - {name: addons, mountPath: /mnt/addons, readOnly: true}
    {{- end }}
{{- end }}
{{- end }}

{{/* What the containers with git's credentials keep on the volume is theirs: where customers' code runs, it cannot be written. */}}
{{- define "odoo.keptMount" -}}
{{- if .Values.git.customerAddons -}}
- {name: filestore, mountPath: /var/lib/odoo/.odoofleet, subPath: .odoofleet, readOnly: true}
{{- end -}}
{{- end }}
