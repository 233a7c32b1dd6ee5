//! One request, one answer, one deadline: nothing is repeated here but a page in the middle of a list.

use std::time::Duration;

use ananke_core::port::{ErrorKind, PortError};
use ananke_core::verdict::Reason;
use http::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::collection::Collection;
use crate::connect::KubeCluster;
use crate::error;
use crate::translate::meta::List;
use crate::translate::order::Write;

/// Objects in a page: what kubectl asks for.
pub(crate) const PAGE: u32 = 500;
/// 200,000 objects: twice the largest cluster that Kubernetes supports has pods. More is a server that never ends its list.
const MAX_PAGES: usize = 400;
/// So often a busy server may put off the same page of a list before the whole list is given up.
const PUT_OFF: usize = 3;
/// How long it is left alone where it does not say.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// A page of 500 pods is seldom over 10 MiB.
const MAX_ANSWER: usize = 64 << 20;
/// An error's body is read for its message only.
const MAX_ERROR: usize = 64 << 10;

impl KubeCluster {
    /// A read that finds no server there that is well is put once more, to another one that is.
    pub(crate) async fn get<T: DeserializeOwned>(&self, tried: &str, path: &str) -> Result<T, PortError> {
        let (asked, begun) = (self.asked(), Instant::now());
        match self.get_once(tried, path).await {
            Err(error) if error::may_be_of_one_server(&error) => match self.turn_from(&asked, begun, &error).await {
                Ok(()) => self.get_once(tried, path).await,
                Err(_) => Err(error),
            },
            answered => answered,
        }
    }

    pub(crate) async fn get_once<T: DeserializeOwned>(&self, tried: &str, path: &str) -> Result<T, PortError> {
        let on = self.server();
        let request = self.build(tried, &on, Method::GET, path, None)?;
        let bytes = self.exchange(tried, &on, request, self.deadlines.call).await?;
        serde_json::from_slice(&bytes).map_err(|why| error::nonsense(tried, &on, why))
    }

