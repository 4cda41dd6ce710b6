//! Signatures as cosign makes them: with a key that somebody keeps, without a log.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use data_encoding::BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

/// How such a key is made.
const HOW: &str = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem";

/// A private key on P-256.
pub struct Key {
    pair: EcdsaKeyPair,
}

impl Key {
    /// Reads a PEM file with a key as PKCS#8.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let text = fs::read(file).with_context(|| format!("cannot read the key \"{name}\""))?;
        if String::from_utf8_lossy(&text).contains("ENCRYPTED") {
            bail!(
                "the key \"{name}\" is encrypted, which is not read here. Give one as PKCS#8, such as `{HOW}` makes; `cosign import-key-pair` \
                 takes the same key"
            );
        }
        let wrong = || anyhow!("\"{name}\" holds no private key on P-256 as PKCS#8, such as `{HOW}` makes");
        let document = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| wrong())?;
        let secret = document.secret_pkcs8_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, secret, &SystemRandom::new());
        Ok(Self { pair: pair.map_err(|_| wrong())? })
    }

    /// The signature of a payload, in base64.
    pub fn sign(&self, payload: &[u8]) -> Result<String> {
        let signature = self.pair.sign(&SystemRandom::new(), payload).map_err(|_| anyhow!("the key does not sign"))?;
        Ok(BASE64.encode(signature.as_ref()))
    }
}

/// What is signed about an image of a repository.
pub fn payload(repository: &str, digest: &str) -> String {
    serde_json::json!({
        "critical": {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
}
