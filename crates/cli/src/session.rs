//! The cluster, as the caller's own kubeconfig reaches it. Nothing else is read, and nobody else's rights are used.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::{NamespaceResourceScope, Status};
use kube::{Api, Client, Config, Error, Resource};
use odoofleet_api::GROUP;
use odoofleet_core::error::chain;
use serde::de::DeserializeOwned;

use crate::args::Global;
use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::output::Format;
use crate::say;

/// The namespace of environments where neither a flag nor the kubeconfig's context names one.
pub const NAMESPACE: &str = "odoo";
/// Under this name the commands write.
pub const FIELD_MANAGER: &str = "kubectl-odoo";

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// One call of the command.
pub struct Session {
    /// The client, with the caller's credentials.
    pub client: Client,
    /// The namespace that commands are about.
    pub namespace: String,
    /// Whether they are about all namespaces.
    pub all_namespaces: bool,
    /// The language of the answers.
    pub language: Language,
    /// The form of the answers.
    pub format: Format,
    /// Whether what Git owns is written all the same.
    pub force: bool,
    /// The address of the API server.
    pub server: String,
    /// What `--kubeconfig` and `--context` said, for a kubectl that is started.
    chosen: Vec<(&'static str, String)>,
}

/// What is asked of the API server: for errors that name the missing permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `list`, `patch` …
    pub verb: &'static str,
    /// API group; empty for the core's.
    pub group: String,
    /// Plural, in small letters.
    pub resource: String,
    /// Such as `scale` or `log`.
    pub subresource: Option<&'static str>,
    /// The object's name, where one is meant.
    pub name: Option<String>,
}

impl Asked {
    /// A request about a kind.
    pub fn of<K: Resource<DynamicType = ()>>(verb: &'static str, name: Option<&str>) -> Self {
        Self {
            verb,
            group: K::group(&()).into_owned(),
            resource: K::plural(&()).into_owned(),
            subresource: None,
            name: name.map(str::to_owned),
        }
    }

    /// The same about a subresource.
    #[must_use]
    pub fn on(self, subresource: &'static str) -> Self {
        Self { subresource: Some(subresource), ..self }
    }

    /// `odooenvironments.odoofleet.dev/scale`, as `kubectl auth can-i` takes it.
    pub fn subject(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let slash = self.subresource.map_or_else(String::new, |subresource| format!("/{subresource}"));
        format!("{}{dot}{}{slash}", self.resource, self.group)
    }

    /// The weakest of the chart's roles that permits it; none for what no role of ours gives.
    fn role(&self) -> Option<&'static str> {
        let reads = matches!(self.verb, "get" | "list" | "watch");
        match (self.group.as_str(), self.resource.as_str(), self.subresource) {
            ("", "pods", Some("log")) | (GROUP, "odooenvironments", Some("scale")) => Some("odoofleet-operator"),
            ("", "pods", Some("exec")) => Some("odoofleet-support"),
            (GROUP, "odootemplates", None) if !reads => Some("odoofleet-admin"),
            (GROUP, _, None) => Some(if reads { "odoofleet-viewer" } else { "odoofleet-operator" }),
            ("", "secrets" | "configmaps", None) | ("apps", "controllerrevisions", None) => Some("odoofleet-admin"),
            ("", "pods" | "services" | "persistentvolumeclaims" | "events", None)
            | ("metrics.k8s.io", "pods", None)
            | ("apps" | "batch" | "networking.k8s.io" | "events.k8s.io", _, None)
                if reads =>
            {
                Some("odoofleet-viewer")
            }
            _ => None,
        }
    }
}

