//! The default `StorageClass`: a folder of the node a volume.

use crate::images::HELPER;

/// Where the provisioner's ConfigMap and its pods live.
pub const NAMESPACE: &str = "kube-system";
/// The name of its ConfigMap.
pub const CONFIG_MAP: &str = "volumes";

/// Volumes of type `local`, because kubelet gives those, and not host paths, to the group that a pod asks for.
pub fn manifest() -> String {
    format!(
        r#"apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: folder
  annotations: {{storageclass.kubernetes.io/is-default-class: "true", defaultVolumeType: local}}
provisioner: rancher.io/local-path
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: {CONFIG_MAP}, namespace: {NAMESPACE}}}
data:
  config.json: '{{"nodePathMap": [{{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/run/volumes"]}}]}}'
  setup: mkdir -m 0777 -p "$VOL_DIR"
  teardown: rm -rf "$VOL_DIR"
  helperPod.yaml: |
    apiVersion: v1
    kind: Pod
    metadata: {{name: volume}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: volume, image: "{HELPER}", imagePullPolicy: IfNotPresent}}]
"#
    )
}
