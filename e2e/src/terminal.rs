//! A terminal with somebody who reads its screen and types.

use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pty_process::{OwnedReadPty, OwnedWritePty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

/// Rows of the screen.
const ROWS: NonZeroU16 = NonZeroU16::new(40).unwrap();

/// A program at a terminal of its own.
pub struct Terminal {
    child: Child,
    input: OwnedWritePty,
    output: OwnedReadPty,
    screen: vt100::Parser,
    written: Vec<u8>,
    patience: Duration,
}

/// What was there when the program had ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// The screen, with what has left it at the top.
    pub screen: String,
    /// All that was written, with the terminal's commands.
    pub written: String,
}

impl Terminal {
    /// Starts a program at a terminal of this many columns.
    pub fn start(command: pty_process::Command, columns: u16, patience: Duration) -> Result<Self> {
        let (pty, pts) = pty_process::open().context("there is no pseudo terminal")?;
        let columns = NonZeroU16::new(columns).context("a terminal has columns")?;
        pty.resize(Size::new(ROWS.get(), columns.get()))?;
        let command = command.env("TERM", "xterm-256color").kill_on_drop(true);
        let child = command.spawn(pts).context("the program cannot be started")?;
        let (output, input) = pty.into_split();
        let screen = vt100::Parser::new(ROWS, columns, 10_000);
        Ok(Self { child, input, output, screen, written: Vec::new(), patience })
    }

    /// Waits until the screen shows a text.
    pub async fn shows(&mut self, text: &str) -> Result<()> {
        let patience = self.patience;
        let read = async {
            while !self.screen.screen().contents().contains(text) {
                if !self.read().await? {
                    bail!("the program has ended");
                }
            }
            Ok(())
        };
        let outcome = tokio::time::timeout(patience, read).await.unwrap_or_else(|_| bail!("it does not come"));
        outcome.with_context(|| format!("\"{text}\" is not on the screen:\n{}", self.screen.screen().contents()))
    }

    /// Presses keys: `\r` is Enter, `\u{3}` Ctrl-C, `\u{4}` Ctrl-D, `\u{1b}` Escape.
    pub async fn types(&mut self, keys: &str) -> Result<()> {
        self.input.write_all(keys.as_bytes()).await.context("the terminal takes no keys")
    }

    /// Waits for a question, and answers it.
    pub async fn answers(&mut self, question: &str, answer: &str) -> Result<()> {
        self.shows(question).await?;
        self.types(answer).await
    }

    /// Waits until the program ends.
    pub async fn ends(mut self) -> Result<Ended> {
        let patience = self.patience;
        let rest = async {
            while self.read().await? {}
            anyhow::Ok(self.child.wait().await?)
        };
        let status = tokio::time::timeout(patience, rest).await;
        let shown = |screen: &vt100::Parser| screen.screen().contents();
        let status = status.with_context(|| format!("the program does not end:\n{}", shown(&self.screen)))??;
        let written = String::from_utf8_lossy(&self.written).into_owned();
        Ok(Ended { code: status.code().unwrap_or(-1), screen: shown(&self.screen), written })
    }

    /// Reads on; false at the end, which Linux tells as an error of the device.
    async fn read(&mut self) -> Result<bool> {
        let mut part = [0; 4096];
        match self.output.read(&mut part).await {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.written.extend_from_slice(&part[..length]);
                self.screen.process(&part[..length]);
                Ok(true)
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
