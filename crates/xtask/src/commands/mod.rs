//! One module a command.

pub mod bench;
pub mod dist;
pub mod down;
pub mod generate;
pub mod image;
pub mod provide;
pub mod quickstart;
pub mod release;
pub mod sbom;
pub mod test;
pub mod up;
