use super::*;
use crate::gate::testing::{Bench, node};
use crate::name::BootId;
use crate::observation::Taint;

struct Case {
    bench: Bench,
    proved: BTreeSet<NodeName>,
    unproved: BTreeSet<NodeName>,
    in_use: BTreeSet<LeaseId>,
    done_with: BTreeSet<LeaseId>,
    given_up: BTreeSet<LeaseId>,
    closing: bool,
    cluster: Option<Uid>,
}

impl Case {
    fn new() -> Self {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.cordon(1);
        bench.leases[0].lease.purpose = Purpose::Repair;
        Self {
            bench,
            proved: BTreeSet::new(),
            unproved: BTreeSet::new(),
            in_use: BTreeSet::new(),
            done_with: BTreeSet::new(),
            given_up: BTreeSet::new(),
            closing: false,
            cluster: Some(Uid::parse("cluster-1").unwrap()),
        }
    }

    fn later(mut self, secs: u64) -> Self {
        self.bench.now = self.bench.now.plus(Duration::from_secs(secs));
        self
    }

    fn node(mut self, change: impl FnOnce(&mut NodeState)) -> Self {
        self.bench.change_node(1, change);
        self
    }

    fn record(mut self, change: impl FnOnce(&mut LeaseRecord)) -> Self {
        change(&mut self.bench.leases[0]);
        self
    }

    fn lost(mut self) -> Self {
        self.bench.leases.clear();
        self
    }

    fn used(mut self) -> Self {
        self.in_use.insert(self.bench.leases[0].lease.id.clone());
        self
    }

    fn proved(mut self) -> Self {
        self.proved.insert(node(1));
        self
    }

    fn unproved(mut self) -> Self {
        self.unproved.insert(node(1));
        self
    }

    /// The annotation, changed as text.
    fn note(self, change: impl FnOnce(String) -> String) -> Self {
        self.node(|node| node.lease_note = Some(change(node.lease_note.as_deref().unwrap().to_owned()).into()))
    }

    fn find(&self) -> Vec<Finding> {
        let with = Sweep {
            now: self.bench.now,
            uptime: self.bench.uptime.as_ref(),
            cluster: self.cluster.as_ref(),
            holder: "titan-db",
            asked: self.bench.now.plus(Duration::from_secs(1)),
            in_use: &self.in_use,
            done_with: &self.done_with,
            given_up: &self.given_up,
            proved: &self.proved,
            unproved: &self.unproved,
            closing: self.closing,
        };
        sweep(&self.bench.leases, self.bench.obs.nodes.last().unwrap(), &with)
    }

    #[track_caller]
    fn check(&self, expected: &str) {
        let told = |finding: Finding| match finding {
            Finding::Settle { lease, event } => format!("settle {lease} {event:?}"),
            Finding::Release { node, lease } => format!("release {node} {lease}"),
            Finding::Mark { node, lease, .. } => format!("mark {node} {lease}"),
            Finding::ClearMark { node, lease } => format!("clear the mark of {node} {lease}"),
            Finding::Adopt(record) => format!("adopt {} of {} as {:?}", record.lease.id, record.lease.holder, record.state),
            Finding::Foreign { node, .. } => format!("leave {node}"),
        };
        let found: Vec<String> = self.find().into_iter().map(told).collect();
        assert_eq!(found.join("\n"), expected);
    }
}

const HOUR: u64 = 3600;

fn untaint(node: &mut NodeState) {
    node.taints.clear();
}

fn theirs(record: &mut LeaseRecord) {
    record.lease.holder = "tethys".to_owned();
}

#[test]
fn an_orphan_is_released_and_one_in_use_is_left() {
    Case::new().check("release n1 lease-1");
    Case::new().used().check("");
}

#[test]
fn an_expired_lease_is_released_if_the_node_is_proved_and_marked_if_it_is_not() {
    Case::new().later(HOUR).check("");
    Case::new().later(HOUR).unproved().check("mark n1 lease-1");
    Case::new().later(HOUR).proved().check("release n1 lease-1");
    Case::new().later(HOUR).used().unproved().check("mark n1 lease-1");
    Case::new().later(HOUR - 1).used().unproved().check("");
    let drain = |record: &mut LeaseRecord| record.lease.purpose = Purpose::Drain;
    Case::new().record(drain).later(HOUR).used().unproved().check("release n1 lease-1");
    Case::new().record(drain).later(HOUR - 1).used().unproved().check("");
}

#[test]
fn a_run_gives_back_what_it_is_done_with_and_marks_what_it_gave_up() {
    let mut case = Case::new();
    case.done_with.insert(case.bench.leases[0].lease.id.clone());
    case.check("release n1 lease-1");
    let mut case = Case::new().proved();
    case.given_up.insert(case.bench.leases[0].lease.id.clone());
    case.check("mark n1 lease-1");
}

