//! Runs other programs and turns their failures into sentences.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often it is asked whether a program has ended that may not take too long.
const POLL: Duration = Duration::from_millis(20);
/// How long a program may take to clean up.
const GRACE: Duration = Duration::from_secs(2);

/// Runs it, returns what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    text(command, &output)
}

/// Runs it, returns the bytes that it printed.
pub fn bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    text(command, &output).map(|_| ())?;
    Ok(output.stdout)
}

/// Runs it with `input` on its standard input, returns what it printed.
pub fn feed(command: &mut Command, input: &str) -> Result<String> {
    let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early closes its end; its own message says more than the broken pipe.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("{} did not end", line(command)))?;
    text(command, &output)
}

/// Runs it, and ends it and all that it started if it takes longer than `limit`: then there is no output.
pub fn within(command: &mut Command, limit: Duration) -> Result<Option<Output>> {
    // Files hold whatever is printed; a pipe that nobody reads would fill up.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).process_group(0);
    let mut child = spawn(command)?;
    if let Some(status) = ended_within(&mut child, limit)? {
        return Ok(Some(Output { status, stdout: all_of(&mut stdout)?, stderr: all_of(&mut stderr)? }));
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let _ = kill_process_group(Pid::from_child(&child), signal);
        if ended_within(&mut child, GRACE)?.is_some() {
            break;
        }
    }
    Ok(None)
}

fn ended_within(child: &mut Child, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if since.elapsed() >= limit {
            return Ok(None);
        }
        sleep(POLL);
    }
}

fn all_of(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Runs it with its output going where ours goes.
pub fn stream(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| cannot_start(command, &error))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Starts it.
pub fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| cannot_start(command, &error))
}

/// Cargo, the one that runs us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The last lines of a file, or why it cannot be read.
pub fn tail_of(file: &Path, lines: usize) -> String {
    match std::fs::read(file) {
        Ok(bytes) => tail(&String::from_utf8_lossy(&bytes), lines),
        Err(error) => format!("({} cannot be read: {error})", file.display()),
    }
}

fn text(command: &Command, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { said };
    bail!("{} failed ({}):\n{}", line(command), output.status, tail(&said, 40))
}

fn cannot_start(command: &Command, error: &std::io::Error) -> anyhow::Error {
    let program = name(command.get_program());
    match error.kind() {
        ErrorKind::NotFound => anyhow!("{program} is not on this machine, or not in PATH"),
        _ => anyhow!("{program} cannot be started: {error}"),
    }
}

/// The command as a person would type it, without the folders of the program.
fn line(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    let words: Vec<String> = std::iter::once(name(command.get_program())).chain(arguments).collect();
    format!("`{}`", words.join(" "))
}

fn name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("/nowhere/no-such-program")).unwrap_err();
        assert_eq!(error.to_string(), "no-such-program is not on this machine, or not in PATH");
    }

    #[test]
    fn a_failure_carries_what_was_said() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("`sh -c ") && error.ends_with("why"), "{error}");
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(feed(&mut Command::new("cat"), "hello").unwrap(), "hello");
    }

    #[test]
    fn what_ends_in_time_is_told_whole() {
        let limit = Duration::from_mins(1);
        let output = within(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), limit).unwrap().unwrap();
        assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(3), b"out\n".into(), b"err\n".into()));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait", note.display());
        let since = Instant::now();
        assert!(within(Command::new("sh").args(["-c", &script]), Duration::from_millis(500)).unwrap().is_none());
        assert!(since.elapsed() < Duration::from_mins(1));
        let pid: i32 = std::fs::read_to_string(&note).unwrap().trim().parse().unwrap();
        let gone = || rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_err();
        while !gone() && since.elapsed() < Duration::from_mins(1) {
            sleep(POLL);
        }
        assert!(gone(), "process {pid} still runs");
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}
