//! A real upsd with a certificate of its own: what `nut.ca_file` asks for, and what it refuses.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and starts real programs")]

use std::fs;
use std::path::Path;
use std::process::Command;

use ananke_tests::upsd::Nut;
use ananke_tests::{Cluster, Run, require, without_ups};

/// In `dir`: an authority, and a certificate of it for 127.0.0.1 in the store that Debian's upsd reads.
const CERTIFICATES: &str = "
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj /CN=nut-ca
openssl req $key -keyout upsd.key -out upsd.csr -subj /CN=upsd
printf 'subjectAltName=IP:127.0.0.1\\n' > extensions
openssl x509 -req -in upsd.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out upsd.pem
openssl pkcs12 -export -in upsd.pem -inkey upsd.key -name upsd -passout pass:secret -out upsd.p12
echo secret > password
mkdir store
certutil -N -d sql:store -f password
pk12util -i upsd.p12 -d sql:store -k password -W secret
certutil -A -d sql:store -n nut-ca -t C,, -i ca.pem -f password
";

fn certificates(dir: &Path) -> String {
    let made = Command::new("sh").args(["-e", "-c", CERTIFICATES]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("CERTPATH {}\nCERTIDENT upsd secret\nDISABLE_WEAK_SSL true\n", dir.join("store").display())
}

fn check(cluster: &Cluster, nut: &Nut, ca: &Path) -> Run {
    let usual = fs::read_to_string(cluster.path("usual.yaml")).unwrap();
    let own = format!("ups: [rack@127.0.0.1:{}]\nnut: {{ca_file: {}}}\n", nut.port, ca.display());
    fs::write(cluster.config(), own + &usual).unwrap();
    cluster.ananke(&["config", "check"])
}

#[test]
fn upsd_is_spoken_to_over_tls_that_its_authority_vouches_for_and_not_otherwise() {
    if !(require("certutil", "libnss3-tools") && require("openssl", "openssl")) {
        return;
    }
    let (Some(nut), Some(plain)) = (Nut::up_with("OL 100 3000", certificates), Nut::up("OL 100 3000")) else { return };
    let cluster = Cluster::up(&["--nodes", "3", "--scenario", "healthy"]);
    let usual = fs::read_to_string(cluster.config()).unwrap();
    fs::write(cluster.path("usual.yaml"), without_ups(&usual)).unwrap();
    let ca = nut.path("ca.pem");
    check(&cluster, &nut, &ca).exits(0);

    let refused = check(&cluster, &plain, &ca).exits(3);
    assert!(refused.stdout.contains("upsd has no TLS"), "{refused}");
    let stranger = nut.path("stranger");
    fs::create_dir(&stranger).unwrap();
    certificates(&stranger);
    let refused = check(&cluster, &nut, &stranger.join("ca.pem")).exits(3);
    assert!(refused.stdout.contains("certificate"), "{refused}");
}
