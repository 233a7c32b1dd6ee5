//! `cargo xtask dist`: a release binary that needs nothing but the C library, and a Debian package of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cargo::{build_dist, cargo, program, root};
use crate::install::{self, Place};

/// What every system with glibc has.
const GLIBC: [&str; 6] =
    ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libdl.so.2"];
const SUITE: &str = "bookworm";
/// A Debian with nothing in it, made once.
const CHROOT: &str = "target/dist/chroot";

pub(crate) fn run(args: &[&str]) -> ExitCode {
    let done = match args {
        [] => package(&[]).map(drop),
        ["--check"] => package(&[]).and_then(|deb| check(&deb)),
        ["--target", target] => package(&["--target", target]).map(drop),
        _ => Err(format!("found {}\n{}", args.join(" "), crate::USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("dist: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The path of the package. `target`: words for cargo; none for this machine.
fn package(target: &[&str]) -> Result<PathBuf, String> {
    let dist = root().join("target/dist");
    let place = Place { prefix: "/usr".into(), destdir: Some(dist.join("root")) };
    let failed = |what: &str, error: std::io::Error| format!("{what} {}: {error}", dist.display());
    let old = place.at("/");
    if old.exists() {
        fs::remove_dir_all(&old).map_err(|error| failed("empty", error))?;
    }
    fs::create_dir_all(&dist).map_err(|error| failed("create", error))?;
    let binary = build_dist(target)?;
    needs_only_glibc(&binary)?;
    install::put_all(&place, &binary)?;
    let version = env!("CARGO_PKG_VERSION");
    let date = program("date", &["-R"]).output()?;
    let changelog = format!(
        "ananke ({version}-1) unstable; urgency=medium\n\n  * What changed is told in changelog.gz beside this.\n\n -- {}  {date}",
        "Ananke contributors <contributors@ananke.dev>"
    );
    fs::write(dist.join("changelog"), changelog).map_err(|error| failed("write the changelog into", error))?;
    if !cargo(&["deb", "--version"]).works() {
        return Err(format!("{} is built, and the package is not: cargo install cargo-deb --locked", binary.display()));
    }
    let out = dist.to_string_lossy().into_owned();
    let words = ["deb", "--profile", "dist", "--no-build", "--no-strip", "--package", "ananke-cli", "--output", &out];
    let said = cargo(&[&words, target].concat()).output()?;
    let deb = said.lines().rev().map(str::trim).find(|line| line.ends_with(".deb")).map(PathBuf::from);
    let deb = deb.ok_or_else(|| format!("cargo deb named no package: {said}"))?;
    println!("{}\n{}", binary.display(), deb.display());
    Ok(deb)
}

fn needs_only_glibc(binary: &Path) -> Result<(), String> {
    let said = program("readelf", &["--dynamic", "--wide", &binary.to_string_lossy()]).output()?;
    let needed =
        said.lines().filter(|line| line.contains("(NEEDED)")).filter_map(|line| line.split_once('[')?.1.strip_suffix(']'));
    let foreign: Vec<&str> = needed.filter(|name| !GLIBC.contains(name)).collect();
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(format!("{} needs {}; allowed: the C library alone", binary.display(), foreign.join(", "))),
    }
}

/// What Debian says of the package, and that it comes and goes in a Debian with nothing else in it.
fn check(deb: &Path) -> Result<(), String> {
    let package = deb.to_string_lossy();
    program("lintian", &["--fail-on", "error", "--allow-root", &package]).status()?;
    let chroot = root().join(CHROOT);
    let (at, inside) = (chroot.to_string_lossy().into_owned(), chroot.join("ananke.deb"));
    if !chroot.join("usr/bin/dpkg").exists() {
        program("debootstrap", &["--variant=minbase", SUITE, &at]).status()?;
    }
    fs::copy(deb, &inside).map_err(|error| format!("copy the package into {at}: {error}"))?;
    let run = |words: &[&str]| program("chroot", &[&[at.as_str()], words].concat()).status();
    run(&["dpkg", "--install", "/ananke.deb"])?;
    run(&["ananke", "--version"])?;
    run(&["sh", "-c", "ananke drill --seed 1 | tail -n 1"])?;
    run(&["dpkg", "--remove", "ananke"])?;
    run(&["dpkg", "--purge", "ananke"])?;
    run(&["sh", "-c", "! find / -xdev -name '*ananke*' ! -path '/ananke.deb' ! -path '/proc/*' | grep ."])
}
