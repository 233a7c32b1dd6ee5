//! The coordination Lease `kube-system/ananke`: whoever holds it may cordon, so that two Anankes never cordon against each
//! other. Pure: who holds it, and when it is taken, renewed and given back.

use std::time::Duration;

use crate::engine::view::{Trust, View};
use crate::lease::{Lease, Purpose, read_note, taint_lease};
use crate::name::{Moment, Subject};
use crate::observation::CoordinationState;
use crate::order::{COORDINATION_LASTS, ClusterOrder, Order};
use crate::phase::{cordoned, cordons_released};
use crate::remedy::{Action, restart_agent};

/// Three renewals fit into the time that it lasts.
const RENEW_AFTER: Duration = Duration::from_secs(10);
/// A cordon that is sent with less time left than this could arrive when another Ananke holds the Lease.
const MARGIN: Duration = Duration::from_secs(10);
/// A holder that claims longer than this is waited for no longer than this.
const LONGEST: Duration = Duration::from_secs(300);
/// The next look at the Lease must have come.
const PAUSE: Duration = Duration::from_secs(2);

/// Who holds it, as far as one observer can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// There is none, or it was given back.
    Free,
    /// Renewed by this host: for how long it still lasts.
    Ours { left: Duration },
    /// Another Ananke renews it.
    Held { by: &'a str },
    /// Another Ananke held it and was not seen to renew it for as long as it lasts.
    Expired { by: &'a str },
}

/// Who holds the Lease `found`, which has been seen unchanged for `unchanged`. Another's clock is not compared with ours: only
/// what was seen to change counts. The same host name is an earlier run of this host, or its daemon: it is ours.
pub fn standing<'a>(found: Option<&'a CoordinationState>, unchanged: Duration, holder: &str, now: Moment) -> Standing<'a> {
    let Some(state) = found else { return Standing::Free };
    let Some(by) = state.holder.as_deref().filter(|by| !by.is_empty()) else { return Standing::Free };
    let lasts = state.lasts.clamp(COORDINATION_LASTS, LONGEST);
    if by == holder {
        let age = state.renewed.filter(|at| *at <= now).map(|at| now.since(at));
        return Standing::Ours { left: age.map_or(Duration::ZERO, |age| COORDINATION_LASTS.saturating_sub(age)) };
    }
    if unchanged >= lasts { Standing::Expired { by } } else { Standing::Held { by } }
}

impl Standing<'_> {
    /// Whether a cordon may be sent now.
    pub fn may_cordon(self) -> bool {
        matches!(self, Self::Ours { left } if left > MARGIN)
    }

    fn is_due(self) -> bool {
        match self {
            Self::Free | Self::Expired { .. } => true,
            Self::Ours { left } => left <= COORDINATION_LASTS.saturating_sub(RENEW_AFTER),
            Self::Held { .. } => false,
        }
    }
}

/// What the view shows of it; none while the Lease cannot be read.
pub(crate) fn seen<'a>(view: &View<'a>) -> Option<Standing<'a>> {
    let found = view.coordination().ok()?;
    let unchanged = match view.trust {
        Trust::Proven => view.coordination_seen().map_or(Duration::ZERO, |seen| view.now.since(seen.since)),
        // A single look cannot see a renewal: what is stated must do.
        Trust::Stated => found.and_then(|state| state.renewed).map_or(Duration::MAX, |at| view.now.since(at)),
    };
    Some(standing(found, unchanged, &view.spec.holder, view.now))
}

/// Whether cordons may be placed; a dry run plans them where nobody else holds the Lease.
pub(crate) fn may_cordon(view: &View<'_>) -> bool {
    match (view.trust, seen(view)) {
        (_, None) => false,
        (Trust::Proven, Some(standing)) => standing.may_cordon(),
        (Trust::Stated, Some(standing)) => !matches!(standing, Standing::Held { .. }),
    }
}

/// The other Ananke that holds the Lease, if one does.
pub(crate) fn held_by<'a>(view: &View<'a>) -> Option<&'a str> {
    match seen(view)? {
        Standing::Held { by } => Some(by),
        Standing::Free | Standing::Ours { .. } | Standing::Expired { .. } => None,
    }
}

