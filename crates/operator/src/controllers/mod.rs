//! The controllers: each reads from the fleet, has core decide, carries one step out, and tells.

pub mod counts;
pub mod customer;
pub mod environment;
mod objects;
mod records;
pub mod template;
