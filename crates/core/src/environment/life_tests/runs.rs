//! What runs: stops, starts and restarts, and what is in their way.

use super::*;

#[test]
fn a_stop_goes_before_an_upgrade_and_a_start_after_it() {
    let next = |replicas, runs| step(&released(replicas, runs, 4, ReleaseStatus::Deployed, false, |_| ()));
    assert_eq!(scales(&next(0, (1, 1))), [("acme-prod-web".to_owned(), 0)]);
    assert_eq!(next(0, (0, 0)), helm(HelmAction::Upgrade, 5));
    assert_eq!(next(1, (0, 0)), helm(HelmAction::Upgrade, 5));
}

#[test]
fn an_upgrade_whose_hooks_may_need_the_database_waits_for_the_start_which_wakes_it_first() {
    let with = |replicas, runs: (i32, i32)| {
        let mut facts = released(replicas, runs, 4, ReleaseStatus::Deployed, false, |_| ());
        facts.has_upgrade_hooks = true;
        facts
    };
    let resting = with(0, (0, 0));
    assert_eq!((step(&resting), told(&resting)), (Step::Nothing, (Phase::Stopped, Reason::UpgradeAtStart)));
    assert_eq!(condition(&resting, "Ready").as_deref(), Some("True"), "waves of GitOps go on");
    assert_eq!(scales(&step(&with(1, (0, 0)))), [("acme-prod-db".to_owned(), 1)]);
    let mut waking = with(1, (0, 1));
    assert_eq!(step(&waking), helm(HelmAction::Upgrade, 5));
    waking.running.workloads[1].ready_replicas = 0;
    assert_eq!((step(&waking), told(&waking).1), (Step::Nothing, Reason::WaitingForDatabase));
    assert_eq!(step(&with(1, (1, 1))), helm(HelmAction::Upgrade, 5));
}

#[test]
fn hooks_find_the_database_of_a_retained_release_whose_environment_is_created_again() {
    let with = |runs: (i32, i32)| {
        let mut facts = released(1, runs, 4, ReleaseStatus::Deployed, false, |_| ());
        facts.has_upgrade_hooks = true;
        // Of two Deployments the template alone tells which one counts, and nobody has told yet which version the release holds.
        facts.running.workloads[0].live = false;
        let page = fixtures::workload(WorkloadKind::Deployment, "acme-prod-page");
        facts.running.workloads.push(Workload { replicas: 0, current_replicas: 0, ready_replicas: 0, ..page });
        let rule = |name: &str, role, path: Option<&str>| StopWorkload {
            kind: WorkloadKind::Deployment,
            name: format!("{{release}}-{name}"),
            role,
            replicas_path: path.map(Into::into),
        };
        facts.references.version = Ok(fixtures::version(|content| {
            content.workloads =
                vec![rule("web", WorkloadRole::Application, Some("replicas")), rule("page", WorkloadRole::Page, None)];
        }));
        facts
    };
    assert_eq!(scales(&step(&with((0, 0)))), [("acme-prod-db".to_owned(), 1)]);
    assert_eq!(step(&with((0, 1))), helm(HelmAction::Upgrade, 5));
}

#[test]
fn what_was_stopped_starts_again_after_a_failed_upgrade() {
    for terminal in [true, false] {
        let mut facts = released(1, (0, 0), 5, ReleaseStatus::Failed, false, |_| ());
        facts.history.upsert(fixtures::history(4, ReleaseStatus::Deployed, |_| ()).newest().unwrap().clone());
        let inputs = inputs(&facts);
        facts.before.failures = Some(Failures { at: Time(at(1999)), ..fixtures::failures(4, terminal, &inputs) });
        assert_eq!(scales(&step(&facts)), [("acme-prod-db".to_owned(), 1)], "what ran is woken");
        assert_eq!(look(&facts).status.reason, Some(Reason::RenderFailed), "and the reason stays");
    }
}

