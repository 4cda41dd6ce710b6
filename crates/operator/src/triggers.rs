//! Who is to be looked at: one queue for each kind.

use kube::runtime::reflector::ObjectRef;
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Asks controllers to look at objects. Asking twice is as good as once.
#[derive(Clone)]
pub struct Triggers {
    namespace: String,
    environments: UnboundedSender<ObjectRef<OdooEnvironment>>,
    customers: UnboundedSender<ObjectRef<OdooCustomer>>,
    templates: UnboundedSender<ObjectRef<OdooTemplate>>,
}

/// The queues' other ends.
pub struct Queues {
    /// Environments to look at.
    pub environments: UnboundedReceiver<ObjectRef<OdooEnvironment>>,
    /// Customers to look at.
    pub customers: UnboundedReceiver<ObjectRef<OdooCustomer>>,
    /// Templates to look at.
    pub templates: UnboundedReceiver<ObjectRef<OdooTemplate>>,
}

impl Triggers {
    /// Queues for the objects of a namespace.
    pub fn new(namespace: &str) -> (Self, Queues) {
        let (environments, environments_end) = unbounded_channel();
        let (customers, customers_end) = unbounded_channel();
        let (templates, templates_end) = unbounded_channel();
        let queues = Queues { environments: environments_end, customers: customers_end, templates: templates_end };
        (Self { namespace: namespace.to_owned(), environments, customers, templates }, queues)
    }

    /// Asks for a look at an environment.
    pub fn environment(&self, name: &str) {
        // A closed queue means that the operator is ending.
        let _ = self.environments.send(ObjectRef::new(name).within(&self.namespace));
    }

    /// Asks for a look at a customer.
    pub fn customer(&self, name: &str) {
        let _ = self.customers.send(ObjectRef::new(name).within(&self.namespace));
    }

    /// Asks for a look at a template.
    pub fn template(&self, name: &str) {
        let _ = self.templates.send(ObjectRef::new(name).within(&self.namespace));
    }
}
