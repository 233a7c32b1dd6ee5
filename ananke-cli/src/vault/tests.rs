//! Against a served Vault of the simulator, and against sockets that say what no Vault should.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use ananke_sim::fault::Fault;
use ananke_sim::serve::up::{Served, UpOptions, up};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Host, Overrides, load};

/// A share that no Vault knows, in the shape of one.
const SECRET: &str = "5ec4e75ec4e75ec4e7";

struct Lab {
    dir: tempfile::TempDir,
    served: Served,
    settings: VaultSettings,
}

impl Lab {
    /// A healthy cluster whose Vault is sealed; the settings are those that `ananke sim up` wrote.
    async fn sealed() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = UpOptions {
            dir: dir.path().to_owned(),
            scenario: "healthy".to_owned(),
            nodes: Some(4),
            pods: None,
            seed: 1,
            speed: 1,
        };
        let served = up(options).await.unwrap();
        served.cluster().act(|world| world.inject(Fault::VaultSealed, None)).unwrap();
        let loaded = load(&dir.path().join("ananke.yaml"), &Host::default(), &Overrides::default()).unwrap();
        let settings = loaded.http.vault.unwrap();
        assert_eq!(loaded.spec.vault.map(|vault| vault.can_unseal), Some(true));
        Self { dir, served, settings }
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn shares(&self) -> Vec<String> {
        self.served.cluster().act(|world| world.vault_shares())
    }

    async fn is_sealed(&self) -> bool {
        HttpVault::new(Some(self.settings.clone())).seal_status().await.unwrap().sealed
    }

    /// What the port does once it is let.
    async fn unseal(&self) -> Result<(), PortError> {
        HttpVault::new(Some(self.settings.clone())).open().await
    }
}

#[tokio::test]
async fn the_key_file_unseals_and_a_second_time_nothing_is_sent() {
    let lab = Lab::sealed().await;
    assert!(lab.is_sealed().await);
    lab.unseal().await.unwrap();
    assert!(!lab.is_sealed().await);
    lab.unseal().await.unwrap();
    let puts = || std::fs::read_to_string(lab.dir.path().join("requests.log")).unwrap().matches("PUT http://vault.").count();
    assert_eq!(puts(), 2, "two shares open it, the third stays home");
}

#[tokio::test]
async fn keys_that_do_not_fit_are_told_without_their_words() {
    let mut lab = Lab::sealed().await;
    lab.settings.key_file = Some(lab.file("wrong", &format!("{SECRET}\n{SECRET}00\n"), 0o600));
    let error = lab.unseal().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    let few = lab.shares()[0].clone();
    lab.settings.key_file = Some(lab.file("few", &few, 0o600));
    let error = lab.unseal().await.unwrap_err();
    assert!(error.found.contains("it took 1 key shares and is still sealed; it wants 2"), "{error}");
    assert!(lab.is_sealed().await);
}

#[tokio::test]
async fn a_key_file_in_the_hands_of_others_is_not_used() {
    let mut lab = Lab::sealed().await;
    for mode in [0o640, 0o604, 0o620, 0o602] {
        lab.settings.key_file = Some(lab.file("loose", &lab.shares().join("\n"), mode));
        let error = lab.unseal().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{mode:o}: {error}");
        assert!(lab.is_sealed().await, "{mode:o}");
    }
    for (text, kind) in [("", ErrorKind::Invalid), ("a b\n", ErrorKind::Invalid), ("\u{1b}[2J", ErrorKind::Invalid)] {
        lab.settings.key_file = Some(lab.file("odd", text, 0o600));
        assert_eq!(lab.unseal().await.unwrap_err().kind, kind, "{text:?}");
    }
    lab.settings.key_file = Some(lab.dir.path().join("absent"));
    assert_eq!(lab.unseal().await.unwrap_err().kind, ErrorKind::Missing);
}