#[test]
fn what_validation_refuses_is_stopped_and_started_all_the_same() {
    let refused = |replicas, runs, change: fn(&mut Facts)| {
        let mut facts = released(replicas, runs, 4, ReleaseStatus::Deployed, true, |_| ());
        change(&mut facts);
        facts
    };
    let table: [fn(&mut Facts); 3] = [
        |facts| facts.references.version = Err(Finding::new(Reason::VersionNotFound, "m")),
        |facts| facts.references.held = Some(HeldVersion { odoo_version: Some("17.0".into()), postgres_major: None }),
        |facts| {
            facts.environment = environment(facts.environment.spec.replicas, |o| o["spec"]["size"] = json!("M")).into();
        },
    ];
    for change in table {
        let reason = look(&refused(1, (1, 1), change)).status.reason;
        assert_eq!(step(&refused(1, (1, 1), change)), Step::Nothing, "what runs goes on");
        assert_eq!(scales(&step(&refused(0, (1, 1), change))), [("acme-prod-web".to_owned(), 0)]);
        let stopped = refused(0, (0, 0), change);
        assert_eq!(told(&stopped), (Phase::Stopped, reason.clone().unwrap()));
        assert_eq!(scales(&step(&refused(1, (0, 0), change))), [("acme-prod-db".to_owned(), 1)]);
        let suspended = refused(1, (1, 1), |_| ());
        let mut suspended = Facts { references: suspended.references.clone(), ..suspended };
        change(&mut suspended);
        let stop = json!({ "scope": "All", "reason": "CustomerSuspended", "since": "2026-11-27T00:00:00Z" });
        suspended.references.customer.as_mut().unwrap().stop = Some(serde_json::from_value(stop).unwrap());
        assert_eq!(scales(&step(&suspended)), [("acme-prod-web".to_owned(), 0)]);
        suspended.brake = Some(BrakeHold { finding: Finding::new(Reason::HeldByBrake, "m"), until: at(2500) });
        assert_eq!(
            (step(&suspended), look(&suspended).wake_at),
            (Step::Nothing, Some(at(2500))),
            "the brake counts it"
        );
    }
}

#[test]
fn a_lost_secret_is_told_and_never_made_anew_beside_a_release() {
    let lost = |current| {
        let mut facts = released(1, (1, 1), 4, ReleaseStatus::Deployed, current, |_| ());
        facts.generated_secret = None;
        facts
    };
    for current in [true, false] {
        assert_eq!(
            (step(&lost(current)), told(&lost(current))),
            (Step::Nothing, (Phase::Running, Reason::SecretMissing))
        );
    }
    assert_eq!(step(&facts(1, |facts| facts.generated_secret = None)), helm(HelmAction::Install, 1), "the first time");
}

#[test]
fn two_replicas_never_share_a_volume_for_one() {
    let with = |replicas, web: i32, shared| {
        let mut facts = released(replicas, (web, 1), 4, ReleaseStatus::Deployed, true, |_| ());
        facts.running.workloads[0].claims = vec!["acme-prod-filestore".into()];
        facts.running.volumes = vec![crate::observed::Volume { shared, ..fixtures::volume("acme-prod-filestore") }];
        facts
    };
    assert_eq!(told(&with(2, 1, false)), (Phase::Running, Reason::VolumeNotShared));
    assert_eq!(step(&with(2, 1, false)), Step::Nothing);
    assert_eq!(scales(&step(&with(2, 1, true))), [("acme-prod-web".to_owned(), 2)]);
    assert!(matches!(step(&with(2, 0, false)), Step::Scale(_)), "what was stopped starts with one");
}

#[test]
fn an_autoscalers_number_is_left_alone_except_to_stop_and_to_start() {
    let with = |replicas, web| {
        let mut facts = released(replicas, (web, 1), 4, ReleaseStatus::Deployed, true, |_| ());
        facts.running.workloads[0].autoscaled = true;
        facts
    };
    assert_eq!(step(&with(1, 3)), Step::Nothing);
    assert_eq!(scales(&step(&with(0, 3))), [("acme-prod-web".to_owned(), 0)]);
    assert_eq!(scales(&step(&with(1, 0))), [("acme-prod-web".to_owned(), 1)]);
}

#[test]
fn a_workload_that_is_gone_is_named_and_comes_back_when_somebody_asks() {
    let mut facts = released(1, (1, 1), 4, ReleaseStatus::Deployed, true, |_| ());
    facts.before = look(&facts).status;
    facts.running.workloads.retain(|workload| workload.kind == WorkloadKind::StatefulSet);
    let decision = look(&facts);
    assert_eq!((decision.step, decision.status.reason), (Step::Nothing, Some(Reason::WorkloadMissing)));
    let message = decision.status.message.unwrap();
    assert!(message.contains("Deployment \"acme-prod-web\"") && message.contains("requestedAt"), "{message}");
    facts.before.workloads.clone_from(&decision.status.workloads);
    assert_eq!(look(&facts).status.reason, Some(Reason::WorkloadMissing), "it is not forgotten by the next look");
    let asked = environment(1, |o| o["metadata"]["annotations"] = json!({ "odoofleet.dev/requestedAt": "1" }));
    facts.environment = asked.into();
    assert_eq!(step(&facts), helm(HelmAction::Upgrade, 5));
}

#[test]
fn a_rule_that_matches_nothing_is_named() {
    let rule = |name: &str| StopWorkload {
        kind: WorkloadKind::Deployment,
        name: name.into(),
        role: WorkloadRole::Application,
        replicas_path: Some("replicaCount".into()),
    };
    let mut facts = facts(1, |facts| facts.running = running(1, 1));
    facts.references.version = Ok(fixtures::version(|content| content.workloads = vec![rule("{release}-odooapp")]));
    facts.history = history(&facts, 1, ReleaseStatus::Deployed, true, |_| ());
    let message = look(&facts).status.message.unwrap();
    assert!(message.contains("\"acme-prod-odooapp\"") && message.contains("template"), "{message}");
    assert_eq!(told(&facts).1, Reason::WorkloadMissing);
}

