//! A first config for a cluster that runs, from what its API server tells.

use std::path::Path;

use ananke_core::port::without_password;
use ananke_k8s::Machine;

use super::keys;

/// What was found of the cluster; what was not is left as the example has it.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) kubeconfig: &'a Path,
    /// Host and port of the server that it names.
    pub(crate) server: &'a str,
    pub(crate) machines: &'a [Machine],
    /// URL and branch of `flux-system`.
    pub(crate) source: Option<(String, Option<String>)>,
}

/// Every key with its default and its meaning; the names are those of the cluster.
pub(crate) fn example(found: &Found<'_>) -> String {
    let names = |server: bool| {
        let names: Vec<&str> =
            found.machines.iter().filter(|machine| machine.server == server).map(|machine| machine.name.as_str()).collect();
        format!("[{}]", names.join(", "))
    };
    let addresses =
        found.machines.iter().filter_map(|machine| Some(format!("{}: {}", machine.name, quoted(machine.address.as_deref()?))));
    let addresses = format!("{{{}}}", addresses.collect::<Vec<_>>().join(", "));
    let mut known = vec![("kubeconfig", quoted(&found.kubeconfig.display().to_string()))];
    if !found.machines.is_empty() {
        known.extend([("control_planes", names(true)), ("workers", names(false)), ("ssh_node_hosts", addresses)]);
    }
    let others: Vec<String> = servers(found.machines).filter(|address| address != found.server).collect();
    if !others.is_empty() {
        let urls: Vec<String> = others.iter().map(|address| quoted(&format!("https://{address}"))).collect();
        known.push(("api_servers", format!("[{}]", urls.join(", "))));
    }
    if let Some((url, branch)) = &found.source {
        known.push(("expected_flux_source_url", quoted(&without_password(url))));
        known.extend(branch.as_ref().map(|branch| ("expected_flux_branch", quoted(branch))));
    }
    let line = |line: &str| {
        let own = line.trim_start_matches('#');
        let set = known.iter().find(|(key, _)| own.strip_prefix(key).is_some_and(|rest| rest.starts_with(": ")));
        set.map_or_else(|| line.to_owned(), |(key, value)| format!("{key}: {value}"))
    };
    keys::reference().lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Where the API servers of machines that carry the control plane listen, unless somebody chose another port: host and port.
fn servers(machines: &[Machine]) -> impl Iterator<Item = String> {
    let addresses = machines.iter().filter(|machine| machine.server).filter_map(|machine| machine.address.as_deref());
    addresses.map(|address| if address.contains(':') { format!("[{address}]:6443") } else { format!("{address}:6443") })
}

/// Text that YAML reads as it stands: JSON's is.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use ananke_core::name::NodeName;

    use super::*;

    #[test]
    fn names_of_the_cluster_take_the_place_of_the_examples() {
        let machine = |name: &str, server, address: Option<&str>| Machine {
            name: NodeName::parse(name).unwrap(),
            server,
            address: address.map(str::to_owned),
        };
        let machines = [
            machine("a-1", true, Some("10.0.0.1")),
            machine("a-2", true, Some("fd00::2")),
            machine("b-1", false, Some("fe80::1")),
            machine("b-2", false, None),
        ];
        let source = Some(("ssh://git@git.example.org/x: y.git".to_owned(), Some("main".to_owned())));
        let text =
            example(&Found { kubeconfig: Path::new("/etc/kube config"), server: "10.0.0.1:6443", machines: &machines, source });
        for line in [
            "kubeconfig: \"/etc/kube config\"",
            "api_servers: [\"https://[fd00::2]:6443\"]",
            "control_planes: [a-1, a-2]",
            "workers: [b-1, b-2]",
            "ssh_node_hosts: {a-1: \"10.0.0.1\", a-2: \"fd00::2\", b-1: \"fe80::1\"}",
            "expected_flux_source_url: \"ssh://git@git.example.org/x: y.git\"",
            "expected_flux_branch: \"main\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let bare = example(&Found { kubeconfig: Path::new("/k"), server: "k:6443", machines: &[], source: None });
        assert_eq!(bare.lines().count(), text.lines().count());
        assert!(bare.contains("control_planes: [titan-01"), "{bare}");
    }
}
