//! Flags that somebody set on a Ceph cluster for the time of a shutdown, and that nobody has taken back.

use crate::engine::view::View;
use crate::observation::CephState;
use crate::port::clean;
use crate::verdict::{Reason, Verdict};

/// Ceph's check of flags on the whole map of OSDs; those of one host or device class have another.
const FLAGS: &str = "OSDMAP_FLAGS";
/// What keeps data from healing or from being served. Others (`noscrub`, `notieragent`, …) are a choice that harms nothing soon.
const HINDER: &[&str] =
    &["noout", "noin", "noup", "nodown", "norebalance", "norecover", "nobackfill", "pause", "pauserd", "pausewr"];
/// Checks of what is merely counted or late: all others speak of daemons that are down, or of data that is not whole.
const HARMLESS: &[&str] = &[
    FLAGS,
    "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED",
    "MON_DISK_LOW",
    "OSD_NEARFULL",
    "PG_NOT_DEEP_SCRUBBED",
    "PG_NOT_SCRUBBED",
    "POOL_APP_NOT_ENABLED",
    "POOL_NO_REDUNDANCY",
    "RECENT_CRASH",
    "RECENT_MGR_MODULE_CRASH",
    "TOO_FEW_PGS",
    "TOO_MANY_PGS",
];

/// None where nothing hinders it, or where Rook has not looked since the cluster came up.
pub(super) fn judge(view: &View<'_>, found: &CephState) -> Option<Verdict> {
    let flags = hindering(found)?;
    if found.checked.is_none_or(|at| at < view.floor()) {
        return None;
    }
    let unset = flags.iter().map(|flag| format!("`ceph osd unset {}`", if flag.starts_with("pause") { "pause" } else { flag }));
    let mut unset: Vec<String> = unset.collect();
    unset.dedup();
    let (namespace, unset) = (&found.object.namespace, unset.join(", "));
    let sick: Vec<String> = found
        .checks
        .iter()
        .filter(|(check, _)| !HARMLESS.contains(&check.as_ref()))
        .map(|(check, message)| format!("{check} ({})", clean(message, 80)))
        .collect();
    let first = match sick.as_slice() {
        [] => "Ceph says of nothing that it is down: ".to_owned(),
        some => format!("first see to what is not well, or Ceph begins to move its data: {}; then, ", some.join(", ")),
    };
    Some(Verdict::waiting(
        Reason::CephFlagsSet,
        format!("{} has the flags {}, which Ananke did not set", found.object, flags.join(", ")),
        format!(
            "{first}once `ceph status` shows every OSD up and in and every placement group active+clean, in the toolbox of \
             namespace {namespace}: {unset}"
        ),
    ))
}

/// As in `noout,norebalance flag(s) set`.
fn hindering(found: &CephState) -> Option<Vec<&str>> {
    let message = found.checks.get(FLAGS)?;
    let (flags, _) = message.split_once(" flag")?;
    let flags: Vec<&str> = flags.split(',').map(str::trim).filter(|flag| HINDER.contains(flag)).collect();
    (!flags.is_empty()).then_some(flags)
}
