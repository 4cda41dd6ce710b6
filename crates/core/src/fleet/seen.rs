//! How the objects of releases were last seen, as far as it tells whether somebody has touched them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Affected, Delta, Fleet};
use crate::digest::mark;
use crate::release::{LeftOut, is_older};

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
    /// Changes with each second in which somebody wrote it whose writes are no drift: Helm, the operator, Kubernetes' own controllers,
    /// whoever scales.
    pub written: u64,
    /// Whether Helm has written it.
    pub by_helm: bool,
    /// Digests of labels and annotations, of which a generation does not tell; see [`mark_of_label`].
    pub marks: Box<[u64]>,
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

/// Digest of a label, as the Helm worker computes it of what it would send.
pub fn mark_of_label(key: &str, value: &str) -> u64 {
    mark(&format!("label\0{key}\0{value}"))
}

/// Digest of an annotation, as the Helm worker computes it.
pub fn mark_of_annotation(key: &str, value: &str) -> u64 {
    mark(&format!("annotation\0{key}\0{value}"))
}

/// Kind and name: `Deployment.apps`, `acme-prod-web`.
type ObjectKey = (&'static str, Arc<str>);

/// `Deployment.apps/acme-prod-web`.
fn name_of((kind, name): &ObjectKey) -> String {
    format!("{kind}/{name}")
}

/// An object, and since when it is as it is. There are some twenty for each environment, so nothing is held twice.
#[derive(Debug)]
struct Known {
    release: Arc<str>,
    uid: Box<str>,
    generation: Option<i64>,
    resource_version: Box<str>,
    marks: Box<[u64]>,
    written: u64,
    /// Mark of kind and name, by which records know it.
    mark: u64,
    /// The first version in which it was as it is now, if that is an earlier one.
    since: Option<Box<str>>,
    /// It was deleted then.
    is_gone: bool,
}

impl Known {
    /// Whether somebody may have changed what a chart says, who is none of those whose writes are no drift. A removed field leaves no
    /// trace of who removed it, so it counts that nobody else is known to have written.
    fn is_touched(&self, kind: &str, now: &Seen) -> bool {
        if self.is_gone || *self.uid != *now.uid {
            return !now.by_helm;
        }
        // Its controller binds it, and writes that into it.
        let tells = kind != "PersistentVolumeClaim";
        let other = match self.generation {
            Some(_) => self.generation != now.generation || self.marks != now.marks,
            None => *self.resource_version != *now.resource_version,
        };
        tells && other && now.written == self.written
    }

    fn since(&self) -> &str {
        self.since.as_ref().unwrap_or(&self.resource_version)
    }

    /// Whether it is otherwise than an operation has left it.
    fn differs(&self, left_out: &LeftOut) -> bool {
        let same = match self.generation {
            Some(generation) => generation == left_out.generation,
            None => mark(&self.resource_version) == left_out.version,
        };
        self.is_gone || mark(&self.uid) != left_out.uid || !same
    }

    fn seen(&self, (_, name): &ObjectKey) -> Seen {
        Seen {
            release: self.release.as_ref().to_owned(),
            name: name.as_ref().to_owned(),
            uid: self.uid.as_ref().to_owned(),
            generation: self.generation,
            resource_version: self.resource_version.as_ref().to_owned(),
            written: self.written,
            by_helm: true,
            marks: self.marks.clone(),
        }
    }
}

/// What the watches of objects' metadata have shown.
#[derive(Debug, Default)]
pub(super) struct SeenObjects {
    objects: HashMap<ObjectKey, Box<Known>>,
    by_release: HashMap<Arc<str>, Vec<ObjectKey>>,
    /// Kinds whose watches follow: after a start, and when one was lost, nothing is known until it has listed everything.
    follows: BTreeSet<&'static str>,
    /// Objects that somebody may have touched, by release, until they are looked at.
    suspects: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    /// The version that the operator's own last write of an object made, where its second is not enough to know it by.
    own: HashMap<ObjectKey, String>,
}

impl SeenObjects {
    /// The releases of what has changed.
    fn apply(&mut self, kind: &'static str, delta: Delta<Seen>) -> BTreeSet<Arc<str>> {
        match delta {
            Delta::All(list) => {
                let listed: BTreeSet<String> = list.iter().map(|seen| seen.name.clone()).collect();
                let gone = |(known, name): &&ObjectKey| *known == kind && !listed.contains(name.as_ref());
                let of_kind = self.objects.keys().filter(gone);
                for key in of_kind.cloned().collect::<Vec<_>>() {
                    if let Some(known) = self.remove(&key).filter(|known| !known.is_gone) {
                        self.suspects.entry(known.release).or_default().insert(key);
                    }
                }
                self.follows.insert(kind);
                list.into_iter().map(|seen| self.insert(kind, seen)).collect()
            }
            Delta::Applied(seen) => BTreeSet::from([self.insert(kind, seen)]),
            Delta::Deleted(seen) => {
                // Who was deleted before an upgrade was over has to be made again by it.
                let key = (kind, seen.name.as_str().into());
                let release = self.insert(kind, seen);
                self.own.remove(&key);
                if let Some(known) = self.objects.get_mut(&key) {
                    known.is_gone = true;
                    known.since = None;
                }
                self.suspects.entry(Arc::clone(&release)).or_default().insert(key);
                BTreeSet::from([release])
            }
            Delta::Forgotten(name) => {
                self.remove(&(kind, name.into()));
                BTreeSet::new()
            }
        }
    }

    fn insert(&mut self, kind: &'static str, seen: Seen) -> Arc<str> {
        let key: ObjectKey = (kind, seen.name.as_str().into());
        let before = self.remove(&key);
        let own = self.own.get(&key).is_some_and(|own| !is_older(own, &seen.resource_version));
        if !own && before.as_ref().is_some_and(|before| before.is_touched(kind, &seen)) {
            self.suspects.entry(seen.release.as_str().into()).or_default().insert(key.clone());
        }
        let before = before.filter(|before| {
            let same = *before.uid == *seen.uid && before.generation == seen.generation;
            !before.is_gone && same && seen.generation.is_some()
        });
        let since = before.map(|before| before.since.unwrap_or(before.resource_version));
        let known = self.by_release.get_key_value(seen.release.as_str()).map(|(release, _)| Arc::clone(release));
        let release = known.unwrap_or_else(|| seen.release.into());
        self.by_release.entry(Arc::clone(&release)).or_default().push(key.clone());
        let known = Known {
            release: Arc::clone(&release),
            uid: seen.uid.into(),
            generation: seen.generation,
            resource_version: seen.resource_version.into(),
            marks: seen.marks,
            written: seen.written,
            mark: mark(&name_of(&key)),
            since,
            is_gone: false,
        };
        self.objects.insert(key, Box::new(known));
        release
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Box<Known>> {
        let known = self.objects.remove(key)?;
        if let Some(names) = self.by_release.get_mut(&known.release) {
            names.retain(|known| known != key);
            if names.is_empty() {
                self.by_release.remove(&known.release);
            }
        }
        Some(known)
    }

    /// The objects of a release of kinds whose watches follow.
    fn of(&self, release: &str) -> impl Iterator<Item = (&ObjectKey, &Known)> {
        let keys = self.by_release.get(release).into_iter().flatten().filter(|(kind, _)| self.follows.contains(kind));
        keys.filter_map(|key| Some((key, self.objects.get(key)?.as_ref())))
    }

    /// Forgets what was deleted of a release that is gone.
    pub(super) fn forget_gone(&mut self, release: &str) {
        self.suspects.remove(release);
        let keys = self.by_release.get(release).into_iter().flatten();
        let gone = keys.filter(|key| self.objects.get(*key).is_some_and(|known| known.is_gone));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
    }
}

impl SeenObjects {
    /// Objects of a release that somebody may have touched.
    pub(super) fn suspects(&self, release: &str) -> BTreeSet<String> {
        self.suspects.get(release).into_iter().flatten().map(name_of).collect()
    }

    fn is_suspected(&self, release: &str) -> bool {
        self.suspects.get(release).is_some_and(|suspects| !suspects.is_empty())
    }

    /// Notes a write of the operator's own. Its watch may have told of it before.
    pub(super) fn note_own(&mut self, kind: &'static str, name: &str, version: &str) {
        let key: ObjectKey = (kind, name.into());
        let Some(known) = self.objects.get(&key) else { return };
        if !is_older(version, &known.resource_version)
            && let Some(suspects) = self.suspects.get_mut(&known.release)
        {
            suspects.remove(&key);
        }
        self.own.insert(key, version.to_owned());
    }

    /// They are being looked at.
    pub(super) fn take_suspects(&mut self, release: &str) {
        self.suspects.remove(release);
    }
}

impl Fleet {
    pub(super) fn apply_seen(&mut self, kind: &'static str, delta: Delta<Seen>, affected: &mut Affected) {
        for release in self.seen.apply(kind, delta) {
            if !self.releases.contains_key(release.as_ref()) {
                self.seen.forget_gone(&release);
            } else if self.seen.is_suspected(&release) || self.missed_of(&release, Some(kind)).is_some() {
                // Nobody else is looked at because of it: whoever acts asks.
                affected.environments.extend(self.by_release.of(release.as_ref()).cloned());
            }
        }
    }

    /// What is known of a release's objects now. None while it is at no deployed revision.
    pub fn seen(&self, release: &str) -> Option<SeenRelease> {
        let deployed = self.releases.get(release)?.history.deployed()?;
        let objects = self.seen.of(release).filter(|(_, known)| !known.is_gone);
        Some(SeenRelease {
            revision: deployed.number,
            resource_version: deployed.resource_version.clone(),
            objects: objects.map(|(key, known)| (name_of(key), known.seen(key))).collect(),
        })
    }

    /// An object that somebody had touched before the newest revision's operation was over, and that it left out because its watch
    /// told of that too late. Had it been sent, it would have been put right.
    pub fn missed(&self, release: &str) -> Option<String> {
        self.missed_of(release, None)
    }

    fn missed_of(&self, release: &str, kind: Option<&str>) -> Option<String> {
        let known = self.releases.get(release)?;
        let newest = known.history.newest()?;
        let left_out = known.left_out.get(&newest.number)?;
        let missed = |(key, known): &(&ObjectKey, &Known)| {
            kind.is_none_or(|kind| kind == key.0)
                && left_out.get(&known.mark).is_some_and(|left_out| known.differs(left_out))
                && is_older(known.since(), &newest.resource_version)
        };
        self.seen.of(release).find(missed).map(|(key, _)| name_of(key))
    }

    /// Notes that the watch of a kind's metadata was lost: nothing is known of its objects until it has listed them.
    pub fn note_watch_lost(&mut self, kind: &'static str) {
        self.seen.follows.remove(kind);
    }
}
