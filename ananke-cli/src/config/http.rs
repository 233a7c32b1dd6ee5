//! What is asked over HTTP: ingress hosts, the service checklist, Vault; what their answers must be, and how they are reached.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ananke_core::spec::{IngressSpec, ProbeMethod, ServiceCheck, VaultSpec};
use figment::value::{Dict, Value};

use super::build::Paths;
use super::error::quoted;
use super::files;
use super::keys::PROBE_KEYS;
use super::layers::child;
use super::reader::{Found, Reader};
use super::text::{self, HostPort};

/// How something is reached over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Stands in for name resolution, port included.
    pub at: Option<HostPort>,
    /// Certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// What only the HTTP adapters need to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Http {
    /// Ingress hosts, and service checks that say nothing else.
    pub usual: Reach,
    /// Service checks that are reached in another way, by name.
    pub own: BTreeMap<Arc<str>, Reach>,
    pub vault: Option<VaultSettings>,
}

/// Vault, and what unseals it: where the keys are, never what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSettings {
    /// Without a slash at its end.
    pub address: String,
    pub ca_file: Option<PathBuf>,
    pub at: Option<HostPort>,
    pub key_file: Option<PathBuf>,
    /// Program and arguments; empty: there is none.
    pub breakglass: Vec<String>,
}

const HOST_NAME: &str = "a host name, such as git.example.org";
const HOST_PORT: &str = "host:port";
const URL: &str = "an http:// or https:// URL without credentials";
const ENTRY: &str = "an entry with url and what its answer must be";
const TEXT: &str = "a text of 1 to 200 characters";
const REDIRECTS: &[u16] = &[301, 302, 303, 307, 308];

/// What is read here.
pub(crate) struct Checks {
    pub(crate) ingress: IngressSpec,
    pub(crate) services: Vec<ServiceCheck>,
    pub(crate) vault: Option<VaultSpec>,
    pub(crate) http: Http,
}

pub(crate) fn read(reader: &mut Reader<'_>, paths: &Paths<'_>, warnings: &mut Vec<String>) -> Checks {
    let usual = Reach {
        at: reader.key("ingress.address", HOST_PORT, text::host_port),
        ca_file: ca_file(reader, paths, "ingress.ca_file"),
    };
    let ingress = ingress(reader);
    let (services, own) = services(reader, paths, &ingress.accepted_statuses, &usual, warnings);
    let (vault, settings) = vault(reader, paths, &usual, warnings).unzip();
    Checks { ingress, services, vault, http: Http { usual, own, vault: settings } }
}

fn ingress(reader: &mut Reader<'_>) -> IngressSpec {
    let accepted = reader.get("ingress.accepted_statuses");
    let scheme = |text: &str| ["http", "https"].contains(&text).then(|| Arc::from(text));
    let mut accepted_by_host = BTreeMap::new();
    for (name, found) in reader.map("ingress.accepted_by_host", "host names, each with a list of statuses") {
        let statuses = reader.statuses(&found);
        match text::ingress_host(name) {
            Some(name) => drop(accepted_by_host.insert(Arc::from(name), statuses)),
            None => reader.problem_with_key(&found, format!("not a host name; allowed: {HOST_NAME}")),
        }
    }
    // What is asked must be a name; a wildcard is none.
    let one = |text: &str| text::ingress_host(text).filter(|host| !host.starts_with('*')).map(Arc::from);
    IngressSpec {
        include: reader.list("ingress.include", HOST_NAME, one),
        exclude: reader.list("ingress.exclude", HOST_NAME, |text| text::ingress_host(text).map(Arc::from)),
        accepted_statuses: accepted.map(|found| reader.statuses(&found)).unwrap_or_default(),
        accepted_by_host,
        scheme: reader.key("ingress.scheme", "http or https", scheme),
    }
}

/// The service checklist, empty where the probes are not required; and the checks that are reached in a way of their own.
fn services(
    reader: &mut Reader<'_>,
    paths: &Paths<'_>,
    statuses: &[u16],
    usual: &Reach,
    warnings: &mut Vec<String>,
) -> (Vec<ServiceCheck>, BTreeMap<Arc<str>, Reach>) {
    let required = reader.flag("startup.require_post_start_probes").unwrap_or(true);
    let mut names = BTreeSet::new();
    let (mut checks, mut own) = (Vec::new(), BTreeMap::new());
    for found in reader.items("startup.post_start_probes", &format!("a list of URLs, or of: {ENTRY}")) {
        let Some((check, reach)) = service(reader, paths, &found, statuses, usual) else { continue };
        if !names.insert(check.name.clone()) {
            reader.problem(&found, format!("a second probe named {}; allowed: each name once", quoted(&check.name)));
            continue;
        }
        if reach != *usual {
            own.insert(check.name.as_str().into(), reach);
        }
        checks.push(check);
    }
    if !required && !checks.is_empty() {
        warnings
            .push(format!("{} post-start probes are configured, but startup.require_post_start_probes is false", checks.len()));
        checks.clear();
    }
    (checks, own)
}

