//! What customer Acme of the handbook and the examples has elsewhere: its git server.

use e2e::git_server::{Commit, GitServer, Repositories};
use e2e::handbook::Reader;
use e2e::{Odoo, RealWorld, merged};
use serde_json::json;

/// The commit of the public repository that the handbook and the examples name.
const PUBLIC: &str = "a01bf9e49eaa3bd01a7b12934a4b394553dd65c2";

/// A field of partners, whose column in the database tells whether the module was updated.
fn field(name: &str) -> String {
    format!(
        "from odoo import fields, models\n\n\nclass Partner(models.Model):\n    _inherit = 'res.partner'\n    {name} = fields.Char()\n"
    )
}

fn manifest(name: &str, version: &str, depends: &str) -> String {
    format!(
        "{{'name': '{name}', 'version': '{version}', 'depends': ['{depends}'], 'license': 'LGPL-3', 'author': 'Acme'}}\n"
    )
}

/// Acme's git server.
pub struct Acme {
    /// The server.
    pub git: GitServer,
    /// The commits of `acme/addons.git`: tag `v1.4.2`, and tag `v1.4.3`, which is branch `staging`, too.
    pub addons: Vec<String>,
    /// The commit of `OCA/web.git`.
    pub public: String,
}

impl Acme {
    /// Starts it.
    pub async fn start(world: &RealWorld) -> anyhow::Result<Self> {
        let repositories = Repositories::new()?;
        let (old, new) = (manifest("Acme", "1.4.2", "base"), manifest("Acme", "1.4.3", "base"));
        let (code, region) = (field("acme_code"), field("acme_region"));
        let addons = repositories.add(
            "acme/addons.git",
            &[
                Commit { addons: &[("addons/acme_base", &old, &code)], names: &["tags/v1.4.2"] },
                Commit { addons: &[("addons/acme_base", &new, &region)], names: &["tags/v1.4.3", "heads/staging"] },
            ],
        )?;
        let ribbon = manifest("Ribbon", "1.0.0", "web");
        let commit = Commit { addons: &[("web_environment_ribbon", &ribbon, "")], names: &[] };
        let public = repositories.add("OCA/web.git", &[commit])?.remove(0);
        Ok(Self { git: GitServer::start(world, &repositories).await?, addons, public })
    }

    /// Somebody who uses the handbook and the examples with what this node has: its images, its Odoo, Acme's server.
    pub fn reader<'a>(&self, world: &'a RealWorld, odoo: &Odoo) -> anyhow::Result<Reader<'a>> {
        let reader = Reader::new(world)?.with_real_pods().replacing(PUBLIC, &self.public);
        for example in ["quickstart/template.yaml", "complete/template.yaml"] {
            reader.edit(example, |template| {
                template["spec"]["odooVersion"] = json!(odoo.series);
                template["spec"]["postgresMajor"] = json!(world.real.postgres_major);
                let small = json!({
                    "git": { "caBundle": self.git.authority },
                    // Several environments on two cores.
                    "resources": { "requests": { "cpu": "100m", "memory": "512Mi" }, "limits": { "memory": "5Gi" } },
                    "postgresql": { "resources": { "requests": { "cpu": "100m", "memory": "256Mi" } } },
                });
                let values = merged(template["spec"]["values"].clone(), &world.values(odoo));
                template["spec"]["values"] = merged(values, &small);
            })?;
        }
        for example in ["complete/production.yaml", "complete/staging.yaml"] {
            reader.edit(example, |environment| {
                let repositories = &mut environment["spec"]["git"]["customerAddons"];
                assert_eq!(repositories[1]["ref"], json!(PUBLIC));
                repositories[1]["ref"] = json!(self.public);
            })?;
        }
        Ok(reader)
    }
}

/// Whether a module is installed, and its version without the series of Odoo.
pub async fn version_of(world: &RealWorld, release: &str, module: &str) -> anyhow::Result<String> {
    let query = format!(
        "SELECT regexp_replace(latest_version, '^\\d+\\.\\d+\\.', '') FROM ir_module_module \
         WHERE name = '{module}' AND state = 'installed'"
    );
    world.psql(release, &query).await
}
