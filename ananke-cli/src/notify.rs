//! Tells people: a topic of ntfy, a URL that takes JSON, a program.
//!
//! Which notices are sent is decided elsewhere (`ananke-core/src/notice.rs`). Sending is bounded, repeated once where the
//! network is away, and never in a run's way. URLs and tokens are secrets: no message has them.

mod program;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use ananke_core::name::Moment;
use ananke_core::notice::{Notice, Urgency};
use ananke_core::port::{Clock as _, ErrorKind, PortError, clean};
use ananke_core::report::{Command, Outcome, Report};
use ananke_core::verdict::Reason;
use futures::future::join_all;
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use crate::clock::SystemClock;
use crate::config::{Channel, Notify, Post};
use crate::state::lock::LockError;
use crate::web::{Ask, Web};
use crate::wire::Failure;

/// Version of the body that webhooks get.
const SCHEMA: u32 = 1;
const DEADLINE: Duration = Duration::from_secs(10);
/// After an outage the network may come up a moment later than we do.
const PAUSE: Duration = Duration::from_secs(5);
/// What a server answers is looked at when it refuses.
const MAX_ANSWER: usize = 4096;

/// Why a notice did not get out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsent {
    /// `ntfy at ntfy.example.org`: which of the channels, without what is secret in its URL.
    pub(crate) channel: String,
    pub(crate) found: String,
    transient: bool,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tell {}: {}", self.channel, self.found)
    }
}

/// Sends a notice through every channel at once, and says what came of each.
pub(crate) async fn send(settings: &Notify, holder: &str, notice: &Notice, at: Moment) -> Vec<Result<String, Unsent>> {
    join_all(settings.channels.iter().map(|channel| twice(channel, holder, notice, at, PAUSE))).await
}

async fn twice(channel: &Channel, holder: &str, notice: &Notice, at: Moment, pause: Duration) -> Result<String, Unsent> {
    let sent = match once(channel, holder, notice, at).await {
        Err(unsent) if unsent.transient => {
            tokio::time::sleep(pause).await;
            once(channel, holder, notice, at).await
        }
        sent => sent,
    };
    sent.map(|()| name(channel))
}

/// For a run that no daemon began: tells others that one of them is needed.
pub(crate) async fn person_needed(settings: &Notify, holder: &str, report: &Report) {
    if (is_refused_to_a_person(report) || matches!(report.outcome, Outcome::Manual | Outcome::Failed)) && !report.dry_run {
        tell(settings, holder, &ended(report)).await;
    }
}

/// That a peer leaves a start-up to the other Ananke needs nobody.
pub(crate) fn is_refused_to_a_person(report: &Report) -> bool {
    report.outcome == Outcome::Refused && report.manual.iter().any(|it| it.reason != Some(Reason::RoleIsPeer))
}

/// For a run that no daemon began, and that could not begin itself; one that goes on already is seen to.
pub(crate) async fn not_begun(settings: &Notify, holder: &str, command: Command, failure: &Failure) {
    if !matches!(failure, Failure::Lock(LockError::Held { .. })) {
        tell(settings, holder, &could_not_begin(command, failure)).await;
    }
}

pub(crate) fn could_not_begin(command: Command, failure: &Failure) -> Notice {
    let what = run_name(command);
    Notice::new(what, Urgency::Alarm, &format!("{what} could not begin")).with([failure.to_string()])
}

async fn tell(settings: &Notify, holder: &str, notice: &Notice) {
    if settings.channels.is_empty() {
        return;
    }
    let now = SystemClock::start().now();
    for unsent in send(settings, holder, notice, now).await.into_iter().filter_map(Result::err) {
        tracing::warn!("{unsent}");
    }
}