#[tokio::test]
async fn where_the_key_file_does_not_help_the_break_glass_command_does() {
    let mut lab = Lab::sealed().await;
    lab.settings.key_file = Some(lab.dir.path().join("absent"));
    let shares = lab.file("safe", &lab.shares().join("\n"), 0o600);
    lab.settings.breakglass = vec!["/bin/cat".to_owned(), shares.display().to_string()];
    lab.unseal().await.unwrap();
    assert!(!lab.is_sealed().await);
}

#[tokio::test]
async fn a_command_that_fails_hangs_or_prints_nothing_is_told() {
    let mut lab = Lab::sealed().await;
    lab.settings.key_file = None;
    let shell = |script: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
    for (command, found) in [
        (vec!["/nowhere/keys".to_owned()], "cannot start /nowhere/keys"),
        (shell("echo 5ec4e75ec4e75ec4e7; exit 3"), "/bin/sh ended with exit status: 3"),
        (shell("exit 0"), "it printed no key shares, and Vault is still sealed"),
        (shell("printf 'not a share\\n'"), "what it printed is not usable"),
        (shell("exec sleep 600"), "it did not end within 200ms"),
        (shell("exec sleep 600 >&-"), "it did not end within 200ms"),
    ] {
        lab.settings.breakglass = command;
        let mut vault = HttpVault::new(Some(lab.settings.clone()));
        vault.command_deadline = Duration::from_millis(200);
        let error = vault.open().await.unwrap_err();
        assert!(error.found.contains(found), "{error}");
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
    assert!(lab.is_sealed().await);
    lab.settings.breakglass.clear();
    assert_eq!(lab.unseal().await.unwrap_err().kind, ErrorKind::Missing);
}

/// Answers each connection with the next of `answers`; a request for unsealing gets its body back.
async fn parrot(answers: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let length = stream.read(&mut heard).await.unwrap();
            let heard = String::from_utf8_lossy(&heard[..length]).replace(['"', '{', '}', '\r', '\n'], " ");
            let body = answer.replace("HEARD", &heard);
            let (status, body) = body.split_once(' ').unwrap();
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn what_is_no_vault_is_not_believed_and_what_repeats_a_share_is_not_quoted() {
    let key_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key_file.path(), SECRET).unwrap();
    let settings = |address: SocketAddr| VaultSettings {
        address: format!("http://{address}"),
        ca_file: None,
        at: None,
        key_file: Some(key_file.path().to_owned()),
        breakglass: Vec::new(),
    };
    let vault = |address| HttpVault::new(Some(settings(address)));
    let page = vault(parrot(&["200 <html>login</html>"]).await).seal_status().await.unwrap_err();
    assert_eq!((page.kind, page.found.as_str()), (ErrorKind::Invalid, "the answer is not the seal status of a Vault"));
    let starting = vault(parrot(&["503 starting"]).await).seal_status().await.unwrap_err();
    assert_eq!(starting.kind, ErrorKind::Transient);
    let fresh = vault(parrot(&[r#"200 {"initialized":false,"sealed":true}"#]).await).seal_status().await.unwrap();
    assert_eq!(fresh, VaultState { initialised: false, sealed: true });

    let echo = parrot(&[r#"200 {"initialized":true,"sealed":true}"#, r#"400 {"errors":["bad: HEARD"]}"#]).await;
    let error = vault(echo).open().await.unwrap_err();
    assert!(error.found.starts_with("Vault answers 400: bad: PUT /v1/sys/unseal"), "{error}");
    assert!(!format!("{error:?}").contains(SECRET), "{error:?}");

    let none = HttpVault::new(None).seal_status().await.unwrap_err();
    assert_eq!(none.kind, ErrorKind::Missing);
}

#[test]
fn a_share_is_sent_as_json() {
    assert_eq!(&request("a\"b")[..], br#"{"key":"a\"b"}"#);
}

#[test]
fn shares_do_not_show_themselves() {
    let shares = Shares::parse(format!("\n {SECRET} \r\nabc\n").as_bytes()).unwrap();
    assert_eq!((shares.0.len(), format!("{shares:?}")), (2, "2 key shares".to_owned()));
}
