//! Services, EndpointSlices, Ingresses and their class.

use serde_json::json;

use super::{Projected, flux, implied_uid, key, metadata, object, pod_ip};
use crate::world::{INGRESS_ADDRESS, INGRESS_CLASS, INGRESS_CONTROLLER, Workload, World};

pub(super) fn project<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    services(world, out);
    slices(world, out);
    ingresses(world, out);
    ingress_class(world, out);
}

fn has_service(world: &World, workload: &Workload) -> bool {
    workload.service && world.has(&workload.service_ref())
}

fn services<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for (row, workload) in world.workloads().iter().enumerate().filter(|(_, workload)| has_service(world, workload)) {
        let (of, service) = (&workload.object, workload.service_ref());
        let Some(key) = key("Service", &service.namespace, &service.name) else { continue };
        let at = key.clone();
        let make = move || {
            let mut metadata = metadata(world, &at, &implied_uid(&at), workload.created);
            flux::marked(world, &service, &mut metadata);
            let addresses = world.service_addresses(row);
            let (ip, balanced) = (addresses.first(), addresses.get(1));
            let kind = if balanced.is_some() { "LoadBalancer" } else { "ClusterIP" };
            let status = match balanced {
                Some(ip) => json!({"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}}),
                None => json!({"loadBalancer": {}}),
            };
            let spec = json!({"type": kind, "clusterIP": ip, "clusterIPs": [ip], "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
                "selector": {"app": of.name}, "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]});
            object(&at, metadata, spec, Some(status))
        };
        out.push(Projected { key, stamp: 1, make: Box::new(make) });
    }
}

fn slices<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for workload in world.workloads().iter().filter(|workload| has_service(world, workload)) {
        let (of, service) = (&workload.object, workload.service_ref());
        let Some(key) = key("EndpointSlice", &of.namespace, &format!("{}-{}", service.name, workload.hash)) else { continue };
        let pods = workload.pods.iter().filter_map(|row| Some((*row, world.pod_row(*row)?)));
        let pods: Vec<_> = pods.filter(|(_, pod)| !pod.gone && pod.node.is_some()).collect();
        let stamp = pods.iter().fold(workload.rv, |stamp, (_, pod)| stamp.wrapping_mul(31).wrapping_add(pod.rv));
        let at = key.clone();
        let make = move || {
            let mut metadata = metadata(world, &at, &implied_uid(&at), workload.created);
            metadata.insert(
                "labels".to_owned(),
                json!({"kubernetes.io/service-name": service.name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}),
            );
            let endpoints: Vec<_> = pods
                .iter()
                .map(|(row, pod)| {
                    let node = pod.node.and_then(|node| world.nodes().get(node)).map(|node| node.name.as_str());
                    let ready = pod.ready && pod.deleting.is_none();
                    json!({"addresses": [pod_ip(*row)], "nodeName": node,
                        "conditions": {"ready": ready, "serving": pod.ready, "terminating": pod.deleting.is_some()},
                        "targetRef": {"kind": "Pod", "namespace": of.namespace, "name": pod.object.name, "uid": pod.uid}})
                })
                .collect();
            let mut slice = object(&at, metadata, json!(null), None);
            if let Some(map) = slice.as_object_mut() {
                map.insert("addressType".to_owned(), json!("IPv4"));
                map.insert("endpoints".to_owned(), json!(endpoints));
                map.insert("ports".to_owned(), json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
            }
            slice
        };
        out.push(Projected { key, stamp, make: Box::new(make) });
    }
}

fn ingresses<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    for ingress in world.ingresses().iter().filter(|ingress| world.has(&ingress.object)) {
        let Some(key) = key("Ingress", &ingress.object.namespace, &ingress.object.name) else { continue };
        let at = key.clone();
        let make = move || {
            let mut metadata = metadata(world, &at, ingress.uid.as_str(), ingress.created);
            metadata.insert("generation".to_owned(), json!(1));
            flux::marked(world, &ingress.object, &mut metadata);
            let service = world.workloads().get(ingress.backend).map(|backend| backend.object.name.clone());
            let path =
                json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}});
            let spec = json!({"ingressClassName": INGRESS_CLASS, "rules": [{"host": ingress.host, "http": {"paths": [path]}}],
                "tls": [{"hosts": [ingress.host], "secretName": format!("{}-tls", at.name)}]});
            object(&at, metadata, spec, Some(json!({"loadBalancer": {"ingress": [{"ip": INGRESS_ADDRESS}]}})))
        };
        out.push(Projected { key, stamp: ingress.rv, make: Box::new(make) });
    }
}

fn ingress_class<'a>(world: &'a World, out: &mut Vec<Projected<'a>>) {
    let Some(key) = key("IngressClass", "", INGRESS_CLASS).filter(|_| !world.ingresses().is_empty()) else { return };
    let created = world.namespaces().first().map_or(0, |namespace| namespace.created);
    let at = key.clone();
    let make = move || {
        let mut metadata = metadata(world, &at, &implied_uid(&at), created);
        metadata.insert("annotations".to_owned(), json!({"ingressclass.kubernetes.io/is-default-class": "true"}));
        object(&at, metadata, json!({"controller": INGRESS_CONTROLLER}), None)
    };
    out.push(Projected { key, stamp: 1, make: Box::new(make) });
}
