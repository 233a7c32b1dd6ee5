//! Warnings about objects that Ananke knows.

use ananke_core::name::{Kind, Moment, ObjectRef};
use ananke_core::observation::EventState;
use ananke_core::port::clean;
use serde::Deserialize;

use super::meta::{Meta, named, null_is_default};

named!(Event);

/// All else is what went well.
pub(crate) const SELECTOR: &str = "type=Warning";

/// Of the core API, which every server and every controller still speaks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    involved_object: Involved,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    last_timestamp: Option<String>,
    #[serde(default)]
    event_time: Option<String>,
    #[serde(default)]
    series: Option<Series>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Involved {
    kind: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<String>,
}

pub(crate) fn event(event: Event) -> Result<Option<EventState>, String> {
    let Some(about) = about(&event.involved_object) else { return Ok(None) };
    let Event { metadata, reason, message, last_timestamp, event_time, series, .. } = event;
    let seen = series.and_then(|series| series.last_observed_time).or(last_timestamp).or(event_time);
    let last = seen.or(metadata.creation_timestamp).and_then(|text| Moment::parse(&text).ok());
    Ok(Some(EventState { about, reason: reason.into(), message: clean(&message, 400).into(), last }))
}

/// None for kinds that nothing here asks about.
fn about(object: &Involved) -> Option<ObjectRef> {
    let (kind, name) = match object.kind.as_str() {
        "Pod" => (Kind::Pod, object.name.as_str()),
        "Node" => (Kind::Node, object.name.as_str()),
        "Deployment" => (Kind::Deployment, object.name.as_str()),
        // Its Deployment's name, and the hash of a pod template.
        "ReplicaSet" => (Kind::Deployment, object.name.rsplit_once('-')?.0),
        "StatefulSet" => (Kind::StatefulSet, object.name.as_str()),
        "DaemonSet" => (Kind::DaemonSet, object.name.as_str()),
        "CronJob" => (Kind::CronJob, object.name.as_str()),
        "PersistentVolumeClaim" => (Kind::PersistentVolumeClaim, object.name.as_str()),
        _ => return None,
    };
    Some(ObjectRef::new(kind, &object.namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Option<String> {
        let state = event(serde_json::from_str(text).unwrap()).unwrap()?;
        let last = state.last.map_or_else(|| "never".to_owned(), |at| at.to_string());
        Some(format!("{} {} {:?} {last}", state.about, state.reason, state.message))
    }

    #[test]
    fn a_warning_is_about_an_object_that_is_known_and_has_a_time() {
        let mount = r#"{"metadata":{"name":"web-0.17","namespace":"apps","creationTimestamp":"2026-03-14T02:00:00Z"},"involvedObject":{"kind":"Pod","namespace":"apps","name":"web-0"},"reason":"FailedMount","message":"no\nsuch","lastTimestamp":"2026-03-14T02:06:00Z","type":"Warning"}"#;
        assert_eq!(check(mount).unwrap(), "Pod apps/web-0 FailedMount \"no such\" 2026-03-14T02:06:00.000Z");
        let series = r#"{"metadata":{"name":"a"},"involvedObject":{"kind":"ReplicaSet","namespace":"apps","name":"web-5d4f"},"reason":"FailedCreate","lastTimestamp":null,"eventTime":"2026-03-14T02:00:00.000000Z","series":{"count":3,"lastObservedTime":"2026-03-14T02:09:00.000000Z"}}"#;
        assert_eq!(check(series).unwrap(), "Deployment apps/web FailedCreate \"\" 2026-03-14T02:09:00.000Z");
        assert_eq!(check(r#"{"metadata":{"name":"a"},"involvedObject":{"kind":"Certificate","name":"web"}}"#), None);
    }
}
