//! All UPSes together: what the cluster is to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::aftermath::Aftermath;
use super::doom::shutdown;
use super::{PowerSpec, Supply, UNLATCH, UpsState, UpsWatch};
use crate::intent::{Intent, IntentState};
use crate::name::{Moment, human};
use crate::observation::UpsReading;
use crate::spec::Spec;

/// What power asks of whoever acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    Nothing,
    /// At once; `within` is the time for it.
    ShutDown {
        why: String,
        within: Duration,
    },
    /// Hosts may have lost their power since then, or boot behind a shutdown: whoever booted since, or is not there, is to be
    /// found.
    Look {
        since: Moment,
    },
    /// Mains are back, a start-up is owed, and something is still waited for: no longer than `guard_wait`, but for a person where
    /// `FSD` stands.
    Wait {
        what: String,
    },
    /// Mains are back for good, and it was power that brought the cluster down.
    StartUp {
        why: String,
    },
    /// The cluster is down, and stays so until a person says otherwise, or the reason is gone.
    HoldDown {
        why: String,
        instruction: String,
    },
}

/// Every UPS over time.
#[derive(Debug, Clone, Default)]
pub struct PowerWatch {
    upses: BTreeMap<Arc<str>, UpsWatch>,
    /// When outages began that were none of the blips.
    pub(super) outages: Vec<Moment>,
    in_outage: bool,
    /// When the shutdown began since which nothing can have booted hosts, and k3s with them: neither mains that came back nor
    /// a start-up.
    pub(super) rests: Option<Moment>,
    /// Since when the cluster is known to be down.
    pub(super) down: Option<Moment>,
    pub(super) aftermath: Aftermath,
}

impl PowerWatch {
    /// Goes on with the outages that were counted before, and with what was not settled; the last of them may not be over.
    pub fn with_outages(outages: Vec<Moment>, unsettled: Option<Moment>) -> Self {
        let aftermath = Aftermath { since: unsettled, losses: None };
        Self { in_outage: !outages.is_empty(), outages, aftermath, ..Self::default() }
    }

    /// Takes one look at one UPS; none: nothing was heard.
    pub fn take(&mut self, ups: &Arc<str>, reading: Option<UpsReading>, spec: &PowerSpec, now: Moment) {
        let watch = self.upses.entry(ups.clone()).or_default();
        let was_fed = watch.has_mains();
        watch.take(reading, spec.debounce, now);
        self.rests = self.rests.filter(|_| was_fed || !watch.has_mains());
    }

    /// What each UPS comes to.
    pub fn states(&self, spec: &PowerSpec, reserve: Duration, now: Moment) -> BTreeMap<Arc<str>, UpsState> {
        let unknown = UpsWatch::default();
        let state = |name: &Arc<str>| self.upses.get(name).unwrap_or(&unknown).state(spec, reserve, now);
        spec.upses.iter().map(|ups| (ups.name.clone(), state(&ups.name))).collect()
    }

    pub fn ups(&self, name: &str) -> Option<&UpsWatch> {
        self.upses.get(name)
    }

    pub fn outages(&self) -> &[Moment] {
        &self.outages
    }

    /// `LB` that nothing else contradicts counts at once.
    pub(super) fn believes_low(&mut self) {
        self.upses.values_mut().for_each(UpsWatch::believes_low);
    }

    /// A shutdown begins; none: it came to nothing, or what follows may boot hosts again.
    pub fn stops(&mut self, began: Option<Moment>) {
        self.rests = began;
    }

    /// The cluster is down, or not: what the UPSes asked for is done.
    pub(super) fn obeyed(&mut self, is_down: bool, hold_off: Duration, now: Moment) {
        self.down = is_down.then(|| self.down.unwrap_or(now));
        if let Some(down) = self.down {
            self.upses.values_mut().for_each(|ups| ups.obeyed(down, hold_off, now));
        }
    }

