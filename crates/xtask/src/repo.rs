//! Where things lie in the repository.

use std::path::{Path, PathBuf};

/// Names another folder for the state of `up`.
pub const DEV: &str = "ODOOFLEET_DEV";

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A path below the root.
pub fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// The folder that holds the state of `up`: `$ODOOFLEET_DEV`, else `.dev`, which Git ignores.
pub fn dev() -> PathBuf {
    let named = std::env::var_os(DEV).filter(|value| !value.is_empty());
    named.map_or_else(|| path(".dev"), |folder| root().join(folder))
}
