//! Whether OdooFleet is installed wholly, once, and at work.

use std::collections::BTreeMap;

use kube::ResourceExt;
use odoofleet_api::{GROUP, labels};

use super::checks::{check, is_served, seen};
use super::facts::{Facts, Operator, Right};
use super::{Check, Outcome};
use crate::language::Language;
use crate::say;

/// Of more namespaces only the number is told.
const SHOWN: usize = 5;

/// Whether all parts of an installation are there, or none. CRDs and namespaces stay when the chart is uninstalled.
pub fn installation(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "installation";
    let parts = [
        ("CRDs", facts.groups.as_ref().ok().map(|_| is_served(facts, GROUP))),
        ("Deployment", facts.operators.as_ref().ok().map(|operators| !operators.is_empty())),
        ("ValidatingAdmissionPolicies", facts.policies.as_ref().ok().map(|count| *count > 0)),
        ("ClusterRoles", facts.roles.as_ref().ok().map(|count| *count > 0)),
    ];
    let with = |wanted: Option<bool>| -> Vec<&str> {
        parts.iter().filter(|(_, there)| *there == wanted).map(|(name, _)| *name).collect()
    };
    let (there, missing, unseen) = (with(Some(true)), with(Some(false)), with(None));
    let again = "helm upgrade --install odoofleet charts/odoofleet --namespace odoofleet-system --create-namespace";
    if there.is_empty() && missing.is_empty() {
        let why = facts.groups.as_ref().err().cloned().unwrap_or_default();
        return check(NAME, Outcome::Unknown, why);
    }
    if there.is_empty() {
        let message = say!(language, "OdooFleet is not installed", "尚未安装 OdooFleet");
        return check(NAME, Outcome::Ok, message).remedy(say!(language, "install it: {again}", "安装：{again}"));
    }
    let (all, lost) = (there.join(", "), missing.join(", "));
    if there == ["CRDs"] && missing.len() == 3 {
        let message =
            say!(language, "only CRDs are there: the operator was uninstalled", "只有 CRD：Operator 已被卸载");
        return check(NAME, Outcome::Warning, message).remedy(say!(
            language,
            "customers' objects stand still until it is back: {again}",
            "在重新安装之前，客户的对象不会有任何变化：{again}"
        ));
    }
    if !missing.is_empty() {
        let message = say!(language, "half an installation: {lost} missing", "安装不完整：缺少 {lost}");
        return check(NAME, Outcome::Failed, message).remedy(say!(
            language,
            "install it again: {again}",
            "请重新安装：{again}"
        ));
    }
    let message = if unseen.is_empty() {
        say!(language, "complete: {all}", "完整：{all}")
    } else {
        let hidden = unseen.join(", ");
        say!(language, "{all}; you may not see {hidden}", "{all}；您无权查看 {hidden}")
    };
    check(NAME, Outcome::Ok, message)
}

/// Whether the CRDs are those that this program knows.
pub fn crds(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "crds";
    let groups = match seen(NAME, &facts.groups) {
        Ok(groups) => groups,
        Err(unseen) => return unseen,
    };
    if !groups.contains(GROUP) && facts.crds.as_ref().is_ok_and(Vec::is_empty) {
        return check(NAME, Outcome::Ok, say!(language, "none yet", "尚无"));
    }
    let Ok(crds) = &facts.crds else {
        let message =
            say!(language, "{GROUP} is served; you may not see of which version", "集群提供 {GROUP}；您无权查看其版本");
        return check(NAME, if groups.contains(GROUP) { Outcome::Unknown } else { Outcome::Ok }, message);
    };
    let again = say!(
        language,
        "upgrade the chart, and this program with it: helm upgrade odoofleet charts/odoofleet",
        "请升级 Chart，并同时更新本程序：helm upgrade odoofleet charts/odoofleet"
    );
    let mut differ = Vec::new();
    for own in odoofleet_api::crds() {
        let name = own.name_any();
        let Some(found) = crds.iter().find(|crd| crd.name_any() == name) else {
            let message = say!(language, "\"{name}\" is missing", "缺少 \"{name}\"");
            return check(NAME, Outcome::Failed, message).remedy(again);
        };
        let conditions = found.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut established = conditions.filter(|condition| condition.type_ == "Established");
        if !established.any(|condition| condition.status == "True") {
            let message = say!(language, "\"{name}\" is not established", "\"{name}\" 尚未生效");
            let remedy =
                say!(language, "kubectl describe crd {name} says why", "kubectl describe crd {name} 会说明原因");
            return check(NAME, Outcome::Failed, message).remedy(remedy);
        }
        for version in &own.spec.versions {
            match found.spec.versions.iter().find(|served| served.name == version.name && served.served) {
                None => {
                    let version = &version.name;
                    let message = say!(
                        language,
                        "\"{name}\" does not serve {version}, which this program speaks",
                        "\"{name}\" 不提供本程序使用的 {version}"
                    );
                    return check(NAME, Outcome::Failed, message).remedy(again);
                }
                Some(served) if served.schema != version.schema => differ.push(own.spec.names.kind.clone()),
                Some(_) => {}
            }
        }
    }
    if differ.is_empty() {
        return check(NAME, Outcome::Ok, say!(language, "those of this program", "与本程序一致"));
    }
    let kinds = differ.join(", ");
    let message =
        say!(language, "{kinds} of another version than this program knows", "{kinds} 的版本与本程序所知的不同");
    check(NAME, Outcome::Warning, message).remedy(again)
}

