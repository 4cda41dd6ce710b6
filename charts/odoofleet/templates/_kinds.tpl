{{- /* The group of an apiVersion; "" is the core group. */ -}}
{{- define "odoofleet.group" -}}
{{- if contains "/" . }}{{ splitList "/" . | first }}{{ end -}}
{{- end }}

{{- /* JSON {"kinds": […]}: allowedKinds and extraAllowedKinds, each checked. */ -}}
{{- define "odoofleet.kinds" -}}
{{- $kinds := concat .Values.allowedKinds .Values.extraAllowedKinds -}}
{{- range $kinds }}{{ include "odoofleet.checkKind" . }}{{ end -}}
{{- dict "kinds" $kinds | toJson -}}
{{- end }}

{{- /*
Refuses what would let a chart leave its namespace or raise its own rights. The Role could not grant most of it anyway;
the point is that whoever asks is told why.
*/ -}}
{{- define "odoofleet.checkKind" -}}
{{- $group := include "odoofleet.group" .apiVersion -}}
{{- $name := printf "%s/%s" .apiVersion .kind -}}
{{- $escalating := list
  "rbac.authorization.k8s.io" "admissionregistration.k8s.io" "apiextensions.k8s.io" "apiregistration.k8s.io"
  "authentication.k8s.io" "authorization.k8s.io" "certificates.k8s.io" -}}
{{- $clusterGroups := list
  "flowcontrol.apiserver.k8s.io" "internal.apiserver.k8s.io" "node.k8s.io" "scheduling.k8s.io" "storage.k8s.io" "storagemigration.k8s.io" -}}
{{- $clusterKinds := list
  "v1/Namespace" "v1/Node" "v1/PersistentVolume" "v1/ComponentStatus"
  "networking.k8s.io/IngressClass" "networking.k8s.io/IPAddress" "networking.k8s.io/ServiceCIDR"
  "gateway.networking.k8s.io/GatewayClass"
  "resource.k8s.io/DeviceClass" "resource.k8s.io/ResourceSlice" "resource.k8s.io/DeviceTaintRule" -}}
{{- /* Objects on which a controller acts with rights of its own: it would do for their author what their author may not. */ -}}
{{- $deputies := list
  "fluxcd.io" "argoproj.io" "argoproj-labs.io" "external-secrets.io" "secrets.hashicorp.com" "secrets-store.csi.x-k8s.io" "bitnami.com"
  "kro.run" "crossplane.io" "upbound.io" "cattle.io" "operators.coreos.com" "open-cluster-management.io" "oam.dev" "karmada.io" "cluster.x-k8s.io" "multicluster.x-k8s.io"
  "helm.openshift.io" "template.openshift.io" "cnrm.cloud.google.com" "services.k8s.aws" "azure.com" "tekton.dev" "kyverno.io"
  "gatekeeper.sh" "hnc.x-k8s.io" "trust.cert-manager.io" "acme.cert-manager.io" "externaldns.k8s.io" "carvel.dev" "k14s.io" "mittwald.de"
  "redhatcop.redhat.io" "emberstack.com" "metacontroller.k8s.io" "velero.io" -}}
{{- $deputyKinds := list
  "v1/Endpoints" "discovery.k8s.io/EndpointSlice" "gateway.networking.k8s.io/Gateway" "gateway.networking.k8s.io/ReferenceGrant"
  "cert-manager.io/Issuer" "cert-manager.io/CertificateRequest" "k8s.cni.cncf.io/NetworkAttachmentDefinition" -}}
{{- $deputy := false -}}
{{- range $deputies }}{{ if or (eq $group .) (hasSuffix (print "." .) $group) }}{{ $deputy = true }}{{ end }}{{ end -}}
{{- $short := printf "%s/%s" ($group | default "v1") .kind -}}
{{- if has $group $escalating -}}
{{- fail (printf "allowedKinds: %s is never allowed: whoever may write an environment could raise their own rights with it" $name) -}}
{{- else if or (has $group $clusterGroups) (has $short $clusterKinds) (regexMatch "^Cluster[A-Z]" .kind) -}}
{{- fail (printf "allowedKinds: %s is never allowed: it is cluster-scoped, and an environment stays inside its namespace" $name) -}}
{{- else if or $deputy (has $short $deputyKinds) -}}
{{- fail (printf "allowedKinds: %s is never allowed: a controller acts on it with rights of its own, which whoever may write an environment would have. %s"
    $name "Let somebody who may make such objects make them beside the environment") -}}
{{- else if eq $group "odoofleet.dev" -}}
{{- fail (printf "allowedKinds: %s is never allowed: a chart must not create customers, templates or environments" $name) -}}
{{- else if eq $short "apps/ControllerRevision" -}}
{{- fail (printf "allowedKinds: %s is never allowed: the operator keeps the versions of templates in this kind" $name) -}}
{{- end -}}
{{- end }}
