//! The scenarios on a real node. Each function's name is the fact that it holds.
#![allow(missing_docs, reason = "the names say it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario fails by panicking, in its helpers too"
)]

mod acme;
mod addons;
mod cli;
mod complete;
mod database;
mod handbook;
mod odoo;
mod operator;
mod prepare;
mod readme;
mod reports;

type Result = anyhow::Result<()>;