/// The end of a run, with the very sentences of its report.
pub(crate) fn ended(report: &Report) -> Notice {
    let (urgency, how) = match report.outcome {
        Outcome::Done => (Urgency::Information, "done"),
        Outcome::Manual => (Urgency::Alarm, "done but for what a person must do"),
        Outcome::Failed => (Urgency::Alarm, "not got through"),
        Outcome::Refused => (Urgency::Warning, "refused by a guard"),
        Outcome::Yielded => (Urgency::Information, "yielded to a shutdown"),
        Outcome::Interrupted => (Urgency::Warning, "interrupted"),
    };
    let manual = report.manual.iter().map(|action| format!("{}: {}", action.subject, action.instruction));
    let what = run_name(report.command);
    Notice::new(what, urgency, &format!("{what} ended: {how}")).with(std::iter::once(report.summary.clone()).chain(manual))
}

pub(crate) fn run_name(command: Command) -> &'static str {
    match command {
        Command::Shutdown => "shutdown",
        Command::Startup | Command::Status => "start-up",
    }
}

pub(crate) fn name(channel: &Channel) -> String {
    let host = |post: &Post| post.url.parse::<http::Uri>().ok().and_then(|url| url.authority().map(ToString::to_string));
    match channel {
        Channel::Ntfy { post, .. } => format!("ntfy at {}", host(post).unwrap_or_default()),
        Channel::Webhook(post) => format!("the webhook at {}", host(post).unwrap_or_default()),
        Channel::Command(words) => format!("the command {}", words.first().map_or("", String::as_str)),
    }
}

async fn once(channel: &Channel, holder: &str, notice: &Notice, at: Moment) -> Result<(), Unsent> {
    let sent = match channel {
        Channel::Ntfy { post, topic } => deliver(post, ntfy(topic, holder, notice)).await,
        Channel::Webhook(post) => deliver(post, webhook(holder, notice, at)).await,
        Channel::Command(words) => {
            let (words, title, text) = (words.clone(), title(holder, notice), notice.text());
            let run = tokio::task::spawn_blocking(move || program::run(&words, &title, &text, DEADLINE)).await;
            run.unwrap_or_else(|error| Err(error.to_string())).map_err(|found| (false, found))
        }
    };
    sent.map_err(|(transient, found)| Unsent { channel: name(channel), found: clean(&found, 300), transient })
}

/// On a phone that hears of several clusters.
fn title(holder: &str, notice: &Notice) -> String {
    format!("{holder}: {}", notice.sentence)
}

fn ntfy(topic: &str, holder: &str, notice: &Notice) -> Value {
    let (priority, tag) = match notice.urgency {
        Urgency::Information => (3, "information_source"),
        Urgency::Warning => (4, "warning"),
        Urgency::Alarm => (5, "rotating_light"),
    };
    json!({"topic": topic, "title": title(holder, notice), "message": notice.text(), "priority": priority, "tags": [tag]})
}

fn webhook(holder: &str, notice: &Notice, at: Moment) -> Value {
    json!({
        "schema": SCHEMA,
        "holder": holder,
        "at": at,
        "about": notice.about,
        "urgency": notice.urgency,
        "sentence": notice.sentence,
        "details": notice.details,
    })
}

/// Whether it is worth a second try, and what was found.
type Refused = (bool, String);

async fn deliver(post: &Post, body: Value) -> Result<(), Refused> {
    let authorization = post.token_file.as_deref().map(bearer).transpose().map_err(|found| (false, found))?;
    // Made anew for each notice: roots that are kept for the next one, which may never come, are memory.
    let web = Web::new(post.ca_file.as_deref(), DEADLINE);
    let ask = Ask {
        method: Method::POST,
        url: &post.url,
        at: None,
        json: Some(body.to_string().into()),
        authorization,
        limit: MAX_ANSWER,
    };
    let found = |PortError { kind, found, remedy, .. }: PortError| {
        let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
        (kind == ErrorKind::Transient, format!("{found}{remedy}"))
    };
    let got = web.ask(&ask).await.map_err(found)?;
    match got.status {
        200..=299 => Ok(()),
        // Its words are not quoted: many say once more which address or token it is that they refuse.
        status => Err((status >= 500, format!("it answers {status}"))),
    }
}

/// Read when it is needed: it may be exchanged while the daemon runs.
fn bearer(path: &Path) -> Result<HeaderValue, String> {
    crate::config::private(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| format!("the first line of {} is no token: it has letters that no header may have", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