fn service<'a>(
    reader: &mut Reader<'a>,
    paths: &Paths<'_>,
    found: &Found<'a>,
    usual: &[u16],
    reach: &Reach,
) -> Option<(ServiceCheck, Reach)> {
    let Value::Dict(_, dict) = found.value else {
        let url = reader.parsed(found, &format!("{URL}, or {ENTRY}"), text::probe_url)?;
        return Some((named(url.clone(), url, usual), reach.clone()));
    };
    reader.only(dict, &found.path, PROBE_KEYS);
    let entry = Entry { dict, path: &found.path };
    let name_of = |text: &str| (!text.trim().is_empty() && text.len() <= 100 && printable(text)).then(|| text.to_owned());
    let name = entry.key(reader, "name", "a name of 1 to 100 characters", name_of);
    let redirect = entry.key(reader, "redirect", "a URL or a path, or how it begins, without query", redirect);
    let statuses = match (entry.part("accepted_statuses"), &redirect) {
        (Some(found), _) => reader.statuses(&found),
        (None, Some(_)) => REDIRECTS.to_vec(),
        (None, None) => usual.to_vec(),
    };
    let method = |text: &str| [ProbeMethod::Get, ProbeMethod::Head].into_iter().find(|method| method.to_string() == text);
    let method = entry.key(reader, "method", "GET or HEAD", method).unwrap_or_default();
    let headers = headers(reader, &entry);
    let body = body(reader, &entry);
    if let (ProbeMethod::Head, Some(found)) = (method, entry.part("body")) {
        reader.problem(&found, "an answer to HEAD has no body; allowed: method GET, or no body");
    }
    let at = entry.key(reader, "resolve", HOST_PORT, text::host_port).or_else(|| reach.at.clone());
    let ca = entry.part("ca_file").map(|found| trusted_ca(reader, paths, &found));
    let reach = Reach { at, ca_file: ca.unwrap_or_else(|| reach.ca_file.clone()) };
    let Some(url) = entry.part("url") else {
        reader.problem(found, format!("url is missing; needed: {URL}"));
        return None;
    };
    let url = reader.parsed(&url, URL, text::probe_url)?;
    let plain = named(name.unwrap_or_else(|| url.clone()), url, &statuses);
    Some((ServiceCheck { method, redirect, headers, body, ..plain }, reach))
}

fn named(name: String, url: String, statuses: &[u16]) -> ServiceCheck {
    ServiceCheck {
        name,
        url: url.into(),
        method: ProbeMethod::Get,
        accepted_statuses: statuses.to_vec(),
        redirect: None,
        headers: BTreeMap::new(),
        body: Vec::new(),
    }
}

/// One entry of a list, with keys of its own.
struct Entry<'e, 'a> {
    dict: &'a Dict,
    path: &'e str,
}

impl<'a> Entry<'_, 'a> {
    fn part(&self, name: &str) -> Option<Found<'a>> {
        self.dict.get(name).map(|value| Found { path: child(self.path, name), value })
    }

    fn key<T>(&self, reader: &mut Reader<'a>, name: &str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = self.part(name)?;
        reader.parsed(&found, allowed, parse)
    }
}

/// Names without regard to case, each with what its value must contain.
fn headers<'a>(reader: &mut Reader<'a>, entry: &Entry<'_, 'a>) -> BTreeMap<Arc<str>, String> {
    const ALLOWED: &str = "header names, each with a text that its value must contain";
    let Some(found) = entry.part("headers") else { return BTreeMap::new() };
    // A name without a value counts as left out: what is left then would look for nothing.
    let Some(dict) = found.value.as_dict() else {
        reader.wrong(&found, ALLOWED);
        return BTreeMap::new();
    };
    if dict.is_empty() {
        reader.problem(&found, format!("found no header with a value; allowed: {ALLOWED}"));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in dict {
        let one = Found { path: child(&found.path, name), value };
        let wanted = reader.parsed(&one, &format!("{TEXT}, or \"\" if it must only be there"), |text| {
            if text.is_empty() { Some(String::new()) } else { wanted_text(text) }
        });
        match http::HeaderName::from_bytes(name.as_bytes()) {
            Ok(lower) if headers.contains_key(lower.as_str()) => {
                reader.problem_with_key(&one, "the header stands twice, in other letters");
            }
            Ok(lower) => drop(headers.insert(Arc::from(lower.as_str()), wanted.unwrap_or_default())),
            Err(_) => reader.problem_with_key(&one, "not the name of a header; allowed: one such as www-authenticate"),
        }
    }
    headers
}

/// One text, or several.
fn body<'a>(reader: &mut Reader<'a>, entry: &Entry<'_, 'a>) -> Vec<String> {
    let Some(found) = entry.part("body") else { return Vec::new() };
    let texts = match found.value {
        Value::Array(..) => reader.items_of(&found, TEXT),
        Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) | Value::Dict(..) => {
            vec![found]
        }
    };
    texts.iter().filter_map(|found| reader.parsed(found, &format!("{TEXT}, or a list of such"), wanted_text)).collect()
}