/// Whether the operator is at work.
pub fn operator(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "operator";
    let operators = match seen(NAME, &facts.operators) {
        Ok(operators) => operators,
        Err(unseen) => return unseen,
    };
    // That of the namespace that the caller means; else one that is not at work.
    let own = operators.iter().find(|operator| operator.watches.as_ref() == Some(&facts.namespace));
    let troubled = operators.iter().find(|operator| !is_at_work(operator, facts));
    let Some(operator) = own.or(troubled).or(operators.first()) else {
        let (outcome, remedy) = if is_served(facts, GROUP) {
            (
                Outcome::Failed,
                Some(say!(
                    language,
                    "nobody looks after the objects: see installation",
                    "没有 Operator 处理这些对象：见 installation"
                )),
            )
        } else {
            (Outcome::Ok, None)
        };
        return Check { remedy, ..check(NAME, outcome, say!(language, "none yet", "尚无")) };
    };
    let Operator { namespace, name, replicas, ready, version, .. } = operator;
    let version = version.as_deref().unwrap_or("?");
    if *replicas == 0 {
        let is_led = operator.held_until.is_some_and(|until| until > facts.now);
        let message = if is_led {
            say!(
                language,
                "{version}, runs outside the cluster (Deployment {namespace}/{name} with 0 pods, its Lease is held)",
                "{version}，在集群之外运行（Deployment {namespace}/{name} 为 0 个 Pod，其 Lease 有持有者）"
            )
        } else {
            say!(
                language,
                "{version}, Deployment {namespace}/{name} with 0 pods, and nobody is seen to hold its Lease",
                "{version}，Deployment {namespace}/{name} 为 0 个 Pod，且未见其 Lease 有持有者"
            )
        };
        let outcome = if is_led { Outcome::Ok } else { Outcome::Warning };
        let remedy = say!(
            language,
            "if it does not run outside the cluster either: kubectl -n {namespace} scale deployment {name} --replicas=1",
            "如果它也没有在集群之外运行：kubectl -n {namespace} scale deployment {name} --replicas=1"
        );
        return Check { remedy: (!is_led).then_some(remedy), ..check(NAME, outcome, message) };
    }
    let message = say!(
        language,
        "{version}, Deployment {namespace}/{name}, {ready} of {replicas} pods ready",
        "{version}，Deployment {namespace}/{name}，{ready}/{replicas} 个 Pod 就绪"
    );
    if is_at_work(operator, facts) {
        return check(NAME, Outcome::Ok, message);
    }
    check(NAME, Outcome::Failed, message).remedy(say!(
        language,
        "kubectl -n {namespace} describe pods, and kubectl -n {namespace} logs deployment/{name}",
        "请查看 kubectl -n {namespace} describe pods 和 kubectl -n {namespace} logs deployment/{name}"
    ))
}

fn is_at_work(operator: &Operator, facts: &Facts) -> bool {
    if operator.replicas == 0 { operator.held_until.is_some_and(|until| until > facts.now) } else { operator.ready > 0 }
}

/// Several operators, each with its own namespace, are well; two with the same one quarrel.
pub fn operators(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "operators";
    let operators = match seen(NAME, &facts.operators) {
        Ok(operators) => operators,
        Err(unseen) => return unseen,
    };
    let mut watched: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for operator in operators {
        let who = format!("{}/{}", operator.namespace, operator.name);
        watched.entry(operator.watches.as_deref().unwrap_or("?")).or_default().push(who);
    }
    let count = operators.len();
    if let Some((namespace, several)) = watched.iter().find(|(_, several)| several.len() > 1) {
        let several = several.join(", ");
        let message = say!(
            language,
            "{several} look after the same namespace \"{namespace}\"",
            "{several} 管理同一个命名空间 \"{namespace}\""
        );
        return check(NAME, Outcome::Failed, message).remedy(say!(
            language,
            "uninstall one of them (helm uninstall): what it installed stays",
            "请卸载其中一个（helm uninstall）：它安装的内容会保留"
        ));
    }
    if count > 1 {
        let message = say!(
            language,
            "{count} installations, each with a namespace of its own",
            "{count} 个安装，各自管理不同的命名空间"
        );
        return check(NAME, Outcome::Warning, message).remedy(say!(
            language,
            "CRDs and roles are the cluster's: keep all installations at the same version, and roles.create in one of them",
            "CRD 和角色属于整个集群：请保持各安装版本一致，且只在其中一个启用 roles.create"
        ));
    }
    check(NAME, Outcome::Ok, count.to_string())
}

