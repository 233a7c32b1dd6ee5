//! What an update asks of Git: always the program, always with arguments, never a shell.

use std::path::Path;
use std::time::Duration;

use super::{Builder, Commit, Failed};
use crate::config::Update;

const ASK: Duration = Duration::from_secs(60);
const FETCH: Duration = Duration::from_secs(1800);
/// What was fetched, whatever else the clone holds.
const CANDIDATE: &str = "refs/ananke/candidate";

#[derive(Debug)]
pub(crate) struct Git<'a> {
    builder: &'a Builder,
    settings: &'a Update,
}

impl<'a> Git<'a> {
    pub(crate) fn new(builder: &'a Builder, settings: &'a Update) -> Self {
        Self { builder, settings }
    }

    /// Where the branch is.
    pub(crate) fn tip(&self) -> Result<Commit, Failed> {
        let Update { remote, branch, .. } = self.settings;
        let name = format!("refs/heads/{branch}");
        let said = self.builder.run(Path::new("/"), &["git", "ls-remote", "--", remote.as_str(), &name], ASK)?;
        let tip = said.lines().find_map(|line| Commit::parse(line.strip_suffix(&name)?.trim_end()));
        tip.ok_or_else(|| Failed { why: format!("{remote} has no branch {branch}"), said })
    }

    /// Puts the tip of the branch into the directory, and nothing beside it: what builds leave would fill the disk in time.
    pub(crate) fn fetch(&self) -> Result<Commit, Failed> {
        let Update { remote, branch, directory, .. } = self.settings;
        if !directory.join(".git").exists() {
            self.builder.run(Path::new("/"), &["git", "init", "--quiet", "--", &directory.to_string_lossy()], ASK)?;
        }
        let wanted = format!("+refs/heads/{branch}:{CANDIDATE}");
        self.git(&["fetch", "--quiet", "--force", "--no-tags", "--", remote.as_str(), &wanted], FETCH)?;
        self.git(&["checkout", "--quiet", "--force", "--detach", CANDIDATE], FETCH)?;
        self.git(&["clean", "-ffdxq"], FETCH)?;
        let said = self.git(&["rev-parse", "--verify", "HEAD^{commit}"], ASK)?;
        said.lines().rev().find_map(Commit::parse).ok_or_else(|| Failed { why: "HEAD is no commit".to_owned(), said })
    }

    /// Whether `new` goes on from `old`; not where `old` is not among what was fetched either.
    pub(crate) fn goes_on_from(&self, old: &Commit, new: &Commit) -> bool {
        self.git(&["merge-base", "--is-ancestor", old.as_str(), new.as_str()], ASK).is_ok()
    }

    fn git(&self, arguments: &[&str], limit: Duration) -> Result<String, Failed> {
        let words: Vec<&str> = ["git"].iter().chain(arguments).copied().collect();
        self.builder.run(&self.settings.directory, &words, limit)
    }
}
