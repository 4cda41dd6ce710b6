//! Passwords as inputs, for charts that take no name of a Secret. A binding brings the content of a key to a value path; it is read when a
//! Helm operation begins, as what `valuesFrom` feeds.

/// A password that bindings can bring.
#[derive(Debug)]
pub struct Password {
    /// Input that a binding names.
    input: &'static str,
    /// Input with the name of the Secret in which it lies.
    pub secret: &'static str,
    /// Key there.
    pub key: &'static str,
}

const PASSWORDS: [Password; 3] = [
    Password { input: "masterPassword", secret: "masterPasswordSecret", key: "admin_passwd" },
    Password { input: "databasePassword", secret: "databaseSecret", key: "password" },
    Password { input: "administratorPassword", secret: "administratorSecret", key: "administrator_password" },
];

/// The password that an input stands for, if it does for one.
pub fn password(input: &str) -> Option<&'static Password> {
    PASSWORDS.iter().find(|password| password.input == input)
}
