//! The settings of a host that matter when it boots: whom it asks for names, and what it mounts by which name.
//!
//! Of `/etc/fstab` only the first two columns leave the host: options may hold passwords.

use std::net::IpAddr;

use ananke_core::doctor::map::{HostFacts, Mount};

use super::answer::MARK;
use super::{Output, Refusal, Remedy, invalid, refusal};
use ananke_core::port::ErrorKind;

/// systemd-resolved answers on 127.0.0.53, and keeps whom it asks itself in a file of its own.
pub(super) const LINE: &str = concat!(
    r#"sh -c 'echo; echo ananke:answer; f=/etc/resolv.conf; "#,
    r#"grep -q "^nameserver 127\.0\.0\.53" $f 2>/dev/null && f=/run/systemd/resolve/resolv.conf; grep "^nameserver" $f 2>/dev/null; "#,
    r#"[ -r /etc/fstab ] && while read -r d m r; do echo "mount $d $m"; done < /etc/fstab; echo ananke:end'"#,
);
const END: &str = "ananke:end";

/// The clock is not asked here: the usual look tells of it.
pub fn parse_settings(output: &Output) -> Result<HostFacts, Refusal> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines().skip_while(|line| *line != MARK).skip(1).peekable();
    if lines.peek().is_none() {
        return Err(refusal(ErrorKind::Denied, output, Some(Remedy::LoginShell)));
    }
    let mut facts = HostFacts::default();
    for line in lines {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [END] => return Ok(facts),
            ["nameserver", address, ..] => {
                facts.nameservers.extend(address.split('%').next().and_then(|ip| ip.parse::<IpAddr>().ok()))
            }
            ["mount", source, path] if !source.starts_with('#') => {
                facts.mounts.push(Mount { source: (*source).into(), path: (*path).into() });
            }
            _ => {}
        }
    }
    Err(invalid("the answer ends early"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stdout: &str) -> Result<HostFacts, Refusal> {
        parse_settings(&Output { stdout: stdout.as_bytes().to_vec(), stderr: Vec::new(), exit: Some(0) })
    }

    #[test]
    fn resolvers_and_mounts_are_read_and_comments_are_not() {
        let facts = read(
            "Welcome\nmount /dev/sdz /lie\n\nananke:answer\nnameserver 192.168.22.1\nnameserver fe80::1%eth0\nnameserver\n\
             mount # /etc/fstab:\nmount UUID=3f1c /\nmount /dev/sdb1 /srv/data\nmount  \nananke:end\n",
        )
        .unwrap();
        assert_eq!(facts.nameservers, ["192.168.22.1".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        let mounts: Vec<(&str, &str)> = facts.mounts.iter().map(|mount| (&*mount.source, &*mount.path)).collect();
        assert_eq!(mounts, [("UUID=3f1c", "/"), ("/dev/sdb1", "/srv/data")]);
    }

    #[test]
    fn half_an_answer_is_none() {
        assert_eq!(read("ananke:answer\nnameserver 192.168.22.1\n").unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(read("This account is currently not available.\n").unwrap_err().kind, ErrorKind::Denied);
    }
}
