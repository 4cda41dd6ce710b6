{{/* What the web and cron pods share. Argument: list of root, component. */}}
{{- define "odoo.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $v := $root.Values -}}
{{- $name := include "odoo.name" $root -}}
{{- $uid := $v.podSecurityContext.runAsUser | default (ternary 100 101 (ge (include "odoo.major" $root | int) 18)) -}}
metadata:
  labels: {{- include "odoo.labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum }}
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
  initContainers:
    {{- range $i, $addon := $v.git.customerAddons }}
    - name: addons-{{ $i }}
      {{- include "odoo.image" (list $root $v.git.image "") | nindent 6 }}
      command: [sh, /etc/odoofleet/addons.sh]
      env:
        - {name: URL, value: {{ $addon.url | quote }}}
        - {name: REF, value: {{ $addon.ref | quote }}}
        - {name: SUBPATH, value: {{ $addon.path | default "." | quote }}}
        - {name: DEST, value: /mnt/addons/{{ $i }}}
      # ssh needs a user that the image's passwd knows: nobody.
      securityContext: {{- include "odoo.containerSecurity" $root | nindent 8 }}
        runAsUser: 65534
      resources: {{- include "odoo.initResources" $root | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/odoofleet, readOnly: true}
        - {name: addons, mountPath: /mnt/addons}
        - {name: tmp, mountPath: /tmp, subPath: addons-{{ $i }}}
        {{- if $addon.credentialsSecret }}
        - {name: git-{{ $i }}, mountPath: /run/secrets/git, readOnly: true}
        {{- end }}
    {{- end }}
    {{- if $v.addons.image.repository }}
    - name: addons-image
      {{- include "odoo.image" (list $root $v.addons.image "latest") | nindent 6 }}
      command: [cp, -Rf, /addons/., /mnt/addons/image]
      securityContext: {{- include "odoo.containerSecurity" $root | nindent 8 }}
      resources: {{- include "odoo.initResources" $root | nindent 8 }}
      volumeMounts:
        - {name: addons, mountPath: /mnt/addons}
    {{- end }}
    - name: configure
      {{- include "odoo.image" (list $root $v.image $v.odooVersion) | nindent 6 }}
      command: [python3, /etc/odoofleet/configure.py, {{ $component }}]
      securityContext: {{- include "odoo.containerSecurity" $root | nindent 8 }}
      resources: {{- include "odoo.initResources" $root | nindent 8 }}
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
      securityContext: {{- include "odoo.containerSecurity" $root | nindent 8 }}
      {{- include (printf "odoo.%s" $component) $root | nindent 6 }}
      volumeMounts:
        - {name: config, mountPath: /etc/odoofleet, readOnly: true}
        - {name: run, mountPath: /run/odoo}
        - {name: tmp, mountPath: /tmp, subPath: odoo}
        - {name: filestore, mountPath: /var/lib/odoo}
        {{- if or $v.git.customerAddons $v.addons.image.repository }}
        - {name: addons, mountPath: /mnt/addons, readOnly: true}
        {{- end }}
        {{- if $v.license.existingSecret }}
        - {name: license, mountPath: /run/odoofleet/license, readOnly: true}
        {{- end }}
  volumes:
    - {name: config, configMap: {name: {{ $name }}-config}}
    - {name: run, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
    - {name: tmp, emptyDir: {}}
    - {name: filestore, persistentVolumeClaim: {claimName: {{ $name }}-filestore}}
    - {name: database, secret: {secretName: {{ include "odoo.databaseSecret" $root | quote }}, items: [{key: password, path: password}]}}
    {{- with include "odoo.masterSecret" $root }}
    - {name: master, secret: {secretName: {{ . | quote }}, items: [{key: admin_passwd, path: admin_passwd}]}}
    {{- end }}
    {{- with $v.mail.existingSecret }}
    - {name: mail, secret: {secretName: {{ . | quote }}, items: [{key: password, path: password}]}}
    {{- end }}
    {{- with $v.license.existingSecret }}
    # Mounted whole, so that a renewal arrives without a restart; Odoo starts without a licence too.
    - {name: license, secret: {secretName: {{ . | quote }}, optional: true}}
    {{- end }}
    {{- if or $v.git.customerAddons $v.addons.image.repository }}
    - {name: addons, emptyDir: {}}
    {{- end }}
    {{- range $i, $addon := $v.git.customerAddons }}
    {{- with $addon.credentialsSecret }}
    - {name: git-{{ $i }}, secret: {secretName: {{ . | quote }}}}
    {{- end }}
    {{- end }}
{{- end }}
