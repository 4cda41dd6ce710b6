//! How the objects of releases were last seen, as far as it tells whether somebody has touched them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::{Delta, Fleet};

/// An object that Helm manages, as its watch showed it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The release to which Helm says that it belongs.
    pub release: String,
    /// Name, without its kind.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Given for kinds whose generation is raised with each change of what a chart can say, metadata apart.
    pub generation: Option<i64>,
    /// Version; it changes with the object's status as well.
    pub resource_version: String,
    /// Digests of labels and annotations, of which a generation does not tell; see [`mark_of_label`].
    pub marks: Vec<u64>,
}

/// What is known of a release's objects at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRelease {
    /// The newest deployed revision.
    pub revision: i64,
    /// Version of its record.
    pub resource_version: String,
    /// Objects by `Deployment.apps/acme-prod-web`, those of the core group by `ConfigMap/acme-prod`. Not all that there are.
    pub objects: BTreeMap<String, Seen>,
}

/// The first eight bytes of a SHA-256. The Helm worker computes the same of what it would send.
pub fn mark_of_label(key: &str, value: &str) -> u64 {
    mark("label", key, value)
}

/// As [`mark_of_label`], of an annotation.
pub fn mark_of_annotation(key: &str, value: &str) -> u64 {
    mark("annotation", key, value)
}

fn mark(sort: &str, key: &str, value: &str) -> u64 {
    let digest = Sha256::digest(format!("{sort}\0{key}\0{value}"));
    digest.iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

/// Objects of one kind.
#[derive(Debug, Default)]
struct OfKind {
    /// Whether the watch follows: after a start, and when it was lost, nothing is known until it has listed everything.
    follows: bool,
    objects: HashMap<String, Seen>,
}

/// What the watches of objects' metadata have shown.
#[derive(Debug, Default)]
pub(super) struct SeenObjects {
    kinds: BTreeMap<&'static str, OfKind>,
    by_release: HashMap<String, BTreeSet<(&'static str, String)>>,
}

impl SeenObjects {
    pub(super) fn apply(&mut self, kind: &'static str, delta: Delta<Seen>) {
        match delta {
            Delta::All(list) => {
                let known = std::mem::take(&mut self.kinds.entry(kind).or_default().objects);
                for seen in known.into_values() {
                    self.unlink(kind, &seen);
                }
                for seen in list {
                    self.insert(kind, seen);
                }
                self.kinds.entry(kind).or_default().follows = true;
            }
            Delta::Applied(seen) => self.insert(kind, seen),
            Delta::Deleted(Seen { name, .. }) | Delta::Forgotten(name) => self.remove(kind, &name),
        }
    }

    fn insert(&mut self, kind: &'static str, seen: Seen) {
        self.remove(kind, &seen.name);
        self.by_release.entry(seen.release.clone()).or_default().insert((kind, seen.name.clone()));
        self.kinds.entry(kind).or_default().objects.insert(seen.name.clone(), seen);
    }

    fn remove(&mut self, kind: &'static str, name: &str) {
        if let Some(seen) = self.kinds.get_mut(kind).and_then(|of| of.objects.remove(name)) {
            self.unlink(kind, &seen);
        }
    }

    fn unlink(&mut self, kind: &'static str, seen: &Seen) {
        if let Some(names) = self.by_release.get_mut(&seen.release) {
            names.remove(&(kind, seen.name.clone()));
            if names.is_empty() {
                self.by_release.remove(&seen.release);
            }
        }
    }

    fn lost(&mut self, kind: &'static str) {
        self.kinds.entry(kind).or_default().follows = false;
    }

    fn of(&self, release: &str) -> BTreeMap<String, Seen> {
        let names = self.by_release.get(release).into_iter().flatten();
        names
            .filter_map(|(kind, name)| {
                let of = self.kinds.get(kind).filter(|of| of.follows)?;
                Some((format!("{kind}/{name}"), of.objects.get(name)?.clone()))
            })
            .collect()
    }
}

impl Fleet {
    /// What is known of a release's objects now. None while it is at no deployed revision.
    pub fn seen(&self, release: &str) -> Option<SeenRelease> {
        let history = self.releases.get(release).map(|release| &release.history)?;
        let deployed = history.deployed()?;
        Some(SeenRelease {
            revision: deployed.number,
            resource_version: deployed.resource_version.clone(),
            objects: self.seen.of(release),
        })
    }

    /// Notes that the watch of a kind's metadata was lost: nothing is known of its objects until it has listed them.
    pub fn note_watch_lost(&mut self, kind: &'static str) {
        self.seen.lost(kind);
    }
}
