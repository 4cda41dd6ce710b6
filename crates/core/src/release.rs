//! Helm releases as their storage shows them: labels of Secrets, never payloads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use odoofleet_api::{OdooEnvironment, labels};

use crate::digest::mark;

/// What the labels and the metadata of one release Secret say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Release name (label `name`).
    pub release: String,
    /// Number (label `version`).
    pub number: i64,
    /// Helm's status (label `status`).
    pub status: ReleaseStatus,
    /// Our labels.
    pub ownership: Ownership,
    /// Creation of the Secret: the begin of the operation that made the revision.
    pub created_at: Timestamp,
    /// Version of the Secret, for preconditions and for telling newer from older.
    pub resource_version: String,
}

/// An object that an operation left out, because it was so. The record's annotation says it of each; texts are kept as marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Mark of its UID.
    pub uid: u64,
    /// Generation; 0 where the kind has none.
    pub generation: i64,
    /// Mark of its version.
    pub version: u64,
}

/// Reads annotation `odoofleet.dev/applied` of a record: of the objects that its operation left out, for nothing more is asked here.
pub fn left_out_objects(annotation: &str) -> BTreeMap<u64, LeftOut> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        uid: String,
        #[serde(default)]
        generation: i64,
        resource_version: String,
        #[serde(default)]
        left_out: bool,
    }
    let all: BTreeMap<String, Told> = serde_json::from_str(annotation).unwrap_or_default();
    let object = |told: Told| LeftOut {
        uid: mark(&told.uid),
        generation: told.generation,
        version: mark(&told.resource_version),
    };
    let left_out = all.into_iter().filter(|(_, told)| told.left_out);
    left_out.map(|(name, told)| (mark(&name), object(told))).collect()
}

/// Our labels on a release, as far as they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Customer.
    pub customer: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// UID of the environment.
    pub environment_uid: Option<String>,
    /// Stage of the environment: releases of older operators do not say.
    pub stage: Option<String>,
    /// Id of the customer: releases of older operators do not say.
    pub customer_id: Option<String>,
    /// Odoo's series: releases of older operators do not say.
    pub odoo_version: Option<String>,
    /// PostgreSQL's major version: releases of older operators do not say.
    pub postgres_major: Option<i32>,
    /// Digest of what went into the revision.
    pub spec_hash: Option<String>,
    /// Digest of what Odoo's pods begin with.
    pub check: Option<String>,
    /// The revision that we made.
    pub revision: Option<i64>,
    /// Since when the release is retained, Unix seconds.
    pub retained_at: Option<i64>,
}

/// Helm's word for the state of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "Helm's own words: helm.sh/helm/v4 pkg/release/common/status.go")]
pub enum ReleaseStatus {
    Unknown,
    Deployed,
    Uninstalled,
    Superseded,
    Failed,
    Uninstalling,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
}

impl ReleaseStatus {
    /// Reads the label.
    pub fn parse(text: &str) -> Self {
        match text {
            "deployed" => Self::Deployed,
            "uninstalled" => Self::Uninstalled,
            "superseded" => Self::Superseded,
            "failed" => Self::Failed,
            "uninstalling" => Self::Uninstalling,
            "pending-install" => Self::PendingInstall,
            "pending-upgrade" => Self::PendingUpgrade,
            "pending-rollback" => Self::PendingRollback,
            _ => Self::Unknown,
        }
    }

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Deployed => "deployed",
            Self::Uninstalled => "uninstalled",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Uninstalling => "uninstalling",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
        }
    }

    /// Whether a Helm holds the release, or was killed while it did.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback)
    }
}

impl Ownership {
    /// Reads labels.
    pub fn from_labels(all: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| all.get(key).cloned();
        let number = |key: &str| all.get(key).and_then(|value| value.parse().ok());
        Self {
            customer: text(labels::CUSTOMER),
            environment: text(labels::ENVIRONMENT),
            environment_uid: text(labels::ENVIRONMENT_UID),
            stage: text(labels::STAGE),
            customer_id: text(labels::CUSTOMER_ID),
            odoo_version: text(labels::ODOO_VERSION),
            postgres_major: all.get(labels::POSTGRES_MAJOR).and_then(|value| value.parse().ok()),
            spec_hash: text(labels::SPEC_HASH),
            check: text(labels::CHECK),
            revision: number(labels::REVISION),
            retained_at: number(labels::RETAINED_AT),
        }
    }

