//! Passwords in plain text among values: known by what they are called.

use odoofleet_api::Object;
use serde_json::Value;
use url::Url;

use super::{ValuePath, leaves};

/// Places of texts that look like passwords: by their key, by the name of a variable, by a URL with a password.
pub fn leaks(values: &Object) -> Vec<ValuePath> {
    let options = ValuePath::default().key("odoo").key("config");
    let is_leak = |path: &ValuePath, value: &Value| {
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { return false };
        let key = path.last_key();
        // odoo.conf's options are what the admission policy looks at.
        has_password(text)
            || is_password_key(key)
            || (path.lies_in(&options) && names_password(key))
            || (key == "value" && variable(values, path).is_some_and(|name| names_password(&name)))
    };
    leaves(values).into_iter().filter(|(path, value)| is_leak(path, value)).map(|(path, _)| path).collect()
}

/// The `name` beside a `value`, as variables of containers have them.
fn variable(values: &Object, path: &ValuePath) -> Option<String> {
    let name = path.parent()?.key("name");
    Some(name.get(values)?.as_str()?.to_owned())
}

fn squeezed(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Whether a key is that of a password, rather than of the name of a Secret that holds one.
pub fn is_password_key(key: &str) -> bool {
    const ENDS: [&str; 11] = [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "token",
        "apikey",
        "privatekey",
        "secretkey",
        "accesskey",
        "clientsecret",
        "secretaccesskey",
    ];
    let key = squeezed(key);
    !key.contains("existing") && ENDS.iter().any(|end| key.ends_with(end))
}

/// Whether an option or a variable is called like one that holds a password.
fn names_password(name: &str) -> bool {
    let name = squeezed(name);
    ["passw", "secret", "token", "apikey"].iter().any(|part| name.contains(part))
}

/// Whether a URL carries a password, or a token in the place of the user.
pub fn has_password(text: &str) -> bool {
    text.contains("://")
        && Url::parse(text).is_ok_and(|url| {
            let is_login = url.scheme() == "ssh" || url.scheme() == "git";
            url.password().is_some() || (!url.username().is_empty() && !is_login)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_passwords_are_told_from_names_of_secrets() {
        for key in ["password", "adminPasswd", "api_key", "DB-PWD", "accessToken", "client.secretKey"] {
            assert!(is_password_key(key), "{key}");
        }
        for key in
            ["existingSecret", "existingSecretKey", "passwordSecret", "tokenUrl", "secretName", "workers", "keyboard"]
        {
            assert!(!is_password_key(key), "{key}");
        }
    }

    #[test]
    fn a_url_with_a_login_is_told_from_one_without() {
        for url in
            ["https://u:p@x.cn/a.git", "https://token@x.cn/a.git", "ssh://git:p@x.cn/a.git", "http://:p@proxy:3128"]
        {
            assert!(has_password(url), "{url}");
        }
        for url in ["https://x.cn/a.git", "ssh://git@x.cn/a.git", "a@b.cn", "not a url://"] {
            assert!(!has_password(url), "{url}");
        }
    }
}
