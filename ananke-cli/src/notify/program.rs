//! The operator's own program: run without a shell, the notice on its standard input, its title as the last argument.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// It needs to find the programs of the system, and nothing of what Ananke was told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Waits for its end; one that does not end within `deadline` is killed.
pub(super) fn run(words: &[String], title: &str, text: &str, deadline: Duration) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Err("it is empty".to_owned()) };
    #[expect(clippy::disallowed_methods, reason = "the operator's own program, as the config has it, without a shell")]
    let mut command = std::process::Command::new(program);
    command.args(arguments).arg(title).env_clear().env("PATH", PATH);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = spawned.map_err(|error| format!("cannot start it: {error}"))?;
    // A notice fits into the pipe, whether it is read or not; a program that does not read is none of our business.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).unwrap_or_default();
    }
    let looks = deadline.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("it ended with {status}")),
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(format!("cannot wait for it: {error}")),
        }
    }
    child.kill().unwrap_or_default();
    child.wait().map(drop).unwrap_or_default();
    Err(format!("it did not end within {deadline:?}, and was killed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec()
    }

    #[test]
    fn it_gets_the_text_and_the_title_and_nothing_of_our_environment() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let script = format!("{{ echo \"$1\"; cat; echo; env; }} > {}", out.display());
        run(&words(&script), "titan-db: a; $(b)", "two\nlines", Duration::from_secs(10)).unwrap();
        let told = std::fs::read_to_string(out).unwrap();
        assert!(told.starts_with("titan-db: a; $(b)\ntwo\nlines\n"), "{told}");
        let names: Vec<&str> = told.lines().skip(3).filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(names.iter().all(|name| ["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)), "{names:?}");
    }

    #[test]
    fn one_that_fails_or_hangs_is_told() {
        let told = |script: &str| run(&words(script), "t", "x", Duration::from_millis(200)).unwrap_err();
        assert_eq!(told("exit 3"), "it ended with exit status: 3");
        assert_eq!(told("exec sleep 60"), "it did not end within 200ms, and was killed");
        assert!(run(&["/nowhere".to_owned()], "t", "x", Duration::from_secs(1)).unwrap_err().starts_with("cannot start it: "));
    }
}