/// A node that another Ananke drains, as the cluster itself tells: a shutdown is under way there, whether that Ananke can be
/// asked or not. What is over its time tells of a dead one, unless its holder was seen to renew the coordination Lease: one of
/// the two clocks is wrong then.
pub(crate) fn anothers_drain(view: &View<'_>) -> Option<Lease> {
    let notes =
        view.nodes().ok()?.iter().filter(|node| taint_lease(node).is_some()).filter_map(|node| node.lease_note.as_deref());
    let renewed = view.coordination().ok().flatten().and_then(|state| state.renewed);
    let renews = held_by(view).filter(|_| view.coordination_seen().is_some_and(|seen| seen.moved));
    // Both by its own clock: it may live, and have taken the coordination Lease for something else.
    let in_time = |lease: &Lease| renews == Some(lease.holder.as_str()) && renewed.is_some_and(|at| at <= lease.expires);
    notes.filter_map(read_note).find(|lease| {
        let lives = !lease.expired(view.now, view.uptime) || in_time(lease);
        lease.purpose == Purpose::Drain && lease.holder != view.spec.holder && lives
    })
}

/// Takes the Lease when a cordon is wanted, renews it while leases of this run are out, and gives it back after.
pub(crate) fn plan(view: &View<'_>) -> Vec<Action> {
    let (Some(standing), Ok(found)) = (seen(view), view.coordination()) else { return Vec::new() };
    let order = match (is_needed(view), standing, found) {
        (true, standing, found) if standing.is_due() => take(found, &view.spec.holder, view.now),
        (false, Standing::Ours { .. }, Some(state)) if taken_here(view) => {
            ClusterOrder::Uncoordinate { seen: state.version.clone() }
        }
        (true | false, _, _) => return Vec::new(),
    };
    let order = Order::Cluster(order);
    let why = match standing {
        Standing::Free => "to cordon, so that no other Ananke does".to_owned(),
        Standing::Expired { by } => format!("to cordon; {by} was not seen to renew it"),
        Standing::Ours { .. } | Standing::Held { .. } if is_needed(view) => "leases of this run are out".to_owned(),
        Standing::Ours { .. } | Standing::Held { .. } => "no lease of this run is out any more".to_owned(),
    };
    let allowed = view.history().allows(order.verb(), &Subject::Cluster, view.now, u32::MAX, PAUSE);
    if allowed { vec![Action { order, why }] } else { Vec::new() }
}

/// The order that takes or renews the Lease, on the version that was seen.
pub(crate) fn take(found: Option<&CoordinationState>, holder: &str, at: Moment) -> ClusterOrder {
    ClusterOrder::Coordinate { seen: found.map(|state| state.version.clone()), holder: holder.to_owned(), at }
}

fn is_needed(view: &View<'_>) -> bool {
    let own = cordons_released::own(view);
    let out = view.leases().iter().any(|record| record.state.outstanding() && own.contains(&record.lease.id));
    out || cordoned::wants(view) || restart_agent::wants(view)
}