    /// Whether an environment may look at the release: it is its own, or nobody's.
    pub fn may_belong_to(&self, environment: &OdooEnvironment) -> bool {
        let name = environment.metadata.name.as_deref();
        !self.is_ours()
            || (self.customer.as_deref() == Some(&environment.spec.customer_ref.name)
                && self.environment.as_deref() == name)
    }

    /// Whether the release was made for this very environment of this customer; another UID is the same one, created again.
    pub fn belongs_to_environment(&self, environment: &OdooEnvironment) -> bool {
        self.is_ours() && self.may_belong_to(environment)
    }

    /// Whether any of our labels is there: a release without them was never ours.
    pub fn is_ours(&self) -> bool {
        self.environment.is_some() || self.customer.is_some()
    }
}

impl Revision {
    /// Reads the labels of a release Secret. `None` when Helm's own labels are missing.
    pub fn from_labels(all: &BTreeMap<String, String>, created_at: Timestamp, resource_version: &str) -> Option<Self> {
        Some(Self {
            release: all.get("name")?.clone(),
            number: all.get("version")?.parse().ok()?,
            status: all.get("status").map_or(ReleaseStatus::Unknown, |text| ReleaseStatus::parse(text)),
            ownership: Ownership::from_labels(all),
            created_at,
            resource_version: resource_version.to_owned(),
        })
    }
}

/// The revisions of one release that are not superseded, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    revisions: Vec<Revision>,
    /// The newest revision that we made, also when it is superseded: what a human's rollback is compared with.
    applied: Option<Applied>,
    /// An object that the newest revision's operation left out and should not have.
    missed: Option<String>,
}

/// What we applied last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Number of the revision.
    pub revision: i64,
    /// Digest of what went into it.
    pub spec_hash: String,
}

impl History {
    /// Adds or replaces a revision, unless what is known of it is newer.
    pub fn upsert(&mut self, revision: Revision) {
        self.note_applied(&revision);
        match self.revisions.binary_search_by_key(&revision.number, |known| known.number) {
            Ok(position) if is_older(&revision.resource_version, &self.revisions[position].resource_version) => {}
            Ok(position) => self.revisions[position] = revision,
            Err(position) => self.revisions.insert(position, revision),
        }
    }

    /// Notes a revision that is superseded, and so not one of these: it may be the newest that we made.
    pub fn note_applied(&mut self, revision: &Revision) {
        let Some(spec_hash) = revision.ownership.spec_hash.as_ref() else { return };
        let ours = revision.ownership.revision == Some(revision.number);
        if ours && self.applied.as_ref().is_none_or(|applied| applied.revision < revision.number) {
            self.applied = Some(Applied { revision: revision.number, spec_hash: spec_hash.clone() });
        }
    }

    /// What we applied last, as far as it is known.
    pub const fn applied(&self) -> Option<&Applied> {
        self.applied.as_ref()
    }

    /// Takes over what an older picture of the same release knows of superseded revisions.
    pub fn remember(&mut self, older: &Self) {
        if let (Some(known), Some(newest)) = (&older.applied, self.newest())
            && known.revision < newest.number
            && self.applied.as_ref().is_none_or(|applied| applied.revision < known.revision)
        {
            self.applied = Some(known.clone());
        }
    }

    /// Takes revisions of which an older picture, made in part of what was read since, knows a newer state.
    pub fn keep_newer(&mut self, other: &Self) {
        for known in &other.revisions {
            if self.revisions.iter().any(|revision| revision.number == known.number) {
                self.upsert(known.clone());
            }
        }
    }

    /// Whether any revision was ever deployed. Helm keeps the last one that was, so failed ones alone mean that none was.
    pub fn was_ever_deployed(&self) -> bool {
        let deployed =
            |revision: &Revision| matches!(revision.status, ReleaseStatus::Deployed | ReleaseStatus::Superseded);
        self.revisions.iter().any(deployed)
    }

    /// Forgets a revision.
    pub fn remove(&mut self, number: i64) {
        self.revisions.retain(|revision| revision.number != number);
    }

