//! One module a command: what it takes, what it decides, what it says.

pub mod access;
pub mod adopt;
pub mod completion;
pub mod customer;
pub mod exec;
pub mod export;
pub mod history;
pub mod logs;
pub mod new;
pub mod open;
pub mod pods;
pub mod power;
pub mod preflight;
pub mod report;
pub mod retained;
pub mod rollout;
pub mod settle;
pub mod status;
pub mod template;
pub mod top;
pub mod update;
pub mod upgrade;
pub mod values;
pub mod version;
