//! Names and moments. Different things have different types, so that a node is never taken for a pod.
//!
//! Text is kept in `Arc<str>`: observations are cloned often, and names make up most of them.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A name that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not valid: {allowed}")]
pub struct InvalidName {
    what: &'static str,
    found: String,
    allowed: &'static str,
}

/// Texts that many facts have in common, each kept once: a large cluster names its nodes and namespaces in every pod.
#[derive(Debug, Default)]
pub struct Texts {
    known: BTreeSet<Arc<str>>,
    /// How many were left when those that nobody holds any more were last let go.
    left: usize,
}

impl Texts {
    /// Puts the copy that was seen first in the place of `text`.
    pub fn share(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.known.get(text) {
            text.clone_from(known);
            return;
        }
        if self.known.len() >= self.left.saturating_mul(2).max(1024) {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            self.left = self.known.len();
        }
        self.known.insert(Arc::clone(text));
    }
}

/// By the text; most that are the same are one copy, which need not be read.
fn compare(one: &Arc<str>, other: &Arc<str>) -> Ordering {
    if Arc::ptr_eq(one, other) { Ordering::Equal } else { one.cmp(other) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $allowed:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                compare(&self.0, &other.0)
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $type {
            /// Checks the text and takes it.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { what: $what, found: text.chars().take(80).collect(), allowed: $allowed })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Takes the same text from `texts`.
            pub fn share(&mut self, texts: &mut Texts) {
                texts.share(&mut self.0);
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic())
}

name!(
    /// A Kubernetes node name (RFC 1123 subdomain); it is also the name under which the config knows the host.
    NodeName, "node name", "lower case letters, digits, '-' and '.', at most 253", is_dns_subdomain
);
name!(
    /// A systemd unit name without its suffix or with it: `k3s`, `k3s-agent.service`.
    UnitName, "unit name", "letters, digits, '-', '_', '.', '@' and ':', at most 255, not starting with '-'",
    |text| !text.is_empty() && text.len() <= 255 && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.@:".contains(&b))
);
name!(
    /// The kernel's boot ID (`/proc/sys/kernel/random/boot_id`): another one means that the host was off.
    BootId, "boot ID", "printable, 1 to 128 characters", is_token
);
name!(
    /// A Kubernetes object UID.
    Uid, "UID", "printable, 1 to 128 characters", is_token
);
name!(
    /// The version of an object that a decision was made on; whoever is late gets a conflict.
    ResourceVersion, "resourceVersion", "printable, 1 to 128 characters", is_token
);
name!(
    /// One start-up or shutdown, e.g. `startup-20260314T020611Z`.
    RunId, "run ID", "lower case letters, digits, '-' and '.', at most 253", |text| !text.is_empty() && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
);
name!(
    /// A snapshot of etcd: `ananke-shutdown-20260314T020611123`.
    SnapshotName, "snapshot name", "letters, digits, '-' and '.', 1 to 128, not starting with '-'", |text| !text.is_empty()
        && text.len() <= 128 && !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
);
name!(
    /// A file with images, in the directory of archives: `harbor-core.tar`.
    ArchiveName, "archive name", "letters, digits, '-', '_' and '.', 1 to 128, not starting with '-' or '.'",
    |text| !text.is_empty() && text.len() <= 128 && !text.starts_with(['-', '.'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
);
name!(
    /// One cordon lease; it is also the value of the taint, so it is a valid label value.
    LeaseId, "lease ID", "letters, digits and '-', 1 to 63", |text| !text.is_empty() && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
);

name!(
    /// An absolute path on a host, without anything that a shell or a mount table would read differently.
    HostPath, "path", "absolute, of letters, digits, '/', '-', '_', '.' and ',', without '..', at most 255", is_host_path
);
name!(
    /// A package of a distribution, as Debian spells names.
    PackageName, "package", "lower case letters, digits, '+', '-' and '.', 2 to 100, starting with a letter or digit",
    |text| (2..=100).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
);

name!(
    /// The hardware address of a network card, as `ip link` prints it.
    MacAddress, "MAC address", "six pairs of lower case hex digits with colons between them, as in 52:54:00:12:34:56",
    |text| {
        let pairs: Vec<&str> = text.split(':').collect();
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2 && pair.bytes().all(hex))
    }
);

fn is_host_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.,".contains(&b))
        && text.split('/').all(|part| part != "..")
}

impl MacAddress {
    pub fn octets(&self) -> [u8; 6] {
        let mut octets = [0; 6];
        // Every pair was checked to be one.
        octets.iter_mut().zip(self.0.split(':')).for_each(|(octet, pair)| *octet = u8::from_str_radix(pair, 16).unwrap_or(0));
        octets
    }
}

impl RunId {
    /// `command-stamp`, of which everything else than letters and digits is left out.
    pub(crate) fn of(command: &str, stamp: &str) -> Self {
        let clean = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).take(40).collect::<String>();
        Self(format!("{}-{}", clean(command), clean(stamp)).into())
    }

    /// Whether it is a run of that command.
    pub fn is_of(&self, command: &str) -> bool {
        self.0.split_once('-').is_some_and(|(of, _)| of == command)
    }
}

/// The kinds of objects that Ananke speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    Node,
    Namespace,
    Pod,
    Deployment,
    StatefulSet,
    DaemonSet,
    Ingress,
    GitRepository,
    Kustomization,
    OCIRepository,
    Bucket,
    HelmRelease,
    Job,
    Service,
    PersistentVolumeClaim,
    VolumeAttachment,
    ConfigMap,
    ServiceAccount,
    CephCluster,
    CronJob,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An object of the cluster. Cluster-scoped objects have an empty namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "str_is_empty")]
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

