//! `charts/odoo` as the operator reads it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use odoofleet_core::chart;
use odoofleet_core::digest;
use odoofleet_core::environment::references::VersionView;
use odoofleet_core::fleet::Choice;
use odoofleet_core::values::Schema;

use crate::commands::bench::fleet::TEMPLATE;

/// A packaged chart that was read.
#[derive(Clone)]
pub struct Chart {
    content: Arc<chart::Chart>,
    schema: Option<Arc<Schema>>,
    digest: String,
}

impl Chart {
    /// Reads an archive.
    pub fn read(archive: &Path) -> Result<Self> {
        let bytes = std::fs::read(archive).with_context(|| format!("cannot read {}", archive.display()))?;
        let content = chart::read(&bytes)?;
        let schema = content.schema.as_ref().map(Schema::compile).transpose()?.map(Arc::new);
        Ok(Self { content: Arc::new(content), schema, digest: digest::hex(&bytes) })
    }

    /// What is known of it.
    pub fn content(&self) -> &chart::Chart {
        &self.content
    }

    /// sha256 of the archive.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// A version of the template with this chart.
    pub fn view(&self, choice: &Choice) -> VersionView {
        VersionView {
            template: TEMPLATE.to_owned(),
            content: Arc::clone(&choice.stored.content),
            digest: choice.stored.digest.clone(),
            chart: Arc::clone(&self.content),
            schema: self.schema.clone(),
            waits_for: choice.waits_for.clone(),
        }
    }
}