    /// Counts the outage that has just become one; says whether it did.
    pub fn count(&mut self, spec: &Spec, reserve: Duration, now: Moment) -> bool {
        self.give_up(spec, now);
        let spec = &spec.power;
        let out = |state: &UpsState| matches!(state, UpsState::Battery { .. } | UpsState::Critical { .. });
        let states = self.states(spec, reserve, now);
        let any = states.values().any(out);
        let waited_for = || states.iter().filter(|(name, _)| !self.is_given_up(name)).map(|(_, state)| state);
        let over = waited_for().all(|state| matches!(state, UpsState::Line { .. } | UpsState::Latched));
        self.aftermath.since = self.aftermath.since.or_else(|| waited_for().filter_map(|state| unfed(state, spec, now)).min());
        let new = any && !self.in_outage;
        if new {
            self.outages.retain(|at| now.since(*at) <= spec.outage_window);
            self.outages.push(now);
        }
        self.in_outage = (self.in_outage || any) && !over;
        new
    }

    /// What the cluster of `spec` is to do now, after what was last wanted of it. `reserve`: see [`PowerSpec::reserve`].
    pub fn demand(&self, spec: &Spec, reserve: Duration, intent: Option<&Intent>, now: Moment) -> Demand {
        let is_down = intent.is_some_and(|intent| intent.state == IntentState::ShutdownComplete);
        let states = self.states(&spec.power, reserve, now);
        if let Some((why, within)) = shutdown(&spec.power, &states, spec.nodes.keys(), now) {
            // It is down already, but for hosts that were booting when it was stopped, or that a UPS switched on again.
            let rests = self.rests.filter(|_| is_down);
            return rests.map_or(Demand::ShutDown { why, within }, |since| Demand::Look { since });
        }
        // A start-up of ours that died with its machine is owed too; whether it did, the caller knows.
        let owed = intent.is_some_and(|intent| intent.by_power && intent.state != IntentState::Normal);
        let losses = self.aftermath.losses.as_ref();
        if !owed && losses.is_none() {
            return Demand::Nothing;
        }
        let without = match self.mains(spec, &states, now) {
            Mains::Unheard if owed && is_down => {
                return Demand::HoldDown {
                    why: format!("for {} no UPS has told whether mains are back", human(patience(spec))),
                    instruction: "bring its upsd back, which may have gone down with the hosts, or start the cluster by hand: \
                                  `ananke startup --execute`"
                        .to_owned(),
                };
            }
            Mains::Away | Mains::Unheard => return Demand::Nothing,
            Mains::Wait(what) => return Demand::Wait { what },
            Mains::Back { without } => without,
        };
        let spec = &spec.power;
        if spec.upses.is_empty() {
            // It was another Ananke that asked for the shutdown, and which keeps the cluster down until its own mains are back.
            return Demand::StartUp { why: "no power that is watched here keeps it down".to_owned() };
        }
        let recent = self.outages.iter().filter(|at| now.since(**at) <= spec.outage_window).count();
        let window = human(spec.outage_window);
        if recent >= spec.outages {
            return Demand::HoldDown {
                why: format!("{recent} outages within {window}: mains are not to be relied upon"),
                instruction: "when mains are sound again: `ananke startup --execute`".to_owned(),
            };
        }
        let losses = losses.map(|losses| format!("; {losses}")).unwrap_or_default();
        Demand::StartUp { why: format!("mains have been back for {}{losses}{without}", human(spec.hold_off)) }
    }

    /// What a start-up goes by that was demanded: its guards do not wait once more for what was waited for here.
    pub fn for_start(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        let wanted = spec.minimum_charge_percent;
        if spec.power.upses.iter().any(|ups| self.charge(&ups.name).is_some_and(|found| found < wanted)) {
            spec.minimum_charge_percent = 0;
        }
        spec.power.upses.retain(|ups| !self.is_given_up(&ups.name));
        spec
    }

    fn charge(&self, ups: &str) -> Option<u8> {
        self.upses.get(ups)?.newest()?.charge_percent
    }

    fn is_given_up(&self, ups: &str) -> bool {
        self.upses.get(ups).is_some_and(UpsWatch::is_given_up)
    }

    /// What stays silent while mains are back elsewhere holds nothing for longer than the guards of a start-up would.
    fn give_up(&mut self, spec: &Spec, now: Moment) {
        let back = spec.power.upses.iter().filter_map(|ups| self.upses.get(&ups.name)?.on_line()).max();
        if let Some(back) = back {
            self.upses.values_mut().for_each(|ups| ups.give_up(back, patience(spec), now));
        }
    }

