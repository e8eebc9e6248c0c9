//! The parts of a page that repeat: a card for each picture, and a line for each failure.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zsic::source::without_passwords;

use super::super::super::labels::UNKNOWN;
use super::chosen::{Failure, Picture};
use super::markup::{grouped, percent, text};
use super::thumbnails::Thumbnail;

/// Returns the card of a picture. `labels` are the names behind its numbers.
pub fn card(place: usize, picture: &Picture, thumbnail: &Thumbnail, labels: &[String]) -> String {
    let name = without_passwords(picture.name.as_str());
    let file = name.rsplit(std::path::is_separator).find(|part| !part.is_empty()).unwrap_or(&name);
    let state = match picture.is_right() {
        Some(true) => " right",
        Some(false) => " wrong",
        None => "",
    };
    let mut html =
        format!("<div class=\"card{state}\" role=\"option\" id=\"p{place}\" aria-selected=\"false\" tabindex=\"-1\">");
    match thumbnail {
        Ok(jpeg) => {
            let (width, height, data) = (jpeg.width, jpeg.height, STANDARD.encode(&jpeg.bytes));
            let _ = write!(
                html,
                "<span class=\"frame\"><img alt=\"\" width=\"{width}\" height=\"{height}\" decoding=\"async\" \
                 src=\"data:image/jpeg;base64,{data}\"></span>"
            );
        }
        Err(reason) => {
            let _ = write!(html, "<span class=\"frame none\"><span>no picture: {reason}</span></span>");
        }
    }
    let _ = write!(html, "<span class=\"name\" title=\"{}\"><bdi>{}</bdi></span>", text(&name), text(file));
    let named = |labels: Vec<&str>| if labels.is_empty() { UNKNOWN.to_owned() } else { text(&labels.join(", ")) };
    let of =
        |numbers: &[usize]| named(numbers.iter().filter_map(|&label| labels.get(label)).map(String::as_str).collect());
    let score = |label: usize| picture.best.iter().find(|(own, _)| *own == label).map(|(_, score)| f64::from(*score));
    let own = match picture.answer[..] {
        [] => picture.unknown.map(f64::from),
        [first, ..] => score(first),
    };
    let is_new = |truth: &usize| !picture.answer.contains(truth);
    html += &row("answer", &of(&picture.answer), own);
    match &picture.truth {
        // An answer that is right may be one label of several.
        Some(truth) if truth.len() != picture.answer.len() || truth.iter().any(is_new) => {
            let share = truth.iter().find(|truth| is_new(truth)).and_then(|&truth| score(truth));
            html += &row("rival truth", &of(truth), share);
        }
        _ => {
            let second = picture.best.iter().find(|(label, _)| !picture.answer.contains(label)).copied();
            let unknown = picture.unknown.filter(|_| !picture.answer.is_empty());
            match (second, unknown) {
                (second, Some(unknown)) if second.is_none_or(|(_, share)| unknown > share) => {
                    html += &row("rival", UNKNOWN, Some(unknown.into()));
                }
                (Some((label, share)), _) => html += &row("rival", &of(&[label]), Some(share.into())),
                (None, _) => {}
            }
        }
    }
    html + "<span class=\"mark\"></span></div>\n"
}

/// Returns a label with its score, if it has one, as a number and a bar.
fn row(class: &str, label: &str, share: Option<f64>) -> String {
    let bar = |share: f64| {
        let (number, width) = (percent(share), share.clamp(0.0, 1.0) * 100.0);
        format!(
            " <b>{number}</b><svg viewBox=\"0 0 100 2\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect \
             width=\"{width:.1}\" height=\"2\"/></svg>"
        )
    };
    format!("<span class=\"row {class}\"><bdi>{label}</bdi>{}</span>", share.map(bar).unwrap_or_default())
}

/// Returns the list of images that failed, if there are any. `count` are all of them.
pub fn failures(failures: &[Failure], count: u64) -> String {
    if count == 0 {
        return String::new();
    }
    let item = |Failure { name, message }: &Failure| {
        let reason = message.strip_prefix(&format!("{name}: ")).unwrap_or(message);
        format!("<li><bdi>{}</bdi> <span>{}</span></li>\n", text(name), text(reason))
    };
    let items: String = failures.iter().map(item).collect();
    let images = if count == 1 { "1 image".to_owned() } else { format!("{} images", grouped(count)) };
    let more = count - failures.len() as u64;
    let more = if more > 0 { format!("<p>and {} more</p>", grouped(more)) } else { String::new() };
    format!("<details class=\"failures\"><summary>{images} failed</summary><ul>\n{items}</ul>{more}</details>")
}
