//! What OdooFleet finds in a cluster, or misses.

use kube::ResourceExt;

use super::checks::{check, is_served, seen, told};
use super::facts::{Argo, Facts};
use super::{Check, Outcome};
use crate::language::Language;
use crate::say;

/// The oldest Kubernetes that charts/odoofleet installs on.
pub const OLDEST: (u32, u32) = (1, 33);
/// So many Services make a pod start slowly that gets variables of each.
const MANY_SERVICES: usize = 200;

/// Whether Kubernetes is new enough.
pub fn kubernetes(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "kubernetes";
    told(seen(NAME, &facts.kubernetes).map(|version| {
        let (major, minor) = OLDEST;
        match number(version) {
            Some(number) if number < OLDEST => {
                let message = say!(language, "{version} is too old", "{version} 版本过低");
                check(NAME, Outcome::Failed, message).remedy(say!(
                    language,
                    "upgrade the cluster to Kubernetes {major}.{minor} or newer",
                    "请将集群升级到 Kubernetes {major}.{minor} 或更高版本"
                ))
            }
            Some(_) => check(NAME, Outcome::Ok, version.clone()),
            None => {
                let message = say!(language, "\"{version}\" is no version", "\"{version}\" 不是版本号");
                check(NAME, Outcome::Unknown, message)
            }
        }
    }))
}

/// `v1.33.2+k3s1` is 1.33.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

/// Whether volumes come without a class being named.
pub fn storage(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "storage";
    told(seen(NAME, &facts.storage).map(|classes| {
        let is_default = |key: &str| key == "storageclass.kubernetes.io/is-default-class";
        let defaults: Vec<String> = classes
            .iter()
            .filter(|class| class.annotations().iter().any(|(key, value)| is_default(key) && value == "true"))
            .map(ResourceExt::name_any)
            .collect();
        let names = defaults.join(", ");
        match defaults.len() {
            1 => {
                let grows = classes
                    .iter()
                    .find(|class| class.name_any() == names)
                    .is_some_and(|class| class.allow_volume_expansion == Some(true));
                let note = if grows {
                    String::new()
                } else {
                    say!(language, "; its volumes cannot grow", "；其存储卷不能扩容")
                };
                check(NAME, Outcome::Ok, format!("{names}{note}"))
            }
            0 => {
                let message = say!(language, "no default storage class", "没有默认的 StorageClass");
                check(NAME, Outcome::Warning, message).remedy(say!(
                    language,
                    "mark one, or set spec.storage.className and the template's postgresql.storage.className",
                    "请设定一个默认的，或设置 spec.storage.className 以及模板中的 postgresql.storage.className"
                ))
            }
            _ => check(NAME, Outcome::Warning, say!(language, "several defaults: {names}", "有多个默认的：{names}"))
                .remedy(say!(language, "leave one of them the default", "请只保留一个默认的")),
        }
    }))
}

/// Whether something brings visitors to Odoo.
pub fn routes(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "routes";
    let gateway = is_served(facts, "gateway.networking.k8s.io");
    let ingress = match seen(NAME, &facts.ingress) {
        Ok(ingress) => ingress,
        Err(_) if gateway => return check(NAME, Outcome::Ok, "Gateway API"),
        Err(unseen) => return unseen,
    };
    let mut found: Vec<String> = ingress.iter().map(|class| format!("IngressClass {}", class.name_any())).collect();
    found.extend(gateway.then(|| "Gateway API".to_owned()));
    if found.is_empty() {
        let message = say!(language, "no ingress class and no Gateway API", "既没有 IngressClass，也没有 Gateway API");
        return check(NAME, Outcome::Warning, message).remedy(say!(
            language,
            "install an ingress controller or a gateway; without it environments are reached by spec.ingress.expose NodePort alone",
            "请安装 Ingress Controller 或 Gateway；否则只能用 spec.ingress.expose: NodePort 访问环境"
        ));
    }
    check(NAME, Outcome::Ok, found.join(", "))
}