    /// Since when mains have been there everywhere that is heard, without a break.
    pub(super) fn back(&self, spec: &PowerSpec) -> Option<Moment> {
        let waited_for = spec.upses.iter().filter(|ups| !self.is_given_up(&ups.name));
        let since = waited_for.map(|ups| self.upses.get(&ups.name)?.on_line());
        since.collect::<Option<Vec<Moment>>>()?.into_iter().max()
    }

    /// Since when hosts may have lost their power, once mains have been back for long enough to ask them.
    pub(super) fn look_due(&self, spec: &PowerSpec, now: Moment) -> Option<Moment> {
        let settled = self.back(spec).is_some_and(|back| now.since(back) >= spec.hold_off);
        self.aftermath.since.filter(|_| settled && self.aftermath.losses.is_none())
    }

    fn mains(&self, spec: &Spec, states: &BTreeMap<Arc<str>, UpsState>, now: Moment) -> Mains {
        let (mut stands, mut waits, mut without) = (Vec::new(), Vec::new(), Vec::new());
        let back =
            states.values().filter_map(|state| if let UpsState::Line { since } = state { Some(*since) } else { None }).max();
        let is_over = back.is_some_and(|back| now.since(back) >= patience(spec));
        for (name, state) in states {
            match state {
                UpsState::Line { since } if now.since(*since) < spec.power.hold_off => return Mains::Away,
                UpsState::Line { .. } => {
                    if self.charge(name).is_some_and(|found| found < spec.minimum_charge_percent) {
                        let list = if is_over { &mut without } else { &mut waits };
                        list.push(format!("{name} is charged less than {} %", spec.minimum_charge_percent));
                    }
                }
                UpsState::Lost { .. } => {
                    let list = if self.is_given_up(name) { &mut without } else { &mut waits };
                    let last = self.upses.get(name).and_then(UpsWatch::newest);
                    list.push(if last.is_some_and(|reading| reading.supply() == Supply::Unclear) {
                        format!("{name} does not say where its power comes from")
                    } else {
                        format!("nothing is heard of {name}")
                    });
                }
                UpsState::Wavers { .. }
                | UpsState::Calibrates { .. }
                | UpsState::Battery { .. }
                | UpsState::Critical { .. }
                | UpsState::Unknown => return Mains::Away,
                UpsState::Latched => stands.push(format!("{name} still says FSD: {UNLATCH}")),
            }
        }
        if !stands.is_empty() {
            return Mains::Wait(stands.join("; "));
        }
        if back.is_none() && !states.is_empty() {
            // All of them are lost.
            let lost = states.keys().filter_map(|name| self.upses.get(name)?.lost_since()).max();
            let unheard = lost.is_some_and(|lost| now.since(lost) >= patience(spec));
            return if unheard { Mains::Unheard } else { Mains::Away };
        }
        if waits.is_empty() {
            let without = without.iter().map(|what| format!("; {what}, and was waited for")).collect();
            return Mains::Back { without };
        }
        Mains::Wait(format!("{}; it is waited for {} after the hold-off at most", waits.join("; "), human(spec.guard_wait)))
    }
}

/// Whether mains allow a start-up.
enum Mains {
    Away,
    /// Nothing has told of any for so long that nobody waits for it any more.
    Unheard,
    /// They are back, and this is waited for.
    Wait(String),
    /// They are back for good, but for what was waited for long enough.
    Back {
        without: String,
    },
}

/// Since mains are back, for what may stay silent or empty.
fn patience(spec: &Spec) -> Duration {
    spec.power.hold_off.saturating_add(spec.guard_wait)
}

