//! HTML in which text cannot become markup: only what stands in this program is taken as it is.

mod gates;

use ananke_core::port::clean;

pub(crate) use gates::{gates, tone_of};

pub(crate) const STYLE: &str = include_str!("html/page.css");

/// Characters of one text; what is longer belongs into a report.
const MAX_TEXT: usize = 400;

#[derive(Debug, Default)]
pub(crate) struct Html(String);

/// How something is to be felt about; never by its colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Wait,
    Bad,
    Info,
}

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Wait => "wait",
            Self::Bad => "bad",
            Self::Info => "info",
        }
    }
}

impl Html {
    pub(crate) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        for c in clean(text, MAX_TEXT).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.push_str(&number.to_string());
        self
    }

    pub(crate) fn word(&mut self, tone: Tone, text: &str) -> &mut Self {
        self.raw("<span class=\"word ").raw(tone.class()).raw("\">").text(text).raw("</span>")
    }

    /// Says how many of a list are left out.
    pub(crate) fn more(&mut self, count: usize, shown: usize) -> &mut Self {
        match count.checked_sub(shown) {
            Some(more @ 1..) => self.raw("<p><small>and ").text(&more.to_string()).raw(" more</small></p>"),
            Some(0) | None => self,
        }
    }

    pub(crate) fn done(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let told = |text: &str| {
            let mut html = Html::default();
            html.text(text);
            html.done()
        };
        assert_eq!(told("<script>alert('x')</script>"), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
        assert_eq!(told("\" onload=\"&\u{202e}\u{1b}[31m"), "&quot; onload=&quot;&amp;  [31m");
        assert_eq!(told(&"x".repeat(10_000)).chars().count(), MAX_TEXT + 1);
    }
}
