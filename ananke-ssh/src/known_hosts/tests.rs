use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEZm0BqMj+lsqgmiOb1/EYxpeYxCb5jc3Qmqxd5PFfSMfuipFVxGidtTKtw965c2/6OipcL/hzI8N6Hip/J8bik=";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn judge(file: &str, host: &str, port: u16, shown: &str) -> Trust {
    KnownKeys::parse(file, host, port).judge(&key(shown))
}

fn changed(line: usize, key_text: &str) -> Trust {
    Trust::Changed { line, expected: fingerprint(&key(key_text)) }
}

const UNKNOWN: Trust = Trust::Unknown { unreadable: None, authority: None };

#[test]
fn a_port_other_than_22_must_be_named() {
    let file = format!("# comment\n\ntitan-01,10.0.0.1 {A} by hand # 2\n[titan-01]:2222\t{B}\n");
    assert_eq!(judge(&file, "titan-01", 22, A), Trust::Trusted);
    assert_eq!(judge(&file, "TITAN-01", 2222, B), Trust::Trusted);
    assert_eq!(judge(&file, "titan-01", 2200, A), UNKNOWN);
    assert_eq!(judge(&file, "titan-02", 22, A), UNKNOWN);
}

#[test]
fn a_changed_key_is_named_with_its_line_counted_as_editors_count() {
    let file = format!("# one\n\n# three\ntitan-01 {A}\n");
    assert_eq!(judge(&file, "titan-01", 22, B), changed(4, A));
    assert_eq!(judge(&file, "titan-01", 22, ECDSA), changed(4, A), "a key of a new kind is a changed key too");
}

#[test]
fn a_second_line_for_the_same_host_counts() {
    let file = format!("titan-01 {A}\ntitan-01 {B}\n");
    assert_eq!(judge(&file, "titan-01", 22, B), Trust::Trusted);
    assert!(KnownKeys::parse(&file, "titan-01", 22).has(&Algorithm::Ed25519));
    assert!(!KnownKeys::parse(&file, "titan-01", 22).has(&key(ECDSA).algorithm()));
}

#[test]
fn hashed_names_are_known() {
    let file = format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= {B}\n|1|broken|! {A}\n");
    assert_eq!(judge(&file, "example.com", 22, B), Trust::Trusted);
    assert_eq!(judge(&file, "example.org", 22, B), UNKNOWN);
}

#[test]
fn a_revoked_key_is_refused_even_where_another_line_has_it() {
    let file = format!("titan-01 {A}\n@revoked * {A}\n@cert-authority * {B}\n");
    assert_eq!(judge(&file, "titan-01", 22, A), Trust::Revoked { line: 2 });
    let unknown = Trust::Unknown { unreadable: None, authority: Some(3) };
    assert_eq!(judge(&file, "titan-02", 22, B), unknown, "an authority's own key vouches for nothing");
    assert_eq!(judge(&format!("@revoked * {A}\n"), "titan-01", 22, B), UNKNOWN);
}

#[test]
fn patterns_mean_what_they_mean_to_ssh() {
    let file = format!("!titan-0?,titan-*.lan,titan-* {A}\n");
    assert_eq!(judge(&file, "titan-12", 22, A), Trust::Trusted);
    assert_eq!(judge(&file, "titan-01", 22, A), UNKNOWN);
    assert!(glob("*a*b", "xxaxxbab") && !glob("*a*b", "xxaxxbabc") && glob("*", "") && !glob("?", ""));
}

#[test]
fn a_line_that_cannot_be_read_vouches_for_nothing_and_is_named() {
    assert_eq!(judge("titan-01 ssh-ed25519 AAAA\n", "titan-01", 22, A), Trust::Unknown { unreadable: Some(1), authority: None });
    assert_eq!(judge(&format!("titan-01 ssh-rsa\ntitan-01 {A}"), "titan-01", 22, A), Trust::Trusted);
}

#[test]
fn a_refusal_says_what_to_do() {
    let target = SshTarget { host: "10.0.0.1".to_owned(), port: 2222, user: "ops".to_owned() };
    let say = |file: &str| {
        let error = refusal(&judge(file, "10.0.0.1", 2222, A), &key(A), "titan-01", &target, Path::new("/k")).unwrap();
        assert_eq!(error.kind, ErrorKind::Untrusted);
        format!("{error}; {}", error.remedy.as_deref().unwrap())
    };
    assert_eq!(
        say(""),
        "verify the host key on titan-01 (ops@10.0.0.1:2222): host key SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE is not in \
         /k; compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` at the console of titan-01; if it is the same: \
         ssh-keyscan -p 2222 10.0.0.1 >> /k"
    );
    assert_eq!(
        say(&format!("\n[10.0.0.1]:2222 {B}")),
        format!(
            "verify the host key on titan-01 (ops@10.0.0.1:2222): host key changed: line 2 of /k has {}, the host showed {}; verify \
             the key of titan-01 at its console; if the host was reinstalled, replace line 2 of /k",
            fingerprint(&key(B)),
            fingerprint(&key(A))
        )
    );
}
