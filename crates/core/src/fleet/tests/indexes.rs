//! All indexes together.

use super::*;

/// Whatever the order of changes was, the picture is the one that a list of what is there now gives.
#[test]
fn indexes_never_drift_from_the_objects() {
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut fleet = fleet();
    let mut there: BTreeMap<String, Arc<OdooEnvironment>> = BTreeMap::new();
    let all_names: Vec<String> = ["acme", "beta", "gamma"]
        .iter()
        .flat_map(|customer| (0..4).map(move |number| format!("{customer}-{number}")))
        .collect();
    for version in 1..3000 {
        let name = &all_names[usize::try_from(random(12)).unwrap()];
        let known = there.get(name).cloned();
        match (random(10), known) {
            (0..3, Some(gone)) => {
                there.remove(name);
                fleet.apply(Change::Environments(Delta::Deleted(gone)));
            }
            (3, _) => {
                listed(&mut fleet, there.values().cloned().collect());
            }
            (kind, _) => {
                let phases = ["Running", "Stopped", "Error"];
                let change = json!({
                    "spec": {
                        "ingress": { "host": format!("{}.example.com", random(5)) },
                        "templateRef": { "name": format!("odoo-{}", random(3)) },
                        "placement": if random(4) == 0 { "Offline" } else { "Cluster" },
                    },
                    "status": { "phase": phases[usize::try_from(random(3)).unwrap()] },
                });
                let object = environment(name, version, &change);
                there.insert(name.clone(), Arc::clone(&object));
                if kind < 6 && fleet.environment(name).is_some() {
                    fleet.note_told(object);
                } else {
                    applied(&mut fleet, object);
                }
            }
        }
    }
    let mut fresh = self::fleet();
    listed(&mut fresh, there.values().cloned().collect());
    assert_eq!(picture(&fleet), picture(&fresh));
    listed(&mut fleet, vec![]);
    assert_eq!(picture(&fleet), picture(&self::fleet()), "nothing is left of what is gone");
}

fn picture(fleet: &Fleet) -> Vec<String> {
    let index = |index: &Index<String, String>| {
        let mut all: Vec<String> = index.0.iter().map(|(key, values)| format!("{key}: {values:?}")).collect();
        all.sort();
        all.join(", ")
    };
    let mut customers: Vec<String> =
        fleet.by_customer.iter().map(|(name, own)| format!("{name}: {:?} {:?}", own.names, own.rollup())).collect();
    customers.sort();
    let mut templates: Vec<String> = fleet
        .templates
        .iter()
        .map(|(name, known)| {
            let followers = &known.followers;
            let members: BTreeSet<_> = followers.names().collect();
            format!("{name}: {members:?} {} {} {}", followers.in_use(), followers.following(), followers.pinned().len())
        })
        .collect();
    templates.sort();
    let mut uids: Vec<String> = fleet.by_uid.iter().map(|(uid, name)| format!("{uid}={name}")).collect();
    uids.sort();
    let mut all = vec![index(&fleet.by_release), index(&fleet.by_host), uids.join(", ")];
    all.extend(customers);
    all.extend(templates);
    all
}
