//! Certificates of the served cluster: an own CA, the server's for loopback, one client's for the administrator.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::Certificates;

/// What could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("set up client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// All that the server and its one client need.
#[derive(Debug)]
pub struct Identity {
    pub server: Certificates,
    pub ca_pem: String,
    pub client_pem: String,
    pub client_key_pem: String,
}

/// Clients without a certificate get in as `system:anonymous`; the API decides what they may see.
pub fn identity() -> Result<Identity, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let ca_key = KeyPair::generate()?;
    let mut ca = named("k3s-server-ca", None);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_cert = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let mut server = named("kube-apiserver", None);
    let sans = CertificateParams::new(["127.0.0.1", "localhost", "kubernetes"].map(str::to_owned))?.subject_alt_names;
    server.subject_alt_names.clone_from(&sans);
    let (server_cert, server_key) = signed(server, ExtendedKeyUsagePurpose::ServerAuth, &issuer)?;
    let (client_cert, client_key) =
        signed(named("system:admin", Some("system:masters")), ExtendedKeyUsagePurpose::ClientAuth, &issuer)?;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca_cert.der().to_vec()))?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).allow_unauthenticated().build()?;
    let config = |certificate: &Certificate, key: &KeyPair| -> Result<Arc<ServerConfig>, TlsError> {
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|found| rustls::Error::General(format!("the new server key is not readable: {found}")))?;
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    };
    let (foreign_cert, foreign_key) = foreign(&sans)?;
    Ok(Identity {
        server: Certificates { own: config(&server_cert, &server_key)?, foreign: config(&foreign_cert, &foreign_key)? },
        ca_pem: ca_cert.pem(),
        client_pem: client_cert.pem(),
        client_key_pem: client_key.serialize_pem(),
    })
}

/// For the same names, and by an authority that nobody trusts.
fn foreign(sans: &[SanType]) -> Result<(Certificate, KeyPair), TlsError> {
    let key = KeyPair::generate()?;
    let mut ca = named("another-ca", None);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let mut server = named("kube-apiserver", None);
    server.subject_alt_names = sans.to_vec();
    signed(server, ExtendedKeyUsagePurpose::ServerAuth, &Issuer::new(ca, key))
}

fn named(common: &str, organisation: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params
}

fn signed(
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(Certificate, KeyPair), TlsError> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?, key))
}
