//! The Lease by which several Anankes of one cluster know of each other.

use ananke_core::name::ResourceVersion;
use ananke_core::order::{COORDINATION_LASTS, ClusterOrder};
use ananke_core::port::ErrorKind;

use crate::contract::{Outcome, Subject, at, long_ago, refused};

fn take(seen: Option<ResourceVersion>, holder: &str) -> ClusterOrder {
    ClusterOrder::Coordinate { seen, holder: holder.to_owned(), at: at() }
}

async fn version(s: &Subject<'_>) -> ResourceVersion {
    s.port.coordination().await.unwrap().expect("the Lease is there").version
}

pub async fn the_lease_is_created_renewed_and_given_back(s: &Subject<'_>) -> Outcome {
    s.stage.coordination().await?;
    assert_eq!(s.port.coordination().await.unwrap(), None);
    s.port.order(&take(None, "titan-db")).await.unwrap();
    let held = s.port.coordination().await.unwrap().unwrap();
    assert_eq!((held.holder.as_deref(), held.renewed, held.lasts), (Some("titan-db"), Some(at()), COORDINATION_LASTS));

    s.port.order(&take(Some(held.version.clone()), "tethys")).await.unwrap();
    let taken = s.port.coordination().await.unwrap().unwrap();
    assert_eq!(taken.holder.as_deref(), Some("tethys"));
    assert_ne!(taken.version, held.version);

    s.port.order(&ClusterOrder::Uncoordinate { seen: taken.version }).await.unwrap();
    let free = s.port.coordination().await.unwrap().unwrap();
    assert_eq!(free.holder, None, "it stays, without a holder");
    s.port.order(&take(Some(free.version), "titan-db")).await.unwrap();
    Ok(())
}

pub async fn whoever_is_late_for_the_lease_gets_a_conflict(s: &Subject<'_>) -> Outcome {
    s.stage.coordination().await?;
    s.port.order(&take(None, "titan-db")).await.unwrap();
    let seen = version(s).await;
    s.port.order(&take(Some(seen.clone()), "tethys")).await.unwrap();
    for late in [take(None, "titan-db"), take(Some(seen.clone()), "titan-db"), ClusterOrder::Uncoordinate { seen }] {
        refused(s.port.order(&late).await, ErrorKind::Conflict);
    }
    assert_eq!(s.port.coordination().await.unwrap().unwrap().holder.as_deref(), Some("tethys"));
    Ok(())
}

pub async fn a_lease_that_is_gone_cannot_be_renewed(s: &Subject<'_>) -> Outcome {
    s.stage.coordination().await?;
    for order in [take(Some(long_ago()), "titan-db"), ClusterOrder::Uncoordinate { seen: long_ago() }] {
        refused(s.port.order(&order).await, ErrorKind::Missing);
    }
    assert_eq!(s.port.coordination().await.unwrap(), None);
    Ok(())
}
