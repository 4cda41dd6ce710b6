//! The record of a Helm revision: what lies in its Secret, written by Helm 3 or 4.
//!
//! Helm's own form (`pkg/storage/driver/util.go`): JSON, gzip, base64. What is read here is never shown: values and manifests hold
//! passwords.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use odoofleet_api::Object;
use serde::Deserialize;

/// Key of the Secret's data under which Helm keeps it.
pub const RECORD_KEY: &str = "release";
/// Type of the Secret.
pub const RECORD_TYPE: &str = "helm.sh/release.v1";
/// Most bytes that a record may have unpacked.
const MOST_UNPACKED: u64 = 64 << 20;
/// What gzip begins with. The oldest releases were not packed.
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];

/// Why a record cannot be read. No content stands in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The text is no base64.
    #[error("the record is no base64: it was cut, or is not Helm's")]
    Encoding,
    /// It does not unpack.
    #[error("the record does not unpack: it was cut, or is not Helm's")]
    Packing,
    /// It is too large.
    #[error("the record has more than {} MiB unpacked", MOST_UNPACKED >> 20)]
    TooLarge,
    /// It is no record.
    #[error("the record is not Helm's JSON: line {line}, column {column}")]
    Form {
        /// Line of the JSON.
        line: usize,
        /// Column of the JSON.
        column: usize,
    },
}

/// A revision as Helm keeps it. Fields that are not needed here are not read; unknown ones do not matter.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Release.
    pub name: String,
    /// Number of the revision.
    pub version: i64,
    /// The chart that it was made from.
    pub chart: RecordChart,
    /// The values that were given over the chart's own.
    #[serde(deserialize_with = "or_default")]
    pub config: Object,
    /// Everything that was rendered, hooks apart.
    pub manifest: String,
}

/// A chart as it stands in a record.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RecordChart {
    /// Its name and version.
    pub metadata: RecordChartMetadata,
    /// Its own values.
    #[serde(deserialize_with = "or_default")]
    pub values: Object,
}

/// A chart's name and version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RecordChartMetadata {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Version of the application.
    #[serde(deserialize_with = "or_default")]
    pub app_version: String,
}

/// Helm writes `null` for what is empty.
fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// What is told of a record to people: nothing of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSummary {
    /// Name of the chart.
    pub chart: String,
    /// Version of the chart.
    pub chart_version: String,
}

impl Record {
    /// Reads what lies under [`RECORD_KEY`] of the Secret.
    ///
    /// # Errors
    /// What is cut, packed otherwise, larger than 64 MiB unpacked, or no record.
    pub fn read(data: &[u8]) -> Result<Self, RecordError> {
        let packed = STANDARD.decode(data.trim_ascii()).map_err(|_| RecordError::Encoding)?;
        let text = if packed.starts_with(&GZIP_MAGIC) { unpack(&packed)? } else { packed };
        serde_json::from_slice(&text).map_err(|error| RecordError::Form { line: error.line(), column: error.column() })
    }

    /// What may be told of it.
    pub fn summary(&self) -> RecordSummary {
        let metadata = &self.chart.metadata;
        RecordSummary { chart: metadata.name.clone(), chart_version: metadata.version.clone() }
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, RecordError> {
    let mut text = Vec::new();
    let mut from = GzDecoder::new(packed).take(MOST_UNPACKED + 1);
    from.read_to_end(&mut text).map_err(|_| RecordError::Packing)?;
    if text.len() as u64 > MOST_UNPACKED { Err(RecordError::TooLarge) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut to = GzEncoder::new(Vec::new(), Compression::fast());
        to.write_all(text).unwrap();
        STANDARD.encode(to.finish().unwrap()).into_bytes()
    }

    const RECORD: &str = r#"{"name":"r","version":3,"config":{"customer":{"id":"acme"}},"manifest":"kind: Pod","hooks":null,
        "chart":{"metadata":{"name":"odoo","version":"1.2.3","appVersion":"18.0","unheard":[1]},"values":null},"info":{"status":"deployed"}}"#;

    #[test]
    fn a_record_is_read_packed_or_not_and_what_is_unknown_does_not_matter() {
        for data in [packed(RECORD.as_bytes()), STANDARD.encode(RECORD).into_bytes()] {
            let record = Record::read(&data).unwrap();
            assert_eq!((record.name.as_str(), record.version, record.manifest.as_str()), ("r", 3, "kind: Pod"));
            assert_eq!(record.config["customer"]["id"], "acme");
            let told = RecordSummary { chart: "odoo".into(), chart_version: "1.2.3".into() };
            assert_eq!(record.summary(), told);
        }
        assert_eq!(Record::read(&packed(br#"{"name":"r","config":null}"#)).unwrap().config, Object::new());
    }

    #[test]
    fn a_broken_record_is_an_error_without_its_content() {
        let whole = packed(RECORD.as_bytes());
        let cut = STANDARD.encode(&STANDARD.decode(&whole).unwrap()[..60]).into_bytes();
        let bomb = packed(&vec![b' '; usize::try_from(MOST_UNPACKED).unwrap() + 1]);
        let secret = packed(br#"{"name":"r","version":"secret"}"#);
        let read = |data: &[u8]| Record::read(data).err().map(|error| error.to_string()).unwrap();
        assert!(read(b"%%%").contains("base64"));
        assert!(read(&cut).contains("unpack"));
        assert!(read(&bomb).contains("64 MiB"));
        let told = read(&secret);
        assert!(told.contains("line 1") && !told.contains("secret"), "{told}");
    }
}