/// Vault and what unseals it, where an address is given.
fn vault(
    reader: &mut Reader<'_>,
    paths: &Paths<'_>,
    usual: &Reach,
    warnings: &mut Vec<String>,
) -> Option<(VaultSpec, VaultSettings)> {
    const ADDRESS: &str = "the http:// or https:// address of Vault, without credentials and query";
    let base = |text: &str| text::probe_url(text).filter(|url| !url.contains(['?', '#']));
    let address = reader.key("startup.vault_address", ADDRESS, base);
    let ca_file = ca_file(reader, paths, "startup.vault_ca_file");
    let key_file = reader.get("startup.vault_unseal_key_file").and_then(|found| {
        let path = paths.read(reader, &found)?;
        match files::private(&path) {
            Ok(()) => {}
            // It may lie on a stick that is not plugged in, and most of a recovery needs no Vault.
            Err(text) if !path.exists() => warnings.push(format!("startup.vault_unseal_key_file: {text}")),
            Err(text) => reader.problem(&found, text),
        }
        Some(path)
    });
    let breakglass = breakglass(reader);
    if reader.get("startup.vault_address").is_none() {
        for key in ["startup.vault_ca_file", "startup.vault_unseal_key_file", "startup.vault_unseal_breakglass_command"] {
            if reader.get(key).is_some() {
                reader.problem_at(key, "startup.vault_address is missing; needed: the address of the Vault that this is for");
            }
        }
    }
    let address = address?.trim_end_matches('/').to_owned();
    // A name without a port of its own is one of the ingress hosts.
    let has_port = address.parse::<http::Uri>().is_ok_and(|uri| uri.port().is_some());
    let at = usual.at.clone().filter(|_| !has_port);
    let can_unseal = key_file.is_some() || !breakglass.is_empty();
    let spec = VaultSpec { address: address.as_str().into(), can_unseal };
    let ca_file = ca_file.or_else(|| usual.ca_file.clone());
    Some((spec, VaultSettings { address, ca_file, at, key_file, breakglass }))
}

fn breakglass(reader: &mut Reader<'_>) -> Vec<String> {
    let found = reader.get("startup.vault_unseal_breakglass_command");
    found.map(|found| program(reader, &found, None)).unwrap_or_default()
}

/// Program and arguments. What runs without a person must be where nobody else can put something in its place; that it is
/// not there at all is only a warning, where there is somebody to take it.
pub(crate) fn program<'a>(reader: &mut Reader<'a>, found: &Found<'a>, warnings: Option<&mut Vec<String>>) -> Vec<String> {
    let items = reader.items_of(found, "a list of a program with its whole path, and its arguments");
    let plain = |text: &str| (!text.contains('\0')).then(|| text.to_owned());
    let words: Vec<String> = items.iter().filter_map(|found| reader.parsed(found, "a text without zero bytes", plain)).collect();
    if let (Some(found), Some(program)) = (items.first(), words.first()) {
        if !program.starts_with('/') {
            reader.wrong(found, "the whole path of a program, such as /usr/local/sbin/vault-keys");
        } else if let Err(text) = files::program(program.as_ref()) {
            match warnings {
                Some(warnings) if !Path::new(program).exists() => warnings.push(format!("{}: {text}", found.path)),
                Some(_) | None => reader.problem(found, text),
            }
        }
    }
    words
}

fn ca_file(reader: &mut Reader<'_>, paths: &Paths<'_>, key: &str) -> Option<PathBuf> {
    let found = reader.get(key)?;
    trusted_ca(reader, paths, &found)
}

/// A file of certificates that others cannot exchange.
pub(crate) fn trusted_ca<'a>(reader: &mut Reader<'a>, paths: &Paths<'_>, found: &Found<'a>) -> Option<PathBuf> {
    let path = paths.read(reader, found)?;
    let usable = files::trusted(&path)
        .and_then(|()| crate::web::roots(&path).map(drop).map_err(|text| format!("{}: {text}", path.display())));
    if let Err(text) = usable {
        reader.problem(found, format!("{text}; allowed: a PEM file with the certificate of the CA"));
    }
    Some(path)
}

fn printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn wanted_text(text: &str) -> Option<String> {
    (!text.is_empty() && text.chars().count() <= 200 && printable(text)).then(|| text.to_owned())
}

/// How a `Location` begins: its query is not kept, so nothing can be expected of it.
fn redirect(text: &str) -> Option<String> {
    let begins_well = text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://");
    let fine = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(['?', '#', '@']);
    (begins_well && fine && text.len() <= 500).then(|| text.to_owned())
}
