//! From a kubeconfig to a client: credentials, TLS and deadlines. Certificates are always verified.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ananke_core::name::Texts;
use ananke_core::port::{ErrorKind, PortError};
use http::header::{HeaderValue, USER_AGENT};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::flux_api::FluxApi;
use crate::servers::{Server, Servers};
use crate::written::Written;

const AGENT: &str = concat!("ananke/", env!("CARGO_PKG_VERSION"));

/// How long the API may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// One request that reads, from the connection to the last byte of the answer.
    pub call: Duration,
    /// One that writes, in earnest or as a dry run: admission webhooks are asked before it is answered.
    pub write: Duration,
    /// All pages of one list.
    pub list: Duration,
    /// One watch, after which it is asked for anew: what hangs without a sign is believed for so long, and no longer.
    pub watch: Duration,
}

impl Default for Deadlines {
    /// Ten seconds are twice what a server with a slow SD card takes. A webhook may have 30 before the server says itself which
    /// one is silent, and the engine waits for a minute. 10,000 nodes and their pods come in well under a minute;
    /// a watch of half a minute is asked for as seldom as a list on every fifteenth poll.
    fn default() -> Self {
        Self {
            call: Duration::from_secs(10),
            write: Duration::from_secs(35),
            list: Duration::from_secs(60),
            watch: Duration::from_secs(30),
        }
    }
}

/// The ports [`ClusterReads`](ananke_core::port::ClusterReads) and [`ClusterActions`](ananke_core::port::ClusterActions) on a
/// real API server.
#[derive(Clone)]
pub struct KubeCluster {
    pub(crate) servers: Arc<Servers>,
    /// Whoever looks at one of them asks no other.
    pub(crate) only: Option<Arc<Server>>,
    pub(crate) deadlines: Deadlines,
    /// A connection is given up after one answer.
    pub(crate) apart: bool,
    /// What discovery said of Flux, once it said yes.
    pub(crate) flux_api: Arc<Mutex<Option<FluxApi>>>,
    pub(crate) written: Arc<Written>,
    /// What the facts have in common.
    pub(crate) texts: Arc<Mutex<Texts>>,
}

impl std::fmt::Debug for KubeCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeCluster").field("server", &self.server()).field("deadlines", &self.deadlines).finish_non_exhaustive()
    }
}

impl KubeCluster {
    /// Reads the kubeconfig and its current context. Nothing is sent yet, so it works while the cluster is down.
    ///
    /// # Errors
    /// `Invalid` for a file that cannot be read, makes no sense, or asks for a proxy or for a program; `Untrusted` for one that
    /// turns verification off.
    pub async fn from_kubeconfig(path: &Path, deadlines: Deadlines) -> Result<Self, PortError> {
        Self::of_servers(path, &[], deadlines).await
    }

    /// The same with the `https` addresses of other servers of that cluster, which are asked where that of the kubeconfig is not
    /// well. Each must have a certificate of the same CA, for its own address or for the kubeconfig's `tls-server-name`.
    ///
    /// # Errors
    /// As above, and `Invalid` for an address that is none.
    pub async fn of_servers(path: &Path, others: &[String], deadlines: Deadlines) -> Result<Self, PortError> {
        let file = Kubeconfig::read_from(path).map_err(|error| unread(path, &error))?;
        check_proxy(&file, path)?;
        let config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(|error| refused(path, &error))?;
        Self::from_config(config, path, others, deadlines)
    }

    fn from_config(config: Config, path: &Path, others: &[String], deadlines: Deadlines) -> Result<Self, PortError> {
        check_credentials(&config, path)?;
        let other = |address: &String| {
            let mut config = config.clone();
            config.cluster_url = address.parse().map_err(|error: http::uri::InvalidUri| refused(path, &error))?;
            server(config, path)
        };
        let others: Vec<Server> = others.iter().map(other).collect::<Result<_, PortError>>()?;
        Ok(Self::with(Servers::new(server(config, path)?, others), deadlines))
    }

    fn with(servers: Servers, deadlines: Deadlines) -> Self {
        Self {
            servers: Arc::new(servers),
            only: None,
            deadlines,
            apart: false,
            flux_api: Arc::default(),
            written: Arc::default(),
            texts: Arc::default(),
        }
    }

    /// The same server, asked so that no connection outlives its answer. A replica that is sick behind a balancer answers with
    /// errors and keeps the connection, so that whoever asks again over it would meet the same one, for ever.
    pub(crate) fn apart(&self) -> Self {
        Self { apart: true, ..self.clone() }
    }

