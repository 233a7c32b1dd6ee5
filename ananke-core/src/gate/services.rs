//! Gate `services`: the service checklist.

use super::ingress::answer;
use crate::engine::view::View;
use crate::name::Subject;
use crate::verdict::Judgement;

pub(super) fn evaluate(view: &View<'_>) -> Judgement {
    if view.spec.services.is_empty() {
        return Judgement::not_applicable("no service checks are configured (startup.post_start_probes)");
    }
    let mut judgement = Judgement::default();
    for check in &view.spec.services {
        judgement.set(Subject::Url(check.url.clone()), answer(view, &check.url, &check.accepted_statuses));
    }
    judgement
}
