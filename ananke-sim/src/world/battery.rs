//! Batteries: what they hold, what their UPS says of it, and what goes dark with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ananke_core::observation::UnitState;

use super::{Event, Ms, Power, World};

/// A full battery carries its rack this long, where nothing else is said.
const LASTS: Ms = 12 * 60_000;
/// An empty battery is full again after this long on mains.
const FILLS: Ms = 3 * 3_600_000;
/// Below this many thousandths a UPS says `LB`.
const LOW: i64 = 200;
/// A calibration runs the battery down to this many thousandths.
const CALIBRATED: i64 = 250;

#[derive(Debug, Clone)]
pub struct Ups {
    pub name: Arc<str>,
    /// Full, it carries its rack this long.
    pub lasts: Ms,
    /// Empty, it is full again after this long on mains.
    pub fills: Ms,
    /// The runtime that it names, in thousandths of what is true.
    pub claims: i64,
    /// Charge in thousandths at `since`.
    pub(crate) charge: i64,
    pub(crate) since: Ms,
    pub(crate) epoch: u32,
    quirks: BTreeSet<Quirk>,
}

/// What a UPS does beside its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quirk {
    /// Its upsd tells nothing.
    Silent,
    /// It says `LB`, whatever the charge.
    Low,
    /// Its primary has told everybody to go down: `FSD`.
    Forced,
    /// It tests itself, with mains: `OL DISCHRG`.
    Tests,
    /// It runs its battery down to measure it, with mains and what there is to run down: `OB CAL`. It ends when mains fail.
    Calibrates,
    /// Mains go through, and no battery stands behind them: `OL BYPASS`.
    Bypasses,
}

/// A host that lost its power while something of the cluster could write on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub at: Ms,
    pub host: usize,
}

impl Ups {
    pub(super) fn new(name: &str) -> Self {
        let (lasts, fills, claims, charge, since, epoch) = (LASTS, FILLS, 1000, 1000, 0, 0);
        Self { name: name.into(), lasts, fills, claims, charge, since, epoch, quirks: BTreeSet::new() }
    }

    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

impl World {
    /// Charge in thousandths.
    pub fn charge(&self, ups: &Ups) -> i64 {
        let passed = (self.now - ups.since).max(0);
        match (self.mains, ups.has(Quirk::Calibrates)) {
            (true, false) => (ups.charge + passed * 1000 / ups.fills).min(1000),
            (true, true) => (ups.charge - passed * 1000 / ups.lasts).max(ups.charge.min(CALIBRATED)),
            (false, _) => (ups.charge - passed * 1000 / ups.lasts).max(0),
        }
    }

    /// How long its charge carries its rack.
    pub fn battery_lasts(&self, ups: &Ups) -> Ms {
        self.charge(ups) * ups.lasts / 1000
    }

    /// The runtime that it names.
    pub fn claimed_runtime(&self, ups: &Ups) -> Ms {
        self.battery_lasts(ups) * ups.claims / 1000
    }

    /// `ups.status` as NUT has it.
    pub fn ups_status(&self, ups: &Ups) -> Vec<&'static str> {
        let charge = self.charge(ups);
        let mut words = if ups.has(Quirk::Forced) { vec!["FSD"] } else { Vec::new() };
        words.extend_from_slice(match (self.mains, charge) {
            (true, _) if ups.has(Quirk::Calibrates) => &["OB", "CAL", "DISCHRG"],
            (true, _) if ups.has(Quirk::Tests) => &["OL", "DISCHRG"],
            (true, _) if ups.has(Quirk::Bypasses) => &["OL", "BYPASS"],
            (true, 1000) => &["OL"],
            (true, _) => &["OL", "CHRG"],
            (false, _) => &["OB", "DISCHRG"],
        });
        if charge < LOW || ups.has(Quirk::Low) {
            words.push("LB");
        }
        words
    }

    /// Another battery stands in the place of this one, with so many thousandths of charge.
    pub fn set_battery(&mut self, ups: usize, lasts: Ms, fills: Ms, charge: i64) {
        let now = self.now;
        if let Some(row) = self.upses.get_mut(ups) {
            (row.lasts, row.fills) = (lasts.max(1), fills.max(1));
            (row.charge, row.since) = (charge.clamp(0, 1000), now);
        }
        self.recharge(self.mains);
    }

    /// A UPS begins or ends to do this.
    pub fn set_quirk(&mut self, ups: usize, quirk: Quirk, on: bool) {
        // What it has charged so far, it charged as it was.
        self.recharge(self.mains);
        if let Some(row) = self.upses.get_mut(ups) {
            let on = on && (quirk != Quirk::Calibrates || self.mains && row.charge > CALIBRATED);
            let changed = if on { row.quirks.insert(quirk) } else { row.quirks.remove(&quirk) };
            if changed {
                self.note(|world| format!("{} {quirk:?}: {on}", world.upses[ups].name));
            }
        }
    }

    /// A UPS whose runtime is this many thousandths of what is true.
    pub fn set_claims(&mut self, ups: usize, thousandths: i64) {
        if let Some(row) = self.upses.get_mut(ups) {
            row.claims = thousandths.max(0);
        }
    }

    /// Hosts that lost their power while something of the cluster could write on them, oldest first.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// Whether something of the cluster can write on this host.
    pub fn writes(&self, host: usize) -> bool {
        let row = &self.hosts[host];
        let unit = match row.unit_state {
            UnitState::Active | UnitState::Activating | UnitState::Deactivating => true,
            UnitState::Inactive | UnitState::Failed | UnitState::NotFound => false,
        };
        row.power == Power::Up && (unit || self.leftovers(host).shims > 0)
    }

    /// Takes stock, and goes on with mains or without.
    pub(super) fn recharge(&mut self, mains: bool) {
        let was = std::mem::replace(&mut self.mains, mains);
        for row in 0..self.upses.len() {
            self.mains = was;
            let charge = self.charge(&self.upses[row]);
            self.mains = mains;
            let now = self.now;
            let ups = &mut self.upses[row];
            (ups.charge, ups.since, ups.epoch) = (charge, now, ups.epoch + 1);
            if !mains {
                ups.quirks.remove(&Quirk::Calibrates);
                let left = if ups.has(Quirk::Bypasses) { 0 } else { charge * ups.lasts / 1000 };
                let epoch = ups.epoch;
                self.after(left, Event::BatteryEmpty(row, epoch));
            }
        }
    }

    pub(super) fn battery_empty(&mut self, ups: usize, epoch: u32) {
        if self.upses[ups].epoch != epoch {
            return;
        }
        self.note(|world| format!("battery of {} empty", world.upses[ups].name));
        for host in 0..self.hosts.len() {
            if self.hosts[host].ups == ups {
                if self.writes(host) {
                    self.cuts.push(Cut { at: self.now, host });
                }
                self.host_down(host);
            }
        }
    }
}
