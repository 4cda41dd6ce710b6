//! Charts made by scenarios.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A chart from a few files.
#[derive(Debug, Clone)]
pub struct Chart {
    files: Vec<(String, String)>,
}

/// Packs files as Helm would.
pub fn package(name: &str, files: &[(String, String)]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}/{path}"), content.as_bytes())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

impl Chart {
    /// A small chart: one Deployment `{release}-web` that reads `replicaCount`, `image` and `note`, one StatefulSet
    /// `{release}-db` with a hard-coded replica, and Secret `{release}-own` where `password` is set.
    pub fn small(version: &str) -> Self {
        let file = |path: &str, content: &str| (path.to_owned(), content.to_owned());
        Self {
            files: vec![
                file("Chart.yaml", &format!("apiVersion: v2\nname: small\nversion: {version}\n")),
                file(
                    "values.yaml",
                    "replicaCount: 1\nimage: {tag: a}\nnote: \"\"\nhost: \"\"\npassword: \"\"\ncustomer: {id: \"\"}\n",
                ),
                file("values.schema.json", SCHEMA),
                file("templates/web.yaml", WEB),
                file("templates/db.yaml", DATABASE),
                file("templates/config.yaml", CONFIG),
                file("templates/secret.yaml", SECRET),
            ],
        }
    }

    /// The chart in a folder of `e2e/charts`.
    pub fn folder(repo: &Path, name: &str) -> std::io::Result<Self> {
        let folder = repo.join("e2e/charts").join(name);
        let mut files = Vec::new();
        for part in ["", "templates", "templates/tests"] {
            files.extend(files_in(&folder, part)?);
        }
        Ok(Self { files })
    }

    /// With pods that run on a real node, where they do nothing until they are asked to end.
    #[must_use]
    pub fn on_a_node(self) -> Self {
        const IDLE: &str = "image: registry.k8s.io/pause:3.10.1";
        let web = WEB.replace("image: \"odoo:{{ .Values.image.tag }}\"", IDLE);
        let database = DATABASE.replace("image: postgres:16", IDLE);
        self.with("templates/web.yaml", &web).with("templates/db.yaml", &database)
    }

    /// With a volume claim `{release}-data` of one Gibibyte that one node can mount, and that the web part mounts.
    #[must_use]
    pub fn with_volume(self) -> Self {
        let mounted = format!(
            "{WEB}          volumeMounts: [{{name: data, mountPath: /data}}]\n      volumes: [{{name: data, persistentVolumeClaim: {{claimName: \"{{{{ .Release.Name }}}}-data\"}}}}]\n"
        );
        self.with("templates/volume.yaml", VOLUME).with("templates/web.yaml", &mounted)
    }

    /// With a claim template `data` in its database.
    #[must_use]
    pub fn with_database_volume(self) -> Self {
        let with_claims = format!(
            "{DATABASE}  volumeClaimTemplates:\n    - metadata: {{name: data}}\n      spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
        );
        self.with("templates/db.yaml", &with_claims)
    }

    /// With a Job as a hook of these moments, such as `pre-install,pre-upgrade`. It begins when somebody sets its `suspend` to
    /// false.
    #[must_use]
    pub fn with_hanging_hook(self, moments: &str) -> Self {
        self.with("templates/hook.yaml", &HOOK.replace("MOMENTS", moments))
    }

    /// With a pod `{release}-check` in which changes are tried. Scenarios play it themselves where `note` is `by hand`.
    #[must_use]
    pub fn with_check(self) -> Self {
        self.with("templates/check.yaml", CHECK)
    }

    /// The same with a pod that ends for good when its change cannot work.
    #[must_use]
    pub fn with_check_that_ends(self) -> Self {
        self.with("templates/check.yaml", &CHECK.replace("restartPolicy: OnFailure", "restartPolicy: Never"))
    }

    /// Adds or replaces a file.
    #[must_use]
    pub fn with(mut self, path: &str, content: &str) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.to_owned(), content.to_owned()));
        self
    }

    /// Removes a file.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.files.retain(|(known, _)| known != path);
        self
    }

    /// The archive.
    pub fn archive(&self) -> std::io::Result<Vec<u8>> {
        package("small", &self.files)
    }
}

/// The files of a part of a chart, with their paths in the chart; none if there is no such part.
fn files_in(chart: &Path, part: &str) -> std::io::Result<Vec<(String, String)>> {
    let folder = chart.join(part);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let paths = entries.iter().map(std::fs::DirEntry::path).filter(|path| path.is_file());
    let read = |path: std::path::PathBuf| {
        let name = path.strip_prefix(chart).unwrap_or(&path).to_string_lossy().into_owned();
        Ok((name, std::fs::read_to_string(&path)?))
    };
    paths.map(read).collect()
}

const SCHEMA: &str =
    r#"{"type":"object","properties":{"note":{"type":"string","maxLength":40},"replicaCount":{"type":"integer"}}}"#;

const WEB: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}-web"}
spec:
  replicas: {{ .Values.replicaCount }}
  strategy: {type: Recreate}
  selector: {matchLabels: {app: "{{ .Release.Name }}-web"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}-web"}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: odoo
          image: "odoo:{{ .Values.image.tag }}"
          env: [{name: NOTE, value: {{ .Values.note | quote }}}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"#;

const CHECK: &str = r#"apiVersion: v1
kind: Pod
metadata:
  name: "{{ .Release.Name }}-check"
  annotations:
    helm.sh/hook: test
    odoofleet.dev/role: Check
    {{- if eq .Values.note "by hand" }}
    e2e.odoofleet.dev/by-hand: "true"
    {{- end }}
spec:
  restartPolicy: OnFailure
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  initContainers:
    - name: addons-0
      image: "git:{{ .Values.image.tag }}"
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: config, mountPath: /etc/config}]
  containers:
    - name: done
      image: "odoo:{{ .Values.image.tag }}"
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  volumes: [{name: config, configMap: {name: "{{ .Release.Name }}-config"}}]
"#;

const DATABASE: &str = r#"apiVersion: apps/v1
kind: StatefulSet
metadata: {name: "{{ .Release.Name }}-db"}
spec:
  replicas: 1
  serviceName: "{{ .Release.Name }}-db"
  selector: {matchLabels: {app: "{{ .Release.Name }}-db"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}-db"}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: postgresql
          image: postgres:16
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"#;

const CONFIG: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-config"}
data: {note: {{ .Values.note | quote }}, customer: {{ .Values.customer.id | quote }}, host: {{ .Values.host | quote }}}
"#;

const SECRET: &str = r#"{{ with .Values.password }}apiVersion: v1
kind: Secret
metadata: {name: "{{ $.Release.Name }}-own"}
stringData: {password: {{ . | quote }}}
{{ end }}"#;

const VOLUME: &str = r#"apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: "{{ .Release.Name }}-data"}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"#;

const HOOK: &str = r#"apiVersion: batch/v1
kind: Job
metadata:
  name: "{{ .Release.Name }}-hook"
  annotations: {helm.sh/hook: "MOMENTS"}
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: hook
          image: busybox:1.37
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"#;
