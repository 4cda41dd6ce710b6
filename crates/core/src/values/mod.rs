//! Helm values: paths into them, layers of them, and the way from the standard inputs to them.

mod bindings;
mod inputs;
mod layers;
mod leaks;
mod passwords;
mod path;
mod schema;

pub use bindings::{
    BindingError, BoundValue, apply as apply_bindings, check as check_bindings, defaults as default_bindings, is_input,
};
pub use inputs::{Context as InputContext, Inputs, is_operator_owned, spec_field, workload_key, workload_name};
pub use layers::{Layer, Layers, merge};
pub use leaks::{has_password, is_password_key, leaks};
pub use passwords::password;
pub use path::{PathError, ValuePath, leaves};
pub use schema::{Schema, SchemaError, Violation, told as told_violations};
