//! HTTP as far as scenarios need it.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// Names in small letters, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The text.
    pub body: String,
}

impl Answer {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The cookies that it sets, as they are sent back.
    pub fn cookies(&self) -> String {
        let set = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        let pairs: Vec<&str> = set.filter_map(|(_, value)| value.split(';').next()).collect();
        pairs.join("; ")
    }

    fn parse(text: &str) -> Result<Self> {
        let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        Ok(Self { status: status.parse()?, headers, body: body.to_owned() })
    }
}

/// Sends one request and reads the whole answer. Version 1.0, so that the server ends what it says by hanging up.
pub async fn send(address: &str, request: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("{address} does not answer"))?;
    let mut text = format!("{request} HTTP/1.0\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        write!(text, "Host: {address}\r\n")?;
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n")?;
    }
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Answer::parse(&String::from_utf8_lossy(&answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let text =
            "HTTP/1.1 303 SEE OTHER\r\nLocation: /web\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\r\nx\r\n\r\ny";
        let answer = Answer::parse(text).unwrap();
        assert_eq!((answer.status, answer.header("location"), answer.body.as_str()), (303, Some("/web"), "x\r\n\r\ny"));
        assert_eq!(answer.cookies(), "a=1; b=2");
    }
}
