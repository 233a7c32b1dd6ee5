//! Flux's sources by their URLs, and what applies what from where.

use std::sync::Arc;

use ananke_core::doctor::map::{Applier, Source};
use ananke_core::doctor::{Part, PartKind};
use ananke_core::port::without_password;
use serde::Deserialize;

use super::super::meta::{Meta, null_is_default};
use super::{Named, Reference, applied_by};

#[derive(Debug, Deserialize)]
pub(crate) struct RawSource {
    metadata: Meta,
    #[serde(default)]
    spec: SourceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SourceSpec {
    /// Of a Bucket it is called otherwise.
    #[serde(alias = "endpoint")]
    url: Arc<str>,
    secret_ref: Option<Named>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawApplier {
    metadata: Meta,
    #[serde(default)]
    spec: ApplierSpec,
}

/// Of a Kustomization or a HelmRelease.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ApplierSpec {
    source_ref: Option<Reference>,
    chart: Option<Chart>,
    chart_ref: Option<Reference>,
    #[serde(deserialize_with = "null_is_default")]
    depends_on: Vec<Reference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chart {
    spec: ChartSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ChartSpec {
    source_ref: Reference,
}

pub(crate) fn git(of: RawSource) -> Result<Option<Source>, String> {
    Ok(Some(source(PartKind::GitRepository, of)))
}

pub(crate) fn oci(of: RawSource) -> Result<Option<Source>, String> {
    Ok(Some(source(PartKind::OCIRepository, of)))
}

pub(crate) fn helm(of: RawSource) -> Result<Option<Source>, String> {
    Ok(Some(source(PartKind::HelmRepository, of)))
}

pub(crate) fn bucket(of: RawSource) -> Result<Option<Source>, String> {
    Ok(Some(source(PartKind::Bucket, of)))
}

fn source(kind: PartKind, of: RawSource) -> Source {
    let object = Part::new(kind, &of.metadata.namespace, &of.metadata.name);
    Source { object, url: without_password(&of.spec.url).into(), secret: of.spec.secret_ref.map(|of| of.name) }
}

pub(crate) fn kustomization(of: RawApplier) -> Result<Option<Applier>, String> {
    Ok(Some(applier(PartKind::Kustomization, of)))
}

pub(crate) fn helm_release(of: RawApplier) -> Result<Option<Applier>, String> {
    Ok(Some(applier(PartKind::HelmRelease, of)))
}

fn applier(kind: PartKind, of: RawApplier) -> Applier {
    let RawApplier { metadata, spec } = of;
    let own = &metadata.namespace;
    let source = spec.source_ref.or(spec.chart_ref).or(spec.chart.map(|chart| chart.spec.source_ref));
    Applier {
        object: Part::new(kind, own, &metadata.name),
        source: source.and_then(|of| Some(of.part(source_kind(&of.kind)?, own))),
        depends_on: spec.depends_on.iter().map(|of| of.part(kind, own)).collect(),
        applied_by: applied_by(&metadata.labels),
    }
}

/// None for a HelmChart, whose own source is not read.
fn source_kind(kind: &str) -> Option<PartKind> {
    Some(match kind {
        "GitRepository" => PartKind::GitRepository,
        "OCIRepository" => PartKind::OCIRepository,
        "HelmRepository" => PartKind::HelmRepository,
        "Bucket" => PartKind::Bucket,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_its_chart_from_one_of_three_places() {
        let check = |spec: &str, expected: Option<&str>| {
            let text = format!(r#"{{"metadata":{{"name":"loki","namespace":"logging"}},"spec":{spec}}}"#);
            let found = helm_release(serde_json::from_str(&text).unwrap()).unwrap().unwrap();
            assert_eq!(found.source.map(|part| part.to_string()).as_deref(), expected, "{spec}");
        };
        check(
            r#"{"chart":{"spec":{"chart":"loki","sourceRef":{"kind":"HelmRepository","name":"grafana"}}}}"#,
            Some("HelmRepository logging/grafana"),
        );
        check(r#"{"chartRef":{"kind":"OCIRepository","name":"loki","namespace":"charts"}}"#, Some("OCIRepository charts/loki"));
        check(r#"{"chartRef":{"kind":"HelmChart","name":"loki"}}"#, None);
    }

    #[test]
    fn a_kustomization_depends_on_its_neighbours() {
        let text = r#"{"metadata":{"name":"apps","namespace":"flux-system","labels":{"kustomize.toolkit.fluxcd.io/name":"flux-system","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}},
            "spec":{"sourceRef":{"kind":"GitRepository","name":"flux-system"},"dependsOn":[{"name":"db"},{"name":"x","namespace":"other"}]}}"#;
        let found = kustomization(serde_json::from_str(text).unwrap()).unwrap().unwrap();
        let told: Vec<String> = found.depends_on.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Kustomization flux-system/db", "Kustomization other/x"]);
        assert_eq!(found.applied_by.unwrap().to_string(), "Kustomization flux-system/flux-system");
    }
}
