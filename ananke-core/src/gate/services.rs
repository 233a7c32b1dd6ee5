//! Gate `services`: the service checklist, with status, redirect, headers and body as the operator expects them. A registry's
//! 401 with its challenge is a healthy answer.

use std::collections::BTreeSet;

use super::http_check::{self, Check};
use crate::engine::view::View;
use crate::port::ProbeRequest;
use crate::spec::{ServiceCheck, Spec};
use crate::verdict::Judgement;

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if view.spec.services.is_empty() {
        return Judgement::not_applicable("no service checks are configured (startup.post_start_probes)");
    }
    http_check::judge(view, checks(view.spec))
}

/// The checklist; a second check of one URL is told apart by its name.
pub(crate) fn checks(spec: &Spec) -> Vec<Check> {
    let mut urls = BTreeSet::new();
    let subject = |check: &ServiceCheck| match urls.insert(check.url.clone()) {
        true => check.url.clone(),
        false => format!("{} ({})", check.url, check.name).into(),
    };
    let subjects: Vec<_> = spec.services.iter().map(subject).collect();
    let whole = |(check, subject): (&ServiceCheck, _)| Check {
        request: ProbeRequest {
            check: Some(check.name.as_str().into()),
            url: check.url.clone(),
            method: check.method,
            headers: check.headers.clone(),
            texts: check.body.clone(),
        },
        subject,
        accepted: check.accepted_statuses.clone(),
        redirect: check.redirect.clone(),
    };
    spec.services.iter().zip(subjects).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Baseline;
    use crate::fact::Fact;
    use crate::gate::testing::Bench;
    use crate::name::Moment;
    use crate::observation::ProbeAnswer;
    use crate::port::probe::RawAnswer;
    use crate::port::{ErrorKind, PortError};
    use crate::spec::ProbeMethod;
    use crate::verdict::Verdict;

    fn check(name: &str, statuses: &[u16]) -> ServiceCheck {
        ServiceCheck {
            name: name.to_owned(),
            url: "https://a.example/".into(),
            method: ProbeMethod::Get,
            accepted_statuses: statuses.to_vec(),
            redirect: None,
            headers: Default::default(),
            body: Vec::new(),
        }
    }

    fn bench(checks: &[ServiceCheck]) -> Bench {
        let mut bench = Bench::new(1);
        bench.all_up();
        bench.spec.services = checks.to_vec();
        bench
    }

    /// The answer goes through the same rule as those of adapters.
    fn answer(bench: &mut Bench, nth: usize, status: u16, headers: &[(&str, &[u8])], body: &str) {
        let request = checks(&bench.spec)[nth].request.clone();
        let kept = request.keep(&RawAnswer { status, headers, body: body.as_bytes() });
        bench.obs.probes.insert(request.key(), Fact::known(kept, bench.now));
    }

    fn text(bench: &Bench) -> String {
        evaluate(&bench.view()).subjects.values().map(|verdict| verdict.text().to_owned()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn nothing_configured_is_said() {
        bench(&[]).check(evaluate, "not applicable: no service checks are configured (startup.post_start_probes)");
    }

    #[test]
    fn a_registry_that_challenges_strangers_is_healthy() {
        let mut registry = check("registry", &[401]);
        registry.headers.insert("www-authenticate".into(), "Bearer realm=".to_owned());
        let mut bench = bench(&[registry]);
        bench.check(evaluate, "https://a.example/: unknown");
        answer(&mut bench, 0, 401, &[("WWW-Authenticate", b"Bearer realm=\"https://a.example/service/token\"")], "");
        bench.check(evaluate, "https://a.example/: pass");
        answer(&mut bench, 0, 401, &[("WWW-Authenticate", b"Basic realm=\"proxy\"")], "");
        bench.check(evaluate, "https://a.example/: hold header-differs waiting");
        assert_eq!(
            text(&bench),
            "https://a.example/ has the header www-authenticate: Basic realm=\"proxy\"; wanted in it: Bearer realm="
        );
        answer(&mut bench, 0, 401, &[], "");
        assert_eq!(text(&bench), "https://a.example/ has no header www-authenticate");
        answer(&mut bench, 0, 200, &[], "");
        bench.check(evaluate, "https://a.example/: hold status-refused waiting");
        assert_eq!(text(&bench), "https://a.example/ answers 200; wanted: 401");
    }

    #[test]
    fn a_login_redirect_is_healthy_only_where_it_leads_to_the_login() {
        let mut ui = check("storage", &[302]);
        ui.redirect = Some("https://sso.example/".to_owned());
        let mut bench = bench(&[ui]);
        answer(&mut bench, 0, 302, &[("location", b"https://sso.example/auth?state=1")], "");
        bench.check(evaluate, "https://a.example/: pass");
        assert_eq!(text(&bench), "https://a.example/ answers 302 and leads to https://sso.example/auth");
        for location in ["https://sso.example.evil/", "http://sso.example/", "/login"] {
            answer(&mut bench, 0, 302, &[("location", location.as_bytes())], "");
            bench.check(evaluate, "https://a.example/: hold redirect-differs waiting");
        }
        answer(&mut bench, 0, 302, &[], "");
        assert_eq!(text(&bench), "https://a.example/ leads nowhere; wanted: https://sso.example/");
    }

    #[test]
    fn a_document_must_hold_every_text_and_an_error_page_is_shown_bounded() {
        let mut sso = check("sso", &[200]);
        sso.body = vec!["\"issuer\"".to_owned(), "https://a.example/realms/x".to_owned()];
        let mut bench = bench(&[sso]);
        answer(&mut bench, 0, 200, &[], r#"{"issuer":"https://a.example/realms/x"}"#);
        bench.check(evaluate, "https://a.example/: pass");
        answer(&mut bench, 0, 200, &[], &format!("<h1>\u{1b}[31mstarting {}", "x".repeat(5000)));
        bench.check(evaluate, "https://a.example/: hold body-differs waiting");
        let said = text(&bench);
        assert!(said.starts_with("https://a.example/ has a body without \"\\\"issuer\\\"\"; it begins: <h1> [31mstarting xx"));
        assert!(said.chars().count() < 300 && !said.contains('\u{1b}'), "{said}");
        answer(&mut bench, 0, 200, &[], "");
        assert!(text(&bench).ends_with("it begins: nothing"));
    }

    #[test]
    fn two_checks_of_one_url_have_an_answer_and_a_verdict_each() {
        let head = ServiceCheck { method: ProbeMethod::Head, ..check("head", &[405]) };
        let mut bench = bench(&[check("get", &[200]), head]);
        answer(&mut bench, 0, 200, &[], "");
        bench.check(evaluate, "https://a.example/: pass\nhttps://a.example/ (head): unknown");
        answer(&mut bench, 1, 405, &[], "");
        bench.check(evaluate, "https://a.example/: pass\nhttps://a.example/ (head): pass");
    }

    #[test]
    fn what_failed_on_the_last_good_day_is_a_note_until_it_answers() {
        let mut bench = bench(&[check("broken", &[200]), check("other", &[200])]);
        let at = Moment::parse("2026-03-13T00:00:00Z").unwrap();
        let urls_failing = ["https://a.example/".into()].into();
        let baseline = Baseline { at, workloads: Vec::new(), flux_failing: Default::default(), urls_failing };
        bench.obs.baseline = Fact::known(Some(baseline), bench.now);
        answer(&mut bench, 0, 503, &[], "");
        bench.check(
            evaluate,
            "https://a.example/ (other): unknown\n\
             note: not waited for, since it failed on the last good day too (2026-03-13): https://a.example/ answers 503; wanted: 200",
        );
        bench.spec.services.truncate(1);
        let judged = evaluate(&bench.view());
        assert!(judged.not_applicable.is_some() && judged.notes.len() == 1);
        answer(&mut bench, 0, 200, &[], "");
        bench.check(evaluate, "https://a.example/: pass");
    }

    #[test]
    fn an_error_is_unknown_and_its_own_remedy_comes_first() {
        let mut bench = bench(&[check("registry", &[401])]);
        let error = PortError::new(ErrorKind::Untrusted, "GET", "https://a.example/", "expired").with_remedy("renew it");
        let mut fact = Fact::<ProbeAnswer>::default();
        fact.fold(Err(error), bench.now);
        bench.obs.probes.insert(checks(&bench.spec)[0].request.key(), fact);
        bench.check(evaluate, "https://a.example/: unknown");
        let judged = evaluate(&bench.view());
        let Some(Verdict::Unknown(unknown)) = judged.subjects.values().next() else { panic!("{judged:?}") };
        assert_eq!(unknown.if_it_lasts, "renew it");
    }
}
