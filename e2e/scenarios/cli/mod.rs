//! `kubectl odoo`, typed as people type it.

mod adopt;
mod bad_input;
mod change;
mod customers;
mod edit;
mod git;
mod look;
mod power;
mod questions;
mod retained;
mod screen;
mod status;
mod update;
