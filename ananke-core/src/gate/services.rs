//! Gate `services`: the service checklist.

use super::ingress::{answer, explained};
use crate::engine::view::View;
use crate::name::Subject;
use crate::verdict::Judgement;

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if view.spec.services.is_empty() {
        return Judgement::not_applicable("no service checks are configured (startup.post_start_probes)");
    }
    let mut judgement = Judgement::default();
    for check in &view.spec.services {
        let verdict = answer(view, &check.url, &check.accepted_statuses);
        judgement.set(Subject::Url(check.url.clone()), explained(view, host_of(&check.url), verdict));
    }
    judgement
}

/// The host of a URL, without its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_what_an_ingress_calls_it() {
        for url in ["https://git.example/v2/", "http://git.example", "http://git.example:8080?x=/", "git.example/"] {
            assert_eq!(host_of(url), "git.example", "{url}");
        }
    }
}