#[test]
fn age_goes_by_this_boots_clock() {
    let up = |since_boot: u64| Some(Uptime { boot: BootId::parse("b1").unwrap(), since_boot: Duration::from_secs(since_boot) });
    let mut case = Case::new().record(|record| record.lease.clock = up(100)).used().unproved().later(HOUR * 24);
    case.bench.uptime = up(160);
    case.check("");
    case.bench.uptime = up(100 + HOUR);
    case.check("mark n1 lease-1");
    case.bench.uptime = up(99);
    case.check("mark n1 lease-1");
}

#[test]
fn nodes_asked_for_before_a_lease_moved_say_nothing_of_it_unless_its_time_cannot_be() {
    let ahead = |secs| move |record: &mut LeaseRecord| record.since = record.since.plus(Duration::from_secs(secs));
    Case::new().node(untaint).record(ahead(2)).check("");
    Case::new().node(untaint).record(ahead(120)).check("");
    Case::new().node(untaint).record(ahead(121)).check("settle lease-1 FoundGone");
}

#[test]
fn another_anankes_lease_is_left_to_it_until_after_its_expiry() {
    Case::new().record(theirs).proved().check("");
    Case::new().record(theirs).proved().later(HOUR + 29).check("");
    Case::new().record(theirs).proved().later(HOUR + 30).check("release n1 lease-1");
    let case = Case { closing: true, ..Case::new().record(theirs) };
    case.check("release n1 lease-1");
}

#[test]
fn a_person_who_removes_only_the_taint_ends_the_lease_and_the_annotation_is_cleaned_up() {
    Case::new().node(untaint).used().check("settle lease-1 FoundGone");
    for state in [LeaseState::TakenAway, LeaseState::Released] {
        let settled = |record: &mut LeaseRecord| record.state = state;
        Case::new().node(untaint).record(settled).used().check("release n1 lease-1");
        Case::new().node(untaint).record(settled).note(|note| note.replace("cluster-1", "cluster-2")).check("");
    }
    Case::new()
        .node(|node| (node.taints, node.lease_note) = (Vec::new(), None))
        .record(|r| r.state = LeaseState::TakenAway)
        .check("");
}

#[test]
fn a_person_who_removes_only_the_annotation_leaves_the_record_to_settle_the_taint() {
    Case::new().node(|node| node.lease_note = None).check("release n1 lease-1");
    Case::new().node(|node| node.lease_note = None).used().check("");
    Case::new().node(|node| node.lease_note = None).later(HOUR).unproved().check("mark n1 lease-1");
}

#[test]
fn a_taint_whose_lease_is_lost_on_both_sides_is_taken_over_as_expired() {
    let case = Case::new().node(|node| node.lease_note = None).lost();
    case.check("adopt lease-1 of unknown as Held");
    let adopted = |case: Case| {
        let Finding::Adopt(record) = case.find().remove(0) else { panic!("not adopted") };
        assert!(record.lease.expired(case.bench.now, None));
        let mut case = case.later(30);
        case.bench.leases.push(*record);
        case
    };
    adopted(Case::new().node(|node| node.lease_note = None).lost()).proved().check("release n1 lease-1");
    adopted(Case::new().node(|node| node.lease_note = None).lost()).unproved().check("mark n1 lease-1");
    Case::new().note(|note| note[..20].to_owned()).lost().check("adopt lease-1 of unknown as Held");
    let other = Case::new().note(|note| note.replace("lease-1", "lease-9")).lost();
    other.check("adopt lease-1 of unknown as Held");
    Case::new().note(|note| note.replace("uid-1", "uid-9")).lost().check("adopt lease-1 of unknown as Held");
    Case::new().note(|note| note.replace("\"node\":\"n1\"", "\"node\":\"n9\"")).lost().check("adopt lease-1 of unknown as Held");
    Case::new().node(|node| node.taints[0].value = "not a lease".into()).lost().check("leave n1");
}

#[test]
fn a_lease_that_the_disk_lost_is_adopted_from_the_node() {
    Case::new().lost().check("adopt lease-1 of titan-db as Held");
    Case::new().node(|node| node.manual_note = Some("x".into())).lost().check("adopt lease-1 of titan-db as Manual");
    Case::new().node(untaint).lost().check("adopt lease-1 of titan-db as TakenAway");
    let of_tethys = |note: String| note.replace("titan-db", "tethys");
    Case::new().note(of_tethys).lost().check("");
    Case::new().note(of_tethys).lost().later(HOUR + 30).check("adopt lease-1 of tethys as Held");
}