/// Whether certificates can be asked for.
pub fn certificates(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "cert-manager";
    told(seen(NAME, &facts.groups).map(|groups| {
        if groups.contains("cert-manager.io") {
            return check(NAME, Outcome::Ok, say!(language, "there", "已安装"));
        }
        check(NAME, Outcome::Warning, say!(language, "not installed", "未安装")).remedy(say!(
            language,
            "needed where spec.ingress.tls.issuerRef asks for a certificate; else put certificates into Secrets (tls.secretName)",
            "spec.ingress.tls.issuerRef 申请证书时需要它；否则请把证书放入 Secret（tls.secretName）"
        ))
    }))
}

/// Whether somebody measures what pods take.
pub fn metrics(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "metrics-server";
    match &facts.metrics {
        Ok(true) => check(NAME, Outcome::Ok, say!(language, "there", "已安装")),
        Ok(false) => check(NAME, Outcome::Warning, say!(language, "not installed", "未安装")).remedy(say!(
            language,
            "`kubectl odoo top` needs it",
            "`kubectl odoo top` 需要它"
        )),
        Err(why) => {
            check(NAME, Outcome::Warning, why.clone()).remedy("kubectl describe apiservice v1beta1.metrics.k8s.io")
        }
    }
}

/// Whether pods of others suffer from the number of Services.
pub fn links(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "service-links";
    told(seen(NAME, &facts.links).map(|(services, pods)| {
        let namespace = &facts.namespace;
        if *pods == 0 || *services < MANY_SERVICES {
            let message = say!(
                language,
                "{services} Services, {pods} pods with variables of them",
                "{services} 个 Service，{pods} 个 Pod 带有其环境变量"
            );
            return check(NAME, Outcome::Ok, message);
        }
        let message = say!(
            language,
            "{pods} pods of namespace \"{namespace}\" get variables of each of its {services} Services",
            "命名空间 \"{namespace}\" 中有 {pods} 个 Pod 带有全部 {services} 个 Service 的环境变量"
        );
        check(NAME, Outcome::Warning, message).remedy(say!(
            language,
            "set enableServiceLinks: false in pods that OdooFleet did not make: they start slowly, or not at all",
            "请在不是由 OdooFleet 创建的 Pod 中设置 enableServiceLinks: false：否则它们启动缓慢，甚至无法启动"
        ))
    }))
}

/// With tracking by label an Application takes the objects of a release for its own that bears the same name, and prunes them.
pub fn argo(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "argo-cd";
    let argo = match seen(NAME, &facts.argo) {
        Ok(Some(argo)) => argo,
        Ok(None) => return check(NAME, Outcome::Ok, say!(language, "not installed", "未安装")),
        Err(unseen) => return unseen,
    };
    let Argo { method, version, labelled, hidden } = argo;
    let remedy = say!(
        language,
        "set application.resourceTrackingMethod: annotation in argocd-cm: an Application named like a release takes its objects for its own, and prunes them",
        "请在 argocd-cm 中设置 application.resourceTrackingMethod: annotation：否则与 Release 同名的 Application 会把其对象当作自己的并清除"
    );
    if let Some(name) = labelled {
        let message = say!(
            language,
            "tracks by label: environment \"{name}\" bears it",
            "按标签跟踪：环境 \"{name}\" 带有该标签"
        );
        return check(NAME, Outcome::Warning, message).remedy(remedy);
    }
    // Before its version 3 the label is what it takes where nothing is said.
    let is_old =
        version.as_deref().and_then(|version| version.split('.').next()?.parse::<u32>().ok()).map(|major| major < 3);
    match (method.as_deref(), hidden, is_old) {
        (Some("label"), ..) | (None, None, Some(true)) => {
            check(NAME, Outcome::Warning, say!(language, "tracks by label", "按标签跟踪")).remedy(remedy)
        }
        (Some(method), ..) => check(NAME, Outcome::Ok, method.to_owned()),
        (None, None, Some(false)) => check(NAME, Outcome::Ok, "annotation"),
        (None, Some(why), _) => check(NAME, Outcome::Unknown, why.clone()).remedy(remedy),
        (None, None, None) => {
            let message = say!(language, "its version is not seen", "无法得知其版本");
            check(NAME, Outcome::Unknown, message).remedy(remedy)
        }
    }
}
