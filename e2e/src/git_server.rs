//! A git server in a pod, with a certificate that only its own authority vouches for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::RealWorld;

/// An image with git, lighttpd and sshd.
const IMAGE: &str = "docker.io/odoofleet/git-server:bookworm";
/// The names under which pods reach it, by https and ssh.
pub const HOSTS: [&str; 2] = ["git.acme.example", "github.com"];
/// Who may read the repositories below `acme`, and by which password.
pub const USER: (&str, &str) = ("deploy", "change-me");

/// Repositories below `acme` ask for [`USER`], all others are for everybody.
const LIGHTTPD: &str = r#"
server.modules = ("mod_openssl", "mod_auth", "mod_authn_file", "mod_setenv", "mod_alias", "mod_cgi")
server.document-root = "/srv"
server.errorlog = "/dev/stderr"
server.port = 8443
ssl.engine = "enable"
ssl.pemfile = "/run/tls/tls.crt"
ssl.privkey = "/run/tls/tls.key"
alias.url = ("/" => "/usr/lib/git-core/git-http-backend/")
cgi.assign = ("" => "")
setenv.add-environment = ("GIT_PROJECT_ROOT" => "/srv/git", "GIT_HTTP_EXPORT_ALL" => "1")
$HTTP["url"] =~ "^/acme/" {
  auth.backend = "plain"
  auth.backend.plain.userfile = "/run/git/users"
  auth.require = ("" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
}
"#;
/// As an ordinary user, which the namespace asks for. The keys are read from here by whoever needs them.
const START: &str = r"
set -eu
mkdir /srv/git
tar -xf /run/git/repositories.tar -C /srv/git
mkdir -m 700 /srv/.ssh
ssh-keygen -q -t ed25519 -N '' -f /srv/.ssh/host
ssh-keygen -q -t ed25519 -N '' -f /srv/.ssh/deploy
cp /srv/.ssh/deploy.pub /srv/.ssh/authorized_keys
/usr/sbin/sshd -p 2222 -h /srv/.ssh/host -o PidFile=none -o UsePAM=no -o StrictModes=no -E /dev/stderr
exec lighttpd -D -f /run/git/lighttpd.conf
";

/// The server, and what is known of it.
pub struct GitServer {
    /// The certificate authority, in PEM.
    pub authority: String,
    /// Its address in the cluster.
    pub address: String,
}

/// A commit to make.
pub struct Commit<'a> {
    /// The folders of addons that it holds; each gets the manifest and the Python code given.
    pub addons: &'a [(&'a str, &'a str, &'a str)],
    /// Tags and branches that are to lead to it.
    pub names: &'a [&'a str],
}

/// Repositories in the making.
pub struct Repositories {
    folder: tempfile::TempDir,
}

impl Repositories {
    /// None yet.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// Adds a repository such as `acme/addons.git`. Returns the id of each commit.
    pub fn add(&self, name: &str, commits: &[Commit<'_>]) -> Result<Vec<String>> {
        let bare = self.folder.path().join(name);
        let work = tempfile::tempdir()?;
        git(work.path(), &["init", "--quiet", "--template=", "--initial-branch=main", "."])?;
        let mut ids = Vec::new();
        for commit in commits {
            for (addon, manifest, code) in commit.addons {
                let addon = work.path().join(addon);
                std::fs::create_dir_all(&addon)?;
                std::fs::write(addon.join("__manifest__.py"), manifest)?;
                std::fs::write(addon.join("__init__.py"), code)?;
            }
            git(work.path(), &["add", "."])?;
            git(work.path(), &["commit", "--quiet", "--message", "an addon"])?;
            for name in commit.names {
                git(work.path(), &["update-ref", &format!("refs/{name}"), "HEAD"])?;
            }
            ids.push(git(work.path(), &["rev-parse", "HEAD"])?);
        }
        git(work.path(), &["clone", "--quiet", "--mirror", "--template=", ".", &bare.to_string_lossy()])?;
        // A commit is asked for by its id, as the large hosts let everybody.
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"])?;
        Ok(ids)
    }

    fn packed(&self) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(".", self.folder.path())?;
        archive.into_inner().context("the repositories cannot be packed")
    }
}

impl GitServer {
    /// Starts it in the world's namespace, and makes its names known to all pods of the node.
    pub async fn start(world: &RealWorld, repositories: &Repositories) -> Result<Self> {
        let (authority, certificate, key) = certificate()?;
        let packed = base64::engine::general_purpose::STANDARD.encode(repositories.packed()?);
        let meta = json!({ "name": "git", "labels": { "app": "git" } });
        let (user, password) = USER;
        world
            .apply(&json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta,
                "data": { "lighttpd.conf": LIGHTTPD, "start.sh": START, "users": format!("{user}:{password}\n") },
                "binaryData": { "repositories.tar": packed },
            }))
            .await?;
        world
            .apply(&json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls",
                "stringData": { "tls.crt": certificate, "tls.key": key },
            }))
            .await?;
        world
            .apply(&json!({
                "apiVersion": "v1", "kind": "Service", "metadata": meta,
                "spec": { "selector": { "app": "git" }, "ports": [
                    { "name": "https", "port": 443, "targetPort": 8443 }, { "name": "ssh", "port": 22, "targetPort": 2222 },
                ] },
            }))
            .await?;
        world
            .apply(&json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": meta,
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [{
                        "name": "git", "image": IMAGE, "command": ["bash", "/run/git/start.sh"],
                        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                        "readinessProbe": { "tcpSocket": { "port": 8443 }, "periodSeconds": 1 },
                        "volumeMounts": [{ "name": "git", "mountPath": "/run/git" }, { "name": "tls", "mountPath": "/run/tls" }, { "name": "srv", "mountPath": "/srv" }],
                    }],
                    "volumes": [{ "name": "git", "configMap": { "name": "git" } }, { "name": "tls", "secret": { "secretName": "git" } }, { "name": "srv", "emptyDir": {} }],
                },
            }))
            .await?;
        world.wait_pod_ready("git").await?;
        let service: Service = world.api().get("git").await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
        std::fs::write(&world.real.hosts, format!("{address} {}\n", HOSTS.join(" ")))?;
        Ok(Self { authority, address })
    }
}

/// An authority, and a certificate of its making for all names; with the certificate's key.
fn certificate() -> Result<(String, String, String)> {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "in-house authority");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate()?)?;
    let key = rcgen::KeyPair::generate()?;
    let names: Vec<String> = HOSTS.iter().map(ToString::to_string).collect();
    let certificate = rcgen::CertificateParams::new(names)?.signed_by(&key, &authority)?;
    Ok((authority.pem(), certificate.pem(), key.serialize_pem()))
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=acme", "-c", "user.email=it@acme.example"]).args(arguments);
    // Nothing of the developer's own settings.
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().context("git cannot be started")?;
    ensure!(output.status.success(), "git {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
