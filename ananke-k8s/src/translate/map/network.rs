//! Services, Ingresses and their classes: who answers to which name and address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ananke_core::doctor::map::{self, Words};
use ananke_core::name::Kind;
use serde::Deserialize;

use super::super::ingress::Rule;
use super::super::meta::{Meta, null_is_default, set};
use super::LoadBalanced;
use crate::collection::Collection;

pub(crate) static SERVICES: Collection<Service, map::Service> = Collection::new("list services", "/api/v1/services", service);
pub(crate) static INGRESSES: Collection<Ingress, map::Ingress> =
    Collection::new("list ingresses", "/apis/networking.k8s.io/v1/ingresses", ingress);
pub(crate) static INGRESS_CLASSES: Collection<IngressClass, map::IngressClass> =
    Collection::new("list ingressclasses", "/apis/networking.k8s.io/v1/ingressclasses", ingress_class);

#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    metadata: Meta,
    #[serde(default)]
    spec: ServiceSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    status: LoadBalanced,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(deserialize_with = "null_is_default")]
    selector: Words,
    /// A Service without one has the text `None` there.
    #[serde(rename = "clusterIPs", deserialize_with = "null_is_default")]
    cluster: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "null_is_default")]
    external: Vec<String>,
    external_name: Option<Arc<str>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Ingress {
    metadata: Meta,
    #[serde(default)]
    spec: IngressSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    status: LoadBalanced,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IngressSpec {
    ingress_class_name: Option<Arc<str>>,
    #[serde(deserialize_with = "null_is_default")]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct IngressClass {
    metadata: ClassMeta,
    #[serde(default)]
    spec: ClassSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClassMeta {
    name: Arc<str>,
    #[serde(deserialize_with = "null_is_default")]
    annotations: ClassAnnotations,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClassAnnotations {
    #[serde(rename = "ingressclass.kubernetes.io/is-default-class")]
    default: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClassSpec {
    controller: Arc<str>,
}

fn service(of: Service) -> Result<Option<map::Service>, String> {
    let fixed = of.spec.cluster.iter().chain(&of.spec.external).filter_map(|text| text.parse::<IpAddr>().ok());
    Ok(Some(map::Service {
        object: of.metadata.object(Kind::Service),
        addresses: fixed.chain(of.status.addresses()).collect(),
        selector: of.spec.selector,
        external_name: set(of.spec.external_name),
    }))
}

fn ingress(of: Ingress) -> Result<Option<map::Ingress>, String> {
    let mut hosts: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
    for rule in &of.spec.rules {
        let services = hosts.entry(rule.host.clone()).or_default();
        for name in rule.services() {
            if !services.contains(name) {
                services.push(name.clone());
            }
        }
    }
    let (object, addresses) = (of.metadata.object(Kind::Ingress), of.status.addresses().collect());
    Ok(Some(map::Ingress { object, class: set(of.spec.ingress_class_name), hosts, addresses }))
}

fn ingress_class(of: IngressClass) -> Result<Option<map::IngressClass>, String> {
    let default = of.metadata.annotations.default == "true";
    Ok(Some(map::IngressClass { name: of.metadata.name, controller: of.spec.controller, default }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_every_address_that_it_is_reached_at() {
        let text = r#"{"metadata":{"name":"dns","namespace":"pihole"},"spec":{"type":"LoadBalancer","clusterIP":"10.43.0.5","clusterIPs":["10.43.0.5","fd00::5"],
            "externalIPs":["10.0.0.5"],"selector":{"app":"pihole"}},"status":{"loadBalancer":{"ingress":[{"ip":"192.168.1.53","ipMode":"VIP"},{"hostname":"x"}]}}}"#;
        let found = service(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        let told: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["10.43.0.5", "fd00::5", "10.0.0.5", "192.168.1.53"]);
        let text = r#"{"metadata":{"name":"x"},"spec":{"clusterIPs":["None"],"externalName":""},"status":{"loadBalancer":{}}}"#;
        let found = service(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((found.addresses, found.external_name), (Vec::new(), None));
    }

    #[test]
    fn an_ingress_leads_each_host_to_its_own_services() {
        let text = r#"{"metadata":{"name":"web","namespace":"apps"},"spec":{"ingressClassName":"nginx","rules":[
            {"host":"a.example","http":{"paths":[{"backend":{"service":{"name":"a","port":{"number":80}}}},{"backend":{"service":{"name":"a"}}}]}},
            {"host":"b.example","http":{"paths":[{"backend":{"resource":{"kind":"Bucket","name":"x"}}}]}},{"host":"c.example"}]},
            "status":{"loadBalancer":{"ingress":[{"ip":"10.0.0.80"}]}}}"#;
        let found = ingress(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        let hosts: Vec<(&str, usize)> = found.hosts.iter().map(|(host, services)| (&**host, services.len())).collect();
        assert_eq!(hosts, [("a.example", 1), ("b.example", 0), ("c.example", 0)]);
        assert_eq!((found.class.as_deref(), found.addresses.len()), (Some("nginx"), 1));
    }

    #[test]
    fn one_class_is_the_default() {
        let text = r#"{"metadata":{"name":"nginx","annotations":{"ingressclass.kubernetes.io/is-default-class":"true"}},"spec":{"controller":"k8s.io/ingress-nginx"}}"#;
        let found = ingress_class(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        assert_eq!((&*found.controller, found.default), ("k8s.io/ingress-nginx", true));
    }
}