fn str_is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

impl Ord for ObjectRef {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_namespace = || compare(&self.namespace, &other.namespace);
        self.kind.cmp(&other.kind).then_with(by_namespace).then_with(|| compare(&self.name, &other.name))
    }
}

impl PartialOrd for ObjectRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ObjectRef {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// Takes the same texts from `texts`.
    pub fn share(&mut self, texts: &mut Texts) {
        texts.share(&mut self.namespace);
        texts.share(&mut self.name);
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)?;
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            f.write_str(&self.namespace)?;
            f.write_str("/")?;
        }
        f.write_str(&self.name)
    }
}

/// What a verdict, a blocker or an instruction is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    Cluster,
    Ananke,
    Node(NodeName),
    Object(ObjectRef),
    Ups(Arc<str>),
    Url(Arc<str>),
    Peer(Arc<str>),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Ananke => f.write_str("ananke"),
            Self::Node(node) => write!(f, "{node}"),
            Self::Object(object) => write!(f, "{object}"),
            Self::Ups(name) => write!(f, "UPS {name}"),
            Self::Url(url) => f.write_str(url),
            Self::Peer(name) => write!(f, "peer {name}"),
        }
    }
}

/// A point in wall time, in milliseconds since the Unix epoch. It is always given, never asked of a clock here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

impl Moment {
    /// Its day in UTC, as `2026-03-14`.
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// RFC 3339, as Kubernetes writes `metav1.Time` and `metav1.MicroTime`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        text.parse::<jiff::Timestamp>().map(|stamp| Self(stamp.as_millisecond())).map_err(|_| InvalidName {
            what: "time",
            found: text.chars().take(80).collect(),
            allowed: "RFC 3339",
        })
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Moment {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        moment.to_string()
    }
}

/// A span as an operator reads it: `0s`, `45s`, `6m12s`, `1h03m`.
pub fn human(span: Duration) -> String {
    let secs = span.as_secs();
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_is_a_dns_subdomain() {
        for good in ["titan-01", "titan-db", "a.b", "0"] {
            assert!(NodeName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Titan", "-a", "a-", "a b", "a;reboot", "a..b", "a/b", "$(id)"] {
            assert!(NodeName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_unit_name_is_never_shell_or_an_option() {
        assert!(UnitName::parse("k3s-agent.service").is_ok());
        for bad in ["", "--now", "a b", "a;b", "a$b", "a`b", "a/b", "a\nb"] {
            assert!(UnitName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_is_kept_once_and_not_longer_than_somebody_holds_it() {
        let mut texts = Texts::default();
        let (mut one, mut two): (Arc<str>, Arc<str>) = ("titan-01".into(), "titan-01".into());
        texts.share(&mut one);
        texts.share(&mut two);
        assert!(Arc::ptr_eq(&one, &two));
        for n in 0..5000 {
            texts.share(&mut format!("pod-{n}").into());
        }
        assert!(texts.known.len() <= 1025 && texts.known.contains("titan-01"), "{}", texts.known.len());
    }

    #[test]
    fn moments_are_rfc_3339_and_never_wrap() {
        let t = Moment::parse("2026-03-14T02:06:11Z").unwrap();
        assert_eq!(t.to_string(), "2026-03-14T02:06:11.000Z");
        assert_eq!(Moment::parse("2026-03-14T02:06:11.250000Z").unwrap().since(t), Duration::from_millis(250));
        assert_eq!(t.since(t.plus(Duration::from_secs(1))), Duration::ZERO);
        assert_eq!(Moment::from_millis(i64::MAX).plus(Duration::MAX).as_millis(), i64::MAX);
    }

    #[test]
    fn spans_read_well() {
        let text: Vec<_> = [0, 45, 372, 3780].map(|s| human(Duration::from_secs(s))).into();
        assert_eq!(text, ["0s", "45s", "6m12s", "1h03m"]);
    }
}
