//! Digests, and the canonical form of what is digested.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

/// sha256 in lowercase base32 without padding: 52 characters, which a label's 63 can hold.
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(&Sha256::digest(bytes)).to_lowercase()
}

/// sha256 as 64 lowercase hexadecimal digits, as registries and `sha256sum` write it.
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The same 32 bytes, from [`hex`]'s form to [`base32`]'s. `None` if `hex` is not one.
pub fn hex_to_base32(hex: &str) -> Option<String> {
    let bytes = HEXLOWER.decode(hex.as_bytes()).ok().filter(|bytes| bytes.len() == 32)?;
    Some(BASE32_NOPAD.encode(&bytes).to_lowercase())
}

/// The first eight bytes of a sha256: enough to tell whether two short texts are the same, where many are kept.
pub fn mark(text: &str) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

/// JSON with sorted keys and no spaces, in which `1.0` is `1`: equal values have equal text, whoever wrote them.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for (position, key) in keys.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write_canonical(&map[key], text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Number(number) => text.push_str(&canonical_number(number)),
        other => text.push_str(&other.to_string()),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "only whole numbers within 2^53 are cast")]
fn canonical_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
            (float as i64).to_string()
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_digest_fits_into_a_label() {
        assert_eq!(base32(b"x").len(), 52);
        assert_eq!(hex_to_base32(&hex(b"x")), Some(base32(b"x")));
        assert_eq!(hex_to_base32("zz"), None);
    }

    #[test]
    fn equal_values_have_equal_text() {
        let one: Value = serde_json::from_str(r#"{"b":1.0,"a":[{"y":null,"x":"é\n"}]}"#).unwrap();
        assert_eq!(canonical(&one), r#"{"a":[{"x":"é\n","y":null}],"b":1}"#);
        assert_ne!(canonical(&json!(1.5)), canonical(&json!(1)));
        assert_ne!(canonical(&json!("1")), canonical(&json!(1)));
    }
}
