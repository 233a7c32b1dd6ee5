//! Services with their EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};

use ananke_core::name::{Kind, ObjectRef, Texts};
use ananke_core::observation::EndpointsState;
use serde::Deserialize;

use super::meta::{Meta, named, null_is_default};

named!(Service, EndpointSlice);

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    metadata: Meta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct EndpointSlice {
    metadata: Meta,
    #[serde(default, deserialize_with = "null_is_default")]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    #[serde(deserialize_with = "null_is_default")]
    conditions: Conditions,
    #[serde(deserialize_with = "null_is_default")]
    target_ref: Target,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    /// Absent means ready, as the API defines it.
    ready: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    kind: String,
    namespace: String,
    name: String,
}

/// What one slice has of its Service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    service: ObjectRef,
    ready: BTreeSet<ObjectRef>,
    not_ready: BTreeSet<ObjectRef>,
    /// Endpoints that are ready and no pods.
    others: u32,
}

impl Part {
    pub(crate) fn share(&mut self, texts: &mut Texts) {
        self.service.share(texts);
        for pods in [&mut self.ready, &mut self.not_ready] {
            *pods = std::mem::take(pods)
                .into_iter()
                .map(|mut pod| {
                    pod.share(texts);
                    pod
                })
                .collect();
        }
    }
}

/// A Service, and whether it only stands for a name outside of the cluster.
pub(crate) fn service(of: Service) -> Result<Option<(ObjectRef, bool)>, String> {
    Ok(Some((of.metadata.object(Kind::Service), of.spec.kind == "ExternalName")))
}

pub(crate) fn slice(of: EndpointSlice) -> Result<Option<Part>, String> {
    let Some(name) = of.metadata.labels.get(SERVICE_LABEL) else { return Ok(None) };
    let service = ObjectRef::new(Kind::Service, &of.metadata.namespace, name);
    let mut part = Part { service, ready: BTreeSet::new(), not_ready: BTreeSet::new(), others: 0 };
    for endpoint in of.endpoints {
        let ready = endpoint.conditions.ready != Some(false);
        let target = endpoint.target_ref;
        if target.kind == "Pod" {
            let namespace = if target.namespace.is_empty() { &of.metadata.namespace } else { &target.namespace };
            let pods = if ready { &mut part.ready } else { &mut part.not_ready };
            pods.insert(ObjectRef::new(Kind::Pod, namespace, &target.name));
        } else if ready {
            part.others = part.others.saturating_add(1);
        }
    }
    Ok(Some(part))
}

/// Each Service with all its slices: a pod stands in several of them where there are two address families, and counts once.
pub(crate) fn join(services: Vec<(ObjectRef, bool)>, parts: Vec<Part>) -> Vec<EndpointsState> {
    let mut by_service: BTreeMap<ObjectRef, Part> = BTreeMap::new();
    for part in parts {
        match by_service.get_mut(&part.service) {
            Some(known) => {
                known.ready.extend(part.ready);
                known.not_ready.extend(part.not_ready);
                known.others = known.others.max(part.others);
            }
            None => drop(by_service.insert(part.service.clone(), part)),
        }
    }
    let mut states = Vec::with_capacity(services.len());
    for (service, outside) in services {
        let state = match by_service.remove(&service) {
            Some(part) => {
                let ready = u32::try_from(part.ready.len()).unwrap_or(u32::MAX).saturating_add(part.others);
                EndpointsState { service, ready, pods: part.ready.union(&part.not_ready).cloned().collect() }
            }
            // Its one endpoint is the name, which is nobody's to judge here.
            None => EndpointsState { service, ready: u32::from(outside), pods: Vec::new() },
        };
        states.push(state);
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        slice(serde_json::from_str(text).unwrap()).unwrap().unwrap()
    }

    fn pods(state: &EndpointsState) -> Vec<&str> {
        state.pods.iter().map(|pod| pod.name.as_ref()).collect()
    }

    #[test]
    fn a_service_has_the_endpoints_of_all_its_slices_and_each_pod_once() {
        let v4 = r#"{"addressType":"IPv4","apiVersion":"discovery.k8s.io/v1","endpoints":[
            {"addresses":["10.42.1.3"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"titan-11","targetRef":{"kind":"Pod","name":"gitea-0","namespace":"apps","uid":"a"}},
            {"addresses":["10.42.1.4"],"conditions":{"ready":false},"targetRef":{"kind":"Pod","name":"gitea-1","namespace":"apps","uid":"b"}}],
            "kind":"EndpointSlice","metadata":{"name":"gitea-x2x","namespace":"apps","labels":{"kubernetes.io/service-name":"gitea"}},"ports":[]}"#;
        let v6 = r#"{"addressType":"IPv6","endpoints":[
            {"addresses":["fd00::3"],"conditions":{},"targetRef":{"kind":"Pod","name":"gitea-0","namespace":"apps"}}],
            "metadata":{"name":"gitea-y3y","namespace":"apps","labels":{"kubernetes.io/service-name":"gitea"}}}"#;
        let text = r#"{"metadata":{"name":"gitea","namespace":"apps"},"spec":{"clusterIP":"10.0.0.63","type":"ClusterIP"},"status":{"loadBalancer":{}}}"#;
        let known = service(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        let states = join(vec![known], vec![part(v4), part(v6)]);
        assert_eq!((states[0].service.to_string().as_str(), states[0].ready), ("Service apps/gitea", 1));
        assert_eq!(pods(&states[0]), ["gitea-0", "gitea-1"]);
    }

    #[test]
    fn a_slice_without_endpoints_is_null_and_one_without_a_service_is_nobodys() {
        let empty = r#"{"addressType":"IPv4","endpoints":null,"metadata":{"name":"a","namespace":"apps","labels":{"kubernetes.io/service-name":"a"}},"ports":null}"#;
        assert_eq!((part(empty).ready.len(), part(empty).others), (0, 0));
        let own = r#"{"endpoints":[],"metadata":{"name":"a","namespace":"apps"}}"#;
        assert_eq!(slice(serde_json::from_str(own).unwrap()), Ok(None));
    }

    #[test]
    fn endpoints_that_are_no_pods_count_and_so_does_a_name_outside() {
        let recorded = r#"{"addressType":"IPv4","apiVersion":"discovery.k8s.io/v1","endpoints":[{"addresses":["10.1.2.3"],"conditions":{"ready":true}}],"kind":"EndpointSlice","metadata":{"generation":1,"labels":{"kubernetes.io/service-name":"nas"},"name":"nas-1","namespace":"apps"},"ports":[{"name":"","port":3000,"protocol":"TCP"}]}"#;
        let object = |name| ObjectRef::new(Kind::Service, "apps", name);
        let states = join(vec![(object("nas"), false), (object("name"), true), (object("none"), false)], vec![part(recorded)]);
        let ready: Vec<u32> = states.iter().map(|state| state.ready).collect();
        assert_eq!(ready, [1, 1, 0]);
    }
}
