//! Sending to a registry that runs, and verifying by others than those who signed.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::images::oci::Layer;
use crate::{exec, tools};

/// A registry of this test alone.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    address: String,
}

impl Server {
    /// Starts one; who asks for a login lets nobody in.
    fn start(asks_for_login: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut config = json!({
            "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": path("data")}}, "http": {"addr": address},
        });
        if asks_for_login {
            std::fs::write(path("htpasswd"), "").unwrap();
            config["auth"] = json!({"htpasswd": {"realm": "test", "path": path("htpasswd")}});
        }
        std::fs::write(path("config.yml"), config.to_string()).unwrap();
        let child = Command::new(tools::folder(tools::REGISTRY).unwrap().join("registry"))
            .args(["serve", &path("config.yml")])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, folder, address };
        while TcpStream::connect(&server.address).is_err() {
            assert!(server.child.try_wait().unwrap().is_none(), "the registry ended");
            std::thread::yield_now();
        }
        server
    }

    fn target(&self) -> String {
        format!("{}/odoofleet/odoofleet", self.address)
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let url = format!("http://{}/v2/odoofleet/odoofleet/{path}", self.address);
        let agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
        let accepted = format!("{MANIFEST}, {INDEX}");
        let mut answer =
            agent.get(&url).header("Accept", accepted).call().unwrap_or_else(|error| panic!("{url}: {error}"));
        answer.body_mut().read_to_vec().unwrap()
    }

    fn document(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path)).unwrap()
    }

    fn blob(&self, described: &Value) -> Vec<u8> {
        self.get(&format!("blobs/{}", described["digest"].as_str().unwrap()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn billed(dir: &Path, architecture: &'static str) -> Billed {
    let plain = dir.join(format!("{architecture}.tar"));
    std::fs::write(&plain, architecture.repeat(5000)).unwrap();
    let layer = Layer::compressed(&plain, &plain.with_extension("tar.gz")).unwrap();
    let image = Image::new(architecture, &json!({}), None, vec![layer]);
    Billed { image, bills: vec![("odoofleet.cdx.json".to_owned(), format!("{{\"of\": \"{architecture}\"}}"))] }
}

fn openssl(arguments: &[&str]) -> Result<String> {
    exec::output(Command::new("openssl").args(arguments))
}

fn key(dir: &Path) -> (PathBuf, String) {
    let (private, public) = (dir.join("key.pem"), dir.join("key.pub").display().to_string());
    let file = private.display().to_string();
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &file]).unwrap();
    openssl(&["pkey", "-in", &file, "-pubout", "-out", &public]).unwrap();
    (private, public)
}

#[test]
fn an_image_is_sent_once_with_its_bills_and_a_signature_that_openssl_verifies() {
    let server = Server::start(false);
    let dir = server.folder.path();
    let images = ["amd64", "arm64"].map(|architecture| billed(dir, architecture));
    let (private, public) = key(dir);
    let key = Key::read(&private).unwrap();
    let pushed = push(&server.target(), "0.1.0", &images, Some(&key)).unwrap();
    let digest = pushed.reference.strip_prefix(&format!("{}@", server.target())).unwrap();
    // Of each image layer, config and bill; the empty config of bills once; payload and config of the signature.
    assert_eq!(pushed.sent, 2 * 3 + 1 + 2);

    let index = server.get("manifests/0.1.0");
    assert_eq!(Blob::of(&index).digest, digest);
    let index: Value = serde_json::from_slice(&index).unwrap();
    for (entry, billed) in index["manifests"].as_array().unwrap().iter().zip(&images) {
        let named = entry["digest"].as_str().unwrap();
        let manifest = server.document(&format!("manifests/{named}"));
        assert_eq!(server.blob(&manifest["config"]), billed.image.config.as_bytes());
        assert_eq!(Blob::of(&server.blob(&manifest["layers"][0])), billed.image.layers[0].stored);
        let referrers = server.document(&format!("manifests/{}", named.replace(':', "-")));
        let artifact = &referrers["manifests"][0];
        assert_eq!(artifact["artifactType"], json!(BILL));
        let artifact = server.document(&format!("manifests/{}", artifact["digest"].as_str().unwrap()));
        assert_eq!(artifact["subject"]["digest"], entry["digest"]);
        assert_eq!(server.blob(&artifact["layers"][0]), billed.bills[0].1.as_bytes());
    }

    let signature = server.document(&format!("manifests/{}.sig", digest.replace(':', "-")));
    let layer = &signature["layers"][0];
    let payload = server.blob(layer);
    let told: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(told["critical"]["image"]["docker-manifest-digest"], json!(digest));
    assert_eq!(told["critical"]["identity"]["docker-reference"], json!(server.target()));
    let encoded = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
    let file = |name: &str, content: &[u8]| {
        std::fs::write(dir.join(name), content).unwrap();
        dir.join(name).display().to_string()
    };
    let signed = file("signature", &data_encoding::BASE64.decode(encoded.as_bytes()).unwrap());
    let verify = |payload: &str| openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &signed, payload]);
    assert_eq!(verify(&file("payload", &payload)).unwrap(), "Verified OK\n");
    let other = String::from_utf8(payload).unwrap().replace("odoofleet", "odoofleets");
    assert!(verify(&file("other", other.as_bytes())).is_err(), "a signature of something else is none");

    let again = push(&server.target(), "0.1.0", &images, None).unwrap();
    assert_eq!((again.reference, again.sent), (pushed.reference, 0), "what is there is not sent again");
    let referrers = server.document(&format!("manifests/{}", images[0].image.blob().digest.replace(':', "-")));
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn a_registry_that_refuses_or_is_not_there_is_named_with_what_to_do() {
    let server = Server::start(true);
    let images = [billed(server.folder.path(), "amd64")];
    let error = push(&server.target(), "0.1.0", &images, None).unwrap_err().to_string();
    let wanted = format!("registry {:?} refuses the image: it asks for a login that may write there", server.address);
    assert!(error.starts_with(&wanted), "{error}");
    let target = server.target();
    drop(server);
    let dir = tempfile::tempdir().unwrap();
    let error = push(&target, "0.1.0", &[billed(dir.path(), "amd64")], None).unwrap_err().to_string();
    assert!(error.contains("refuses the image: it does not answer"), "{error}");
}

#[test]
fn a_key_that_cannot_sign_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    std::fs::write(&file, "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n").unwrap();
    assert!(Key::read(&file).err().unwrap().to_string().contains("is encrypted, which is not read here"));
    let path = file.display().to_string();
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", &path]).unwrap();
    assert!(Key::read(&file).err().unwrap().to_string().contains("no private key on P-256"));
    let missing = Key::read(&dir.path().join("none.pem")).err().unwrap().to_string();
    assert!(missing.contains("none.pem"), "{missing}");
}
