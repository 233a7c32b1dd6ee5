//! Running commands at the root of the workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One command line, with what it needs of the environment.
pub(crate) struct Run<'a> {
    program: &'a str,
    args: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
}

/// What a command said, and whether it was content.
pub(crate) struct Ended {
    pub(crate) text: String,
    pub(crate) success: bool,
}

/// The cargo that runs this task, so that both use one toolchain.
pub(crate) fn cargo<'a>(args: &'a [&'a str]) -> Run<'a> {
    Run { program: "cargo", args, env: &[] }
}

pub(crate) fn program<'a>(program: &'a str, args: &'a [&'a str]) -> Run<'a> {
    Run { program, args, env: &[] }
}

impl<'a> Run<'a> {
    pub(crate) fn env(self, env: &'a [(&'a str, &'a str)]) -> Self {
        Self { env, ..self }
    }

    /// Its output goes where ours goes.
    pub(crate) fn status(&self) -> Result<(), String> {
        println!("$ {}", self.line());
        let status = self.command().status().map_err(|error| format!("cannot run {}: {error}", self.line()))?;
        if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", self.line())) }
    }

    /// Its standard output as text; what it says on standard error is shown.
    pub(crate) fn output(&self) -> Result<String, String> {
        let Ended { text, success } = self.any_output()?;
        if success {
            Ok(text)
        } else {
            print!("{text}");
            Err(format!("{} failed", self.line()))
        }
    }

    /// The same, however it ends.
    pub(crate) fn any_output(&self) -> Result<Ended, String> {
        println!("$ {}", self.line());
        let output = self.command().stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("cannot run {}: {error}", self.line()))?;
        Ok(Ended { text: String::from_utf8_lossy(&output.stdout).into_owned(), success: output.status.success() })
    }

    /// Whether it can be run at all, without a word.
    pub(crate) fn works(&self) -> bool {
        self.command().stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn command(&self) -> Command {
        let mut command = match (self.program, std::env::var_os("CARGO")) {
            ("cargo", Some(cargo)) => Command::new(cargo),
            _ => Command::new(self.program),
        };
        // What cargo told this task of itself: some build scripts would take it for a reason to build all over again.
        for (key, _) in std::env::vars_os() {
            if key.to_str().is_some_and(|key| key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_")) {
                command.env_remove(key);
            }
        }
        command.args(self.args).envs(self.env.iter().copied()).current_dir(root());
        command
    }

    fn line(&self) -> String {
        let env = self.env.iter().map(|(key, value)| format!("{key}='{value}'"));
        env.chain([self.program.to_owned()]).chain(self.args.iter().map(ToString::to_string)).collect::<Vec<_>>().join(" ")
    }
}

/// Builds the program as it is installed (`profile.dist`), with more words for cargo; where it is then.
pub(crate) fn build_dist(more: &[&str]) -> Result<PathBuf, String> {
    cargo(&[&["build", "--profile", "dist", "--locked", "-p", "ananke-cli"], more].concat()).status()?;
    let target = more.iter().skip_while(|word| **word != "--target").nth(1).copied().unwrap_or_default();
    Ok(root().join("target").join(target).join("dist/ananke"))
}

/// The same for an example that a bench measures.
pub(crate) fn build_example(package: &str, name: &str) -> Result<PathBuf, String> {
    cargo(&["build", "--profile", "dist", "-p", package, "--example", name]).status()?;
    Ok(root().join("target/dist/examples").join(name))
}

pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// In CI nothing may be left out for want of a tool.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1")
}
