//! OdooFleet's decisions: plain functions from data and the present time to data.
//!
//! Nothing here waits, reads a clock or talks to anybody, so every rule can be tested by a table.

pub mod chart;
pub mod counts;
pub mod customer;
pub mod digest;
pub mod environment;
pub mod error;
pub mod finding;
pub mod fleet;
#[cfg(test)]
mod objects_tests;
pub mod observed;
pub mod record;
pub mod release;
pub mod task;
pub mod template;
pub mod values;
pub mod windows;
