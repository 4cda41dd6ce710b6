//! Whose rights are asked about.

use serde::Serialize;

/// Somebody as Kubernetes knows him.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// User name; empty for groups alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl Subject {
    /// Of a user, groups, or a `ServiceAccount`: `sa:NAME`, `sa:NAMESPACE/NAME` or as Kubernetes writes it.
    pub fn new(user: Option<&str>, groups: &[String], namespace: &str) -> Self {
        let mut groups = groups.to_vec();
        let user = match user.and_then(|user| user.strip_prefix("sa:")) {
            Some(account) => {
                let (namespace, name) = account.split_once('/').unwrap_or((namespace, account));
                format!("system:serviceaccount:{namespace}:{name}")
            }
            None => user.unwrap_or_default().to_owned(),
        };
        // Kubernetes adds them to whoever logs in.
        if let Some((namespace, _)) = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
        {
            groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
        }
        groups.push("system:authenticated".to_owned());
        groups.sort();
        groups.dedup();
        Self { user, groups }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_the_groups_that_kubernetes_gives_them() {
        let account =
            ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:flux-system"].as_slice();
        for (user, groups, name, expected) in [
            (Some("li.wei"), vec![], "li.wei", ["system:authenticated"].as_slice()),
            (Some("li.wei"), vec!["ops"], "li.wei", &["ops", "system:authenticated"]),
            (None, vec!["ops"], "", &["ops", "system:authenticated"]),
            (Some("sa:flux-system/fleet"), vec![], "system:serviceaccount:flux-system:fleet", account),
            (
                Some("system:serviceaccount:flux-system:fleet"),
                vec![],
                "system:serviceaccount:flux-system:fleet",
                account,
            ),
        ] {
            let groups: Vec<String> = groups.into_iter().map(str::to_owned).collect();
            let subject = Subject::new(user, &groups, "odoo");
            assert_eq!(
                (subject.user.as_str(), subject.groups),
                (name, expected.iter().map(ToString::to_string).collect())
            );
        }
        assert_eq!(Subject::new(Some("sa:bot"), &[], "odoo").user, "system:serviceaccount:odoo:bot");
    }
}
