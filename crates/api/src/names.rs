//! Names that cannot be wrong once they exist.

use std::fmt;

/// Longest `{customer}-{service}`: chart suffixes such as `-postgresql-0` must still fit into 63 characters.
pub const MAX_RELEASE_NAME: usize = 40;
/// Longest release name that Helm takes, allowed for adopted releases.
pub const MAX_ADOPTED_RELEASE_NAME: usize = 53;
/// Longest name of an environment or a template: what belongs to it carries the name as a label.
pub const MAX_OBJECT_NAME: usize = 63;
/// What customers' and services' names match. A leading letter, because Service names need one.
pub const NAME_PATTERN: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// What host names and domains match: lower case, two parts or more, no dot at the end, no wildcard.
pub const HOST_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$";

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Characters or shape.
    #[error(
        "{what} \"{value}\" must start with a lowercase letter, end with a letter or digit, and hold only lowercase letters, digits and \"-\""
    )]
    Shape {
        /// What the name names, for the message.
        what: &'static str,
        /// The refused value.
        value: String,
    },
    /// Length.
    #[error(
        "{what} \"{value}\" has {length} characters; at most {limit} are allowed: choose a shorter customer name or service name"
    )]
    TooLong {
        /// What the name names, for the message.
        what: &'static str,
        /// The refused value.
        value: String,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// `metadata.name` of a customer: a DNS label that starts with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerName(String);

impl CustomerName {
    /// Checks shape; length is limited together with the service name.
    pub fn parse(value: &str) -> Result<Self, NameError> {
        check_shape("customer name", value)?;
        Ok(Self(value.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a Helm release, and the stem of every name of an environment's objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseName(String);

impl ReleaseName {
    /// `{customer}-{service}`, at most [`MAX_RELEASE_NAME`] characters.
    pub fn derive(customer: &CustomerName, service: &str) -> Result<Self, NameError> {
        check_shape("service name", service)?;
        let name = format!("{customer}-{service}");
        check_length("release name", &name, MAX_RELEASE_NAME)?;
        Ok(Self(name))
    }

    /// A name given by `spec.releaseName`, at most [`MAX_ADOPTED_RELEASE_NAME`] characters.
    pub fn parse(value: &str) -> Result<Self, NameError> {
        check_shape("release name", value)?;
        check_length("release name", value, MAX_ADOPTED_RELEASE_NAME)?;
        Ok(Self(value.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_shape(what: &'static str, value: &str) -> Result<(), NameError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let bytes = value.as_bytes();
    let shape = bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|&b| b != b'-')
        && bytes.iter().copied().all(inner);
    if shape { Ok(()) } else { Err(NameError::Shape { what, value: value.to_owned() }) }
}

fn check_length(what: &'static str, value: &str, limit: usize) -> Result<(), NameError> {
    if value.len() <= limit {
        return Ok(());
    }
    Err(NameError::TooLong { what, value: value.to_owned(), length: value.len(), limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_flags_or_paths_are_refused() {
        for bad in ["", "-x", "--post-renderer=./x", "Acme", "a/b", "a.b", "acme-", "1a", "a_b", "阿", "a\n"] {
            assert!(matches!(ReleaseName::parse(bad), Err(NameError::Shape { .. })), "{bad:?}");
            assert!(CustomerName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn different_customers_can_mean_the_same_release() {
        let one = ReleaseName::derive(&CustomerName::parse("a-b").unwrap(), "c").unwrap();
        let other = ReleaseName::derive(&CustomerName::parse("a").unwrap(), "b-c").unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn derived_names_end_at_40_characters_and_adopted_ones_at_53() {
        let customer = CustomerName::parse(&"c".repeat(20)).unwrap();
        assert!(ReleaseName::derive(&customer, &"s".repeat(19)).is_ok());
        assert!(matches!(ReleaseName::derive(&customer, &"s".repeat(20)), Err(NameError::TooLong { length: 41, .. })));
        assert!(ReleaseName::parse(&"r".repeat(53)).is_ok());
        assert!(ReleaseName::parse(&"r".repeat(54)).is_err());
    }
}
