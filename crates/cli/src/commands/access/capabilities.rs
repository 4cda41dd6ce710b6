//! What somebody may do with `OdooFleet`, and which of the chart's roles that amounts to.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::ResourceAttributes;
use odoofleet_api::GROUP;

use crate::language::Language;

/// Something that one may do, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Its name, the same in every language.
    pub name: &'static str,
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    english: &'static str,
    chinese: &'static str,
}

const fn capability(
    name: &'static str,
    (verb, group, resource, subresource): (&'static str, &'static str, &'static str, &'static str),
    english: &'static str,
    chinese: &'static str,
) -> Capability {
    Capability { name, verb, group, resource, subresource, english, chinese }
}

/// All of them, in the order in which they are told.
pub const ALL: [Capability; 18] = [
    capability(
        "see",
        ("list", GROUP, "odooenvironments", ""),
        "see customers, templates and environments",
        "查看客户、模板和环境",
    ),
    capability(
        "pods",
        ("list", "", "pods", ""),
        "see pods, workloads, volumes and events",
        "查看 Pod、工作负载、存储卷和事件",
    ),
    capability(
        "start-stop",
        ("patch", GROUP, "odooenvironments", "scale"),
        "start and stop, Production too",
        "启动和停止，包括 Production",
    ),
    capability(
        "environments",
        ("patch", GROUP, "odooenvironments", ""),
        "create, change and delete environments",
        "创建、修改和删除环境",
    ),
    capability(
        "customers",
        ("patch", GROUP, "odoocustomers", ""),
        "create, change, suspend and delete customers",
        "创建、修改、暂停和删除客户",
    ),
    capability(
        "production",
        ("operate-production", GROUP, "odooenvironments", ""),
        "change Production beyond start and stop",
        "对 Production 作启动和停止以外的修改",
    ),
    capability("logs", ("get", "", "pods", "log"), "read logs", "查看日志"),
    capability(
        "shell",
        ("create", "", "pods", "exec"),
        "open a shell in pods, and read what they read",
        "在 Pod 中打开 shell，并读取 Pod 可读的一切",
    ),
    capability("delete-pods", ("delete", "", "pods", ""), "delete pods that hang", "删除卡住的 Pod"),
    capability(
        "write-secrets",
        ("create", "", "secrets", ""),
        "bring in and replace customers' Secrets",
        "写入和替换客户的 Secret",
    ),
    capability("read-secrets", ("get", "", "secrets", ""), "read Secrets", "读取 Secret"),
    capability("feed", ("feed", "", "secrets", ""), "name any Secret in specs", "在 spec 中引用任意 Secret"),
    capability(
        "share",
        ("share", GROUP, "odoocustomers", ""),
        "open Secrets to all customers",
        "将 Secret 开放给所有客户",
    ),
    capability(
        "domains",
        ("assign-domains", GROUP, "odoocustomers", ""),
        "say which domains a customer has",
        "指定客户的域名",
    ),
    capability(
        "templates",
        ("patch", GROUP, "odootemplates", ""),
        "change templates, and so all that follow them",
        "修改模板，从而影响所有跟随它的环境",
    ),
    capability("configmaps", ("get", "", "configmaps", ""), "read ConfigMaps", "读取 ConfigMap"),
    capability(
        "create-pods",
        ("create", "", "pods", ""),
        "create pods, and so read every Secret: no role of OdooFleet gives this",
        "创建 Pod，从而可读取所有 Secret：OdooFleet 的角色都不包含此权限",
    ),
    capability(
        "patch-secrets",
        ("patch", "", "secrets", ""),
        "patch Secrets, and so read them",
        "patch Secret，从而可读取其内容",
    ),
];

impl Capability {
    /// What it is, in words.
    pub const fn words(&self, language: Language) -> &'static str {
        language.pick(self.english, self.chinese)
    }

    /// What the API server is asked. No namespace means all of them.
    pub fn attributes(&self, namespace: Option<&str>) -> ResourceAttributes {
        ResourceAttributes {
            verb: Some(self.verb.to_owned()),
            group: Some(self.group.to_owned()),
            resource: Some(self.resource.to_owned()),
            subresource: (!self.subresource.is_empty()).then(|| self.subresource.to_owned()),
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        }
    }
}

const VIEWER: &[&str] = &["see", "pods"];
const OPERATOR: &[&str] = &["see", "pods", "start-stop", "environments", "customers", "logs", "write-secrets"];
const SUPPORT: &[&str] = &["see", "pods", "logs", "shell"];
const ADMIN: &[&str] = &[
    "see",
    "pods",
    "start-stop",
    "environments",
    "customers",
    "production",
    "logs",
    "shell",
    "delete-pods",
    "write-secrets",
    "read-secrets",
    "feed",
    "share",
    "domains",
    "templates",
    "configmaps",
    "patch-secrets",
];

/// The chart's roles, the widest first, and what each gives.
pub const ROLES: [(&str, &[&str]); 4] = [
    ("odoofleet-admin", ADMIN),
    ("odoofleet-operator", OPERATOR),
    ("odoofleet-support", SUPPORT),
    ("odoofleet-viewer", VIEWER),
];

/// The roles that somebody has as good as been given, without those that are contained in others; and what he may do beyond them.
pub fn roles(may: &BTreeSet<&str>) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut roles: Vec<&'static str> = Vec::new();
    let mut given: BTreeSet<&str> = BTreeSet::new();
    for (role, gives) in ROLES {
        let has = gives.iter().all(|name| may.contains(name));
        if has && !gives.iter().all(|name| given.contains(name)) {
            roles.push(role);
            given.extend(gives);
        }
    }
    let beyond =
        ALL.iter().map(|capability| capability.name).filter(|name| may.contains(name) && !given.contains(name));
    (roles, beyond.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_told_by_what_they_give() {
        let with =
            |lists: &[&[&'static str]]| lists.iter().flat_map(|list| list.iter().copied()).collect::<BTreeSet<_>>();
        let everything = ALL.iter().map(|capability| capability.name).collect();
        for (may, expected, beyond) in [
            (with(&[]), vec![], vec![]),
            (with(&[&["logs"]]), vec![], vec!["logs"]),
            (with(&[VIEWER]), vec!["odoofleet-viewer"], vec![]),
            (with(&[OPERATOR]), vec!["odoofleet-operator"], vec![]),
            (with(&[OPERATOR, &["production"]]), vec!["odoofleet-operator"], vec!["production"]),
            (with(&[OPERATOR, SUPPORT]), vec!["odoofleet-operator", "odoofleet-support"], vec![]),
            (with(&[ADMIN]), vec!["odoofleet-admin"], vec![]),
            (everything, vec!["odoofleet-admin"], vec!["create-pods"]),
        ] {
            assert_eq!(roles(&may), (expected, beyond), "{may:?}");
        }
    }

    #[test]
    fn names_in_roles_are_names_of_capabilities() {
        for name in ROLES.iter().flat_map(|(_, gives)| *gives) {
            assert!(ALL.iter().any(|capability| capability.name == *name), "{name}");
        }
    }
}
