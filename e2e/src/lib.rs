//! The rig of the end-to-end scenarios: a real API server, the real Helm, and an operator for each scenario.
//!
//! Each scenario gets a [`World`]: two namespaces of its own and an operator process under its own ServiceAccount's token,
//! so that scenarios run side by side. `cargo xtask test e2e` starts the cluster and says where everything is.

mod audit;
mod chart;
mod cli;
pub mod git_server;
pub mod handbook;
mod objects;
mod proxy;
mod real;
mod rival;
mod terminal;
mod told;
mod world;

pub use audit::{Audit, AuditEntry, counts};
pub use chart::{Chart, package};
pub use cli::{Answer, Person};
pub use objects::{
    certificate, customer, environment, environment_of, odoo_environment, odoo_template, template, template_of,
};
pub use proxy::{Disturbance, Proxy, Request};
pub use real::{Odoo, Real, RealWorld, merged};
pub use rival::Rival;
pub use terminal::{Ended, Terminal};
pub use told::{Told, Uids};
pub use world::{Environment, Setup, World};
