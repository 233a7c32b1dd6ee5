//! Standard error, written by a thread of its own: a terminal that takes nothing (Ctrl-S, a dark switch between it and this
//! host) or a log that stands still stops no run. What does not fit meanwhile is left out, and how much that was is said.

use std::borrow::Cow;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ananke_core::port::is_unseen;

/// Texts that wait to be written: a hundred screens, or the lines of a busy minute.
const WAITING: usize = 256;
/// Whoever reads what was said has it by then, or nobody reads.
const LAST_WORDS: Duration = Duration::from_secs(2);

enum Said {
    Text(String),
    /// Answered when all before it is written.
    Rest(SyncSender<()>),
}

struct Mouth {
    /// None where no thread can be had: then it is written at once.
    sender: Option<SyncSender<Said>>,
    left_out: AtomicUsize,
}

impl Mouth {
    fn over(out: impl Write + Send + 'static) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let speaks = std::thread::Builder::new().name("terminal".to_owned()).spawn(move || speak(out, &receiver));
        Self { sender: speaks.is_ok().then_some(sender), left_out: AtomicUsize::new(0) }
    }

    /// Whether it will be written.
    fn takes(&self, text: String) -> bool {
        match &self.sender {
            Some(sender) => sender.try_send(Said::Text(text)).is_ok(),
            None => {
                write(&mut std::io::stderr().lock(), &text);
                true
            }
        }
    }

    /// A line that stays, after `before`.
    fn line(&self, before: &str, line: &str) -> bool {
        let left_out = self.left_out.load(Ordering::Relaxed);
        let missing =
            if left_out == 0 { String::new() } else { format!("({left_out} lines are missing here: nobody took them)\n") };
        let taken = self.takes(format!("{before}{missing}{line}"));
        if taken {
            self.left_out.fetch_sub(left_out, Ordering::Relaxed);
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Waits until all is written, or nobody takes it.
    fn rest(&self, at_most: Duration) {
        let Some(sender) = &self.sender else { return };
        let (done, is_done) = sync_channel(1);
        if sender.try_send(Said::Rest(done)).is_ok() {
            match is_done.recv_timeout(at_most) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

fn speak(mut out: impl Write, said: &Receiver<Said>) {
    for said in said {
        match said {
            Said::Text(text) => write(&mut out, &text),
            Said::Rest(done) => done.try_send(()).unwrap_or_default(),
        }
    }
}

/// A terminal that is gone is no reason to stop a recovery.
fn write(out: &mut impl Write, text: &str) {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}

static MOUTH: OnceLock<Mouth> = OnceLock::new();

fn mouth() -> &'static Mouth {
    MOUTH.get_or_init(|| Mouth::over(std::io::stderr()))
}

/// A line that stays, with its end; `before` may wipe what is drawn. Whether it will be written.
pub(crate) fn line(before: &str, line: &str) -> bool {
    mouth().line(before, &plain(line))
}

/// Text in lines as a terminal may show it, wherever it came from.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| is_unseen(c) && c != '\n';
    if text.contains(is_obeyed) { Cow::Owned(text.replace(is_obeyed, " ")) } else { Cow::Borrowed(text) }
}

/// What the next one draws over. Whether it will be written.
pub(crate) fn frame(text: String) -> bool {
    mouth().takes(text)
}

/// Waits for a moment until all that was said is written: before anything else is printed, and at the end.
pub(crate) fn rest() {
    if let Some(mouth) = MOUTH.get() {
        mouth.rest(LAST_WORDS);
    }
}

/// For whoever writes lines to a [`Write`]: each write is one text.
#[derive(Debug)]
pub(crate) struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        line("", &String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn no_text_moves_the_cursor_or_turns_what_follows() {
        assert_eq!(plain("a\x1b[2Jb\u{202e}c\r\nd\u{9b}e"), "a [2Jb c \nd e");
        assert!(matches!(plain("ümlaut\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_terminal_that_takes_nothing_stops_nobody_and_is_told_what_it_missed() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mouth = Mouth::over(writer);
        let long = format!("{}\n", "x".repeat(4095));
        let taken = (0..2000).filter(|_| mouth.line("", &long)).count();
        assert!((WAITING..1000).contains(&taken), "{taken} of 2000");
        mouth.rest(Duration::from_millis(10));
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let is_whole = |line: &String| line.len() == 4095;
        let first = lines.by_ref().take(100).filter(is_whole).count();
        while !mouth.line("", "back\n") {
            std::thread::yield_now();
        }
        drop(mouth);
        let rest: Vec<String> = lines.collect();
        assert_eq!(first + rest.iter().filter(|line| is_whole(line)).count(), taken);
        assert!(rest[rest.len() - 2].ends_with("lines are missing here: nobody took them)"), "{rest:?}");
        assert_eq!(rest.last().map(String::as_str), Some("back"));
    }

    #[test]
    fn what_was_said_is_written_before_the_rest() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mouth = Mouth::over(writer);
        assert!(mouth.line("", "a\n") && mouth.takes("b\n".to_owned()));
        mouth.rest(Duration::from_secs(60));
        drop(mouth);
        assert_eq!(BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>(), ["a", "b"]);
    }
}
