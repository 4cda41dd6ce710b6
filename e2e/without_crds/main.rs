//! What happens when somebody deletes the kind: alone and last, because all scenarios share the cluster's kinds.
#![allow(missing_docs, reason = "the names say it")]

use e2e::World;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use odoofleet_api::OdooEnvironment;

#[tokio::test(flavor = "multi_thread")]
async fn environments_run_on_when_their_kind_is_deleted_and_come_back_with_it() -> anyhow::Result<()> {
    let world = World::start("kind").await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    let before = world.api::<Deployment>().get("acme-prod-web").await?;
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    crds.delete("odooenvironments.odoofleet.dev", &DeleteParams::default()).await?;
    world.wait_gone::<OdooEnvironment>("acme-prod").await?;
    // Other scenarios' operators have ended; what they left cannot be let go by anybody else.
    let all: Api<OdooEnvironment> = Api::all(world.client.clone());
    for left in all.list(&ListParams::default()).await? {
        let own: Api<OdooEnvironment> = Api::namespaced(world.client.clone(), &left.namespace().unwrap_or_default());
        let patch = Patch::Merge(serde_json::json!({ "metadata": { "finalizers": null } }));
        match own.patch(&left.name_any(), &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => drop(result?),
        }
    }
    world.kubectl(&["wait", "--for=delete", "crd/odooenvironments.odoofleet.dev", "--timeout=60s"]).await?;
    assert!(crds.get_opt("odooenvironments.odoofleet.dev").await?.is_none());
    let after = world.api::<Deployment>().get("acme-prod-web").await?;
    assert_eq!(after.metadata.uid, before.metadata.uid);
    assert_eq!(after.metadata.generation, before.metadata.generation, "nothing was scaled");
    assert!(world.api::<Secret>().get_opt("sh.helm.release.v1.acme-prod.v1").await?.is_some());

    let crd = world.setup.repo.join("crds/odooenvironments.odoofleet.dev.yaml");
    world.kubectl(&["apply", "--server-side", "-f", &crd.to_string_lossy()]).await?;
    world
        .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd/odooenvironments.odoofleet.dev"])
        .await?;
    world.apply(&e2e::environment("acme", "prod")).await?;
    world.wait_phase("acme-prod", "Running").await?;
    assert_eq!(world.api::<Deployment>().get("acme-prod-web").await?.metadata.uid, before.metadata.uid);
    Ok(())
}
