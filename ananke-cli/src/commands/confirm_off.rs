//! `confirm-off`: a person saw that a machine has no power. It is the word on which pods are deleted by force, so a machine
//! that shows any life is refused.

use std::io::Write as _;
use std::time::Duration;

use ananke_core::name::{BootId, Moment, NodeName};
use ananke_core::observation::{Confirmation, HostState, NodeState};
use ananke_core::port::{Clock, ClusterReads, PortError, StateReads};
use ananke_core::proof;
use ananke_core::spec::{HostNeeds, NodeSpec, Spec};
use ananke_core::verdict::Reason;
use serde::Serialize;

use super::{fail, print};
use crate::args::{ConfirmOff, Format};
use crate::config::Overrides;
use crate::exit::Exit;
use crate::state::StateDir;
use crate::wire::{self, Adapters, Failure};

/// A kubelet renews its Lease every 10 s: one that lives is seen within this time.
const WATCH: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(args: ConfirmOff) -> Result<Exit, Failure> {
    let loaded = wire::load(&args.config.config, &Overrides::default())?;
    let format = args.output.output;
    if args.list {
        return list(&StateDir::open_read_only(&loaded.state_dir)?, format).await;
    }
    if let Some(name) = &args.clear {
        return clear(&StateDir::open(&loaded.state_dir)?, name, format);
    }
    let Some(name) = &args.node else {
        return Err(Failure::Usage("name the node, or give --list or --clear".to_owned()));
    };
    let (node, spec) = expected(&loaded.spec, name)?;
    let adapters = Adapters::new(&loaded, StateDir::open(&loaded.state_dir)?).await?;
    let reads = adapters.reads();
    let unasked = match spec.is_managed() {
        true => silence(reads.hosts.inspect(node, &spec.unit, &HostNeeds::default()).await),
        false => Ok(None),
    };
    let unasked = match unasked {
        Ok(unasked) => unasked,
        Err(life) => return Ok(refuse(node, &life)),
    };
    let seen = match watch(reads.cluster, &adapters.clock.steady(), node).await {
        Ok(seen) => seen,
        Err(life) => return Ok(refuse(node, &life)),
    };
    let confirmation = Confirmation { node: node.clone(), at: adapters.clock.now(), boot_id: seen.boot };
    adapters.state.confirm(confirmation.clone())?;
    let notes: Vec<String> = unasked.into_iter().chain(seen.note).collect();
    let noted = Noted { confirmation, note: (!notes.is_empty()).then(|| notes.join("; ")) };
    print(format, &noted, |noted| {
        let note = noted.note.as_ref().map(|note| format!("\n  {note}")).unwrap_or_default();
        format!(
            "{node} is noted as off: what ran on it counts as over, so a start-up may delete its stuck pods at once{note}\n  \
             it ends by itself when the kubelet is heard of or the node boots; `ananke confirm-off --clear {node}` takes it back"
        )
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Noted {
    #[serde(flatten)]
    confirmation: Confirmation,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

async fn list(state: &StateDir, format: Format) -> Result<Exit, Failure> {
    let confirmations = state.confirmations().await?;
    print(format, &confirmations, |confirmations| {
        if confirmations.is_empty() {
            return "no machine is noted as off".to_owned();
        }
        let one = |noted: &Confirmation| {
            let boot = noted.boot_id.as_ref().map_or("its boot was not known".to_owned(), |boot| format!("boot {boot}"));
            format!("{} is noted as off since {} ({boot})", noted.node, noted.at)
        };
        confirmations.iter().map(one).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Done)
}

fn clear(state: &StateDir, name: &str, format: Format) -> Result<Exit, Failure> {
    let node = NodeName::parse(name).map_err(|error| Failure::Usage(format!("{name:?} is no node: {error}")))?;
    let cleared = state.unconfirm(&node)?;
    print(format, &cleared, |cleared| {
        if *cleared { format!("{node} is not noted as off any longer") } else { format!("{node} was not noted as off") }
    })?;
    Ok(Exit::Done)
}

fn expected<'s>(spec: &'s Spec, name: &str) -> Result<(&'s NodeName, &'s NodeSpec), Failure> {
    let found = spec.nodes.iter().find(|(node, _)| node.as_str() == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = spec.nodes.keys().map(NodeName::as_str).collect();
        Failure::Usage(format!("the config has no node {name:?}; it has {}", known.join(", ")))
    })
}

/// Nothing is recorded: a living machine is not off.
fn refuse(node: &NodeName, life: &str) -> Exit {
    fail(
        Exit::Refused,
        &format!(
            "{node} is not off: {life}\n  go and look at the machine that is called {node}; if another one answers under its \
             name, correct ssh_node_hosts in the config, then try again"
        ),
    )
}

/// Whoever says anything at all is alive: a wrong host key, a refused login, and a port that is refused too. Where we could not
/// ask, which is told, a person's word is all there is.
fn silence(answer: Result<HostState, PortError>) -> Result<Option<String>, String> {
    match answer {
        Ok(host) => Err(format!("it answers over SSH, up for {}", ananke_core::name::human(host.uptime))),
        Err(error) if error.reason == Some(Reason::HostNotAsked) => {
            let remedy = error.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            Ok(Some(format!("over SSH it could not be asked ({error}{remedy}), so your word alone counts")))
        }
        Err(error) if proof::shows_life(&error) => Err(match error.reason {
            Some(Reason::SshRefused) => format!("a system that runs refuses at its SSH address ({error})"),
            _ => format!("something answers at its SSH address ({error})"),
        }),
        Err(_) => Ok(None),
    }
}

struct Seen {
    boot: Option<BootId>,
    note: Option<String>,
}

/// Watches the kubelet's Lease for as long as a living one may take to renew it; the error says that it lives.
async fn watch(cluster: &dyn ClusterReads, clock: &dyn Clock, node: &NodeName) -> Result<Seen, String> {
    let first = match read(cluster, node).await {
        Ok(Some(state)) => state,
        Ok(None) => {
            let note = "the API knows no such node, so no boot is noted with it";
            return Ok(Seen { boot: None, note: Some(note.to_owned()) });
        }
        Err(error) => {
            let note = format!("its kubelet could not be watched and its boot is not known: {error}");
            return Ok(Seen { boot: None, note: Some(note) });
        }
    };
    // Not a warning, and not the answer: only why nothing happens for a while.
    writeln!(std::io::stderr(), "watching the kubelet of {node} for {} s", WATCH.as_secs()).unwrap_or_default();
    let end = clock.now().plus(WATCH);
    let mut note = None;
    while clock.now() < end {
        clock.sleep_until(clock.now().plus(LOOK)).await;
        match read(cluster, node).await {
            Ok(Some(state)) if state.renewed > first.renewed => {
                let at = state.renewed.map_or_else(String::new, |at: Moment| format!(" at {at}"));
                return Err(format!("its kubelet has just renewed its Lease{at}"));
            }
            Ok(Some(state)) if state.boot_id != first.boot_id => return Err("it has just booted".to_owned()),
            Ok(_) => note = None,
            Err(error) => note = Some(format!("the API stopped answering while its kubelet was watched: {error}")),
        }
    }
    Ok(Seen { boot: first.boot_id, note })
}

async fn read(cluster: &dyn ClusterReads, node: &NodeName) -> Result<Option<NodeState>, PortError> {
    Ok(cluster.nodes().await?.iter().find(|state| state.name == *node).cloned())
}

#[cfg(test)]
mod tests {
    use ananke_core::port::ErrorKind;

    use super::*;

    fn failed(kind: ErrorKind, reason: Option<Reason>) -> Result<Option<String>, String> {
        silence(Err(PortError { reason, ..PortError::new(kind, "connect", "titan-17", "a test") }))
    }

    #[test]
    fn only_silence_is_no_life() {
        let told = |text: &str| Err(format!("{text} at its SSH address (connect on titan-17: a test)"));
        assert_eq!(failed(ErrorKind::Transient, None), Ok(None), "no answer, no route");
        let unasked = failed(ErrorKind::Transient, Some(Reason::HostNotAsked));
        assert!(
            unasked.unwrap().unwrap().ends_with("so your word alone counts"),
            "its name may be unknown because the cluster is down"
        );
        assert_eq!(failed(ErrorKind::Transient, Some(Reason::SshRefused)), told("a system that runs refuses"));
        assert_eq!(failed(ErrorKind::Transient, Some(Reason::SshBroken)), told("something answers"));
        assert_eq!(failed(ErrorKind::Untrusted, Some(Reason::HostKeyRefused)), told("something answers"));
        assert_eq!(failed(ErrorKind::Denied, None), told("something answers"));
    }
}