    /// For messages: which API server.
    pub fn server(&self) -> Arc<str> {
        Arc::clone(&self.asked().name)
    }
}

/// A client of one server.
fn server(mut config: Config, path: &Path) -> Result<Server, PortError> {
    check_trust(&config, path)?;
    // That of the environment, where it is for other things: the API server is reached directly.
    config.proxy_url = None;
    // Every call has its own deadline, and says so.
    config.connect_timeout = None;
    // A repetition here would hide from the engine what it judges by.
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    let name = config.cluster_url.authority().map_or_else(|| config.cluster_url.to_string(), ToString::to_string);
    let client = Client::try_from(config).map_err(|error| refused(path, &error))?;
    Ok(Server { client, name: name.into() })
}

fn check_trust(config: &Config, path: &Path) -> Result<(), PortError> {
    if config.accept_invalid_certs {
        return Err(PortError::new(ErrorKind::Untrusted, "read kubeconfig", path.display(), "insecure-skip-tls-verify is set")
            .with_remedy("remove insecure-skip-tls-verify and give the cluster's CA as certificate-authority-data: ananke always verifies TLS"));
    }
    if config.cluster_url.scheme_str() != Some("https") {
        return Err(PortError::new(
            ErrorKind::Untrusted,
            "read kubeconfig",
            path.display(),
            format!("the server {} is not https", config.cluster_url),
        )
        .with_remedy("give the https address of the API server: ananke sends no credentials in clear text"));
    }
    Ok(())
}

/// Such a program has no deadline, and may ask what runs in the cluster.
fn check_credentials(config: &Config, path: &Path) -> Result<(), PortError> {
    let key = match (&config.auth_info.exec, &config.auth_info.auth_provider) {
        (Some(_), _) => "exec",
        (None, Some(_)) => "auth-provider",
        (None, None) => return Ok(()),
    };
    let found = format!("its user has {key}: credentials that a program or a service gives out");
    Err(PortError::new(ErrorKind::Invalid, "read kubeconfig", path.display(), found)
        .with_remedy(format!("remove {key} and give it the token of a ServiceAccount, as that of deploy/rbac.yaml")))
}

/// A proxy is one more thing that must be up first, and none is spoken to.
fn check_proxy(file: &Kubeconfig, path: &Path) -> Result<(), PortError> {
    let context = file.contexts.iter().find(|context| Some(&context.name) == file.current_context.as_ref());
    let name = context.and_then(|context| context.context.as_ref()).map(|context| context.cluster.as_str());
    let cluster = file.clusters.iter().find(|cluster| Some(cluster.name.as_str()) == name);
    let proxy = cluster.and_then(|cluster| cluster.cluster.as_ref()?.proxy_url.as_deref()).filter(|url| !url.is_empty());
    let Some(proxy) = proxy else { return Ok(()) };
    // What stands before it may be a password.
    let shown = proxy.rsplit(['@', '/']).find(|part| !part.is_empty()).unwrap_or("it");
    let found = format!("proxy-url is set, to {shown}");
    Err(PortError::new(ErrorKind::Invalid, "read kubeconfig", path.display(), found)
        .with_remedy("remove proxy-url and give an address of the API server that this host reaches without a proxy"))
}

/// What makes no sense of the YAML quotes the lines around it, which have tokens: only its place is told.
fn unread(path: &Path, error: &KubeconfigError) -> PortError {
    let KubeconfigError::Parse(wrong) = error else { return refused(path, error) };
    let place = wrong.location().map_or_else(String::new, |at| format!(" at line {}, column {}", at.line(), at.column()));
    PortError::new(ErrorKind::Invalid, "read kubeconfig", path.display(), format!("it is not what a kubeconfig is{place}"))
        .with_remedy("look there for indentation, a colon without a space after it, or a key that stands there twice")
}

