//! `new`: objects from flags or from answers, as YAML for Git, for a file, or for the cluster.

mod ask;
mod manifest;

use std::fmt::Debug;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kube::Resource;
use kube::api::{ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Global;
use crate::failure::{Exit, Failure};
use crate::language::Language;
use crate::output;
use crate::say;
use crate::session::{Asked, FIELD_MANAGER, NAMESPACE, Session};
use ask::Asker;
use manifest::Manifest;

/// The commands below `new`.
#[derive(Debug, clap::Subcommand)]
pub enum NewCommand {
    /// A customer
    Customer(CustomerArgs),
    /// An environment of a customer
    Environment(EnvironmentArgs),
    /// A template
    Template(TemplateArgs),
}

/// Where the YAML goes.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Create it in the cluster
    #[arg(long)]
    pub apply: bool,
    /// Write it to a file, which must not exist
    #[arg(long, value_name = "FILE", conflicts_with = "apply")]
    pub out: Option<PathBuf>,
}

/// What `new customer` takes. What is missing is asked for on a terminal.
#[derive(Debug, clap::Args)]
pub struct CustomerArgs {
    /// Name of the object: small letters, digits and hyphens
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The company's name, in its own language
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,
    /// Prospect, Trial or Active
    #[arg(long, value_name = "WORD")]
    pub lifecycle: Option<String>,
    /// Last day of the contract, such as 2027-12-31
    #[arg(long, value_name = "DAY")]
    pub expires_on: Option<String>,
    /// Where the YAML goes.
    #[command(flatten)]
    pub target: Target,
}

/// What `new environment` takes. What is missing is asked for on a terminal.
#[derive(Debug, clap::Args)]
pub struct EnvironmentArgs {
    /// Name of its customer
    #[arg(long, value_name = "CUSTOMER")]
    pub customer: Option<String>,
    /// What it is for, such as prod: with the customer's it makes the name of the release
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Test, Staging or Production
    #[arg(long, value_name = "WORD")]
    pub stage: Option<String>,
    /// Name of its template
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// S, M or L
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Its host, such as erp.acme.example
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Where the YAML goes.
    #[command(flatten)]
    pub target: Target,
}

/// What `new template` takes. What is missing is asked for on a terminal.
#[derive(Debug, clap::Args)]
pub struct TemplateArgs {
    /// Name of the object
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Odoo's series, such as 18.0
    #[arg(long, value_name = "SERIES")]
    pub odoo: Option<String>,
    /// Name of the version of its content
    #[arg(long, value_name = "NAME")]
    pub template_version: Option<String>,
    /// Where the YAML goes.
    #[command(flatten)]
    pub target: Target,
}

/// `kubectl odoo new`. Without a cluster it still writes YAML.
pub async fn run(global: &Global, command: &NewCommand, language: Language) -> Result<(), Failure> {
    let session = Session::connect(global, language).await;
    let target = match command {
        NewCommand::Customer(args) => &args.target,
        NewCommand::Environment(args) => &args.target,
        NewCommand::Template(args) => &args.target,
    };
    // Nobody answers questions for nothing.
    let session = match (session, &target.out) {
        (Err(failure), _) if target.apply => return Err(failure),
        (_, Some(file)) if file.symlink_metadata().is_ok() => {
            return Err(unwritten(language, file, &io::ErrorKind::AlreadyExists.into()));
        }
        (session, _) => session,
    };
    let namespace = match &session {
        Ok(session) => session.namespace.clone(),
        Err(_) => global.namespace.clone().unwrap_or_else(|| NAMESPACE.to_owned()),
    };
    let asker = Asker::of_terminal(language);
    match command {
        NewCommand::Customer(args) => {
            let manifest = manifest::customer(asker, args, &namespace)?;
            finish::<OdooCustomer>(session, &manifest, &args.target, language).await
        }
        NewCommand::Environment(args) => {
            let (customers, templates) = tokio::join!(names::<OdooCustomer>(&session), names::<OdooTemplate>(&session));
            let known = Known { customers, templates };
            let manifest = manifest::environment(asker, args, &known, &namespace)?;
            finish::<OdooEnvironment>(session, &manifest, &args.target, language).await
        }
        NewCommand::Template(args) => {
            let manifest = manifest::template(asker, args, &namespace)?;
            finish::<OdooTemplate>(session, &manifest, &args.target, language).await
        }
    }
}

/// What there is to choose from; empty where the cluster does not tell.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Names of customers.
    pub customers: Vec<String>,
    /// Names of templates.
    pub templates: Vec<String>,
}

async fn names<K>(session: &Result<Session, Failure>) -> Vec<String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let Ok(session) = session else { return Vec::new() };
    let list = session.api::<K>().list_metadata(&ListParams::default()).await;
    list.map(|list| list.items.into_iter().filter_map(|object| object.metadata.name).collect()).unwrap_or_default()
}

/// Has the API server look at it, and brings it to where it is wanted.
async fn finish<K>(
    session: Result<Session, Failure>,
    manifest: &Manifest,
    target: &Target,
    language: Language,
) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    let object: K = serde_saphyr::from_str(&manifest.text)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", manifest.name)))?;
    match session {
        Ok(session) => match create(&session, &object, true).await {
            Err(failure) if failure.exit != Exit::Unreachable || target.apply => return Err(failure),
            Err(failure) => unchecked(language, &failure),
            Ok(()) if target.apply => {
                create(&session, &object, false).await?;
                let (kind, name) = (K::kind(&()), &manifest.name);
                return output::line(&say!(language, "{kind} \"{name}\" is created", "{kind} \"{name}\" 已创建"));
            }
            Ok(()) => {}
        },
        Err(failure) if target.apply => return Err(failure),
        Err(failure) => unchecked(language, &failure),
    }
    match &target.out {
        Some(file) => {
            write(file, &manifest.text).map_err(|error| unwritten(language, file, &error))?;
            output::line(&file.display().to_string())
        }
        None => output::line(manifest.text.trim_end()),
    }
}

/// Writes a file that does not exist yet: whole, or not at all.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut new = fs::File::create_new(file)?;
    new.write_all(format!("{}\n", text.trim_end()).as_bytes()).inspect_err(|_| {
        let _ = fs::remove_file(file);
    })
}

fn unwritten(language: Language, file: &Path, error: &io::Error) -> Failure {
    let file = file.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        let message = say!(language, "file \"{file}\" exists already", "文件 \"{file}\" 已存在");
        return Failure::new(Exit::Refused, message).hint(say!(
            language,
            "name another one with --out",
            "请用 --out 指定其他文件"
        ));
    }
    Failure::new(Exit::Failed, say!(language, "cannot write \"{file}\": {error}", "无法写入 \"{file}\"：{error}"))
}

fn unchecked(language: Language, failure: &Failure) {
    let why = &failure.message;
    output::remark(&say!(language, "not checked by a cluster: {why}", "未经集群检查：{why}"));
}

async fn create<K>(session: &Session, object: &K, dry_run: bool) -> Result<(), Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
{
    let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
    match session.api::<K>().create(&params, object).await {
        Ok(_) => Ok(()),
        Err(error) => Err(session.explain(&Asked::of::<K>("create", object.meta().name.as_deref()), error).await),
    }
}
