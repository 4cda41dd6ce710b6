//! Situations in which the state of the release does not say everything.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use odoofleet_api::conditions::Reason;
use odoofleet_api::customer::CustomerPhase;
use odoofleet_api::environment::{Action, Failures, ObjectDifference, Operation};
use odoofleet_api::labels;
use odoofleet_api::template::WorkloadKind;
use serde_json::{Value, json};

use super::super::decide::decide;
use super::super::facts::{BrakeHold, Facts};
use super::super::validate::Validated;
use super::super::{adoption, deletion, fixtures, life, termination};
use super::{NOW, Table, WISHES, at, deleted, environment, facts, table, wanted};
use crate::finding::Finding;
use crate::observed::{Certificate, Check, Container, FoundCertificate, Pod, Termination, Volume};
use crate::release::{ReleaseState, ReleaseStatus, Revision};
use crate::task::{Compared, Stage, Task};
use crate::template::Why;

fn brake(facts: &mut Facts) {
    let finding = Finding::new(Reason::HeldByBrake, "m");
    facts.brake = Some(BrakeHold { finding, until: at(NOW + 300) });
}

fn suspend(facts: &mut Facts) {
    let stop = json!({ "scope": "All", "reason": "CustomerSuspended", "since": "2026-11-27T00:00:00Z" });
    facts.references.customer.as_mut().unwrap().stop = Some(serde_json::from_value(stop).unwrap());
}

fn retained(facts: &mut Facts) {
    let wanted = wanted(facts);
    facts.history = fixtures::history(4, ReleaseStatus::Deployed, |ownership| {
        ownership.spec_hash = Some(wanted.spec_hash);
        ownership.retained_at = Some(1);
    });
}

pub fn obstacles() -> Table {
    use ReleaseState as R;
    let mut table = table(
        "What stands in the way",
        "Nothing that is wrong with a spec stops what runs, or keeps it from being stopped and started again.",
    );
    let change = |change: fn(&mut Facts)| change;
    let refused = change(|facts| facts.references.version = Err(Finding::new(Reason::VersionNotFound, "m")));
    table.row(
        "the spec is refused, nothing installed",
        "runs",
        facts(&R::Absent, environment(1, |_| ()), (0, 0), refused),
    );
    for (wish, replicas, runs) in WISHES {
        table.row("the spec is refused", wish, facts(&R::Current, environment(replicas, |_| ()), runs, refused));
    }
    let mut one = |what, wish, state: &R, replicas, runs, change: &dyn Fn(&mut Facts)| {
        table.row(what, wish, facts(state, environment(replicas, |_| ()), runs, |facts| change(facts)));
    };
    let (run, ran) = ("runs", "runs, and does");
    let limit = |facts: &mut Facts| {
        facts.references.customer.as_mut().unwrap().max_environments = Some(1);
        facts.references.rank_in_customer = 1;
    };
    let prospect =
        |facts: &mut Facts| facts.references.customer.as_mut().unwrap().phase = Some(CustomerPhase::Prospect);
    one("the customer is a prospect, nothing installed", run, &R::Absent, 1, (0, 0), &prospect);
    one("the customer is a prospect", ran, &R::Current, 1, (1, 1), &prospect);
    one("the customer's limit is reached, nothing installed", run, &R::Absent, 1, (0, 0), &limit);
    let unknown = |facts: &mut Facts| facts.references.customer.as_mut().unwrap().phase = None;
    one("the customer was not looked at yet, nothing installed", run, &R::Absent, 1, (0, 0), &unknown);
    let gone = |facts: &mut Facts| facts.references.customer = None;
    one("the customer is gone, or cannot be read", ran, &R::Current, 1, (1, 1), &gone);
    one("the customer is gone, or cannot be read", "runs, and is stopped", &R::Current, 1, (0, 0), &gone);
    one("the customer is suspended", ran, &R::Current, 1, (1, 1), &suspend);
    one("the customer is suspended", "runs, and is stopped", &R::Current, 1, (0, 0), &suspend);
    let braked = |facts: &mut Facts| {
        suspend(facts);
        brake(facts);
    };
    one("the customer is suspended, and the brake holds the stop", ran, &R::Current, 1, (1, 1), &braked);
    let obstacle = |facts: &mut Facts| facts.obstacle = Some(Finding::new(Reason::ReferenceNotFound, "m"));
    one("an upgrade cannot be prepared: a key of a Secret is gone", ran, &R::Outdated, 1, (1, 1), &obstacle);
    let lost = |facts: &mut Facts| facts.generated_secret = None;
    one("the Secret with the generated passwords is gone", ran, &R::Current, 1, (1, 1), &lost);
    let alone = |facts: &mut Facts| {
        facts.running.workloads[0].claims = vec!["acme-prod-filestore".into()];
        facts.running.volumes = vec![fixtures::volume("acme-prod-filestore")];
    };
    one("two replicas on a volume for one", ran, &R::Current, 2, (1, 1), &alone);
    one("two replicas on a volume for one", "runs, and is stopped", &R::Current, 2, (0, 0), &alone);
    let later = |facts: &mut Facts| {
        facts.references.version.as_mut().unwrap().waits_for = Some(Why { text: "later".into(), until: None });
    };
    one("the rollout has not reached it", ran, &R::Current, 1, (1, 1), &later);
    let left = |change: fn(&mut Value)| environment(1, change);
    let paused = left(|object| object["spec"]["paused"] = json!(true));
    table.row("paused", ran, facts(&R::Outdated, paused, (1, 1), |_| ()));
    let offline = left(|object| object["spec"]["placement"] = json!("Offline"));
    table.row("at the customer's", run, facts(&R::Absent, offline, (0, 0), |_| ()));
    let fresh = left(|object| object["metadata"]["finalizers"] = json!([]));
    table.row("the first look at it", run, facts(&R::Absent, fresh, (0, 0), |_| ()));
    table
}