#[test]
fn another_clusters_cordon_and_another_schema_are_left_and_reported() {
    Case::new().note(|note| note.replace("cluster-1", "elsewhere")).lost().check("leave n1");
    Case::new().note(|note| note.replace("\"schema\":1", "\"schema\":2")).lost().check("leave n1");
    let mut carried = Case::new().later(HOUR).proved();
    carried.cluster = Some(Uid::parse("elsewhere").unwrap());
    carried.check("");
    let mut unknown = Case::new().later(HOUR).proved();
    unknown.cluster = None;
    unknown.check("");
}

#[test]
fn a_recreated_node_is_not_ours_and_what_was_copied_to_it_is_cleaned_up() {
    let recreated = |node: &mut NodeState| node.uid = Uid::parse("recreated").unwrap();
    Case::new().node(recreated).used().check("settle lease-1 FoundGone");
    Case::new().node(recreated).record(|record| record.state = LeaseState::TakenAway).check("release n1 lease-1");
}

#[test]
fn what_comes_back_from_a_restored_etcd_is_released_again() {
    for state in [LeaseState::Released, LeaseState::TakenAway] {
        Case::new().record(|record| record.state = state).check("release n1 lease-1");
    }
}

#[test]
fn a_cordon_whose_answer_got_lost_is_held_and_one_that_never_came_is_closed() {
    let intended = |record: &mut LeaseRecord| record.state = LeaseState::Intended;
    Case::new().record(intended).used().check("settle lease-1 Placed");
    Case::new().record(intended).node(untaint).used().check("");
    Case::new().record(intended).node(untaint).used().later(HOUR).check("settle lease-1 NeverPlaced");
    Case::new().record(intended).node(untaint).check("settle lease-1 NeverPlaced");
    Case::new().record(|record| record.state = LeaseState::Released).used().check("");
}

#[test]
fn a_marked_nodes_taint_stays_until_a_person_lifts_it_and_then_the_mark_goes() {
    let manual = |record: &mut LeaseRecord| record.state = LeaseState::Manual;
    let sentence = Case::new().bench.leases[0].lease.sentence();
    let marked = |node: &mut NodeState| node.manual_note = Some(sentence.as_str().into());
    Case::new().record(manual).node(marked).proved().later(HOUR * 9).check("");
    Case::new().record(manual).check("mark n1 lease-1");
    Case::new().record(manual).node(marked).node(untaint).check("settle lease-1 FoundGone");
    let lifted = |record: &mut LeaseRecord| record.state = LeaseState::TakenAway;
    Case::new().record(lifted).node(marked).node(untaint).check("release n1 lease-1");
    let bare = |node: &mut NodeState| (node.taints, node.lease_note) = (Vec::new(), None);
    Case::new().record(lifted).node(marked).node(bare).check("clear the mark of n1 lease-1");
    let by_hand = |node: &mut NodeState| node.manual_note = Some("do not touch, Anna".into());
    Case::new().record(lifted).node(by_hand).node(bare).check("");
}

#[test]
fn the_mark_of_a_later_lease_is_not_what_an_earlier_one_left_though_both_say_the_same() {
    let mut case = Case::new();
    let earlier = LeaseRecord {
        lease: Lease { id: LeaseId::parse("lease-0").unwrap(), ..case.bench.leases[0].lease.clone() },
        state: LeaseState::TakenAway,
        ..case.bench.leases[0].clone()
    };
    let sentence = earlier.lease.sentence();
    case.bench.change_node(1, |node| node.manual_note = Some(sentence.as_str().into()));
    case.bench.leases[0].state = LeaseState::Manual;
    case.bench.leases.insert(0, earlier);
    case.check("");
}

#[test]
fn a_node_gets_one_write_at_a_time() {
    let mut case = Case::new();
    let second = LeaseRecord {
        lease: Lease { id: LeaseId::parse("lease-0").unwrap(), ..case.bench.leases[0].lease.clone() },
        ..case.bench.leases[0].clone()
    };
    case.bench.change_node(1, |node| {
        node.taints.push(Taint { key: crate::lease::TAINT_KEY.into(), value: "lease-0".into(), effect: "NoSchedule".into() });
        node.lease_note = Some(serde_json::to_string(&second.lease).unwrap().into());
    });
    case.bench.leases.push(LeaseRecord { state: LeaseState::Released, ..second });
    case.check("release n1 lease-1");
}

