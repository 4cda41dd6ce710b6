{{/*
What pods write on the node's own disk. Without a bound one customer's code could fill it, and the kubelet would evict the neighbours.
The kubelet holds a pod against the sum of its containers' limits, volumes and logs together; so the container that writes into
volumes has room for all of them, and each has some for its log.
*/}}

{{/* An emptyDir. Argument: its size. */}}
{{- define "odoo.emptyDir" -}}
emptyDir: {sizeLimit: {{ . }}}
{{- end }}

{{/* Size of the volume of addons: unpacked, a pack is a multiple of itself. */}}
{{- define "odoo.addonsSize" -}}
{{- $packs := mul (len .Values.git.customerAddons) 4 (include "odoo.bytes" .Values.git.sizeLimit | int64) -}}
{{- $image := ternary 4294967296 0 (not (empty .Values.addons.image.repository)) -}}
{{ .Values.ephemeralStorage.addons | default (printf "%dMi" (div (add $packs $image 1048575) 1048576)) }}
{{- end }}

{{/* Resources of a container with those of the disk. Argument: list of root, resources, sizes of the volumes that it answers for. */}}
{{- define "odoo.resources" -}}
{{- $disk := (index . 0).Values.ephemeralStorage -}}
{{- $given := deepCopy (index . 1) -}}
{{- if $disk.enabled -}}
{{- $requests := $given.requests | default dict -}}
{{- $limits := $given.limits | default dict -}}
{{- $sizes := list $disk.logs -}}
{{- if gt (len .) 2 }}{{ $sizes = concat $sizes (index . 2) }}{{ end -}}
{{- $limit := 1048575 -}}
{{- range $sizes }}{{ $limit = add $limit (include "odoo.bytes" . | int64) }}{{ end -}}
{{- $limit = max $limit (include "odoo.bytes" $disk.request | int64) -}}
{{- /* A request must not be above its limit, whichever of the two is given. */ -}}
{{- $asked := index $requests "ephemeral-storage" -}}
{{- $most := index $limits "ephemeral-storage" -}}
{{- $_ := set $limits "ephemeral-storage" ($most | default (ternary $asked (printf "%dMi" (div $limit 1048576)) (gt (include "odoo.bytes" $asked | int64) $limit))) -}}
{{- $_ := set $requests "ephemeral-storage" ($asked | default (ternary $most $disk.request (and (not (empty $most)) (lt (include "odoo.bytes" $most | int64) (include "odoo.bytes" $disk.request | int64))))) -}}
{{- $given = merge (dict "requests" $requests "limits" $limits) $given -}}
{{- end -}}
{{- toYaml $given -}}
{{- end }}

{{/* Resources of a helper. Argument: list of root, CPU, memory, its limit, sizes of the volumes that it answers for. */}}
{{- define "odoo.small" -}}
{{- $resources := dict "requests" (dict "cpu" (index . 1) "memory" (index . 2)) "limits" (dict "memory" (index . 3)) -}}
{{- include "odoo.resources" (list (index . 0) $resources (rest (rest (rest (rest .))))) -}}
{{- end }}
