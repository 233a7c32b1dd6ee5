//! One request, one answer, one deadline: nothing is repeated here.

use ananke_core::port::PortError;
use http::header::RETRY_AFTER;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::connect::KubeCluster;
use crate::error;
use crate::translate::meta::List;
use crate::translate::order::Write;

/// Objects in a page: what kubectl asks for.
const PAGE: u32 = 500;
/// 200,000 objects: twice the largest cluster that Kubernetes supports has pods. More is a server that never ends its list.
const MAX_PAGES: usize = 400;
/// A page of 500 pods is seldom over 10 MiB.
const MAX_ANSWER: usize = 64 << 20;
/// An error's body is read for its message only.
const MAX_ERROR: usize = 64 << 10;

impl KubeCluster {
    pub(crate) async fn get<T: DeserializeOwned>(&self, tried: &str, path: &str) -> Result<T, PortError> {
        let request = self.build(tried, &self.server, Method::GET, path, None)?;
        let bytes = self.exchange(tried, &self.server, request).await?;
        serde_json::from_slice(&bytes).map_err(|why| error::nonsense(tried, &self.server, why))
    }

    /// All pages of `path`, each item turned by `take` as it comes, so that only one page is held as text.
    pub(crate) async fn list<I: DeserializeOwned, T>(
        &self,
        tried: &str,
        path: &str,
        selector: &str,
        take: fn(I) -> Result<Option<T>, String>,
    ) -> Result<Vec<T>, PortError> {
        let pages = self.pages(tried, path, selector, take);
        let limit = self.deadlines.list;
        tokio::time::timeout(limit, pages).await.unwrap_or_else(|_| Err(error::deadline(tried, &self.server, limit)))
    }

    async fn pages<I: DeserializeOwned, T>(
        &self,
        tried: &str,
        path: &str,
        selector: &str,
        take: fn(I) -> Result<Option<T>, String>,
    ) -> Result<Vec<T>, PortError> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = format!("{path}?limit={PAGE}");
            for (key, value) in [("fieldSelector", selector), ("continue", &token)] {
                if !value.is_empty() {
                    query.push_str(&format!("&{key}={}", escape(value)));
                }
            }
            let page: List<I> = self.get(tried, &query).await?;
            all.reserve(page.items.len());
            for item in page.items {
                all.extend(take(item).map_err(|why| error::nonsense(tried, &self.server, why))?);
            }
            if page.metadata.token.is_empty() {
                return Ok(all);
            }
            token = page.metadata.token;
        }
        Err(error::nonsense(tried, &self.server, format!("the list has not ended after {MAX_PAGES} pages of {PAGE}")))
    }

    /// Sends a write; what the server answers beyond its status is not looked at.
    pub(crate) async fn send(&self, write: &Write) -> Result<(), PortError> {
        let body = Some((write.content_type, &write.body));
        let request = self.build(write.tried, &write.on, write.method.clone(), &write.path, body)?;
        self.exchange(write.tried, &write.on, request).await.map(drop)
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
        request.map_err(|why| error::nonsense(tried, on, why))
    }

    async fn exchange(&self, tried: &str, on: &str, request: Request<Body>) -> Result<Vec<u8>, PortError> {
        let limit = self.deadlines.call;
        tokio::time::timeout(limit, self.answer(tried, on, request))
            .await
            .unwrap_or_else(|_| Err(error::deadline(tried, on, limit)))
    }

    async fn answer(&self, tried: &str, on: &str, request: Request<Body>) -> Result<Vec<u8>, PortError> {
        let answer = self.client.send(request).await.map_err(|why| error::from_transport(tried, on, &why))?;
        let status = answer.status();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let limit = if status.is_success() { MAX_ANSWER } else { MAX_ERROR };
        let body = Limited::new(answer.into_body(), limit).collect().await;
        if !status.is_success() {
            // A body that is too long or torn takes nothing away from the status.
            let text = body.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(error::from_answer(tried, on, status.as_u16(), wait.as_deref(), &text));
        }
        match body {
            Ok(body) => Ok(body.to_bytes().into()),
            Err(why) => Err(error::from_transport(tried, on, why.as_ref())),
        }
    }
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
