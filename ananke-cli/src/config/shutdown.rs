//! How a shutdown goes: the group `shutdown`, and the flags that outrank it.

use ananke_core::spec::{ShutdownMode, ShutdownSpec};

use super::Overrides;
use super::reader::Reader;

pub(crate) struct Shutdown {
    pub(crate) spec: ShutdownSpec,
    /// The host that Ananke runs on goes off too, last of all.
    pub(crate) poweroff_this_host: bool,
}

pub(crate) fn read(reader: &mut Reader<'_>, overrides: &Overrides) -> Shutdown {
    let concurrency = reader.number("shutdown.concurrency", 1..=1000).and_then(|number| usize::try_from(number).ok());
    let snapshot = reader.flag("shutdown.etcd_snapshot").unwrap_or(true);
    Shutdown {
        spec: ShutdownSpec {
            mode: if overrides.poweroff { ShutdownMode::Poweroff } else { ShutdownMode::ClusterOnly },
            etcd_snapshot: snapshot && !overrides.skip_etcd_snapshot,
            within: overrides.within,
            concurrency: concurrency.unwrap_or(1),
        },
        poweroff_this_host: reader.flag("shutdown.poweroff_this_host").unwrap_or_default(),
    }
}