/// Messages of the loader name keys and files, never their secrets.
fn refused(path: &Path, error: &(dyn std::error::Error + 'static)) -> PortError {
    PortError::new(ErrorKind::Invalid, "read kubeconfig", path.display(), crate::error::deepest(error))
        .with_remedy("give a kubeconfig with a current-context, whose cluster has a server and whose user has credentials")
}

#[cfg(test)]
impl KubeCluster {
    /// Over plain HTTP: for scripted servers in tests of this crate only.
    pub(crate) fn plain(address: std::net::SocketAddr, others: &[std::net::SocketAddr], call: Duration) -> Self {
        let server = |address: &std::net::SocketAddr| {
            let mut config = Config::new(format!("http://{address}").parse().unwrap());
            config.default_retry = false;
            config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
            Server { client: Client::try_from(config).unwrap(), name: address.to_string().into() }
        };
        let deadlines = Deadlines { call, write: call * 2, list: call * 4, watch: call * 4 };
        Self::with(Servers::new(server(&address), others.iter().map(server).collect()), deadlines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(server: &str, cluster_extra: &str) -> Result<KubeCluster, PortError> {
        check_user("{token: t}", server, cluster_extra).await
    }

    async fn check_user(user: &str, server: &str, cluster_extra: &str) -> Result<KubeCluster, PortError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: a, user: u}}}}]\n\
             users: [{{name: u, user: {user}}}]\nclusters:\n- name: a\n  cluster:\n    server: {server}\n{cluster_extra}"
        );
        std::fs::write(&path, text).unwrap();
        KubeCluster::from_kubeconfig(&path, Deadlines::default()).await
    }

    #[tokio::test]
    async fn a_kubeconfig_gives_a_client_without_a_word_on_the_wire() {
        let cluster = check("https://127.0.0.1:1", "").await.unwrap();
        assert_eq!(&*cluster.server(), "127.0.0.1:1");
    }

    #[tokio::test]
    async fn what_is_no_yaml_is_told_without_the_lines_around_it() {
        for user in ["{token: swordfish, token: swordfish}", "{token:swordfish", "[swordfish]"] {
            let error = check_user(user, "https://127.0.0.1:1", "").await.unwrap_err();
            let told = format!("{error:?}");
            assert!(error.found.contains(" at line ") && !told.contains("swordfish"), "{user}: {told}");
        }
    }

    #[tokio::test]
    async fn verification_cannot_be_turned_off() {
        let error = check("https://127.0.0.1:1", "    insecure-skip-tls-verify: true\n").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Untrusted);
        assert_eq!(error.found, "insecure-skip-tls-verify is set");
        let error = check("http://127.0.0.1:1", "").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Untrusted);
    }

    #[tokio::test]
    async fn a_proxy_of_the_environment_is_not_used_and_one_of_the_file_is_refused() {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.proxy_url = Some("http://ops:secret@proxy.example:3128".parse().unwrap());
        KubeCluster::from_config(config, Path::new("kubeconfig"), &[], Deadlines::default()).unwrap();
        for url in
            ["http://ops:secret@proxy.example:3128", "http://ops:sec/ret@proxy.example:3128/", "socks5://proxy.example:3128"]
        {
            let error = check("https://127.0.0.1:1", &format!("    proxy-url: {url}\n")).await.unwrap_err();
            assert_eq!((error.kind, error.found.as_str()), (ErrorKind::Invalid, "proxy-url is set, to proxy.example:3128"));
            assert!(error.remedy.unwrap().starts_with("remove proxy-url"));
        }
        check("https://127.0.0.1:1", "    proxy-url: \"\"\n").await.unwrap();
    }

    #[tokio::test]
    async fn no_program_is_asked_for_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let ran = dir.path().join("ran");
        let exec = format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: [{}], interactiveMode: Never}}}}",
            ran.display()
        );
        for (user, key) in [(exec.as_str(), "exec"), ("{auth-provider: {name: oidc, config: {}}}", "auth-provider")] {
            let error = check_user(user, "https://127.0.0.1:1", "").await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.found.starts_with(&format!("its user has {key}: ")), "{error}");
            assert!(error.remedy.unwrap().contains("give it the token of a ServiceAccount"));
        }
        assert!(!ran.exists());
    }

    #[tokio::test]
    async fn a_token_that_makes_no_header_is_named_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "swordfish\n").unwrap();
        let user = format!("{{tokenFile: {}}}", file.path().display());
        let cluster = check_user(&user, "https://127.0.0.1:1", "").await.unwrap();
        let error = cluster.machines().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert!(error.remedy.as_ref().unwrap().contains("tokenFile") && !format!("{error:?}").contains("swordfish"), "{error:?}");
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let error = KubeCluster::from_kubeconfig(Path::new("/nowhere/kubeconfig"), Deadlines::default()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.to_string().starts_with("read kubeconfig on /nowhere/kubeconfig: "), "{error}");
        assert!(error.found.contains("No such file"), "{error}");
    }
}
