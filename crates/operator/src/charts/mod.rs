//! Charts: fetched once, verified, kept in the cluster, and copied to a local folder for the workers.

mod archive;
mod credentials;
mod oci;
mod source;

use odoofleet_core::error::chain;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use odoofleet_api::conditions::Reason;
use odoofleet_core::chart::{self, Chart};
use odoofleet_core::digest;
use odoofleet_core::finding::Finding;
use odoofleet_core::values::Schema;
use parking_lot::Mutex;

pub use archive::{keep, remove_unused};
pub use source::{FetchError, fetch};

/// A chart that was read.
#[derive(Clone)]
pub struct LoadedChart {
    /// What is known of it.
    pub chart: Arc<Chart>,
    /// Its own schema, compiled, unless it has none or brings other charts.
    pub schema: Option<Arc<Schema>>,
}

/// Local copies of charts. Losing them costs a GET each.
pub struct ChartStore {
    folder: PathBuf,
    loaded: Mutex<HashMap<String, LoadedChart>>,
    schemas: Mutex<HashMap<String, Option<Arc<Schema>>>>,
}

/// Why a kept chart cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The API server.
    #[error("the kept archive of chart sha256:{digest} cannot be read")]
    Api {
        /// Digest.
        digest: String,
        /// Cause.
        #[source]
        source: kube::Error,
    },
    /// It is gone, or not what it was.
    #[error("the kept archive of chart sha256:{0} is missing or damaged: apply the template with a new version")]
    Missing(String),
    /// The folder.
    #[error("the chart cannot be copied to \"{path}\"")]
    Folder {
        /// Path.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be understood any more.
    #[error("the kept archive of a chart cannot be understood: {0}")]
    Chart(#[from] chart::ChartError),
}

impl LoadError {
    /// What a person has to mend; else the API server did not answer, and another try soon may.
    pub fn finding(self) -> Result<Finding, kube::Error> {
        match self {
            Self::Api { source, .. } => Err(source),
            Self::Missing(_) | Self::Folder { .. } | Self::Chart(_) => {
                Ok(Finding::new(Reason::ChartUnavailable, chain(&self)))
            }
        }
    }
}

/// Files are new for so long.
const NEW: Duration = Duration::from_mins(15);

impl ChartStore {
    /// A store in a folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, loaded: Mutex::new(HashMap::new()), schemas: Mutex::new(HashMap::new()) }
    }

    /// Where a worker finds a chart's archive.
    pub fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.tgz"))
    }

    /// A chart, from memory or from the cluster.
    pub async fn load(&self, api: &Api<ConfigMap>, digest: &str) -> Result<LoadedChart, LoadError> {
        if let Some(loaded) = self.loaded.lock().get(digest).cloned() {
            return Ok(loaded);
        }
        let archive = archive::read(api, digest).await?;
        self.take_in(digest, &archive).await
    }

    /// Makes sure that a worker finds the archive.
    pub async fn provide(&self, api: &Api<ConfigMap>, digest: &str) -> Result<PathBuf, LoadError> {
        let path = self.path(digest);
        // The worker checks the digest before it reads further.
        if !tokio::fs::try_exists(&path).await.unwrap_or_default() {
            let archive = archive::read(api, digest).await?;
            self.write(&path, &archive).await?;
        }
        Ok(path)
    }

    /// Takes in an archive that was just read or fetched.
    pub async fn take_in(&self, digest: &str, archive: &[u8]) -> Result<LoadedChart, LoadError> {
        let chart = chart::read(archive)?;
        self.write(&self.path(digest), archive).await?;
        let loaded = LoadedChart { schema: chart.own_schema().map(Arc::new), chart: Arc::new(chart) };
        self.loaded.lock().insert(digest.to_owned(), loaded.clone());
        Ok(loaded)
    }

    /// A template's own schema, compiled once for each version.
    pub fn compiled(&self, version_digest: &str, schema: &odoofleet_api::Object) -> Option<Arc<Schema>> {
        let compile = || Schema::compile(&serde_json::Value::Object(schema.clone())).ok().map(Arc::new);
        self.schemas.lock().entry(version_digest.to_owned()).or_insert_with(compile).clone()
    }

    /// Forgets charts that no version names. Files that are new may be those of a version that is just being made.
    pub async fn retain(&self, used: &BTreeSet<String>) -> std::io::Result<()> {
        self.loaded.lock().retain(|digest, _| used.contains(digest));
        // Compiled again when they are needed.
        self.schemas.lock().clear();
        if !tokio::fs::try_exists(&self.folder).await? {
            return Ok(());
        }
        let mut files = tokio::fs::read_dir(&self.folder).await?;
        while let Some(file) = files.next_entry().await? {
            let name = file.file_name().to_string_lossy().into_owned();
            let needed = name.strip_suffix(".tgz").is_some_and(|digest| used.contains(digest));
            let age = file.metadata().await?.modified()?.elapsed().unwrap_or_default();
            if !needed && age > NEW {
                tokio::fs::remove_file(file.path()).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, path: &Path, archive: &[u8]) -> Result<(), LoadError> {
        let error = |source| LoadError::Folder { path: path.to_owned(), source };
        tokio::fs::create_dir_all(&self.folder).await.map_err(error)?;
        // A name of its own for each writer, and a rename: a reader never sees half an archive.
        let draft = self.folder.join(format!(".{}-{}", rand::random::<u64>(), digest::hex(archive)));
        tokio::fs::write(&draft, archive).await.map_err(error)?;
        tokio::fs::rename(&draft, path).await.map_err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_does_not_answer_is_tried_again_and_told_to_nobody() {
        let digest = "ab".to_owned();
        let source = kube::Error::LinesCodecMaxLineLengthExceeded;
        assert!(LoadError::Api { digest: digest.clone(), source }.finding().is_err());
        let folder = LoadError::Folder { path: "/charts".into(), source: std::io::ErrorKind::StorageFull.into() };
        for error in [LoadError::Missing(digest), folder] {
            assert_eq!(error.finding().map(|finding| finding.reason).ok(), Some(Reason::ChartUnavailable));
        }
    }
}
