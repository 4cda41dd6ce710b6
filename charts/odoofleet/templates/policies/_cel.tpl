{{- /*
Walks into an object of any form: from a list of starting points, along keys. What is missing, null or no object on the way ends the
walk, so that free-form values never make an expression fail. Arguments: start, then keys.
*/ -}}
{{- define "odoofleet.cel.at" -}}
{{ first . }}{{ range rest . }}.map(x, type(x) == map && '{{ . }}' in x, x['{{ . }}']){{ end }}
{{- end }}

{{- /* As above, for a string at the end. */ -}}
{{- define "odoofleet.cel.stringAt" -}}
{{ include "odoofleet.cel.at" . }}.filter(x, type(x) == string && x != '')
{{- end }}

{{- /* As above, for the elements of a list at the end. */ -}}
{{- define "odoofleet.cel.elementsAt" -}}
({{ include "odoofleet.cel.at" . }}.filter(x, type(x) == list) + [[]])[0]
{{- end }}