fn operation(facts: &mut Facts, action: Action, stage: Option<Stage>) {
    let time = |second| Time(at(second));
    facts.before.operation = Some(Operation {
        generation: 3,
        started_at: time(NOW - 10),
        valid_until: time(NOW + 3),
        ..fixtures::operation(action, 5)
    });
    facts.task = stage.map(|stage| Task { operation: "1".into(), stage, by_person: true });
}

pub fn operations() -> Table {
    use ReleaseState as R;
    let heading = "Helm at work, and after failures";
    let mut table =
        table(heading, "A failure counts only for the inputs with which it was tried; another input begins anew.");
    for (what, stage) in [
        ("an upgrade waits for a worker", Some(Stage::Queued)),
        ("an upgrade runs", Some(Stage::Running)),
        ("an earlier leader's worker may still write", None),
    ] {
        for (wish, replicas) in [("runs, and does", 1), ("stopped, and runs", 0)] {
            let begun = |facts: &mut Facts| operation(facts, Action::Upgrade, stage);
            table.row(what, wish, facts(&R::Outdated, environment(replicas, |_| ()), (1, 1), begun));
        }
        let going = environment(1, |object| deleted(object, "Delete"));
        let begun = |facts: &mut Facts| operation(facts, Action::Upgrade, stage);
        table.row(what, "deleted, `Delete`", facts(&R::Outdated, going, (1, 1), begun));
    }
    let mut failed = |what, wish, state: &R, runs, (count, terminal, since): (i32, bool, i64)| {
        let counted = |facts: &mut Facts| {
            let inputs = if *state == R::Locked { life::UNLOCK.to_owned() } else { wanted(facts).inputs };
            let failures = fixtures::failures(count, terminal, &inputs);
            facts.before.failures =
                Some(Failures { reason: Reason::HookFailed, at: Time(at(NOW - since)), ..failures });
        };
        table.row(what, wish, facts(state, environment(1, |_| ()), runs, counted));
    };
    let ran = "runs, and does";
    failed("failed once, a moment ago", ran, &R::Failed, (1, 1), (1, false, 1));
    failed("failed three times, a moment ago", ran, &R::Failed, (1, 1), (3, false, 1));
    failed("failed, and the pause is over", ran, &R::Failed, (1, 1), (3, false, 60));
    failed("failed in a way that another try cannot mend", ran, &R::Failed, (1, 1), (1, true, 1));
    failed("failed in such a way, asleep", "runs, and is stopped", &R::Failed, (0, 0), (1, true, 1));
    failed("the recovery of a lock failed, a moment ago", ran, &R::Locked, (1, 1), (1, false, 1));
    let never = |facts: &mut Facts| {
        let wanted = wanted(facts);
        facts.history = fixtures::history(1, ReleaseStatus::Failed, |own| own.spec_hash = Some(wanted.spec_hash));
    };
    table.row("the first installation failed", "runs", facts(&R::Failed, environment(1, |_| ()), (1, 1), never));
    let refused = |facts: &mut Facts| {
        never(facts);
        let inputs = wanted(facts).inputs;
        facts.before.failures =
            Some(Failures { reason: Reason::InvalidObject, ..fixtures::failures(1, true, &inputs) });
    };
    let what = "the first installation was refused";
    table.row(what, "runs", facts(&R::Failed, environment(1, |_| ()), (1, 1), refused));
    let fenced = |facts: &mut Facts| facts.fence = at(NOW + 20);
    let what = "locked, and an earlier leader's worker may still write";
    table.row(what, ran, facts(&R::Locked, environment(1, |_| ()), (1, 1), fenced));
    let another = |facts: &mut Facts| {
        facts.history = fixtures::history(3, ReleaseStatus::Deployed, |_| ());
        let pending = fixtures::history(4, ReleaseStatus::PendingUpgrade, |ownership| ownership.revision = Some(3));
        facts.history.upsert(Revision { created_at: at(NOW - 60), ..pending.newest().unwrap().clone() });
    };
    table.row(
        "locked by a person's Helm, a minute ago",
        ran,
        facts(&R::Locked, environment(1, |_| ()), (1, 1), another),
    );
    table
}

