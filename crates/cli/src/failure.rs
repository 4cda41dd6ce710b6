//! How a command fails: one sentence, and an exit code that scripts can rely on.

use std::io;

/// Exit codes. Documented in `docs/cli.md`; a number once given keeps its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and failed.
    Failed = 1,
    /// The command line says something that it may not say.
    Usage = 2,
    /// The object, or OdooFleet itself, is not there.
    NotFound = 3,
    /// The caller lacks a permission, or is not known.
    Forbidden = 4,
    /// There is no usable kubeconfig, or the API server does not answer.
    Unreachable = 5,
    /// What was waited for did not come within the time given.
    TimedOut = 6,
    /// Git owns the object, and nothing was written.
    OwnedByGit = 7,
    /// The API server refused the change: a policy, a schema, a conflict.
    Refused = 8,
    /// What was asked about is not as it should be.
    Unhealthy = 9,
    /// Ctrl-C.
    Interrupted = 130,
    /// Whoever read the output has stopped, as `head` does. Nothing is said: 128 and the number of SIGPIPE.
    PipeClosed = 141,
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// What, and of which thing.
    pub message: String,
    /// What to do, if it is known.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::PipeClosed } else { Exit::Failed };
        Self::new(exit, error.to_string())
    }
}
