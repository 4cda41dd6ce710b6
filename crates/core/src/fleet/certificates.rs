//! Certificates, by the name of their Secret.

use super::{Affected, Delta, Fleet, absorb};
use crate::observed::FoundCertificate;

impl Fleet {
    pub(super) fn apply_certificates(&mut self, delta: Delta<(String, FoundCertificate)>, affected: &mut Affected) {
        for secret in absorb(&mut self.certificates, delta) {
            for release in self.running.with_certificate(&secret) {
                affected.environments.extend(self.by_release.of(release).cloned());
            }
        }
    }
}
