//! Who is told of what happens, and where the daemon shows it: `notify` and the group `daemon`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::build::Paths;
use super::files;
use super::http::{program, trusted_ca};
use super::keys::NOTIFY_KEYS;
use super::layers::child;
use super::reader::{Found, Reader};
use super::text;

const CHANNEL: &str = "entries with ntfy, webhook or command";
const TOPIC: &str = "the http:// or https:// URL of a topic, such as https://ntfy.example.org/ananke";
const URL: &str = "an http:// or https:// URL without credentials";
const LISTEN: &str = "an address with its port, such as 127.0.0.1:10477, or none";

/// Who is told, and how much within an hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notify {
    pub channels: Vec<Channel>,
    pub per_hour: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// The server, with a slash at its end, and the topic there.
    Ntfy {
        post: Post,
        topic: String,
    },
    Webhook(Post),
    /// Program and arguments.
    Command(Vec<String>),
}

/// How something is posted: where the token is, never what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    pub url: String,
    pub token_file: Option<PathBuf>,
    /// Certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

pub(crate) fn listen(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<SocketAddr> {
    let parse = |text: &str| if text == "none" { Some(None) } else { text.parse().ok().map(Some) };
    let listen: Option<SocketAddr> = reader.key("daemon.listen", LISTEN, parse).flatten();
    if let Some(at) = listen.filter(|at| !at.ip().is_loopback()) {
        warnings.push(format!("daemon.listen: whoever reaches {at} sees the status page, which asks for no password"));
    }
    listen
}

/// What is not there is a warning: nobody needs a notice to bring the cluster back.
pub(crate) fn read(reader: &mut Reader<'_>, paths: &Paths<'_>, warnings: &mut Vec<String>) -> Notify {
    let items = reader.items("notify", &format!("a list of {CHANNEL}"));
    let channels = items.iter().filter_map(|found| channel(reader, paths, found, warnings)).collect();
    let per_hour = reader.number("daemon.notices_per_hour", 1..=1000).and_then(|number| usize::try_from(number).ok());
    Notify { channels, per_hour: per_hour.unwrap_or(1) }
}

fn channel<'a>(reader: &mut Reader<'a>, paths: &Paths<'_>, found: &Found<'a>, warnings: &mut Vec<String>) -> Option<Channel> {
    let Some(dict) = found.value.as_dict() else {
        reader.wrong(found, CHANNEL);
        return None;
    };
    reader.only(dict, &found.path, NOTIFY_KEYS);
    let part = |key: &str| dict.get(key).map(|value| Found { path: child(&found.path, key), value });
    let token_file = part("token_file").and_then(|found| {
        let path = paths.read(reader, &found)?;
        match files::private(&path) {
            Ok(()) => {}
            Err(text) if !path.exists() => warnings.push(format!("{}: {text}", found.path)),
            Err(text) => reader.problem(&found, text),
        }
        Some(path)
    });
    let ca_file = part("ca_file").and_then(|found| trusted_ca(reader, paths, &found));
    match (part("ntfy"), part("webhook"), part("command")) {
        (Some(url), None, None) => {
            let (server, topic) = reader.parsed(&url, TOPIC, topic)?;
            let post = Post { url: server, token_file, ca_file };
            safe(reader, &url, &post).then_some(Channel::Ntfy { post, topic })
        }
        (None, Some(url), None) => {
            let post = Post { url: reader.parsed(&url, URL, text::probe_url)?, token_file, ca_file };
            safe(reader, &url, &post).then_some(Channel::Webhook(post))
        }
        (None, None, Some(command)) => {
            if token_file.is_some() || ca_file.is_some() {
                reader.problem(found, "token_file and ca_file are for ntfy and webhook; allowed: a command without them");
            }
            let command = program(reader, &command, Some(warnings));
            (!command.is_empty()).then_some(Channel::Command(command))
        }
        _ => {
            reader.problem(found, format!("an entry has exactly one of ntfy, webhook and command; allowed: {CHANNEL}"));
            None
        }
    }
}

/// A token is not shown to whoever listens on the way.
fn safe(reader: &mut Reader<'_>, found: &Found<'_>, post: &Post) -> bool {
    let safe = post.token_file.is_none() || post.url.starts_with("https://") || is_this_machine(&post.url);
    if !safe {
        reader.problem(found, "a token would go over the network in clear text; allowed: an https:// URL, or no token_file");
    }
    safe
}

fn is_this_machine(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A server, with a slash at its end, and a topic there.
fn topic(text: &str) -> Option<(String, String)> {
    let (server, topic) =
        text::probe_url(text)?.rsplit_once('/').map(|(server, topic)| (format!("{server}/"), topic.to_owned()))?;
    let only_host = server.matches('/').count() == 3;
    let named =
        !topic.is_empty() && topic.len() <= 64 && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (only_host && named).then_some((server, topic))
}