impl Session {
    /// Reads the kubeconfig. The API server is not asked yet.
    pub async fn connect(global: &Global, language: Language) -> Result<Self, Failure> {
        let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
        let broken = |error: KubeconfigError| broken_kubeconfig(language, global.kubeconfig.as_deref(), &error);
        let kubeconfig = match &global.kubeconfig {
            Some(file) => Kubeconfig::read_from(file).map_err(broken)?,
            None => match Kubeconfig::read() {
                Ok(kubeconfig) => kubeconfig,
                Err(error) => return Self::in_cluster(global, language, &error),
            },
        };
        let own_namespace = namespace_of(&kubeconfig, global.context.as_deref());
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(broken)?;
        Self::with(config, own_namespace, global, language)
    }

    /// In a pod there is no kubeconfig: its `ServiceAccount` is the caller.
    fn in_cluster(global: &Global, language: Language, error: &KubeconfigError) -> Result<Self, Failure> {
        let config = Config::incluster().map_err(|_| broken_kubeconfig(language, None, error))?;
        let namespace = Some(config.default_namespace.clone());
        Self::with(config, namespace, global, language)
    }

    fn with(
        mut config: Config,
        own_namespace: Option<String>,
        global: &Global,
        language: Language,
    ) -> Result<Self, Failure> {
        config.connect_timeout = Some(CONNECT_WITHIN);
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| {
            let error = chain(&error);
            Failure::new(
                Exit::Unreachable,
                say!(
                    language,
                    "the kubeconfig's cluster \"{server}\" cannot be used: {error}",
                    "kubeconfig 中的集群 \"{server}\" 无法使用：{error}"
                ),
            )
        })?;
        let chosen = [
            ("--kubeconfig", global.kubeconfig.as_ref().map(|file| file.display().to_string())),
            ("--context", global.context.clone()),
        ];
        Ok(Self {
            client,
            namespace: global.namespace.clone().or(own_namespace).unwrap_or_else(|| NAMESPACE.to_owned()),
            all_namespaces: global.all_namespaces,
            language,
            format: global.output,
            force: global.force,
            server,
            chosen: chosen.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect(),
        })
    }

    /// The present time. The one place that reads the clock.
    #[allow(clippy::unused_self, reason = "whoever needs the time has a session")]
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Whether answers are for people.
    pub fn for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// The objects of a kind in the session's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One object. If there is none of this name, similar names are told.
    pub async fn get<K>(&self, name: &str) -> Result<K, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let error = match self.api::<K>().get(name).await {
            Ok(object) => return Ok(object),
            Err(error) => error,
        };
        let failure = self.explain(&Asked::of::<K>("get", Some(name)), error).await;
        if failure.exit != Exit::NotFound || failure.hint.is_some() {
            return Err(failure);
        }
        let others = self.api::<K>().list_metadata(&ListParams::default().limit(500)).await;
        let others = others.map(|list| list.items).unwrap_or_default();
        let names: Vec<&str> = others.iter().filter_map(|object| object.metadata.name.as_deref()).collect();
        let language = self.language;
        Err(match closest(name, &names) {
            Some(meant) => failure.hint(say!(language, "did you mean \"{meant}\"?", "您是否想输入 \"{meant}\"？")),
            None => failure,
        })
    }

    /// The objects of a kind in the session's namespace, whatever `--all-namespaces` says.
    pub async fn list_beside<K>(&self) -> Result<Vec<K>, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        match self.api().list(&ListParams::default()).await {
            Ok(list) => Ok(list.items),
            Err(error) => Err(self.explain(&Asked::of::<K>("list", None), error).await),
        }
    }

    /// The objects of a kind, in the session's namespace or in all.
    pub async fn list<K>(&self, params: &ListParams) -> Result<Vec<K>, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = if self.all_namespaces { Api::all(self.client.clone()) } else { self.api() };
        match api.list(params).await {
            Ok(list) => Ok(list.items),
            Err(error) => Err(self.explain(&Asked::of::<K>("list", None), error).await),
        }
    }

    /// Changes an object by a merge patch.
    pub async fn patch<K>(&self, name: &str, patch: &serde_json::Value) -> Result<K, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.api::<K>().patch(name, &params, &Patch::Merge(patch)).await {
            Ok(object) => Ok(object),
            Err(error) => Err(self.explain(&Asked::of::<K>("patch", Some(name)), error).await),
        }
    }

    /// A kubectl for the same cluster and namespace: what is interactive is its own work.
    pub fn kubectl(&self) -> std::process::Command {
        let mut command = std::process::Command::new("kubectl");
        for (flag, value) in &self.chosen {
            command.arg(flag).arg(value);
        }
        command.arg("--namespace").arg(&self.namespace);
        command
    }

    /// Turns an error of the client into a sentence. What is forbidden is asked again as a review, which tells a missing permission from a
    /// policy's refusal.
    pub async fn explain(&self, asked: &Asked, error: Error) -> Failure {
        let language = self.language;
        match error {
            Error::Api(status) if status.code == 404 => self.not_found(asked, &status),
            Error::Api(status) if status.code == 401 => {
                let server = &self.server;
                let message = say!(
                    language,
                    "the API server \"{server}\" does not accept the kubeconfig's credentials",
                    "API server \"{server}\" 不接受 kubeconfig 中的凭据"
                );
                Failure::new(Exit::Forbidden, message).hint(say!(
                    language,
                    "log in again, or choose another --context",
                    "请重新登录，或用 --context 选择其他上下文"
                ))
            }
            Error::Api(status) if status.code == 403 => {
                if self.may(asked).await == Some(true) {
                    Failure::new(Exit::Refused, status.message)
                } else {
                    self.lacks(asked, &status)
                }
            }
            Error::Api(status) => Failure::new(Exit::Refused, status.message),
            Error::Service(error) => self.unreachable(&chain(error.as_ref())),
            Error::HyperError(error) => self.unreachable(&chain(&error)),
            error @ Error::Auth(_) => {
                let error = chain(&error);
                Failure::new(
                    Exit::Forbidden,
                    say!(language, "the kubeconfig's login failed: {error}", "kubeconfig 登录失败：{error}"),
                )
            }
            error => Failure::new(Exit::Failed, chain(&error)),
        }
    }

    fn unreachable(&self, error: &str) -> Failure {
        let (language, server) = (self.language, &self.server);
        let message = say!(
            language,
            "the API server \"{server}\" does not answer: {error}",
            "API server \"{server}\" 没有响应：{error}"
        );
        Failure::new(Exit::Unreachable, message).hint(say!(
            language,
            "check the network, or choose another --context",
            "请检查网络，或用 --context 选择其他上下文"
        ))
    }

    fn not_found(&self, asked: &Asked, status: &Status) -> Failure {
        let (language, namespace) = (self.language, &self.namespace);
        let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
        if let (true, Some(name)) = (named, &asked.name) {
            let subject = &asked.resource;
            let message = say!(
                language,
                "{subject} \"{name}\" does not exist in namespace \"{namespace}\"",
                "命名空间 \"{namespace}\" 中没有 {subject} \"{name}\""
            );
            return Failure::new(Exit::NotFound, message);
        }
        if asked.group == GROUP {
            let (server, subject) = (&self.server, asked.subject());
            let message = say!(
                language,
                "OdooFleet is not installed in the cluster \"{server}\": it has no {subject}",
                "集群 \"{server}\" 没有安装 OdooFleet：不存在 {subject}"
            );
            return Failure::new(Exit::NotFound, message).hint(say!(
                language,
                "`kubectl odoo preflight` says what a cluster needs",
                "`kubectl odoo preflight` 会说明集群需要什么"
            ));
        }
        Failure::new(Exit::NotFound, status.message.clone())
    }

    fn lacks(&self, asked: &Asked, status: &Status) -> Failure {
        let (language, subject, verb) = (self.language, asked.subject(), asked.verb);
        let place = if self.all_namespaces && asked.name.is_none() {
            say!(language, "all namespaces", "所有命名空间")
        } else {
            let namespace = &self.namespace;
            say!(language, "namespace \"{namespace}\"", "命名空间 \"{namespace}\"")
        };
        let message =
            say!(language, "you may not {verb} {subject} in {place}", "您没有在{place}中 {verb} {subject} 的权限");
        let failure = Failure::new(Exit::Forbidden, message);
        match asked.role() {
            Some(role) => failure.hint(say!(
                language,
                "the role \"{role}\" permits it; `kubectl odoo access` shows what you may do",
                "角色 \"{role}\" 拥有此权限；`kubectl odoo access` 可查看您的权限"
            )),
            None => failure.hint(status.message.clone()),
        }
    }

    /// Whether the caller may do this; unknown if the API server does not say.
    pub async fn may(&self, asked: &Asked) -> Option<bool> {
        let attributes = ResourceAttributes {
            group: Some(asked.group.clone()),
            resource: Some(asked.resource.clone()),
            subresource: asked.subresource.map(str::to_owned),
            verb: Some(asked.verb.to_owned()),
            name: asked.name.clone(),
            namespace: (!self.all_namespaces || asked.name.is_some()).then(|| self.namespace.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await.ok()?;
        Some(answer.status?.allowed)
    }
}

/// The namespace that the kubeconfig's context names.
fn namespace_of(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == name)?;
    context.context.as_ref()?.namespace.clone().filter(|namespace| !namespace.is_empty())
}