    /// A question that is put as an object.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, tried: &str, path: &str, question: &Value) -> Result<T, PortError> {
        let on = self.server();
        let request = self.build(tried, &on, Method::POST, path, Some(("application/json", question)))?;
        let bytes = self.exchange(tried, &on, request, self.deadlines.call).await?;
        serde_json::from_slice(&bytes).map_err(|why| error::nonsense(tried, &on, why))
    }

    /// All objects of a collection, as facts.
    pub(crate) async fn list<I: DeserializeOwned, T>(&self, from: &Collection<I, T>) -> Result<Vec<T>, PortError> {
        let mut all = Vec::new();
        let limit = self.deadlines.list;
        let until = Instant::now() + limit;
        let pages = self.pages(from, Some(until), |item| {
            all.extend(from.fact(item, &self.texts)?);
            Ok(())
        });
        let late = || error::deadline(from.tried, &self.server(), limit);
        timeout_at(until, pages).await.unwrap_or_else(|_| Err(late()))?;
        Ok(all)
    }

    /// All pages of a collection, each item given to `each` as it comes, so that only one page is held as text. Answers the
    /// version of the list. Each page has its deadline, and there is a bound on their number. A busy server is waited for
    /// in the middle of a list, as long as it asks for and not beyond `until`: all pages before it would be for nothing.
    pub(crate) async fn pages<I: DeserializeOwned, T>(
        &self,
        from: &Collection<I, T>,
        until: Option<Instant>,
        mut each: impl FnMut(I) -> Result<(), String>,
    ) -> Result<String, PortError> {
        let limit = PAGE.to_string();
        // The first page finds a replica that is well; of a hundred new connections one would lead to another.
        let later = Self { apart: false, ..self.clone() };
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let query = query(&from.path, &[("limit", &limit), ("fieldSelector", from.selector), ("continue", &token)]);
            let page: List<I> = if token.is_empty() {
                self.get(from.tried, &query).await?
            } else {
                later.next_page(from.tried, &query, until).await?
            };
            for item in page.items {
                each(item).map_err(|why| error::nonsense(from.tried, &self.server(), why))?;
            }
            if page.metadata.token.is_empty() {
                return Ok(page.metadata.version);
            }
            token = page.metadata.token;
        }
        let why = format!("the list has not ended after {MAX_PAGES} pages of {PAGE}");
        Err(error::nonsense(from.tried, &self.server(), why))
    }

    async fn next_page<T: DeserializeOwned>(&self, tried: &str, path: &str, until: Option<Instant>) -> Result<T, PortError> {
        for _ in 0..PUT_OFF {
            let error = match self.get(tried, path).await {
                Err(error) if error.reason == Some(Reason::ApiThrottled) => error,
                other => return other,
            };
            let wait = error.retry_after.unwrap_or(LEFT_ALONE);
            let late = until.is_some_and(|until| until.saturating_duration_since(Instant::now()) <= wait);
            // What takes longer than a page may is for whoever asked: the server is in trouble.
            if late || wait > self.deadlines.call {
                return Err(error);
            }
            sleep(wait).await;
        }
        self.get(tried, path).await
    }

    /// A watch of a collection from `version` on: the body of its answer, a line an event. The server ends it after `secs`.
    pub(crate) async fn open_watch<I, T>(&self, from: &Collection<I, T>, version: &str, secs: u64) -> Result<Body, PortError> {
        let secs = secs.to_string();
        let parameters = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &secs),
            ("resourceVersion", version),
            ("fieldSelector", from.selector),
        ];
        let on = self.server();
        let request = self.build(from.tried, &on, Method::GET, &query(&from.path, &parameters), None)?;
        let (limit, opened) = (self.deadlines.call, self.opened(from.tried, &on, request));
        timeout(limit, opened).await.unwrap_or_else(|_| Err(error::deadline(from.tried, &on, limit)))
    }

    /// Sends a write. Of the answer only the version is looked at: whoever watches shows nothing older from then on.
    pub(crate) async fn send(&self, write: &Write) -> Result<(), PortError> {
        let body = Some((write.content_type, &write.body));
        let request = self.build(write.tried, &write.on, write.method.clone(), &write.path, body)?;
        let answered = self.exchange(write.tried, &write.on, request, self.deadlines.write).await;
        match answered
            .and_then(|answer| is_an_object(&answer).map(|()| answer).map_err(|why| error::nonsense(write.tried, &write.on, why)))
        {
            Ok(answer) => {
                self.written.note(&write.path, &answer);
                Ok(())
            }
            Err(error) => {
                if unsettled(&error) {
                    self.written.doubt(&write.path);
                }
                Err(error)
            }
        }
    }

    fn build(
        &self,
        tried: &str,
        on: &str,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Request<Body>, PortError> {
        let builder = Request::builder().method(method).uri(path).header(http::header::ACCEPT, "application/json");
        let request = match body {
            Some((content_type, value)) => builder
                .header(http::header::CONTENT_TYPE, content_type)
                .body(Body::from(serde_json::to_vec(value).map_err(|why| error::nonsense(tried, on, why))?)),
            None => builder.body(Body::empty()),
        };
        let mut request = request.map_err(|why| error::nonsense(tried, on, why))?;
        if self.apart {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(request)
    }

    async fn exchange(&self, tried: &str, on: &str, request: Request<Body>, limit: Duration) -> Result<Vec<u8>, PortError> {
        timeout(limit, self.answer(tried, on, request)).await.unwrap_or_else(|_| Err(error::deadline(tried, on, limit)))
    }

    async fn answer(&self, tried: &str, on: &str, request: Request<Body>) -> Result<Vec<u8>, PortError> {
        let body = self.opened(tried, on, request).await?;
        read(body, MAX_ANSWER).await.map_err(|why| error::from_transport(tried, on, why.as_ref()))
    }

    /// The body of an answer of 2xx.
    async fn opened(&self, tried: &str, on: &str, request: Request<Body>) -> Result<Body, PortError> {
        let answer = self.asked().client.send(request).await.map_err(|why| error::from_transport(tried, on, &why))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // A body that is too long or torn takes nothing away from the status.
        let text = read(answer.into_body(), MAX_ERROR).await.unwrap_or_default();
        Err(error::from_answer(tried, on, status.as_u16(), wait.as_deref(), &text))
    }
}

/// Every answer of the server to a write is an object; a door in front of it may say 200 with a page.
fn is_an_object(answer: &[u8]) -> Result<(), serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Object {
        #[serde(rename = "kind")]
        _kind: String,
    }
    serde_json::from_slice::<Object>(answer).map(drop)
}

/// Whether the write may have been carried out all the same, or met something that a watch may not have shown yet. What was
/// not allowed, or not begun, or was of something that is gone, has changed nothing.
fn unsettled(error: &PortError) -> bool {
    match error.kind {
        ErrorKind::Transient if error.reason == Some(Reason::ApiThrottled) => false,
        // Webhooks are called before anything is stored.
        ErrorKind::Transient if error::is_of_a_webhook(error) => false,
        ErrorKind::Transient | ErrorKind::Conflict => true,
        ErrorKind::Blocked | ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Untrusted | ErrorKind::Invalid => false,
    }
}

/// Collects a body once: the parts of a page are not kept beside the whole.
async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut body = Limited::new(body, limit);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// `path` with those parameters that are not empty.
fn query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = path.to_owned();
    for (key, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        let mark = if query.len() == path.len() { '?' } else { '&' };
        query.push_str(&format!("{mark}{key}={}", escape(value)));
    }
    query
}

/// Percent-encodes a query value.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_tokens_survive_the_query() {
        assert_eq!(escape("status.phase!=Failed,a=b/c+d e"), "status.phase%21%3DFailed%2Ca%3Db%2Fc%2Bd%20e");
    }
}
