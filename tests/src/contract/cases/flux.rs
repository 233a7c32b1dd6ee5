//! Flux's objects: suspended, resumed, asked to reconcile, and pointed to a branch.

use ananke_core::name::{Kind, ObjectRef};
use ananke_core::order::{
    ClusterOrder, FORCED_ANNOTATION, Push, REQUESTED_ANNOTATION, RESET_ANNOTATION, SUSPENDED_ANNOTATION, URL_ANNOTATION,
};
use ananke_core::port::ErrorKind;

use crate::contract::{Outcome, Subject, at, long_ago, refused, run};

const KINDS: [Kind; 3] = [Kind::GitRepository, Kind::Kustomization, Kind::HelmRelease];
const NOTE: &str = "example.org/note";

pub async fn suspend_sets_the_stamp_and_resume_takes_both_away(s: &Subject<'_>) -> Outcome {
    for kind in KINDS {
        let object = s.stage.flux(kind).await?;
        s.stage.annotate(&object, NOTE, Some("keep me")).await?;
        let suspend = |seen: &_| ClusterOrder::Suspend { object: object.clone(), seen: Clone::clone(seen), run: run(), at: at() };
        s.on_newest_flux(&object, suspend).await.unwrap();
        let look = s.look(&object).await;
        let stamp = format!("{} {}", run(), at());
        assert_eq!((look.suspended, look.annotations.get(SUSPENDED_ANNOTATION)), (true, Some(&stamp)), "{object}");
        assert!(s.flux_state(&object).await.1.suspended, "{object}");

        let resume = |seen: &_| ClusterOrder::Resume { object: object.clone(), seen: Clone::clone(seen) };
        s.on_newest_flux(&object, resume).await.unwrap();
        let look = s.look(&object).await;
        assert_eq!((look.suspended, look.annotations.get(SUSPENDED_ANNOTATION)), (false, None), "{object}");
        assert!(look.annotations.contains_key(NOTE), "{look:?}");
        assert!(!s.flux_state(&object).await.1.suspended, "{object}");
    }
    Ok(())
}

pub async fn a_late_suspend_conflicts_and_changes_nothing(s: &Subject<'_>) -> Outcome {
    for kind in KINDS {
        let object = s.stage.flux(kind).await?;
        let (seen, _) = s.flux_state(&object).await;
        s.stage.touch(&object).await?;
        let suspend = ClusterOrder::Suspend { object: object.clone(), seen: seen.clone(), run: run(), at: at() };
        let resume = ClusterOrder::Resume { object: object.clone(), seen };
        for late in [suspend, resume] {
            refused(s.port.order(&late).await, ErrorKind::Conflict);
        }
        let look = s.look(&object).await;
        assert_eq!((look.suspended, look.annotations.get(SUSPENDED_ANNOTATION)), (false, None), "{object}");
    }
    Ok(())
}

/// The newest request holds: it needs no version.
pub async fn a_reconciliation_is_requested(s: &Subject<'_>) -> Outcome {
    for kind in KINDS {
        let object = s.stage.flux(kind).await?;
        s.stage.annotate(&object, NOTE, Some("keep me")).await?;
        s.port.order(&ClusterOrder::Reconcile { object: object.clone(), token: at(), push: Push::None }).await.unwrap();
        let look = s.look(&object).await;
        assert_eq!(look.annotations.get(REQUESTED_ANNOTATION), Some(&at().to_string()), "{object}");
        assert!(look.annotations.contains_key(NOTE), "{look:?}");
        assert_eq!(s.flux_state(&object).await.1.requested_at.as_deref(), Some(&*at().to_string()), "{object}");
    }
    Ok(())
}

/// helm-controller does what is more than a request only where both annotations carry one token.
pub async fn a_release_is_reset_and_forced_with_the_token_of_the_request(s: &Subject<'_>) -> Outcome {
    let object = s.stage.flux(Kind::HelmRelease).await?;
    let token = at().to_string();
    for (push, key) in [(Push::Reset, RESET_ANNOTATION), (Push::Force, FORCED_ANNOTATION)] {
        s.port.order(&ClusterOrder::Reconcile { object: object.clone(), token: at(), push }).await.unwrap();
        let look = s.look(&object).await;
        assert_eq!((look.annotations.get(REQUESTED_ANNOTATION), look.annotations.get(key)), (Some(&token), Some(&token)));
    }
    let object = s.stage.flux(Kind::Kustomization).await?;
    refused(s.port.order(&ClusterOrder::Reconcile { object, token: at(), push: Push::Reset }).await, ErrorKind::Invalid);
    Ok(())
}

