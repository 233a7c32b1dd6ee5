//! Circles as a picture: each a column of boxes from top to bottom, and a line back to its first.

use std::fmt::Write;

use super::circle::Circle;
use super::need::{Need, Severity, When};
use crate::port::clean;

const WIDTH: usize = 680;
const LEFT: usize = 56;
const BOX: usize = 30;
/// From one box to the next.
const STEP: usize = 66;
/// What a box or a line of text holds in letters.
const LETTERS: usize = 84;
/// Above the first box of a circle.
const HEAD: usize = 44;
/// What a letter of a box is wide.
const LETTER: usize = 8;

/// SVG without scripts, links or styles from elsewhere.
pub fn draw(circles: &[Circle]) -> String {
    let height: usize = circles.iter().map(high).sum::<usize>().max(HEAD);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let mut top = 0;
    for circle in circles {
        draw_one(&mut out, circle, top);
        top += high(circle);
    }
    if circles.is_empty() {
        text(&mut out, (16, 28), "#1f2328", "no circle was found");
    }
    out.push_str("</svg>\n");
    out
}

fn high(circle: &Circle) -> usize {
    HEAD + circle.needs.len() * STEP
}

fn draw_one(out: &mut String, circle: &Circle, top: usize) {
    let colour = colour(circle.severity);
    let title = format!("A circle of {}, {}", circle.needs.len(), circle.severity);
    text(out, (16, top + 26), colour, &title);
    let last = circle.needs.len().saturating_sub(1);
    for (row, need) in circle.needs.iter().enumerate() {
        let y = top + HEAD + row * STEP;
        let name = clean(&need.from.to_string(), LETTERS);
        let width = (name.chars().count() * LETTER + 24).min(WIDTH - LEFT - 8);
        put(
            out,
            format_args!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"{BOX}\" rx=\"4\" fill=\"#f6f8fa\" stroke=\"#59636e\"/>"
            ),
        );
        text(out, (LEFT + 12, y + 20), "#1f2328", &name);
        if row == last {
            line_back(out, need, (top + HEAD, y));
        } else {
            let (x, from, to) = (LEFT + 20, y + BOX, y + STEP);
            path(out, need, &format!("M{x} {from} V{to}"), (x, to, 0));
        }
        text(out, (LEFT + 34, y + BOX + 23), ink(need), &clean(&label(need), LETTERS));
    }
}

/// Out of the last box, up beside the others, and into the first.
fn line_back(out: &mut String, need: &Need, (first, last): (usize, usize)) {
    let (x, down, into) = (LEFT + 20, last + BOX + 20, first + BOX / 2);
    path(out, need, &format!("M{x} {} V{down} H24 V{into} H{LEFT}", last + BOX), (LEFT, into, -90));
}

fn label(need: &Need) -> String {
    match &need.when {
        When::Start => format!("needs it for {}", need.why),
        when @ (When::Image { .. } | When::NewPods | When::Apply) => format!("needs it for {} ({when})", need.why),
    }
}

/// A line with a head, which points down where it is not turned.
fn path(out: &mut String, need: &Need, along: &str, (x, y, turned): (usize, usize, i32)) {
    let ink = ink(need);
    let dashes = match need.when {
        When::Start => "",
        When::Image { .. } | When::NewPods | When::Apply => " stroke-dasharray=\"5 4\"",
    };
    put(out, format_args!("<path d=\"{along}\" fill=\"none\" stroke=\"{ink}\" stroke-width=\"1.5\"{dashes}/>"));
    put(out, format_args!("<path d=\"M0 0 L-4 -8 L4 -8 Z\" fill=\"{ink}\" transform=\"translate({x} {y}) rotate({turned})\"/>"));
}

fn ink(need: &Need) -> &'static str {
    match need.when {
        When::Start => "#59636e",
        When::Image { .. } | When::NewPods | When::Apply => colour(need.when.severity()),
    }
}

const fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "#cf222e",
        Severity::Medium => "#bc4c00",
        Severity::Low => "#0969da",
    }
}

fn text(out: &mut String, (x, y): (usize, usize), fill: &str, text: &str) {
    put(out, format_args!("<text x=\"{x}\" y=\"{y}\" fill=\"{fill}\">{}</text>", escaped(text)));
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{line}");
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::lab;
    use super::*;

    #[test]
    fn each_part_is_a_box_and_each_need_a_line() {
        let mut lab = lab();
        lab.gitea("ghcr.io/go-gitea/gitea:1");
        let picture = draw(&super::super::circles(&lab.map));
        assert_eq!(picture.matches("<rect ").count(), 1 + 6, "{picture}");
        assert_eq!(picture.matches("rotate(").count(), 6, "{picture}");
        assert!(picture.contains(">GitRepository flux-system/flux-system</text>"), "{picture}");
        assert!(draw(&[]).contains("no circle was found"));
    }

    #[test]
    fn a_name_cannot_become_markup() {
        let mut lab = lab();
        lab.gitea("ghcr.io/go-gitea/gitea:1");
        lab.map.sources[0].object.name = "</text><script>alert(1)</script>".into();
        for applier in &mut lab.map.appliers {
            applier.source = Some(lab.map.sources[0].object.clone());
        }
        let picture = draw(&super::super::circles(&lab.map));
        assert!(picture.contains("&lt;script&gt;") && !picture.contains("<script"), "{picture}");
    }
}
