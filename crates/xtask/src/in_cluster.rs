//! The operator as a pod of its own image, where nodes run containers.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, anyhow};

use crate::image::platform::Platform;
use crate::image::{self, Contents, Origin, programs};
use crate::images::{Image, oci};
use crate::layout::Layout;
use crate::operator::{self, NAME, NAMESPACE};
use crate::{exec, ui};

/// Begins the tags of images that only this machine has.
const TAG: &str = "dev-";
/// A pod that is replaced ends its Helm operations first.
const READY_WITHIN: &str = "--timeout=360s";

/// Puts an image of the programs and charts that were built together, for this machine alone.
pub fn image(layout: &Layout) -> Result<Image> {
    let task = ui::Task::start("Putting the operator's image together");
    let platform = Platform::here().ok_or_else(|| anyhow!("no image is made for this machine's kind"))?;
    let (work, charts) = (layout.path("image"), layout.path("charts"));
    let contents = Contents {
        platform,
        programs: &layout.bin(),
        names: &programs::NEEDED,
        charts: &charts,
        bills: &[],
        base: &image::base(platform)?,
    };
    let origin = Origin { version: "development".to_owned(), revision: None, created: None };
    let built = image::assemble(&contents, &origin, &work, false)?;
    let digest = built.blob().digest;
    let name = format!("{}:{TAG}{}", image::NAME, &digest["sha256:".len()..][..12]);
    let archive = work.join("image.tar");
    let layers = built.layers.iter().map(|layer| layer.stored.clone()).collect();
    oci::write(&archive, &name, std::slice::from_ref(&built))?;
    for layer in built.layers.iter().filter_map(|layer| layer.file.as_deref()) {
        fs::remove_file(layer).with_context(|| format!("cannot remove {}", layer.display()))?;
    }
    task.done("Put the operator's image together");
    Ok(Image::of_archive(name, archive, digest, layers))
}

/// Whether a node has an image for an earlier state of the programs. Each takes much room.
pub fn replaces(image: &Image, other: &str) -> bool {
    other != image.name && other.strip_prefix(image::NAME).is_some_and(|tag| tag.starts_with(&format!(":{TAG}")))
}

/// The image's tag, as the chart takes it.
pub fn tag(image: &Image) -> &str {
    image.name.rsplit_once(':').map_or("", |(_, tag)| tag)
}

/// Installs the chart with the operator as a pod, and waits until it is ready.
pub fn install(layout: &Layout, image: &Image, node: Ipv4Addr) -> Result<()> {
    let tag = format!("image.tag={}", tag(image));
    let address = format!("operator.nodeAddress={node}");
    operator::install_chart(layout, &["replicas=1", &tag, &address, "operator.logFormat=text"])?;
    let deployment = format!("deployment/{NAME}");
    let ready = ["rollout", "status", &deployment, "--namespace", NAMESPACE, READY_WITHIN];
    exec::output(layout.kube().kubectl().args(ready)).map(drop).with_context(|| {
        format!(
            "the operator's pod is not ready; see: kubectl --namespace {NAMESPACE} describe pods, and logs {deployment}"
        )
    })
}

/// How somebody reads what the operator says.
pub fn log_command() -> String {
    format!("kubectl logs --namespace {NAMESPACE} --follow deployment/{NAME}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_of_this_machine_are_replaced() {
        let image = |name: &str| Image::of_archive(name.to_owned(), "x".into(), "sha256:0".into(), Vec::new());
        let own = image("docker.io/odoofleet/odoofleet:dev-0123456789ab");
        assert_eq!(tag(&own), "dev-0123456789ab");
        assert!(replaces(&own, "docker.io/odoofleet/odoofleet:dev-ba9876543210"));
        for kept in [&own.name, "docker.io/odoofleet/odoofleet:0.1.0", "docker.io/odoofleet/odoofleet-other:dev-1"] {
            assert!(!replaces(&own, kept), "{kept}");
        }
    }
}
