//! Secrets and ConfigMaps, as digests, by the watch that sees them.

use std::collections::BTreeSet;

use super::{Affected, Delta, Fleet, ObjectWatch, absorb};
use crate::environment::references::{ObjectKind, ObjectName, ReferencedObject, Referrer};

impl Fleet {
    pub(super) fn apply_objects(
        &mut self,
        watch: ObjectWatch,
        delta: Delta<(ObjectName, ReferencedObject)>,
        affected: &mut Affected,
    ) {
        let changed = absorb(self.objects.entry(watch).or_default(), delta);
        self.touch_objects(&changed, affected);
    }

    pub(super) fn apply_object_versions(
        &mut self,
        watch: ObjectWatch,
        delta: Delta<(ObjectName, String)>,
        affected: &mut Affected,
    ) {
        let changed = absorb(self.object_versions.entry(watch).or_default(), delta);
        self.touch_objects(&changed, affected);
    }

    fn touch_objects(&self, changed: &BTreeSet<ObjectName>, affected: &mut Affected) {
        for name in changed {
            affected.environments.extend(self.by_object.of(name).cloned());
            affected.templates.extend(self.templates_by_object.of(name).cloned());
        }
    }

    /// An object, if a watch sees it: as the watch that knows its newest version does.
    pub fn object(&self, name: &ObjectName) -> Option<&ReferencedObject> {
        let version = |object: &&ReferencedObject| match object {
            ReferencedObject::Found { resource_version, .. } => resource_version.parse::<u128>().unwrap_or_default(),
            ReferencedObject::Unlabelled | ReferencedObject::Missing => 0,
        };
        self.objects.values().filter_map(|objects| objects.get(name)).max_by_key(version)
    }

    /// Version of an object that a template names; none if it is not there.
    pub(super) fn object_version(&self, name: &ObjectName) -> Option<String> {
        let plain = self.object_versions.values().find_map(|versions| versions.get(name)).cloned();
        plain.or_else(|| match self.object(name)? {
            ReferencedObject::Found { resource_version, .. } => Some(resource_version.clone()),
            ReferencedObject::Unlabelled | ReferencedObject::Missing => None,
        })
    }

    /// Names of the Secrets or ConfigMaps to which an environment's pods may refer.
    pub fn objects_for(&self, kind: ObjectKind, referrer: Referrer<'_>) -> Vec<String> {
        let seen = self.objects.values().flatten();
        // The newest version counts, not the watch that tells first.
        let allowed = |name: &&ObjectName| {
            name.kind == kind && self.object(name).is_some_and(|object| object.may_be_used_by(kind, referrer))
        };
        let names = seen.map(|(name, _)| name).filter(allowed);
        names.map(|name| name.name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}