fn broken_kubeconfig(language: Language, file: Option<&Path>, error: &KubeconfigError) -> Failure {
    let named = file.map(|file| file.display().to_string());
    let files = named.or_else(|| std::env::var("KUBECONFIG").ok().filter(|files| !files.is_empty()));
    let files = files.unwrap_or_else(|| "~/.kube/config".to_owned());
    let error = match error {
        // The parser shows the lines around the place, and tokens stand in them.
        KubeconfigError::Parse(error) => {
            let place = error.location().map(|place| (place.line(), place.column()));
            let (line, column) = place.unwrap_or_default();
            say!(
                language,
                "something unexpected at line {line} column {column}",
                "第 {line} 行第 {column} 列的内容不符合预期"
            )
        }
        error => chain(error),
    };
    let message = say!(language, "the kubeconfig cannot be used: {error}", "kubeconfig 无法使用：{error}");
    Failure::new(Exit::Unreachable, message).hint(say!(
        language,
        "read was: {files}; name another with --kubeconfig, or a context of it with --context",
        "读取的是：{files}；可用 --kubeconfig 指定其他文件，或用 --context 指定其中的上下文"
    ))
}

/// The name that was probably meant: one that differs in a few letters, or that begins with what was typed.
pub fn closest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| if name.starts_with(typed) { 1 } else { strsim::osa_distance(typed, name) };
    let near = names.iter().copied().map(|name| (distance(name), name)).min()?;
    (near.0 <= (typed.len() / 3).max(1)).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use odoofleet_api::{OdooEnvironment, OdooTemplate};

    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        let names = ["acme-prod", "acme-test", "globex-trial"];
        assert_eq!(closest("acme-prd", &names), Some("acme-prod"));
        assert_eq!(closest("globex", &names), Some("globex-trial"));
        assert_eq!(closest("initech-prod", &names), None);
        assert_eq!(closest("x", &[]), None);
    }

    #[test]
    fn the_weakest_role_is_named() {
        let role = |asked: Asked| asked.role();
        assert_eq!(role(Asked::of::<OdooEnvironment>("list", None)), Some("odoofleet-viewer"));
        assert_eq!(role(Asked::of::<OdooEnvironment>("patch", None).on("scale")), Some("odoofleet-operator"));
        assert_eq!(role(Asked::of::<OdooTemplate>("patch", None)), Some("odoofleet-admin"));
        assert_eq!(role(Asked::of::<k8s_openapi::api::core::v1::Node>("list", None)), None);
    }
}
