use ananke_core::name::Moment;
use expect_test::{Expect, expect};
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::certificate::Builder;
use russh::keys::{Algorithm, PrivateKey};

use super::*;
use crate::known_hosts::{KnownKeys, Trust, refusal};

const FROM: u64 = 1_700_000_000;
const UNTIL: u64 = 1_800_000_000;

fn key() -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
}

fn at(secs: u64) -> Moment {
    moment(secs)
}

/// A certificate for titan-01 and *.lan, but for what `change` makes of it.
fn certified(key: &PrivateKey, authority: &PrivateKey, change: impl FnOnce(&mut Builder)) -> Certificate {
    let mut builder = Builder::new([7; 16], key.public_key(), FROM, UNTIL).unwrap();
    builder.key_id("titan-01").unwrap();
    change(&mut builder);
    builder.sign(authority).unwrap()
}

fn named(builder: &mut Builder) {
    builder.cert_type(CertType::Host).unwrap();
    builder.valid_principal("titan-01").unwrap().valid_principal("*.lan").unwrap();
}

fn check(change: impl FnOnce(&mut Builder), host: &str, now: u64, expected: Expect) {
    let found = flaw(&certified(&key(), &key(), change), host, at(now));
    expected.assert_eq(&found.map_or_else(|| "believed".to_owned(), |flaw| flaw.to_string()));
}

#[test]
fn it_vouches_for_the_hosts_that_it_names() {
    check(named, "titan-01", FROM, expect!["believed"]);
    check(named, "TITAN-02.lan", UNTIL - 1, expect!["believed"]);
    check(named, "titan-02", FROM, expect!["it is for titan-01, *.lan, not for titan-02"]);
    let nobody = |builder: &mut Builder| {
        builder.cert_type(CertType::Host).unwrap().all_principals_valid().unwrap();
    };
    check(nobody, "titan-01", FROM, expect!["it names no host, so not titan-01 either"]);
}

#[test]
fn it_vouches_while_it_is_valid() {
    let early = expect!["it is valid from 2023-11-14T22:13:20.000Z only, and it is 2023-11-14T22:13:19.000Z here"];
    check(named, "titan-01", FROM - 1, early);
    let late = expect!["it ended at 2027-01-15T08:00:00.000Z, and it is 2027-01-15T08:00:00.000Z here"];
    check(named, "titan-01", UNTIL, late);
}

#[test]
fn it_is_for_hosts_and_asks_for_nothing_that_is_not_known() {
    let user = |builder: &mut Builder| {
        builder.cert_type(CertType::User).unwrap().valid_principal("titan-01").unwrap();
    };
    check(user, "titan-01", FROM, expect!["it is a certificate for users"]);
    let optional = |builder: &mut Builder| {
        named(builder);
        builder.extension("whatever", "").unwrap();
    };
    check(optional, "titan-01", FROM, expect!["believed"]);
    let critical = |builder: &mut Builder| {
        named(builder);
        builder.critical_option("source-address", "10.0.0.0/8").unwrap();
    };
    check(critical, "titan-01", FROM, expect!["its critical option source-address is not known"]);
}

#[test]
fn a_signature_that_does_not_fit_vouches_for_nothing() {
    let certificate = certified(&key(), &key(), named);
    let mut bytes = certificate.to_bytes().unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(flaw(&Certificate::from_bytes(&bytes).unwrap(), "titan-01", at(FROM)), Some(Flaw::Signature));
}

#[test]
fn only_an_authority_of_the_file_for_that_host_is_believed() {
    let (host, authority, other) = (key(), key(), key());
    let line = |marker: &str, key: &PrivateKey| format!("{marker}titan-* {}\n", key.public_key().to_openssh().unwrap());
    let certificate = certified(&host, &authority, named);
    let judge = |file: &str| KnownKeys::parse(file, "titan-01", 22).judge_certificate(&certificate, "titan-01", at(FROM));
    let signer = || authority.public_key().fingerprint(russh::keys::HashAlg::Sha256).to_string();

    let believed = line("@cert-authority ", &authority);
    assert_eq!(judge(&believed), Trust::Trusted);
    assert_eq!(judge(&believed.replace("titan-*", "hydra-*")), Trust::Unknown { unreadable: None, authority: None });
    assert_eq!(judge(&line("", &authority)), changed(&authority), "a host's own key is no authority");
    let stranger = line("@cert-authority ", &other);
    assert_eq!(judge(&stranger), Trust::Stranger { line: 1, signer: signer() });
    assert_eq!(judge(&(stranger + &line("", &host))), Trust::Trusted, "its key is known by itself");
    assert_eq!(judge(&(believed.clone() + &line("@revoked ", &host))), Trust::Revoked { line: 2 });
    assert_eq!(judge(&(believed + &line("@revoked ", &authority))), Trust::AuthorityRevoked { line: 2, signer: signer() });
}

fn changed(key: &PrivateKey) -> Trust {
    Trust::Changed { line: 1, expected: crate::known_hosts::fingerprint(key.public_key()) }
}

#[test]
fn a_refusal_names_the_line_and_the_flaw() {
    let target = ananke_core::spec::SshTarget { host: "10.0.0.1".to_owned(), port: 22, user: "ops".to_owned() };
    let flaw = Flaw::OtherHosts { host: "10.0.0.1".to_owned(), named: "titan-01".to_owned() };
    let trust = Trust::Flawed { line: 3, flaw };
    let error = refusal(&trust, key().public_key(), "titan-01", &target, std::path::Path::new("/k")).unwrap();
    assert_eq!(
        error.found,
        "the authority of line 3 of /k signed the host certificate, but it is for titan-01, not for 10.0.0.1"
    );
    assert!(error.remedy.unwrap().ends_with("ssh-keygen -s CA -h -I titan-01 -n 10.0.0.1 -V +52w KEY.pub"));
}