/// Since when a UPS may have left what it feeds without power: a blip is enough for a battery that is dead, and nobody knows
/// what happens while nothing is heard.
fn unfed(state: &UpsState, spec: &PowerSpec, now: Moment) -> Option<Moment> {
    match state {
        UpsState::Wavers { since } | UpsState::Battery { since, .. } => Some(*since),
        UpsState::Lost { since } => (now.since(*since) >= spec.debounce).then_some(*since),
        UpsState::Critical { .. } => Some(now),
        UpsState::Line { .. } | UpsState::Calibrates { .. } | UpsState::Latched | UpsState::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{UpsSpec, Word};
    use super::*;
    use crate::name::{NodeName, RunId, UnitName};
    use crate::spec::{NodeRole, NodeSpec};

    const START: Moment = Moment::from_millis(1_773_453_971_000);
    const RESERVE: Duration = Duration::from_secs(600);

    /// Two racks: n1 hangs on both, n2 on the first, n3 on the second.
    struct Site {
        spec: PowerSpec,
        watch: PowerWatch,
        now: Moment,
        intent: Option<Intent>,
    }

    fn node(n: usize) -> NodeName {
        NodeName::parse(&format!("n{n}")).unwrap()
    }

    impl Site {
        fn new() -> Self {
            let ups =
                |name: &str, feeds: &[usize]| UpsSpec { name: name.into(), feeds: feeds.iter().map(|n| node(*n)).collect() };
            let upses = vec![ups("a@h", &[1, 2]), ups("b@h", &[1, 3])];
            Self { spec: PowerSpec { upses, ..PowerSpec::default() }, watch: PowerWatch::default(), now: START, intent: None }
        }

        /// Both say this for so many seconds; `-`: nothing is heard.
        fn say(&mut self, a: &str, b: &str, seconds: u64) {
            for _ in 0..seconds {
                for (name, status) in [("a@h", a), ("b@h", b)] {
                    if status == "-" {
                        self.watch.take(&name.into(), None, &self.spec, self.now);
                        continue;
                    }
                    let words: Vec<Arc<str>> = status.split(' ').map(Into::into).collect();
                    let charge = if words.iter().any(|word| Word::parse(word) == Some(Word::LowBattery)) { 5 } else { 90 };
                    let runtime = Some(Duration::from_secs(u64::from(charge) * 10));
                    let reading = UpsReading { status: words, charge_percent: Some(charge), runtime };
                    self.watch.take(&name.into(), Some(reading), &self.spec, self.now);
                }
                let spec = self.cluster(&[]);
                self.watch.count(&spec, RESERVE, self.now);
                self.now = self.now.plus(Duration::from_secs(1));
            }
        }

        fn cluster(&self, nodes: &[usize]) -> Spec {
            let unit = UnitName::parse("k3s").unwrap();
            let made = |n: &usize| (node(*n), NodeSpec::new(NodeRole::Worker, unit.clone(), "h"));
            let mut spec = Spec::new("titan-db", nodes.iter().map(made).collect());
            (spec.power, spec.minimum_charge_percent) = (self.spec.clone(), 50);
            spec
        }

        /// What a cluster of these nodes is to do.
        fn demanded(&self, nodes: &[usize]) -> Demand {
            self.watch.demand(&self.cluster(nodes), RESERVE, self.intent.as_ref(), self.now)
        }

        fn demand(&self, nodes: &[usize]) -> &'static str {
            match self.demanded(nodes) {
                Demand::Nothing => "nothing",
                Demand::Look { .. } => "look",
                Demand::ShutDown { .. } => "shut down",
                Demand::Wait { .. } => "wait",
                Demand::StartUp { .. } => "start up",
                Demand::HoldDown { .. } => "hold down",
            }
        }

        fn down(&mut self, by_power: bool) {
            let run = RunId::parse("shutdown-1").unwrap();
            let (state, reason) = (IntentState::ShutdownComplete, "battery".to_owned());
            self.intent = Some(Intent { state, run, at: self.now, reason, by_power, of: None });
            self.watch.stops(Some(self.now));
        }
    }

    #[test]
    fn a_host_with_two_supplies_is_lost_with_both_or_with_any_as_it_needs() {
        let mut site = Site::new();
        site.say("OL", "OL", 30);
        assert_eq!(site.demand(&[1, 2, 3]), "nothing");
        site.say("OB LB", "OL", 30);
        assert_eq!((site.demand(&[1]), site.demand(&[2]), site.demand(&[3])), ("nothing", "shut down", "nothing"));
        site.spec.needs_all.insert(node(1));
        assert_eq!(site.demand(&[1]), "shut down");
        site.spec.needs_all.clear();
        site.say("OB LB", "OB LB", 30);
        assert_eq!(site.demand(&[1]), "shut down");
    }

    #[test]
    fn a_supply_of_which_nothing_is_heard_is_none_while_the_other_one_ends() {
        for (before, silent, demand) in [("OL", 10, "nothing"), ("OL", 30, "shut down"), ("-", 0, "shut down")] {
            let mut site = Site::new();
            site.say("OL", before, 30);
            site.say("OB LB", "OL", 30 * u64::from(before == "OL"));
            site.say("OB LB", "-", silent + 30 * u64::from(before == "-"));
            assert_eq!(site.demand(&[1]), demand, "{before}, then silent for {silent} s");
            assert_eq!(site.demand(&[3]), "nothing", "silence by itself stops nothing");
        }
    }

    #[test]
    fn what_the_batteries_still_give_is_told() {
        let mut site = Site::new();
        site.say("OB LB", "OB", 30);
        let demand = site.demanded(&[1, 2]);
        let Demand::ShutDown { why, within } = demand else { panic!("{demand:?}") };
        assert_eq!(
            why,
            "a@h: its battery is low (LB), and its runtime agrees; n2 and whatever else it feeds would lose its power"
        );
        assert_eq!(within, Duration::from_secs(10), "half of 50 s, counted down for the 30 s in which nothing new was said");
    }

    #[test]
    fn the_node_that_loses_its_power_first_sets_the_end() {
        let mut site = Site::new();
        site.say("OL", "OL", 1);
        site.say("FSD OL", "OB LB", 30);
        let within = |site: &Site, nodes: &[usize]| match site.demanded(nodes) {
            Demand::ShutDown { within, .. } => within.as_secs(),
            other @ (Demand::Nothing
            | Demand::Look { .. }
            | Demand::Wait { .. }
            | Demand::StartUp { .. }
            | Demand::HoldDown { .. }) => {
                panic!("{other:?}")
            }
        };
        assert_eq!((within(&site, &[1]), within(&site, &[3])), (10, 10), "n1 runs on the other one");
        assert_eq!(within(&site, &[1, 2, 3]), 0, "n2 has no other one");
        site.spec.needs_all.insert(node(1));
        assert_eq!(within(&site, &[1]), 0);
    }

    #[test]
    fn a_start_up_waits_for_the_hold_off_the_charge_and_for_power_to_have_been_the_reason() {
        let mut site = Site::new();
        site.say("OB LB", "OB LB", 30);
        site.down(true);
        site.say("OL CHRG", "OL CHRG", 100);
        assert_eq!(site.demand(&[1]), "nothing", "not for long enough");
        site.say("OL CHRG", "OL CHRG", 30);
        assert_eq!(site.demand(&[1]), "start up");
        site.down(false);
        assert_eq!(site.demand(&[1]), "nothing", "a person stopped it");
        site.down(true);
        site.say("OL CHRG LB", "OL CHRG", 1);
        assert_eq!(site.demand(&[1]), "wait", "not charged");
        site.say("OL CHRG", "OB", 5);
        assert_eq!(site.demand(&[1]), "nothing", "mains are not back everywhere");
        site.say("OB LB", "OB LB", 60);
        assert_eq!(site.demand(&[1]), "look", "it is down already, if nothing booted behind it");
        site.say("OL CHRG", "OL CHRG", 1);
        site.say("OB LB", "OB LB", 60);
        assert_eq!(site.demand(&[1]), "shut down", "when mains were back, hosts may have booted by themselves");
        site.watch.stops(Some(site.now));
        assert_eq!(site.demand(&[1]), "look", "it is down again");
        site.intent.as_mut().unwrap().state = IntentState::StartupInProgress;
        assert_eq!(site.demand(&[1]), "shut down", "a second outage in the middle of a start-up");
        site.say("OL CHRG", "OL CHRG", 150);
        assert_eq!(site.demand(&[1]), "start up", "what died is gone on with");
    }

    fn told(site: &Site) -> String {
        match site.demanded(&[1]) {
            Demand::Wait { what } => what,
            Demand::StartUp { why } => why,
            other @ (Demand::Nothing | Demand::Look { .. } | Demand::ShutDown { .. } | Demand::HoldDown { .. }) => {
                panic!("{other:?}")
            }
        }
    }

    /// Hold-off and guard_wait are 120 s and 600 s.
    #[test]
    fn what_stays_silent_or_empty_holds_a_start_up_no_longer_than_its_guards_would() {
        for (b, what) in [("OL LB", "b@h is charged less than 50 %"), ("-", "nothing is heard of b@h")] {
            let mut site = Site::new();
            site.say("OB LB", "OL", 30);
            site.say("OB LB", b, 30);
            site.down(true);
            site.say("OL", b, 119);
            assert_eq!(site.demand(&[1]), "nothing", "{b}: the hold-off");
            site.say("OL", b, 1);
            assert_eq!(told(&site), format!("{what}; it is waited for 10m00s after the hold-off at most"));
            site.say("OL", b, 599);
            assert_eq!(site.demand(&[1]), "wait");
            site.say("OL", b, 2);
            assert_eq!(told(&site), format!("mains have been back for 2m00s; {what}, and was waited for"));
            let spec = site.watch.for_start(&site.cluster(&[1]));
            assert_eq!((spec.power.upses.len(), spec.minimum_charge_percent), if b == "-" { (1, 50) } else { (2, 0) });
            site.say("OB", b, 16);
            assert_eq!(site.demand(&[1]), "nothing", "mains are away again");
        }
    }

    #[test]
    fn nothing_starts_by_a_ups_that_was_given_up_alone() {
        let mut site = Site::new();
        site.say("OB LB", "OB LB", 30);
        site.down(true);
        site.say("-", "-", 5000);
        assert_eq!(site.demand(&[1]), "hold down", "nobody knows of mains");
        site.say("OL", "-", 719);
        assert_eq!(site.demand(&[1]), "wait");
        site.say("OL", "-", 2);
        assert_eq!(site.demand(&[1]), "start up");
        site.say("OL", "OB", 16);
        assert_eq!(site.demand(&[1]), "nothing", "it is heard again, and counts");
    }

    /// Its runtime is 900 s by its own word, and what it fed is given ten minutes after that.
    #[test]
    fn a_ups_that_does_not_tell_where_its_power_comes_from_is_waited_for_as_a_silent_one_is() {
        let mut site = Site::new();
        site.say("OB LB", "OB", 30);
        site.down(true);
        site.say("OL", "OFF", 1500);
        assert_eq!(site.demand(&[1]), "nothing", "it may be on battery");
        site.say("OL", "OFF", 1);
        let what = "b@h does not say where its power comes from";
        assert_eq!(told(&site), format!("{what}; it is waited for 10m00s after the hold-off at most"));
        site.say("OL", "OFF", 719);
        assert_eq!(site.demand(&[1]), "wait");
        site.say("OL", "OFF", 1);
        assert_eq!(told(&site), format!("mains have been back for 2m00s; {what}, and was waited for"));
        assert_eq!(site.watch.for_start(&site.cluster(&[1])).power.upses.len(), 1);
        site.say("OL", "OB", 16);
        assert_eq!(site.demand(&[1]), "nothing", "it says so again, and counts");
    }

    #[test]
    fn where_no_ups_is_heard_any_more_the_start_up_that_is_owed_is_a_persons() {
        let mut site = Site::new();
        site.say("OL", "OL", 30);
        site.down(true);
        site.say("-", "-", 719);
        assert_eq!(site.demand(&[1]), "nothing");
        site.say("-", "-", 1);
        let Demand::HoldDown { why, instruction } = site.demanded(&[1]) else { panic!("{:?}", site.demanded(&[1])) };
        assert_eq!(why, "for 12m00s no UPS has told whether mains are back");
        assert!(instruction.contains("`ananke startup --execute`"), "{instruction}");
        site.intent.as_mut().unwrap().state = IntentState::StartupInProgress;
        assert_eq!(site.demand(&[1]), "nothing", "it has begun");
        site.down(false);
        assert_eq!(site.demand(&[1]), "nothing", "a person stopped it");
        site.down(true);
        site.say("OL", "-", 1);
        assert_eq!(site.demand(&[1]), "nothing", "one is heard again");
    }

    #[test]
    fn a_daemon_that_is_started_again_on_battery_counts_the_outage_once() {
        let mut site = Site::new();
        site.say("OB", "OB", 30);
        site.watch = PowerWatch::with_outages(site.watch.outages().to_vec(), None);
        site.say("OB", "OB", 30);
        assert_eq!(site.watch.outages().len(), 1);
        site.say("OL", "OL", 30);
        site.watch = PowerWatch::with_outages(site.watch.outages().to_vec(), None);
        site.say("OL", "OL", 30);
        site.say("OB", "OB", 30);
        assert_eq!(site.watch.outages().len(), 2);
    }

    #[test]
    fn many_outages_hold_the_cluster_down() {
        let mut site = Site::new();
        for outage in 1..=3 {
            site.say("OB", "OB", 30);
            site.say("OL", "OL", 200);
            assert_eq!(site.watch.outages().len(), outage);
        }
        site.down(true);
        assert_eq!(site.demand(&[1]), "hold down");
        site.say("OL", "OL", 3600);
        assert_eq!(site.demand(&[1]), "start up", "the window is over");
    }

    #[test]
    fn neither_a_blip_nor_a_calibration_is_an_outage() {
        let mut site = Site::new();
        site.say("OL", "OL", 30);
        site.say("OB CAL DISCHRG", "OL CAL", 600);
        site.say("OL", "OL", 30);
        for _ in 0..20 {
            site.say("OB", "OB", 10);
            site.say("OL", "OL", 30);
        }
        assert_eq!((site.watch.outages().len(), site.demand(&[1])), (0, "nothing"));
    }

    /// Mains that come and go, and an upsd that falls silent, told second by second with the truth beside it.
    fn live_through(story: &[(bool, bool, u64)]) -> Result<(), TestCaseError> {
        const FULL: u64 = 1_200;
        let mut spec = Spec::new("titan-db", BTreeMap::new());
        let unit = UnitName::parse("k3s").unwrap();
        spec.nodes.insert(node(1), NodeSpec::new(NodeRole::Worker, unit, "h"));
        (spec.power.upses, spec.minimum_charge_percent) = (vec![UpsSpec::feeding_all("a@h".into())], 50);
        let run = RunId::parse("shutdown-1").unwrap();
        let intent = |state, at| Intent { state, run: run.clone(), at, reason: "battery".to_owned(), by_power: true, of: None };
        let (mut watch, mut now, mut left) = (PowerWatch::default(), START, FULL);
        // The outage as it is: on mains for less than the debounce does not end it.
        let (mut out_since, mut on_since, mut down) = (None, Some(now), None::<Intent>);
        for (mains, heard, seconds) in story {
            for _ in 0..*seconds {
                left = if *mains { (left + 3).min(FULL) } else { left.saturating_sub(1) };
                if *mains {
                    let since = *on_since.get_or_insert(now);
                    out_since = out_since.filter(|_| now.since(since) < spec.power.debounce);
                } else {
                    on_since = None;
                    out_since.get_or_insert(now);
                }
                let charge = u8::try_from(left * 100 / FULL).unwrap();
                let status = if *mains { "OL" } else { "OB" };
                let runtime = Some(Duration::from_secs(left));
                let reading = UpsReading { status: vec![status.into()], charge_percent: Some(charge), runtime };
                watch.take(&"a@h".into(), heard.then_some(reading), &spec.power, now);
                watch.count(&spec, RESERVE, now);
                let demand = watch.demand(&spec, RESERVE, down.as_ref(), now);
                match demand {
                    Demand::ShutDown { .. } => {
                        let lasted = out_since.map(|since| now.since(since));
                        prop_assert!(!heard || lasted >= Some(spec.power.debounce), "a blip of {lasted:?} stopped it");
                        down = Some(intent(IntentState::ShutdownComplete, now));
                        watch.stops(Some(now));
                    }
                    Demand::StartUp { .. } => {
                        prop_assert!(*heard && *mains && charge >= 50, "started with {charge} %, mains {mains}");
                        prop_assert!(on_since.is_some_and(|since| now.since(since) >= spec.power.hold_off));
                        down = None;
                    }
                    Demand::Nothing | Demand::Look { .. } | Demand::Wait { .. } | Demand::HoldDown { .. } => {
                        let over = out_since.is_some_and(|since| now.since(since) >= spec.power.debounce) && on_since.is_none();
                        // What began unheard, nobody can know of.
                        let known =
                            matches!(watch.ups("a@h").unwrap().state(&spec.power, RESERVE, now), UpsState::Battery { .. });
                        let late = over && known && left + 2 < RESERVE.as_secs();
                        prop_assert!(down.is_some() || !late, "{left} s are left, and nothing is asked");
                    }
                }
                now = now.plus(Duration::from_secs(1));
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn whatever_mains_do_nothing_stops_for_a_blip_or_starts_without_a_charge(
            story in proptest::collection::vec((any::<bool>(), proptest::bool::weighted(0.85), 1_u64..400), 1..12),
        ) {
            live_through(&story)?;
        }
    }
}