fn trial(facts: &mut Facts, change: impl FnOnce(&mut Check)) {
    let Validated { check: digest, inputs, .. } = wanted(facts);
    let pod = fixtures::pod(WorkloadKind::Deployment, "acme-prod-check", "acme-prod-check");
    let mut check = Check { digest, inputs, pod, succeeded: false };
    change(&mut check);
    facts.running.check = Some(check);
}

pub fn upgrades() -> Table {
    use ReleaseState as R;
    let mut table = table(
        "Before an upgrade",
        "What Odoo's pods begin with is tried first; hooks that may need the database wait for it.",
    );
    let other = |facts: &mut Facts| {
        facts.history = fixtures::history(4, ReleaseStatus::Deployed, |own| {
            (own.spec_hash, own.check) = (Some("h0".into()), Some("c0".into()));
        });
    };
    let mut one = |what, wish, replicas, runs, change: &dyn Fn(&mut Facts)| {
        table.row(what, wish, facts(&R::Outdated, environment(replicas, |_| ()), runs, |facts| change(facts)));
    };
    let ran = "runs, and does";
    one("image, addons or modules change", ran, 1, (1, 1), &other);
    one("image, addons or modules change", "stopped, and is", 0, (0, 0), &other);
    one("image, addons or modules change, and nothing serves", ran, 1, (1, 1), &|facts| {
        other(facts);
        facts.running.workloads[0].ready_replicas = 0;
    });
    one("the change is being tried", ran, 1, (1, 1), &|facts| {
        other(facts);
        trial(facts, |_| ());
    });
    one("the trial fails: a tag is not there", ran, 1, (1, 1), &|facts| {
        other(facts);
        let message = r#"{"error": {"reason": "AddonRefNotFound", "message": "there is no tag v9"}}"#;
        let (at, message) = (None, termination::parse(message));
        let end = Termination { reason: "Error".into(), exit_code: 1, at, current: true, message };
        let container =
            Container { init: true, running: false, terminated: Some(end), ..fixtures::container("addons-0") };
        trial(facts, |check| check.pod.containers = vec![container]);
    });
    one("the trial has ended without success", ran, 1, (1, 1), &|facts| {
        other(facts);
        trial(facts, |check| check.pod.finished = true);
    });
    one("the trial has succeeded", ran, 1, (1, 1), &|facts| {
        other(facts);
        trial(facts, |check| (check.succeeded, check.pod.finished) = (true, true));
    });
    let hooks = |facts: &mut Facts| facts.has_upgrade_hooks = true;
    one("the chart has upgrade hooks", ran, 1, (1, 1), &hooks);
    one("the chart has upgrade hooks", "stopped, and is", 0, (0, 0), &hooks);
    one("the chart has upgrade hooks", "runs, and is stopped", 1, (0, 0), &hooks);
    one("the chart has upgrade hooks, the database starts", "runs, and is stopped", 1, (0, 1), &|facts| {
        hooks(facts);
        facts.running.workloads[1].ready_replicas = 0;
    });
    one("the chart has upgrade hooks, the database is ready", "runs, and is stopped", 1, (0, 1), &hooks);
    table.row(
        "the release was retained",
        "runs, and is stopped",
        facts(&R::Outdated, environment(1, |_| ()), (0, 0), retained),
    );
    table
}

