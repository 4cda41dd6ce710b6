//! Reading: lines of whatever length, and records of several containers in the order in which they were written.

use std::io;
use std::pin::Pin;

use futures::{AsyncBufRead, AsyncBufReadExt};

use super::record::{Assembler, Line, Record};

/// What is shown of one line.
const LONGEST_LINE: usize = 256 << 10;

/// A log as it comes.
pub type Log = Pin<Box<dyn AsyncBufRead + Send>>;

/// The next line; none at the end. Of one that is too long the beginning, and how much is missing.
pub async fn next_line(log: &mut Log) -> io::Result<Option<Line>> {
    let (mut bytes, mut missing, mut is_empty) = (Vec::new(), 0, true);
    loop {
        let available = log.fill_buf().await?;
        if available.is_empty() {
            break;
        }
        is_empty = false;
        let end = available.iter().position(|byte| *byte == b'\n');
        let own = end.unwrap_or(available.len());
        let taken = own.min(LONGEST_LINE.saturating_sub(bytes.len()));
        bytes.extend_from_slice(&available[..taken]);
        missing += own - taken;
        let consumed = end.map_or(own, |end| end + 1);
        log.consume_unpin(consumed);
        if end.is_some() {
            break;
        }
    }
    if is_empty {
        return Ok(None);
    }
    let mut line = Line::read(&bytes);
    if missing > 0 {
        line.text = format!("{}… (+{missing} B)", line.text);
    }
    Ok(Some(line))
}

/// The records of one container.
pub struct Records {
    log: Log,
    assembler: Assembler,
    next: Option<Record>,
    is_over: bool,
}

impl Records {
    /// The records of a log.
    pub fn new(log: Log) -> Self {
        Self { log, assembler: Assembler::default(), next: None, is_over: false }
    }

    async fn fill(&mut self) -> io::Result<()> {
        while self.next.is_none() && !self.is_over {
            if let Some(line) = next_line(&mut self.log).await? {
                self.next = self.assembler.push(line);
            } else {
                self.is_over = true;
                self.next = self.assembler.flush();
            }
        }
        Ok(())
    }
}

/// The oldest record of all, and whose it is; none at the end of all. Of each container not more than two records are held.
pub async fn oldest(sources: &mut [Records]) -> io::Result<Option<(usize, Record)>> {
    for source in sources.iter_mut() {
        source.fill().await?;
    }
    let candidates = sources.iter().enumerate().filter_map(|(index, source)| Some((source.next.as_ref()?.at(), index)));
    let Some((_, index)) = candidates.min() else { return Ok(None) };
    Ok(sources[index].next.take().map(|record| (index, record)))
}

#[cfg(test)]
mod tests {
    use futures::io::{BufReader, Cursor};

    use super::*;

    /// Comes in small pieces, as from a network.
    fn log(bytes: &[u8]) -> Log {
        Box::pin(BufReader::with_capacity(7, Cursor::new(bytes.to_vec())))
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        futures::executor::block_on(future)
    }

    #[test]
    fn lines_are_found_in_pieces_of_any_size() {
        let mut log = log(b"one\n\nthree is longer\nwithout end");
        let texts = std::iter::from_fn(|| wait(next_line(&mut log)).unwrap().map(|line| line.text));
        assert_eq!(texts.collect::<Vec<_>>(), ["one", "", "three is longer", "without end"]);
    }

    #[test]
    fn of_a_line_without_measure_the_beginning_is_kept() {
        let mut bytes = vec![b'x'; LONGEST_LINE + 1000];
        bytes.extend_from_slice(b"\nnext\n");
        let mut log: Log = Box::pin(Cursor::new(bytes));
        let first = wait(next_line(&mut log)).unwrap().unwrap().text;
        assert!(first.ends_with("x… (+1000 B)") && first.len() < LONGEST_LINE + 50);
        assert_eq!(wait(next_line(&mut log)).unwrap().unwrap().text, "next");
    }

    #[test]
    fn records_of_several_containers_are_told_in_order_of_time() {
        let line = |second: u8, text: &str| {
            format!("2026-11-28T03:02:{second:02}Z 2026-11-28 03:02:{second:02},000 1 ERROR acme odoo: {text}\n")
        };
        let first = format!("{}2026-11-28T03:02:05Z Traceback\n{}", line(1, "a"), line(4, "b"));
        let second = format!("{}{}", line(2, "c"), line(3, "d"));
        let mut sources = [Records::new(log(first.as_bytes())), Records::new(log(second.as_bytes()))];
        let mut told = Vec::new();
        while let Some((index, record)) = wait(oldest(&mut sources)).unwrap() {
            told.push(format!("{index} {}", record.text().split_once("odoo: ").unwrap().1));
        }
        assert_eq!(told, ["0 a\nTraceback", "1 c", "1 d", "0 b"]);
    }
}
