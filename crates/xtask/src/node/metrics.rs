//! What pods use: `kubectl top`. metrics-server runs beside the cluster, and the API server passes on to it.

use std::net::Ipv4Addr;

/// Its port, at this machine's end of the link.
pub const PORT: u16 = 4443;
/// The object by which the API server knows it.
pub const API_SERVICE: &str = "v1beta1.metrics.k8s.io";

/// A Service whose only endpoint is this machine.
pub fn manifest(address: Ipv4Addr) -> String {
    format!(
        r#"apiVersion: v1
kind: Service
metadata: {{name: metrics-server, namespace: kube-system}}
spec:
  ports: [{{name: https, port: 443, targetPort: {PORT}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: metrics-server, namespace: kube-system, labels: {{kubernetes.io/service-name: metrics-server}}}}
addressType: IPv4
ports: [{{name: https, port: {PORT}}}]
endpoints: [{{addresses: ["{address}"], conditions: {{ready: true}}}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: {API_SERVICE}}}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  # It makes its certificate itself; nothing but figures of a developer's pods passes here.
  insecureSkipTLSVerify: true
  service: {{name: metrics-server, namespace: kube-system}}
"#
    )
}
