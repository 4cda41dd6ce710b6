//! Text without what looks like a secret or like a person: in messages and logs, where anything may stand.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in the place of something that was taken out.
pub const REDACTED: &str = "<redacted>";

/// The same while patterns are looked for: it does not end what they match, as brackets would.
const TAKEN: &str = "\u{e000}";

/// Each pattern, and what its match becomes. The first comes first.
const RULES: &[(&str, &str)] = &[
    // Keys and certificates, to the end if theirs was cut off.
    (r"(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\z)", "<redacted key>"),
    // Who logs in by a URL, and what is asked of it.
    (r#"://[^\s'"<>]*@"#, "://<redacted>@"),
    (r#"\?[^\s'"<>?]*=[^\s'"<>]*"#, "?<redacted>"),
    (r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(\W{1,4})[^\n]+", "$1$2<redacted>"),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}", "$1 <redacted>"),
    // `password = x`, `"token": "x"`, `手机：x`. What follows a colon may be several words.
    (
        concat!(r#"(?i)(KEY["']?\s*(?:=>?|:=)\s*)"#, r#"("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s,;)}\]]+)"#),
        "$1<redacted>",
    ),
    (concat!(r#"(?i)(KEY["']?\s*[:：]\s*)"#, r#"("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\n]+)"#), "$1<redacted>"),
    (r"(?i)\b(passw(?:or)?d\s+(?:is|was|to|set to)\s+|identified by\s+)\S+", "$1<redacted>"),
    (r#"(?i)\b(passw(?:or)?d\s+)(?:'[^']*'|"[^"]*")"#, "$1<redacted>"),
    (r"(?i)(--?[a-z-]*(?:password|passwd|token|secret|key)[a-z-]*[ =])\S+", "$1<redacted>"),
    // Of well-known issuers.
    (r"\beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*", REDACTED),
    (r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|sk-|hf_)[A-Za-z0-9_-]{8,}", REDACTED),
    (r"[\p{L}\p{N}._%+'-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+", "<e-mail>"),
    // Telephones: with a country, of China, of America.
    (r"\+\d[\d ().-]{6,18}\d", "<phone>"),
    (r"\b1[3-9]\d[ -]?\d{4}[ -]?\d{4}\b", "<phone>"),
    (r"\b0\d{2,3}[- ]\d{7,8}\b", "<phone>"),
    (r"(?:\(\d{3}\) ?|\b\d{3}-)\d{3}-\d{4}\b", "<phone>"),
];

/// Words that a value is kept secret for.
const KEY: &str = concat!(
    r"[a-z0-9_.-]*(?:passw(?:or)?d|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|session[_-]?id",
    r"|\bsid|dsn|phone|mobile|\btel|\bfax|contact|e-?mail|密码|口令|令牌|密钥|电话|手机|邮箱|联系人)(?:s|hash|[_-][a-z0-9_-]*)?"
);

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compiled = RULES.iter().map(|(pattern, with)| (Regex::new(&pattern.replace("KEY", KEY)), *with));
    compiled.filter_map(|(pattern, with)| Some((pattern.ok()?, with))).collect()
});
static BLOB: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?:sha256:)?[A-Za-z0-9+/=_-]{20,}").ok());

/// Takes secrets and people out of texts.
#[derive(Debug, Default)]
pub struct Scrubber {
    /// What was found in objects in places for such things: it is taken out wherever else it stands.
    known: Vec<String>,
}

impl Scrubber {
    /// Learns a text that must not be seen anywhere. Short ones would take out parts of other words.
    pub fn learn(&mut self, text: &str) {
        let text = text.trim();
        let is_long = if text.is_ascii() { text.len() >= 5 } else { text.chars().count() >= 2 };
        let is_word = !matches!(text, "false" | "admin" | "<redacted>");
        if is_long && is_word && !self.known.iter().any(|known| known == text) {
            self.known.push(text.to_owned());
            // The longest first: it may contain others.
            self.known.sort_by_key(|known| std::cmp::Reverse(known.len()));
        }
    }

    /// The text without them.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for known in &self.known {
            text = text.replace(known.as_str(), TAKEN);
        }
        for (pattern, with) in PATTERNS.iter() {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        let Some(blob) = BLOB.as_ref() else { return REDACTED.to_owned() };
        let judged = |found: &Captures| {
            let found = found.get(0).map_or("", |found| found.as_str());
            if is_random(found) { REDACTED.to_owned() } else { found.to_owned() }
        };
        blob.replace_all(&text, judged).replace(TAKEN, REDACTED)
    }
}

/// Whether it looks as if nobody had thought of it: a long part of mixed letters and digits, or of hexadecimal digits alone, which are no
/// digest that says so.
fn is_random(text: &str) -> bool {
    if text.starts_with("sha256:") {
        return false;
    }
    let is_hexadecimal = |part: &&str| part.len() >= 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_mixed = |part: &str| {
        let has = |kind: fn(&u8) -> bool| part.as_bytes().iter().any(kind);
        part.len() >= 20 && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
    };
    text.split('/').any(is_mixed) || text.split(['/', '-', '_', '=']).any(|part| is_hexadecimal(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(PATTERNS.len(), RULES.len());
        assert!(BLOB.is_some());
    }

    #[test]
    fn secrets_and_people_are_taken_out() {
        let scrubber = Scrubber::default();
        for text in [
            "db_password = hunter2",
            "admin_passwd: hunter2 with spaces",
            "{\"token\": \"hunter2\"}",
            "{'api_key': 'hunter2', 'x': 1}",
            "PGPASSWORD=hunter2 psql",
            "CREATE USER odoo PASSWORD 'hunter2'",
            "the password is hunter2",
            "psql --password hunter2",
            "smtp_password=>hunter2",
            "密码：hunter2",
            "git clone https://bot:hunter2@git.example.com/acme.git",
            "postgresql://odoo:hun@ter/hunter2@db:5432/odoo",
            "GET /web/login?login=a&password=hunter2 HTTP/1.1",
            "GET /x?access=hunter2",
            "Authorization: Basic hunter2==",
            "Cookie: session_id=hunter2; x=y",
            "Bearer hunter2.hunter2",
            "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2",
            "session_id: hunter2",
            "mail to hunter2@example.com failed",
            "联系人: hunter2",
            "phone: hunter2",
        ] {
            let shown = scrubber.text(text);
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
        for text in [
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
            "ghp_0123456789abcdef",
            "kR7mZ2xQ9wLpA4vT8nBc",
            "3f786850e387550fdab836ed7e6dc881de23001b",
            "13800138000",
            "138-0013-8000",
            "+49 (30) 1234-5678",
            "021-55551234",
            "(415) 555-0132",
            "li.wei@acme.example",
            "李伟@公司.cn",
        ] {
            let shown = scrubber.text(&format!("x {text} y"));
            assert!(shown.starts_with("x <") && shown.ends_with("> y"), "{text}: {shown}");
        }
    }

    #[test]
    fn what_helps_stays() {
        let scrubber = Scrubber::default();
        for text in [
            "2026-11-28 03:02:19,123 27 ERROR acme-prod odoo.http: Exception during request",
            "  File \"/usr/lib/python3/dist-packages/odoo/http.py\", line 1788, in _serve_db",
            "SecretMissing: Secret \"acme-git\" does not exist",
            "FATAL:  password authentication failed for user \"odoo\"",
            "pod acme-prod-web-68b5d65b6f-fpvbw, image odoo@sha256:3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed",
            "uid 0b5c5d0e-5a4e-4a55-9b0c-f1f3a5a36a0f",
            "Helm installs revision 12 of chart odoo-0.1.0",
            "127.0.0.1 - - [28/Nov/2026:03:02:19 +0000] \"GET /web HTTP/1.1\" 502 157",
        ] {
            assert_eq!(scrubber.text(text), text);
        }
    }

    #[test]
    fn what_is_known_is_taken_out_anywhere() {
        let mut scrubber = Scrubber::default();
        for text in ["李伟", "Acme Trading", "no", "Acme"] {
            scrubber.learn(text);
        }
        assert_eq!(scrubber.text("给李伟 of Acme Trading, no other Acme"), "给<redacted> of <redacted>, no other Acme");
    }
}
