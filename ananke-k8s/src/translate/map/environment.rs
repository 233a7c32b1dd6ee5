//! What containers are told of other parts, by their environment and their arguments: names of Services, and provisioners of
//! storage. Values are looked through while they are read, and not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ananke_core::doctor::map::service_of;
use ananke_core::name::ObjectRef;
use serde::Deserialize;

use super::super::meta::null_is_default;

/// Words of a value that may name something. Which of them do is known once the cluster's Services are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<String>")]
pub(crate) struct Mentions {
    pub(crate) services: BTreeSet<ObjectRef>,
    pub(crate) provisioners: BTreeSet<Arc<str>>,
}

/// A ConfigMap, of which only the names in it are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "null_is_default")]
    data: BTreeMap<Arc<str>, Mentions>,
}

/// What a container takes of a ConfigMap of its namespace: one key, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigRef {
    pub(crate) name: Arc<str>,
    key: Option<Arc<str>>,
}

impl From<Option<String>> for Mentions {
    fn from(value: Option<String>) -> Self {
        let text = value.unwrap_or_default();
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let words = text.split(|c| !of_name(c)).filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
        let options =
            text.split(['=', ',', ' ']).filter(|word| word.contains('.') && word.chars().all(|c| of_name(c) || c == '/'));
        Self { services: words.filter_map(service_of).collect(), provisioners: options.map(Arc::from).collect() }
    }
}

impl Mentions {
    pub(crate) fn add(&mut self, other: &Self) {
        self.services.extend(other.services.iter().cloned());
        self.provisioners.extend(other.provisioners.iter().cloned());
    }
}

impl Config {
    pub(crate) fn mentions(&self, of: &ConfigRef) -> impl Iterator<Item = &Mentions> {
        self.data.iter().filter(|(key, _)| of.key.as_ref().is_none_or(|wanted| wanted == *key)).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, services: &[&str], provisioners: &[&str]) {
        let found = Mentions::from(Some(text.to_owned()));
        let named: Vec<String> = found.services.iter().map(ToString::to_string).collect();
        assert_eq!(named, services, "{text}");
        assert_eq!(found.provisioners.iter().map(AsRef::as_ref).collect::<Vec<_>>(), provisioners, "{text}");
    }

    #[test]
    fn a_name_with_its_namespace_is_a_services_and_a_bare_word_is_nobodys() {
        check("postgres://app:hunter2@db.apps.svc.cluster.local:5432/app", &["Service apps/db"], &[]);
        check("db.apps.svc,cache.apps:6379", &["Service apps/cache", "Service apps/db"], &["db.apps.svc"]);
        check("db", &[], &[]);
        check("https://www.example.org/", &[], &[]);
        check("1.2.3", &[], &["1.2.3"]);
    }

    #[test]
    fn a_provisioner_is_called_by_an_option_or_a_variable() {
        check("--provisioner=nas.example/nfs", &["Service example/nas"], &["nas.example/nfs"]);
        check("driver.longhorn.io", &[], &["driver.longhorn.io"]);
    }
}
