//! Drives Helm: what is asked of a worker and what it answers, and the pool of workers.
//!
//! A worker is the small Go program in `worker/`, built on Helm's own library. It is a child process that does one
//! operation at a time, so that a chart that hangs or floods is killed with its own process and nobody else's.

pub mod pool;
pub mod protocol;
mod queue;
mod worker;

pub use pool::{Event, Observe, Outcome, Pool, PoolConfig, Submitted, TaskStage, TaskState};
pub use protocol::{
    Action, Change, Chart, Check, Command, Compared, Drift, ErrorClass, Hooks, Ignore, Inputs, ObjectDiff,
    ObjectRefused, Owner, Request, Seen, SeenObject, Stage, Success, WorkerError,
};
pub use queue::{Lane, Turn};
pub use worker::WorkerConfig;