pub fn pods() -> Table {
    let mut table = table(
        "What runs",
        "The release is current in all of these. Pods that fail have [more reasons](conditions.md#what-runs-has-a-problem).",
    );
    let mut one = |what, wish, replicas, runs, change: &dyn Fn(&mut Facts)| {
        table.row(
            what,
            wish,
            facts(&ReleaseState::Current, environment(replicas, |_| ()), runs, |facts| change(facts)),
        );
    };
    let ran = "runs, and does";
    one("one replica runs", "two replicas", 2, (1, 1), &|_| ());
    one("one replica runs, as an autoscaler says", "two replicas", 2, (1, 1), &|facts| {
        facts.running.workloads[0].autoscaled = true;
    });
    one("Odoo has stopped, its database not yet", "stopped, and runs", 0, (0, 1), &|_| ());
    one("the database is ready, Odoo rests", "runs, and is stopped", 1, (0, 1), &|_| ());
    one("a pod is not ready", ran, 1, (1, 1), &|facts| facts.running.workloads[0].ready_replicas = 0);
    one("pods cannot be created", ran, 1, (1, 1), &|facts| {
        let web = &mut facts.running.workloads[0];
        (web.current_replicas, web.ready_replicas, web.pods_refused) = (0, 0, Some("exceeded quota".into()));
    });
    let gone = |facts: &mut Facts| {
        facts.before = decide(facts, at(NOW)).status;
        facts.running.workloads.remove(0);
    };
    one("a Deployment is gone", ran, 1, (1, 1), &gone);
    one("a Deployment is gone, and `requestedAt` asks", ran, 1, (1, 1), &|facts| {
        gone(facts);
        let asked = |object: &mut Value| object["metadata"]["annotations"] = json!({ labels::REQUESTED_AT: "1" });
        facts.environment = environment(1, asked).into();
    });
    let restart = |facts: &mut Facts, ready| {
        let pod = |name: &str, ready| Pod { ready, ..fixtures::pod(WorkloadKind::Deployment, "acme-prod-web", name) };
        facts.running.pods = vec![pod("p1", true), Pod { created_at: at(NOW), ..pod("p2", ready) }];
        let asked = |object: &mut Value| {
            object["metadata"]["annotations"] = json!({ labels::RESTARTED_AT: "1970-01-01T00:10:00Z" });
        };
        facts.environment = environment(1, asked).into();
    };
    one("`restartedAt` asks", ran, 1, (1, 1), &|facts| restart(facts, true));
    one("`restartedAt` asks, and a new pod is not ready", ran, 1, (1, 1), &|facts| restart(facts, false));
    one("a trial of no more use", ran, 1, (1, 1), &|facts| trial(facts, |_| ()));
    table
}