    /// The newest revision: it alone decides.
    pub fn newest(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    /// The newest revision that is deployed.
    pub fn deployed(&self) -> Option<&Revision> {
        self.revisions.iter().rfind(|revision| revision.status == ReleaseStatus::Deployed)
    }

    /// Numbers under which revisions may lie in the storage: those that are known, and up to `superseded` before the newest.
    /// The watch leaves superseded ones out, but Helm removes them, and an uninstall must find them all.
    pub fn numbers(&self, superseded: i64) -> Vec<i64> {
        let newest = self.newest().map_or(0, |newest| newest.number);
        let mut numbers: Vec<i64> = self
            .revisions
            .iter()
            .map(|revision| revision.number)
            .chain((newest - superseded).max(1)..=newest)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Whether something else is wanted than what we applied last. A human's upgrade inherits the labels of ours, a rollback
    /// copies those of an older one; where it is not known what we applied, nothing is taken for changed.
    fn differs_from_applied(&self, spec_hash: &str) -> bool {
        let inherited = self.newest().and_then(|newest| newest.ownership.spec_hash.as_deref()) == Some(spec_hash);
        !inherited && self.applied.as_ref().is_some_and(|applied| applied.spec_hash != spec_hash)
    }

    /// Notes an object that the newest revision's operation should have sent: the release does not hold what it should.
    pub fn note_missed(&mut self, object: Option<String>) {
        self.missed = object;
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.revisions.is_empty()
    }
}

/// Resource versions are decimal numbers that grow (Kubernetes 1.35 says so; etcd always did).
pub fn is_older(one: &str, other: &str) -> bool {
    match (one.parse::<u128>(), other.parse::<u128>()) {
        (Ok(one), Ok(other)) => one < other,
        _ => false,
    }
}

/// Who wants the release, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Customer.
    pub customer: &'a str,
    /// Environment.
    pub environment: &'a str,
    /// UID of the environment.
    pub environment_uid: &'a str,
    /// Digest of what the release should hold.
    pub spec_hash: &'a str,
}

/// A release as seen by one who claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseState {
    /// There is none.
    Absent,
    /// It holds what it should.
    Current,
    /// It holds something else of ours.
    Outdated,
    /// A Helm holds it, or was killed while it did.
    Locked,
    /// Its newest revision failed.
    Failed,
    /// It was there before us: none of our labels.
    Foreign,
    /// Ours, and then somebody ran Helm by hand.
    ChangedByHand {
        /// Whether something else is wanted than what we applied last.
        spec_changed: bool,
    },
    /// It belongs to another customer or environment.
    OwnedByAnother {
        /// That customer.
        customer: String,
        /// That environment.
        environment: String,
    },
    /// Somebody's Helm is uninstalling it, or did so and kept its history.
    Uninstalling,
}

impl ReleaseState {
    /// Reads the state from the newest revision.
    pub fn of(history: &History, claim: &Claim<'_>) -> Self {
        let Some(newest) = history.newest() else { return Self::Absent };
        let ownership = &newest.ownership;
        if ownership.is_ours() && !ownership.belongs_to(claim) {
            return Self::OwnedByAnother {
                customer: ownership.customer.clone().unwrap_or_default(),
                environment: ownership.environment.clone().unwrap_or_default(),
            };
        }
        let by_hand = ownership.revision != Some(newest.number);
        // What is not ours is never written to, whatever state it is in.
        if !ownership.is_ours() {
            return Self::Foreign;
        }
        match newest.status {
            status if status.is_pending() => Self::Locked,
            ReleaseStatus::Uninstalling | ReleaseStatus::Uninstalled => Self::Uninstalling,
            ReleaseStatus::Failed => Self::Failed,
            ReleaseStatus::Deployed if by_hand => {
                Self::ChangedByHand { spec_changed: history.differs_from_applied(claim.spec_hash) }
            }
            ReleaseStatus::Deployed if newest.is_current_for(claim) && history.missed.is_none() => Self::Current,
            _ => Self::Outdated,
        }
    }
}

impl Ownership {
    /// Customer and environment decide; another UID is the same environment, created again.
    fn belongs_to(&self, claim: &Claim<'_>) -> bool {
        self.customer.as_deref() == Some(claim.customer) && self.environment.as_deref() == Some(claim.environment)
    }
}

impl Revision {
    fn is_current_for(&self, claim: &Claim<'_>) -> bool {
        self.ownership.spec_hash.as_deref() == Some(claim.spec_hash)
            && self.ownership.environment_uid.as_deref() == Some(claim.environment_uid)
            && self.ownership.retained_at.is_none()
    }
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
