//! The rig of the end-to-end scenarios: a real API server, the real Helm, and an operator for each scenario.
//!
//! Each scenario gets a [`World`]: two namespaces of its own and an operator process under its own ServiceAccount's token,
//! so that scenarios run side by side. `cargo xtask test e2e` starts the cluster and says where everything is.

mod chart;
pub mod git_server;
pub mod handbook;
mod objects;
mod real;
mod world;

pub use chart::{Chart, package};
pub use objects::{certificate, customer, environment, odoo_environment, odoo_template, template};
pub use real::{Odoo, Real, RealWorld, merged};
pub use world::{Environment, Setup, World};