/// Pods and certificates that are not what they should be: a row for each kind of failure.
pub fn failing_pods() -> Table {
    let mut table = table("What fails", "");
    let mut one = |what: &str, replicas_ready, pod: Option<Pod>, change: &dyn Fn(&mut Facts)| {
        table.row(
            what,
            "runs",
            facts(&ReleaseState::Current, environment(1, |_| ()), (1, 1), |facts| {
                facts.running.workloads[0].ready_replicas = replicas_ready;
                facts.running.pods.extend(pod.clone());
                change(facts);
            }),
        );
    };
    let pod = |container: Container| Pod {
        containers: vec![container],
        ..fixtures::pod(WorkloadKind::Deployment, "acme-prod-web", "acme-prod-web-0")
    };
    let waiting = |reason: &str| Container {
        running: false,
        waiting: Some((reason.into(), "why".into())),
        ..fixtures::container("odoo")
    };
    let ended = |reason: &str, exit_code| {
        let at = Some(at(NOW - 5));
        Some(Termination { reason: reason.into(), exit_code, at, current: false, message: None })
    };
    let crash =
        |reason: &str, code| Container { terminated: ended(reason, code), restarts: 4, ..waiting("CrashLoopBackOff") };
    one("an image cannot be pulled", 0, Some(pod(waiting("ImagePullBackOff"))), &|_| ());
    one("a container is configured wrongly", 0, Some(pod(waiting("CreateContainerConfigError"))), &|_| ());
    one("a container crashes again and again", 0, Some(pod(crash("Error", 1))), &|_| ());
    one("a container runs out of memory", 0, Some(pod(crash("OOMKilled", 137))), &|_| ());
    let nowhere = Pod { unschedulable: Some("0/3 nodes are available".into()), node: None, ..pod(waiting("x")) };
    one("a pod finds no node", 0, Some(nowhere), &|_| ());
    let migrating = Container { init: true, ..fixtures::container("prepare") };
    one("the database is being prepared", 0, Some(pod(migrating)), &|_| ());
    let host = "erp.acme.cn";
    let certificate = |found: Option<i64>| {
        move |facts: &mut Facts| {
            let found = found.map(|end| FoundCertificate::Certificate { names: vec![host.into()], not_after: at(end) });
            let bindings = json!([{ "to": "host", "from": "ingress.host" }]);
            let bound = fixtures::version(|content| content.bindings = serde_json::from_value(bindings).unwrap());
            facts.references.version = Ok(bound);
            facts.environment = environment(1, |object| object["spec"]["ingress"] = json!({ "host": host })).into();
            facts.history = super::history(&ReleaseState::Current, &wanted(facts));
            facts.running.certificates =
                vec![Certificate { hosts: vec![host.into()], secret: "erp-tls".into(), found }];
        }
    };
    one("no certificate yet", 1, None, &certificate(None));
    one("the certificate has expired", 1, None, &certificate(Some(NOW - 10)));
    one("the certificate is good", 1, None, &certificate(Some(NOW + 90 * 86_400)));
    table
}