/// Whether the policies hold where the operators work.
pub fn namespaces(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "namespaces";
    let namespaces = match seen(NAME, &facts.namespaces) {
        Ok(namespaces) => namespaces,
        Err(unseen) => return unseen,
    };
    let operators = facts.operators.as_deref().unwrap_or_default();
    let is_managed = |name: &str| namespaces.iter().any(|namespace| namespace.name_any() == name);
    for operator in operators {
        let Some(own) = operator.watches.as_deref().filter(|own| !is_managed(own)) else { continue };
        let label = labels::MANAGED;
        let message = say!(
            language,
            "namespace \"{own}\" lacks the label {label}=true: the policies do not hold there",
            "命名空间 \"{own}\" 缺少标签 {label}=true：准入策略在其中不生效"
        );
        return check(NAME, Outcome::Failed, message).remedy(format!(
            "kubectl label namespace {own} {label}=true odoofleet.dev/protected=true {}=restricted",
            labels::POD_SECURITY
        ));
    }
    for namespace in namespaces {
        let name = namespace.name_any();
        let has = |key: &str, value: &str| namespace.labels().get(key).is_some_and(|own| own == value);
        let wanted = [("odoofleet.dev/protected", "true"), (labels::POD_SECURITY, "restricted")];
        let lacking = wanted.into_iter().find(|(key, value)| !has(key, value));
        if let Some((key, value)) = lacking {
            let message = say!(
                language,
                "namespace \"{name}\" lacks the label {key}={value}",
                "命名空间 \"{name}\" 缺少标签 {key}={value}"
            );
            return check(NAME, Outcome::Warning, message)
                .remedy(format!("kubectl label --overwrite namespace {name} {key}={value}"));
        }
    }
    let names: Vec<String> = namespaces.iter().map(ResourceExt::name_any).collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    let message = match (names.len(), more) {
        (0, _) => say!(language, "none yet", "尚无"),
        (_, 0) => shown,
        _ => say!(language, "{shown} and {more} more", "{shown} 等，另有 {more} 个"),
    };
    check(NAME, Outcome::Ok, message)
}

/// What the caller may do.
pub fn rights(facts: &Facts, language: Language) -> Check {
    const NAME: &str = "rights";
    let may = |right: Right| facts.rights.get(&right).copied().flatten();
    let namespace = &facts.namespace;
    if is_served(facts, GROUP) {
        return match may(Right::ListEnvironments) {
            Some(true) => {
                let message = say!(
                    language,
                    "you see the environments of namespace \"{namespace}\"",
                    "您可以查看命名空间 \"{namespace}\" 中的环境"
                );
                check(NAME, Outcome::Ok, message)
            }
            Some(false) => {
                let message = say!(
                    language,
                    "you may not see the environments of namespace \"{namespace}\"",
                    "您无权查看命名空间 \"{namespace}\" 中的环境"
                );
                check(NAME, Outcome::Warning, message).remedy(say!(
                    language,
                    "choose another with --namespace, or have a role bound: kubectl -n {namespace} create rolebinding NAME --clusterrole=odoofleet-viewer --user=NAME",
                    "请用 --namespace 选择其他命名空间，或请管理员绑定角色：kubectl -n {namespace} create rolebinding NAME --clusterrole=odoofleet-viewer --user=NAME"
                ))
            }
            None => check(NAME, Outcome::Unknown, say!(language, "the API server does not say", "API server 没有回答")),
        };
    }
    let lacking: Vec<String> = Right::INSTALL
        .into_iter()
        .filter(|right| may(*right) != Some(true))
        .map(|right| right.asked().resource)
        .collect();
    if lacking.is_empty() {
        return check(NAME, Outcome::Ok, say!(language, "you may install OdooFleet", "您可以安装 OdooFleet"));
    }
    let lacking = lacking.join(", ");
    let message = say!(language, "you may not create {lacking}", "您无权创建 {lacking}");
    check(NAME, Outcome::Warning, message).remedy(say!(
        language,
        "a cluster administrator installs OdooFleet",
        "请由集群管理员安装 OdooFleet"
    ))
}
