//! The OpenSSH server that clients are compared by, and what they cost it: no client can be faster than its server.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::super::TICKS;
use super::{HOSTS, address};

/// A server on every loopback address, while this lives.
pub(super) struct Server {
    child: Child,
    pub(super) dir: PathBuf,
    pub(super) port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

impl Server {
    /// Seconds of processor that it and all that it started have used, of those that live and those that it has buried.
    pub(super) fn cpu(&self) -> f64 {
        let mut used: BTreeMap<u32, (u32, f64)> = BTreeMap::new();
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            used.extend(stat(pid).map(|found| (pid, found)));
        }
        let is_ours = |mut pid: u32| {
            while pid != self.child.id() {
                match used.get(&pid) {
                    Some((parent, _)) if *parent != 0 => pid = *parent,
                    Some(_) | None => return false,
                }
            }
            true
        };
        used.iter().filter(|(pid, _)| is_ours(**pid)).map(|(_, (_, seconds))| seconds).sum()
    }

    /// Waits until it has buried what served the connections of before, so that nothing of them is counted later.
    pub(super) fn settle(&self) {
        let id = self.child.id();
        let children = || fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        for _ in 0..100 {
            if children().trim().is_empty() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
    }
}

/// The parent of a process, and the processor time of itself and of the children that it has waited for, in seconds: fields
/// 4 and 14 to 17 of `/proc/PID/stat`.
fn stat(pid: u32) -> Option<(u32, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit(") ").next()?.split(' ').collect();
    let ticks: f64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    Some((fields.get(1)?.parse().ok()?, ticks / TICKS))
}

pub(super) fn serve() -> Result<Server, String> {
    let dir = std::env::temp_dir().join(format!("ananke-bench-ssh-{}", std::process::id()));
    let failed = |error: std::io::Error| format!("cannot prepare {}: {error}", dir.display());
    fs::create_dir_all(&dir).map_err(failed)?;
    for key in ["id", "host_key"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key));
        let made = keygen.status().map_err(|error| format!("cannot run ssh-keygen (install openssh-client): {error}"))?;
        if !made.success() {
            return Err(format!("ssh-keygen ended with {made}"));
        }
    }
    fs::copy(dir.join("id.pub"), dir.join("authorized_keys")).map_err(failed)?;
    let port = TcpListener::bind("127.0.1.1:0").and_then(|listener| listener.local_addr()).map_err(failed)?.port();
    let host_key = fs::read_to_string(dir.join("host_key.pub")).map_err(failed)?;
    let known: String = (1..=HOSTS).map(|nth| format!("[{}]:{port} {host_key}", address(nth))).collect();
    fs::write(dir.join("known_hosts"), known).map_err(failed)?;
    let place = dir.display();
    // All addresses at once: the server must not throttle what the clients are compared by. A bash that thinks it is the
    // second one reads no start-up files, which may take longer than all the rest.
    let text = format!(
        "ListenAddress 0.0.0.0\nPort {port}\nHostKey {place}/host_key\nAuthorizedKeysFile {place}/authorized_keys\nPidFile none\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nMaxStartups 500\nSetEnv SHLVL=2\nLogLevel ERROR\n"
    );
    fs::write(dir.join("sshd_config"), text).map_err(failed)?;
    fs::create_dir_all("/run/sshd").ok();
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config")).stderr(Stdio::null());
    let child = sshd.spawn().map_err(|error| format!("cannot run sshd (install openssh-server): {error}"))?;
    let server = Server { child, dir, port };
    for _ in 0..100 {
        if std::net::TcpStream::connect((address(1), port)).is_ok() {
            return Ok(server);
        }
        sleep(Duration::from_millis(50));
    }
    Err("sshd did not start".to_owned())
}
