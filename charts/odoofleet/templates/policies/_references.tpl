{{- /*
Every place in which our kinds name a Secret or a ConfigMap. `in`: the object that holds the name (`*` at the end: each element of a
list). `name`: where the name is in it. `use`: what the object is used for, beside the place. Who may change that sends the same secret
somewhere else, so it counts as naming it anew. The tests compare this with the CRDs and with the schema of charts/odoo.
*/ -}}
{{- define "odoofleet.references" -}}
secrets:
  - {in: spec.valuesFrom.*, name: secretKeyRef.name, use: [secretKeyRef.key, targetPath]}
  - {in: spec.masterPasswordSecretRef, name: name}
  - {in: spec.bootstrap.adminPasswordSecretRef, name: name}
  - {in: spec.git.customerAddons.*, name: credentialsSecretRef.name, use: [url]}
  - {in: spec.ingress.tls, name: secretName}
  - {in: spec.postgresql.auth, name: existingSecret}
  - {in: spec.mail, name: existingSecret, use: [host]}
  # Of templates.
  - {in: spec.chart, name: pullSecretRef.name, use: [oci]}
  # Values of charts/odoo.
  - {in: spec.values.global.imagePullSecrets.*, name: name}
  - {in: spec.values.bootstrap, name: existingSecret}
  - {in: spec.values.odoo, name: existingSecret}
  - {in: spec.values.git.customerAddons.*, name: credentialsSecret, use: [url]}
  - {in: spec.values.postgresql.auth, name: existingSecret}
  - {in: spec.values.externalDatabase, name: existingSecret, use: [host]}
  - {in: spec.values.mail, name: existingSecret, use: [host]}
  - {in: spec.values.license, name: existingSecret}
  - {in: spec.values.ingress.tls, name: secretName}
  - {in: spec.values.env.*, name: valueFrom.secretKeyRef.name, use: [valueFrom.secretKeyRef.key, name]}
  - {in: spec.values.outboundProxy, name: existingSecret}
configmaps:
  - {in: spec.valuesFrom.*, name: configMapKeyRef.name, use: [configMapKeyRef.key, targetPath]}
  - {in: spec.values.env.*, name: valueFrom.configMapKeyRef.name, use: [valueFrom.configMapKeyRef.key, name]}
  # Of templates.
  - {in: spec.chart, name: configMapRef.name, use: [configMapRef.key]}
  - {in: spec.chart, name: caRef.name, use: [oci]}
{{- end }}

{{- /* CEL: list of {field, name, use} of what .root names. Each is a list of at most one string, `use` of more. */ -}}
{{- define "odoofleet.cel.references" -}}
{{- $parts := list }}
{{- range .places }}
{{- $keys := splitList "." .in }}
{{- $walk := "odoofleet.cel.at" }}
{{- if eq (last $keys) "*" }}{{ $keys = initial $keys }}{{ $walk = "odoofleet.cel.elementsAt" }}{{ end }}
{{- $use := list }}
{{- range .use }}{{ $use = append $use (include "odoofleet.cel.stringAt" (concat (list "[m]") (splitList "." .))) }}{{ end }}
{{- $parts = append $parts (printf "%s.map(m, {'field': [dyn('%s')], 'name': %s, 'use': %s})"
      (include $walk (concat (list (printf "[dyn(%s)]" $.root)) $keys))
      (printf "%s.%s" (.in | replace ".*" "[]") (.name | trimSuffix ".name" | trimPrefix "name" | default "name") | trimSuffix ".name")
      (include "odoofleet.cel.stringAt" (concat (list "[m]") (splitList "." .name)))
      ($use | join " + " | default "[]")) }}
{{- end }}
{{- printf "(%s).filter(r, size(r.name) == 1)" (join " + " $parts) }}
{{- end }}
