//! What the API server answers to our own writes. An answer can come after the watch has told that the object is gone.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};

use super::{Affected, Change, Delta, Fleet};

/// An object as the API server answered to a write of it.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "our kinds")]
pub enum Answer {
    Customer(Arc<OdooCustomer>),
    Template(Arc<OdooTemplate>),
    Environment(Arc<OdooEnvironment>),
}

impl Fleet {
    /// Takes in an answer. Of an object that was told gone meanwhile, or made anew, it says nothing: nobody would ever tell again
    /// that it is gone.
    pub fn note_answer(&mut self, answer: Answer) -> Affected {
        let name = |object: &ObjectMeta| object.name.clone().unwrap_or_default();
        let (known, told, change) = match answer {
            Answer::Customer(object) => {
                let known = self.customers.get(&name(&object.metadata)).map(|known| known.metadata.uid.clone());
                (known, object.metadata.uid.clone(), Change::Customers(Delta::Applied(object)))
            }
            Answer::Template(object) => {
                let known = self.template(&name(&object.metadata)).map(|known| known.metadata.uid.clone());
                (known, object.metadata.uid.clone(), Change::Templates(Delta::Applied(object)))
            }
            Answer::Environment(object) => {
                let known = self.environments.get(&name(&object.metadata));
                let known = known.map(|known| known.object.metadata.uid.clone());
                (known, object.metadata.uid.clone(), Change::Environments(Delta::Applied(object)))
            }
        };
        if known == Some(told) { self.apply(change) } else { Affected::default() }
    }
}