/// Longer than a controller that works takes for an object that is well.
const HANDLED_WITHIN: usize = 60;

pub async fn a_request_is_handled_and_its_outcome_is_read(s: &Subject<'_>) -> Outcome {
    s.stage.controllers().await?;
    for kind in KINDS {
        let object = s.stage.flux(kind).await?;
        s.port.order(&ClusterOrder::Reconcile { object: object.clone(), token: at(), push: Push::None }).await.unwrap();
        let mut left = HANDLED_WITHIN;
        loop {
            let (_, state) = s.flux_state(&object).await;
            if state.handled_at.as_deref() == Some(&*at().to_string()) {
                assert!(!state.reason.is_empty() && state.observed_generation == state.generation, "{object}: {state:?}");
                break;
            }
            left = left.checked_sub(1).unwrap_or_else(|| panic!("{object} was not reconciled: {state:?}"));
            s.stage.pause().await;
        }
    }
    Ok(())
}

pub async fn a_branch_is_set_on_the_version_that_was_seen(s: &Subject<'_>) -> Outcome {
    let source = s.stage.flux(Kind::GitRepository).await?;
    let order =
        |seen: &_| ClusterOrder::SetBranch { source: source.clone(), seen: Clone::clone(seen), branch: "recovery".into() };
    let (seen, _) = s.flux_state(&source).await;
    s.stage.touch(&source).await?;
    refused(s.port.order(&order(&seen)).await, ErrorKind::Conflict);
    assert_ne!(s.look(&source).await.branch.as_deref(), Some("recovery"));
    s.on_newest_flux(&source, order).await.unwrap();
    assert_eq!(s.look(&source).await.branch.as_deref(), Some("recovery"));
    let flux = s.port.flux().await.unwrap();
    let found = (*flux).as_ref().unwrap().sources.iter().find(|found| found.object == source);
    assert_eq!(found.and_then(|found| found.branch.as_deref()), Some("recovery"));
    Ok(())
}

pub async fn a_url_is_set_on_the_version_that_was_seen(s: &Subject<'_>) -> Outcome {
    const MIRROR: &str = "https://mirror.example.org/ops/contract.git";
    let source = s.stage.flux(Kind::GitRepository).await?;
    s.stage.annotate(&source, NOTE, Some("keep me")).await?;
    let own = s.look(&source).await.url.unwrap();
    let order = |seen: &_, url: &str, from: Option<&str>| ClusterOrder::SetUrl {
        source: source.clone(),
        seen: Clone::clone(seen),
        url: url.into(),
        from: from.map(Into::into),
    };
    let (seen, _) = s.flux_state(&source).await;
    s.stage.touch(&source).await?;
    refused(s.port.order(&order(&seen, MIRROR, Some(&own))).await, ErrorKind::Conflict);
    assert_eq!(s.look(&source).await.url.as_ref(), Some(&own));
    for (url, from) in [(MIRROR, Some(own.as_str())), (&own, None)] {
        s.on_newest_flux(&source, |seen| order(seen, url, from)).await.unwrap();
        let look = s.look(&source).await;
        assert_eq!((look.url.as_deref(), look.annotations.get(URL_ANNOTATION).map(String::as_str)), (Some(url), from));
        assert!(look.annotations.contains_key(NOTE), "{look:?}");
        let flux = s.port.flux().await.unwrap();
        let found = (*flux).as_ref().unwrap().sources.iter().find(|found| found.object == source).unwrap().clone();
        assert_eq!((&*found.url, found.url_from.as_deref()), (url, from));
    }
    Ok(())
}

pub async fn an_object_that_is_gone_is_missing(s: &Subject<'_>) -> Outcome {
    let namespace = s.stage.namespace().await?;
    let sources = [Kind::GitRepository, Kind::OCIRepository, Kind::Bucket];
    for kind in sources.into_iter().chain([Kind::Kustomization, Kind::HelmRelease]) {
        let object = ObjectRef::new(kind, &namespace, "absent");
        let mut orders = vec![
            ClusterOrder::Suspend { object: object.clone(), seen: long_ago(), run: run(), at: at() },
            ClusterOrder::Resume { object: object.clone(), seen: long_ago() },
            ClusterOrder::Reconcile { object: object.clone(), token: at(), push: Push::None },
        ];
        if kind == Kind::GitRepository {
            orders.push(ClusterOrder::SetBranch { source: object.clone(), seen: long_ago(), branch: "main".into() });
            orders.push(ClusterOrder::SetUrl { source: object, seen: long_ago(), url: "https://x".into(), from: None });
        }
        for order in orders {
            refused(s.port.order(&order).await, ErrorKind::Missing);
        }
    }
    Ok(())
}