#[test]
fn overdue_leases_are_told_and_old_ones_forgotten() {
    let case = Case::new().later(HOUR + 45);
    let told: Vec<_> = overdue(&case.bench.leases, case.bench.now, None).map(|(_, past)| past.as_secs()).collect();
    assert_eq!(told, [45]);
    let mut records = case.bench.leases.clone();
    let week = Duration::from_secs(604_800);
    let later = records[0].since.plus(week);
    prune(&mut records, later);
    assert_eq!(records.len(), 1, "outstanding ones are never forgotten");
    records[0].state = LeaseState::Released;
    prune(&mut records, later.minus(Duration::from_millis(1)));
    assert_eq!(records.len(), 1);
    prune(&mut records, later);
    assert!(records.is_empty());
}

mod whatever {
    use proptest::prelude::*;

    use super::*;

    const STATES: [LeaseState; 5] =
        [LeaseState::Intended, LeaseState::Held, LeaseState::Released, LeaseState::TakenAway, LeaseState::Manual];

    fn foreign() -> Taint {
        Taint { key: "team/storage".into(), value: "down".into(), effect: "NoSchedule".into() }
    }

    proptest! {
        /// From any state of record, disk and node: sweeping and doing what it finds ends, with nothing of a settled lease left.
        #[test]
        fn doing_what_a_sweep_finds_settles_everything(
            state in 0_usize..5, tainted: bool, noted: bool, known: bool, marked: bool, recreated: bool,
            proved: bool, ours: bool, drain: bool, past in prop_oneof![Just(-100_i64), Just(0), Just(20), Just(40), Just(90_000), Just(-100_000)],
        ) {
            let purpose = if drain { Purpose::Drain } else { Purpose::Repair };
            let mut case = Case::new().record(|record| (record.state, record.lease.purpose) = (STATES[state], purpose));
            if !ours {
                case = case.record(theirs).note(|note| note.replace("titan-db", "tethys"));
            }
            case = case.node(|node| {
                if !tainted { node.taints.clear() }
                if !noted { node.lease_note = None }
                if marked { node.manual_note = Some("n1 needs Anna".into()) }
                if recreated { node.uid = Uid::parse("recreated").unwrap() }
                node.taints.push(foreign());
                node.unschedulable = true;
            });
            if !known { case = case.lost() }
            case = if proved { case.proved() } else { case.unproved() };
            case.bench.now = Moment::from_millis(case.bench.now.as_millis() + (3600 + past) * 1000);
            let mut quiet = false;
            for _ in 0..8 {
                case.bench.now = case.bench.now.plus(Duration::from_secs(40));
                let findings = case.find();
                quiet = findings.is_empty();
                for finding in findings {
                    carry_out(&mut case.bench, finding);
                }
                if quiet { break }
            }
            prop_assert!(quiet, "it does not come to rest");
            let node = &case.bench.obs.nodes.last().unwrap()[0];
            prop_assert!(node.unschedulable && node.taints.contains(&foreign()), "what people put there stays");
            let over = !(-3630..=40).contains(&past);
            for record in &case.bench.leases {
                let stands = taint_lease(node) == Some(record.lease.id.as_str());
                match record.state {
                    LeaseState::Released | LeaseState::TakenAway => prop_assert!(!stands, "a settled lease's taint stands"),
                    LeaseState::Manual => prop_assert!(stands && node.manual_note.is_some(), "a mark without its cordon"),
                    LeaseState::Intended | LeaseState::Held => prop_assert!(!over && !ours, "an expired lease is outstanding"),
                }
            }
            if over && taint_lease(node).is_some() {
                prop_assert!(!case.bench.leases.is_empty(), "a cordon without its record");
            }
        }
    }

    fn carry_out(bench: &mut Bench, finding: Finding) {
        let moved = |bench: &mut Bench, id: &LeaseId, event| {
            let now = bench.now;
            let record = bench.leases.iter_mut().find(|record| record.lease.id == *id).unwrap();
            record.state = record.state.after(event).unwrap();
            record.since = now;
        };
        match finding {
            Finding::Settle { lease, event } => moved(bench, &lease, event),
            Finding::Adopt(record) => bench.leases.push(*record),
            Finding::Foreign { .. } => panic!("nothing here is another cluster's"),
            Finding::Release { lease, .. } => {
                bench.change_node(1, |node| {
                    node.taints
                        .retain(|taint| taint.key.as_ref() != crate::lease::TAINT_KEY || taint.value.as_ref() != lease.as_str());
                    if node.lease_note.as_deref().is_some_and(|note| note.contains(lease.as_str())) {
                        node.lease_note = None;
                    }
                });
                moved(bench, &lease, LeaseEvent::GivenBack);
            }
            Finding::Mark { lease, sentence, .. } => {
                bench.change_node(1, |node| node.manual_note = Some(sentence.as_str().into()));
                moved(bench, &lease, LeaseEvent::Marked);
            }
            Finding::ClearMark { .. } => bench.change_node(1, |node| node.manual_note = None),
        }
    }
}