#[test]
fn a_first_installation_may_be_held_and_what_is_installed_goes_on() {
    let limited = |facts: &mut Facts| {
        facts.references.customer.as_mut().unwrap().max_environments = Some(1);
        facts.references.rank_in_customer = 1;
    };
    let fresh = facts(1, limited);
    assert_eq!((step(&fresh), told(&fresh)), (Step::Nothing, (Phase::Error, Reason::LimitExceeded)));
    let mut installed = released(1, (1, 1), 1, ReleaseStatus::Deployed, true, |_| ());
    limited(&mut installed);
    assert_eq!((step(&installed), told(&installed).0), (Step::Nothing, Phase::Running));
    let unknown = facts(1, |facts| facts.references.customer.as_mut().unwrap().phase = None);
    assert_eq!(told(&unknown), (Phase::Pending, Reason::Progressing));
    let going = facts(1, |facts| facts.references.customer.as_mut().unwrap().is_deleting = true);
    assert_eq!((step(&going), told(&going).1), (Step::Nothing, Reason::CustomerNotActive));
}

#[test]
fn an_install_that_was_refused_is_an_error_and_says_so_everywhere() {
    let mut facts = released(1, (1, 1), 1, ReleaseStatus::Failed, true, |_| ());
    facts.running.workloads[0].ready_replicas = 0;
    let inputs = inputs(&facts);
    facts.before.failures = Some(fixtures::failures(1, true, &inputs));
    assert_eq!(told(&facts), (Phase::Error, Reason::RenderFailed));
    assert_eq!(condition(&facts, "Stalled").as_deref(), Some("True"));
    let released = look(&facts).status.conditions.into_iter().find(|condition| condition.type_ == "Released").unwrap();
    assert_eq!((released.status.as_str(), released.reason.as_str()), ("False", "RenderFailed"));
}

#[test]
fn an_obstacle_that_was_found_while_a_step_was_prepared_is_told() {
    let obstacle = Finding::new(Reason::ReferenceNotFound, "m");
    let fresh = facts(1, |_| ()).with_obstacle(obstacle.clone());
    assert_eq!((step(&fresh), told(&fresh)), (Step::Nothing, (Phase::Error, Reason::ReferenceNotFound)));
    let running = released(1, (1, 1), 4, ReleaseStatus::Deployed, false, |_| ()).with_obstacle(obstacle);
    assert_eq!((step(&running), told(&running).0), (Step::Nothing, Phase::Running));
}

#[test]
fn a_restart_replaces_a_pod_only_where_the_release_is_current() {
    let pod = Pod { ready: true, ..fixtures::pod(WorkloadKind::Deployment, "acme-prod-web", "p1") };
    let mut facts = released(1, (1, 1), 1, ReleaseStatus::Deployed, true, |_| ());
    facts.running.pods = vec![pod];
    let asked = environment(1, |o| {
        o["metadata"]["annotations"] = json!({ "odoofleet.dev/restartedAt": "2026-01-01T00:00:00Z" });
    });
    facts.environment = asked.into();
    let decision = look(&facts);
    assert!(matches!(decision.step, Step::DeletePod { purpose: PodPurpose::Restart, .. }));
    assert_eq!(decision.status.restart.map(|restart| restart.pods), Some(vec!["p1".to_owned()]));
    assert_eq!(decision.record.map(|record| record.action), Some(Action::Restart));
}

#[test]
fn secrets_that_production_names_are_labelled_before_anything_is_installed() {
    let named = |stage: &str, shared: bool, labelled: bool| {
        let mut facts = facts(1, |facts| {
            facts.environment = std::sync::Arc::new(environment(1, |object| {
                object["spec"]["stage"] = json!(stage);
                object["spec"]["ingress"] = json!({ "host": "erp.acme.cn", "tls": { "secretName": "tls" } });
            }));
        });
        let (name, mut found) = fixtures::secret("tls", Some("acme"), &[]);
        if let ReferencedObject::Found { shared: is_shared, named_by_production, .. } = &mut found {
            (*is_shared, *named_by_production) = (shared, labelled);
        }
        facts.references.objects.insert(name, found);
        matches!(look(&facts).step, Step::Reserve(names) if names == ["tls"])
    };
    assert!(named("Production", false, false));
    assert!(!named("Production", false, true), "once");
    assert!(!named("Production", true, false), "who writes a shared one can read it");
    assert!(!named("Test", false, false));
}