pub fn deletions() -> Table {
    use ReleaseState as R;
    let mut table = table("On the way out", "Deletion with something left to do, or in the way.");
    let mut one = |what, policy: &str, state: &R, runs, change: &dyn Fn(&mut Facts)| {
        let going = environment(1, |object| deleted(object, policy));
        let wish = format!("deleted, `{policy}`");
        table.row(what, &wish, facts(state, going, runs, |facts| change(facts)));
    };
    one("the brake holds it", "Retain", &R::Current, (1, 1), &brake);
    one("the brake holds it", "Delete", &R::Current, (1, 1), &brake);
    one("scaled to zero, a pod is still ending", "Retain", &R::Current, (0, 0), &|facts| {
        facts.running.workloads[1].current_replicas = 1;
    });
    one("the release is marked as retained", "Retain", &R::Outdated, (0, 0), &retained);
    let claim = |facts: &mut Facts, deleting, marked| {
        facts.running.volumes = vec![Volume { deleting, marked, ..fixtures::volume("data-acme-prod-db-0") }];
    };
    one("a StatefulSet's claims carry no mark yet", "Delete", &R::Current, (1, 1), &|facts| claim(facts, false, false));
    one("uninstalled, its claims are left", "Delete", &R::Absent, (0, 0), &|facts| claim(facts, false, true));
    one("uninstalled, a claim is still ending", "Delete", &R::Absent, (0, 0), &|facts| {
        claim(facts, true, true);
        facts.generated_secret = None;
    });
    one("uninstalled, nothing is left", "Delete", &R::Absent, (0, 0), &|facts| facts.generated_secret = None);
    let failed = |facts: &mut Facts, terminal, inputs| {
        let failures = fixtures::failures(1, terminal, inputs);
        facts.before.failures = Some(Failures { reason: Reason::HookFailed, at: Time(at(NOW - 1)), ..failures });
    };
    one("the uninstall failed, a moment ago", "Delete", &R::Current, (1, 1), &|facts| {
        failed(facts, false, deletion::INPUTS);
    });
    one("the uninstall cannot work", "Delete", &R::Current, (1, 1), &|facts| {
        failed(facts, true, deletion::INPUTS);
    });
    for policy in ["Delete", "Retain"] {
        one("the lock cannot be recovered", policy, &R::Locked, (0, 0), &|facts| failed(facts, true, life::UNLOCK));
    }
    one("the spec is refused", "Retain", &R::Current, (1, 1), &|facts| {
        facts.references.version = Err(Finding::new(Reason::VersionNotFound, "m"));
    });
    one("kind or namespace are being deleted", "Delete", &R::Current, (1, 1), &|facts| facts.is_orphaned = true);
    table
}

/// What taking over the release of somebody else comes to, once it was compared.
pub fn adoptions() -> Table {
    let mut table = table(
        "A release that somebody else installed",
        "After it was compared ([adoption](adoption.md)). Its environment is in Production.",
    );
    let compared = |mode: &str, equal: bool, word: bool, replicas: i32| {
        let environment = environment(replicas, |object| {
            object["spec"]["adoption"] = json!(mode);
            if word {
                object["metadata"]["annotations"] = json!({ labels::ALLOW_TAKEOVER: "acme-prod/4" });
            }
        });
        facts(&ReleaseState::Foreign, environment, (1, 1), |facts| {
            let different = ObjectDifference {
                object: "Deployment/acme-prod-web".into(),
                change: "changed".into(),
                paths: vec!["spec".into()],
            };
            let shown = Compared {
                revision: 4,
                resource_version: "1".into(),
                differences: if equal { vec![] } else { vec![different] },
                ..Compared::default()
            };
            let inputs = wanted(facts).inputs;
            adoption::take(&mut facts.before, &shown, &inputs, at(0));
        })
    };
    let run = "runs, and does";
    table.row("it is equal", run, compared("Observe", true, false, 1));
    table.row("it is equal, `Monitor`", run, compared("Monitor", true, false, 1));
    table.row("it differs, `Observe`", run, compared("Observe", false, false, 1));
    table.row("it differs, `Observe`", "stopped, and runs", compared("Observe", false, false, 0));
    table.row("it differs, `TakeOver`", run, compared("TakeOver", false, false, 1));
    table.row("it differs, `TakeOver`, and the word is given", run, compared("TakeOver", false, true, 1));
    table
}