/// Taken by this run, and not just now: the answer may still be on its way into what is seen.
fn taken_here(view: &View<'_>) -> bool {
    let tries = view.history().tries("coordinate", &Subject::Cluster);
    tries.last.is_some_and(|last| view.now.since(last) >= PAUSE) && !tries.in_flight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::lease::LeaseState;
    use crate::name::{LeaseId, ResourceVersion};
    use crate::verdict::GateId;

    fn at(secs: u64) -> Moment {
        Moment::from_millis(0).plus(Duration::from_secs(1_000_000 + secs))
    }

    fn held(holder: Option<&str>, lasts: u64) -> CoordinationState {
        CoordinationState {
            version: ResourceVersion::parse("7").unwrap(),
            holder: holder.map(str::to_owned),
            renewed: Some(at(0)),
            lasts: Duration::from_secs(lasts),
        }
    }

    fn check(state: Option<&CoordinationState>, unchanged: u64, now: u64, expected: &str) {
        let found = standing(state, Duration::from_secs(unchanged), "titan-db", at(now));
        let text = match found {
            Standing::Free => "free".to_owned(),
            Standing::Ours { left } => format!("ours for {} s", left.as_secs()),
            Standing::Held { by } => format!("held by {by}"),
            Standing::Expired { by } => format!("{by} is gone"),
        };
        let more = match (found.may_cordon(), found.is_due()) {
            (true, true) => ", cordon, renew",
            (true, false) => ", cordon",
            (false, true) => ", take",
            (false, false) => "",
        };
        assert_eq!(format!("{text}{more}"), expected);
    }

    #[test]
    fn ours_is_renewed_in_time_and_cordons_are_sent_while_it_is_fresh() {
        let ours = held(Some("titan-db"), 30);
        check(Some(&ours), 0, 0, "ours for 30 s, cordon");
        check(Some(&ours), 9, 9, "ours for 21 s, cordon");
        check(Some(&ours), 10, 10, "ours for 20 s, cordon, renew");
        check(Some(&ours), 20, 20, "ours for 10 s, take");
        check(Some(&ours), 9999, 9999, "ours for 0 s, take");
        let future = CoordinationState { renewed: Some(at(60)), ..ours };
        check(Some(&future), 0, 0, "ours for 0 s, take");
    }

    #[test]
    fn anothers_is_judged_by_what_was_seen_to_change_and_never_by_its_clock() {
        let theirs = held(Some("tethys"), 30);
        check(Some(&theirs), 29, 999_999, "held by tethys");
        check(Some(&theirs), 30, 0, "tethys is gone, take");
        check(Some(&held(Some("tethys"), 0)), 29, 0, "held by tethys");
        check(Some(&held(Some("tethys"), 1_000_000)), 300, 0, "tethys is gone, take");
    }

    /// The Lease as it stands now: ours, renewed so many seconds ago.
    fn ours(bench: &mut Bench, ago: u64) {
        let renewed = Some(bench.now.minus(Duration::from_secs(ago)));
        let state = CoordinationState { renewed, ..held(Some("titan-db"), 30) };
        bench.obs.coordination = Fact::known(Some(state), bench.now);
    }

    fn texts(bench: &Bench) -> Vec<String> {
        plan(&bench.view()).iter().map(|action| format!("{} ({})", action.order, action.why)).collect()
    }

    #[test]
    fn it_is_taken_when_a_cordon_is_wanted_and_only_then() {
        let mut bench = Bench::new(1);
        bench.all_up();
        assert!(texts(&bench).is_empty(), "nothing is to be cordoned");
        bench.open(GateId::Cordoned);
        assert_eq!(texts(&bench), ["hold the coordination Lease as titan-db (to cordon, so that no other Ananke does)"]);
        ours(&mut bench, 9);
        assert!(texts(&bench).is_empty(), "it is fresh");
        ours(&mut bench, 10);
        assert_eq!(texts(&bench), ["hold the coordination Lease as titan-db (leases of this run are out)"]);
    }

    #[test]
    fn it_is_renewed_while_a_lease_of_this_run_is_out_and_not_for_another_runs() {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.cordon(1);
        ours(&mut bench, 10);
        assert!(texts(&bench).is_empty(), "that lease is an earlier run's");
        bench.leases[0].lease.id = LeaseId::parse("startup-test-r1").unwrap();
        assert_eq!(texts(&bench), ["hold the coordination Lease as titan-db (leases of this run are out)"]);
        bench.leases[0].state = LeaseState::Released;
        assert!(texts(&bench).is_empty());
    }

    #[test]
    fn it_is_given_back_by_the_run_that_took_it_once_its_answer_is_seen() {
        let mut bench = Bench::new(1);
        bench.all_up();
        ours(&mut bench, 0);
        assert!(texts(&bench).is_empty(), "an earlier run of this host took it");
        let order = Order::Cluster(take(None, "titan-db", bench.now));
        bench.history.sent(&order, bench.now);
        bench.now = bench.now.plus(PAUSE);
        ours(&mut bench, 0);
        assert!(texts(&bench).is_empty(), "it is under way");
        bench.history.answered(&order, None);
        assert_eq!(texts(&bench), ["give the coordination Lease back (no lease of this run is out any more)"]);
        bench.now = bench.now.minus(Duration::from_secs(1));
        ours(&mut bench, 0);
        assert!(texts(&bench).is_empty(), "what is seen may be from before it");
    }

    #[test]
    fn a_dry_run_plans_cordons_unless_another_holds_it() {
        let mut bench = Bench::new(1);
        bench.all_up();
        let stated = |bench: &Bench| may_cordon(&View { trust: Trust::Stated, ..bench.view() });
        assert!(stated(&bench) && !may_cordon(&bench.view()), "a run must hold it");
        let theirs = CoordinationState { renewed: Some(bench.now), ..held(Some("tethys"), 30) };
        bench.obs.coordination = Fact::known(Some(theirs), bench.now);
        assert!(!stated(&bench));
        assert_eq!(held_by(&bench.view()), Some("tethys"));
    }

    #[test]
    fn anothers_drain_is_seen_while_it_lasts_and_ours_or_a_repair_is_none() {
        let mut bench = Bench::new(2);
        bench.all_up();
        bench.cordon(2);
        let lease = bench.leases.pop().unwrap().lease;
        let mut drains = |lease: &Lease| {
            bench.change_node(2, |node| node.lease_note = Some(serde_json::to_string(lease).unwrap().into()));
            anothers_drain(&bench.view()).map(|lease| lease.holder)
        };
        let theirs = Lease { holder: "tethys".to_owned(), purpose: Purpose::Drain, ..lease.clone() };
        assert_eq!(drains(&theirs).as_deref(), Some("tethys"));
        assert_eq!(drains(&Lease { purpose: Purpose::Repair, ..theirs.clone() }), None);
        assert_eq!(drains(&Lease { holder: "titan-db".to_owned(), ..theirs.clone() }), None);
        let over = Lease { acquired: at(0), expires: at(60), clock: None, ..theirs };
        assert_eq!(drains(&over), None);
        let (acquired, expires) = (bench.now.plus(Duration::from_secs(7200)), bench.now.plus(Duration::from_secs(9000)));
        let ahead = Lease { acquired, expires, ..over.clone() };
        let before = Lease {
            acquired: at(0).minus(Duration::from_secs(90)),
            expires: at(0).minus(Duration::from_secs(1)),
            ..over.clone()
        };
        bench.change_node(2, |node| node.lease_note = Some(serde_json::to_string(&over).unwrap().into()));
        let renews = |bench: &mut Bench, version: &str| {
            let version = ResourceVersion::parse(version).unwrap();
            let now = bench.now;
            bench.obs.fold_coordination(Ok(Some(CoordinationState { version, ..held(Some("tethys"), 30) })), now);
            anothers_drain(&bench.view()).is_some()
        };
        assert!(!renews(&mut bench, "7"), "a dead one may have left it");
        assert!(renews(&mut bench, "8"), "it lives, and one of the clocks is wrong");
        bench.change_node(2, |node| node.lease_note = Some(serde_json::to_string(&ahead).unwrap().into()));
        assert!(renews(&mut bench, "9"));
        bench.change_node(2, |node| node.lease_note = Some(serde_json::to_string(&before).unwrap().into()));
        assert!(!renews(&mut bench, "10"), "it lives, and drains no more");
        bench.change_node(2, |node| node.lease_note = Some(serde_json::to_string(&ahead).unwrap().into()));
        bench.now = bench.now.plus(Duration::from_secs(30));
        assert_eq!(anothers_drain(&bench.view()), None, "it died since");
    }

    #[test]
    fn none_and_one_given_back_are_free() {
        check(None, 0, 0, "free, take");
        check(Some(&held(None, 30)), 0, 0, "free, take");
        check(Some(&held(Some(""), 30)), 0, 0, "free, take");
    }
}
