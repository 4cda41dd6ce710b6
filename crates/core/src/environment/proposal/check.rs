//! What the values of a proposal come to, beside those of the release.

use std::collections::BTreeMap;

use odoofleet_api::{Object, OdooEnvironment};
use serde_json::Value;

use super::{Draft, Why};
use crate::environment::preview::preview;
use crate::finding::Finding;
use crate::values::{Layer, ValuePath, is_operator_owned, leaves};

impl Draft<'_> {
    /// Notes what comes out otherwise. The answer is why the operator would refuse it all, if it would.
    pub(super) fn check(&mut self, environment: &OdooEnvironment) -> Option<Finding> {
        let preview = match preview(environment, self.subject.customer, self.subject.version) {
            Ok(preview) => preview,
            Err(finding) => return Some(finding),
        };
        let counted = self.subject.version.content.live_paths();
        let skipped = [counted, preview.of_settings, std::mem::take(&mut self.fed)].concat();
        let composed = preview.layers.composed();
        for (path, ours, theirs) in differing(&composed, &self.desired) {
            let is_known = |known: &str| ValuePath::parse(known).is_ok_and(|known| path.lies_in(&known));
            if skipped.iter().any(|place| path.lies_in(place)) || self.notes.iter().any(|note| is_known(&note.path)) {
                continue;
            }
            let origin = preview.layers.origin(&path.pointer());
            match (theirs, origin) {
                // A default that the release's chart did not have.
                (false, Some(Layer::Chart)) => {}
                _ if ours || theirs => {
                    let why = self.why(&path, origin);
                    self.note(&path, why);
                }
                _ => {}
            }
        }
        preview.violation
    }

    fn why(&self, path: &ValuePath, origin: Option<Layer>) -> Why {
        if self.locked_paths.iter().any(|locked| path.lies_in(locked)) {
            return Why::Locked;
        }
        let owners = self.bound.iter().filter(|(bound, _)| path.lies_in(bound));
        match (owners.max_by_key(|(bound, _)| bound.pointer().len()), origin) {
            (Some((_, None)), _) => Why::Computed,
            (Some((_, Some(input))), _) if is_operator_owned(input) => Why::SetByOperator,
            (Some(_), _) => Why::NoForm,
            (None, Some(Layer::Template)) => Why::SetByTemplate,
            (None, _) => Why::Other,
        }
    }
}

/// Places of single values that are not alike, with whether there is one here, and there.
fn differing(ours: &Object, theirs: &Object) -> Vec<(ValuePath, bool, bool)> {
    let mut all: BTreeMap<ValuePath, (Option<Value>, Option<Value>)> = BTreeMap::new();
    let is_there = |value: &Value| !value.is_null() && *value != Value::Object(Object::new());
    for (path, value) in leaves(ours).into_iter().filter(|(_, value)| is_there(value)) {
        all.entry(path).or_default().0 = Some(value.clone());
    }
    for (path, value) in leaves(theirs).into_iter().filter(|(_, value)| is_there(value)) {
        all.entry(path).or_default().1 = Some(value.clone());
    }
    let differ = all.into_iter().filter(|(_, (ours, theirs))| ours != theirs);
    differ.map(|(path, (ours, theirs))| (path, ours.is_some(), theirs.is_some())).collect()
}
