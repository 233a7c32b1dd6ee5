//! The text protocol of upsd (NUT developer guide, "Network protocol information"): lines of words, quoted where they have
//! spaces. Whatever an upsd says, it is read within bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use ananke_core::observation::UpsReading;
use ananke_core::port::clean;

/// A line of upsd has a value of at most 511 bytes.
pub(crate) const MAX_LINE: usize = 2048;
/// Variables of one UPS; the richest drivers have some two hundred.
pub(crate) const MAX_LINES: usize = 1000;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Ok,
    Begin,
    End,
    /// Name and value.
    Var(String, String),
    /// upsd's own word for what is wrong, such as `DATA-STALE`.
    Err(String),
}

/// Reads one line of an answer about `ups`. `Err` says what is wrong with it.
pub(crate) fn parse(line: &str, ups: &str) -> Result<Line, String> {
    let words = words(line).ok_or_else(|| format!("a line with an open quote: {line:?}"))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["OK", ..] => Ok(Line::Ok),
        ["ERR", what, ..] => Ok(Line::Err((*what).to_owned())),
        ["BEGIN", "LIST", "VAR", of] if *of == ups => Ok(Line::Begin),
        ["END", "LIST", "VAR", of] if *of == ups => Ok(Line::End),
        ["VAR", of, name, value] if *of == ups => Ok(Line::Var((*name).to_owned(), (*value).to_owned())),
        _ => Err(format!("a line that is no answer: {line:?}")),
    }
}

/// Words, of which quoted ones may have spaces, and `\` before `"` and `\`.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut chars) = (Vec::new(), None::<String>, line.chars());
    let mut quoted = false;
    while let Some(found) = chars.next() {
        match found {
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

/// The reading that a list of variables makes. `Err` says which one makes no sense.
pub(crate) fn reading(vars: &BTreeMap<String, String>) -> Result<UpsReading, String> {
    let status = vars.get("ups.status").ok_or("it has no ups.status")?;
    let words: Vec<_> = clean(status, 200).split_ascii_whitespace().map(Into::into).collect();
    if words.is_empty() {
        return Err("its ups.status is empty".to_owned());
    }
    let number = |name: &str| vars.get(name).and_then(|text| whole(text));
    Ok(UpsReading {
        status: words,
        charge_percent: number("battery.charge").map(|charge| u8::try_from(charge.min(100)).unwrap_or(100)),
        runtime: number("battery.runtime").map(Duration::from_secs),
    })
}

/// The whole part of a number: some drivers say `98.0`, and one that knows nothing says what is no number.
fn whole(text: &str) -> Option<u64> {
    let digits = text.trim().split('.').next()?;
    digits.parse().ok().filter(|number| *number <= 10_000_000)
}

/// What may stand in a request: nothing that could end it or be a second word.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Result<Line, String> {
        parse(text, "rack-a")
    }

    #[test]
    fn lines_of_upsd_are_read() {
        assert_eq!(line("BEGIN LIST VAR rack-a"), Ok(Line::Begin));
        assert_eq!(line(r#"VAR rack-a ups.status "OL CHRG""#), Ok(Line::Var("ups.status".into(), "OL CHRG".into())));
        assert_eq!(
            line(r#"VAR rack-a ups.mfr "He said \"no\" \\""#),
            Ok(Line::Var("ups.mfr".into(), r#"He said "no" \"#.into()))
        );
        assert_eq!(line(r#"VAR rack-a ups.id """#), Ok(Line::Var("ups.id".into(), String::new())));
        assert_eq!(line("END LIST VAR rack-a"), Ok(Line::End));
        assert_eq!(line("OK STARTTLS"), Ok(Line::Ok));
        assert_eq!(line("ERR DATA-STALE"), Ok(Line::Err("DATA-STALE".into())));
        for wrong in ["", "VAR other ups.status OL", r#"VAR rack-a ups.status "OL"#, "HTTP/1.1 400 Bad Request", "VAR rack-a x"] {
            assert!(line(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reading_takes_what_a_driver_says_and_leaves_out_what_is_no_number() {
        let read = |vars: &[(&str, &str)]| reading(&vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let found = read(&[("ups.status", "OB DISCHRG"), ("battery.charge", "98.7"), ("battery.runtime", "1620")]).unwrap();
        assert_eq!((found.status.len(), found.charge_percent, found.runtime), (2, Some(98), Some(Duration::from_secs(1620))));
        let found = read(&[("ups.status", "OL"), ("battery.charge", "n/a"), ("battery.runtime", "-1")]).unwrap();
        assert_eq!((found.charge_percent, found.runtime), (None, None));
        assert_eq!(read(&[("ups.status", "OL"), ("battery.charge", "140")]).unwrap().charge_percent, Some(100));
        assert_eq!(read(&[]).unwrap_err(), "it has no ups.status");
        assert_eq!(read(&[("ups.status", " ")]).unwrap_err(), "its ups.status is empty");
    }

    proptest! {
        #[test]
        fn whatever_upsd_says_is_an_answer_or_an_error(text in ".{0,300}") {
            let _read = line(&text);
            let _reading = reading(&BTreeMap::from([("ups.status".to_owned(), text.clone()), ("battery.runtime".to_owned(), text)]));
        }

        #[test]
        fn a_quoted_value_comes_back(value in "[ -~]{0,100}") {
            let quoted = value.replace('\\', r"\\").replace('"', "\\\"");
            let text = format!("VAR rack-a ups.id \"{quoted}\"");
            prop_assert_eq!(line(&text), Ok(Line::Var("ups.id".to_owned(), value)));
        }
    }
}
