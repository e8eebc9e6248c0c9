//! JSON records. Scores are f32 in the shortest form that reads back the same; `pipeline` widens them to doubles, as
//! Python prints them.

use anyhow::Result;
use serde::Serialize;
use zsic::ImageError;

use super::prediction::{Prediction, Predictions, RecordBody};

#[derive(Default, Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<&'a [&'a str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predictions: Option<Vec<LabelScore<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct LabelScore<'a> {
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
    label: &'a str,
}

#[derive(Serialize)]
struct Failure<'a> {
    kind: &'static str,
    message: &'a str,
}

impl<'a> From<&'a ImageError> for Failure<'a> {
    fn from(e: &'a ImageError) -> Self {
        Self { kind: e.kind.name(), message: &e.message }
    }
}

/// Returns `{"image": .., "predictions": [..]}`, with `answers` and `unknown` where an answer was asked for, or
/// `{"image": .., "error": {..}}`.
pub fn record<'a>(image: &'a str, outcome: &RecordBody<'a>) -> Result<String> {
    Ok(serde_json::to_string(&of_outcome(image, outcome.as_ref().map_err(|e| *e)))?)
}

/// Returns the record of a box in an image: the same with the fields of `boxed`.
pub fn boxed_record(
    image: &str,
    boxed: Option<&impl Serialize>,
    outcome: std::result::Result<&Predictions, &ImageError>,
) -> Result<String> {
    #[derive(Serialize)]
    struct Boxed<'a, B> {
        image: &'a str,
        #[serde(flatten)]
        boxed: Option<&'a B>,
        #[serde(flatten)]
        rest: Record<'a>,
    }
    let rest = Record { image: None, ..of_outcome(image, outcome) };
    Ok(serde_json::to_string(&Boxed { image, boxed, rest })?)
}

fn of_outcome<'a>(image: &'a str, outcome: std::result::Result<&'a Predictions<'a>, &'a ImageError>) -> Record<'a> {
    let image = Some(image);
    let row = |p: &Prediction<'a>| LabelScore { score: p.score, logit: p.logit, label: p.label };
    match outcome {
        Ok(Predictions { ranked, answer, .. }) => Record {
            image,
            answers: answer.as_ref().map(|answer| &*answer.accepted),
            unknown: answer.as_ref().and_then(|answer| answer.unknown),
            predictions: Some(ranked.iter().map(row).collect()),
            ..Record::default()
        },
        Err(e) => Record { image, error: Some(Failure::from(e)), ..Record::default() },
    }
}

/// Returns `{"image": .., "embedding": [..]}`, or the record of a failure.
pub fn image_embedding(image: &str, outcome: std::result::Result<&[f32], &ImageError>) -> Result<String> {
    let (embedding, error) = match outcome {
        Ok(row) => (Some(row), None),
        Err(e) => (None, Some(Failure::from(e))),
    };
    Ok(serde_json::to_string(&Record { image: Some(image), embedding, error, ..Record::default() })?)
}

/// Returns `{"text": .., "embedding": [..]}`.
pub fn text_embedding(text: &str, embedding: &[f32]) -> Result<String> {
    #[derive(Serialize)]
    struct Record<'a> {
        text: &'a str,
        embedding: &'a [f32],
    }
    Ok(serde_json::to_string(&Record { text, embedding })?)
}

/// Returns one image's list, as the Python pipeline does.
pub fn pipeline(predictions: &[Prediction]) -> Result<String> {
    let rows = predictions.iter().map(|p| {
        let logit = p.logit.map(|l| format!(",\"logit\":{}", python_float(l.into()))).unwrap_or_default();
        let (score, label) = (python_float(p.score.into()), serde_json::to_string(p.label)?);
        Ok(format!("{{\"score\":{score}{logit},\"label\":{label}}}"))
    });
    Ok(format!("[{}]", rows.collect::<Result<Vec<_>>>()?.join(",")))
}

/// Returns Python's `repr` of a float: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
fn python_float(x: f64) -> String {
    if x != 0.0 && !(1e-4..1e16).contains(&x.abs()) {
        let text = format!("{x:e}"); // 7.39e-5
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{x:?}") // keeps the .0 of whole numbers
}

#[cfg(test)]
mod tests {
    use super::super::prediction::Answer;
    use super::*;
    use zsic::source::ErrorKind;

    fn two() -> Vec<Prediction<'static>> {
        let prediction = |score, label| Prediction { index: 0, label, score, logit: None };
        vec![prediction(0.99966705, "owl"), prediction(0.000_199_399_16, "sea \"gull\"")]
    }

    #[test]
    fn scores_are_in_their_shortest_form() {
        let expected = r#"{"image":"owl.jpg","predictions":[{"score":0.99966705,"label":"owl"},"#.to_owned()
            + r#"{"score":0.00019939916,"label":"sea \"gull\""}]}"#;
        let bare = Predictions { ranked: two(), ..Predictions::default() };
        assert_eq!(record("owl.jpg", &Ok(bare)).unwrap(), expected);
        let answer = |accepted, unknown| {
            let answer = Some(Answer { accepted, places: Vec::new(), unknown });
            Ok(Predictions { answer, ..Predictions::default() })
        };
        let expected = r#"{"image":"a","answers":["owl"],"unknown":0.25,"predictions":[]}"#;
        assert_eq!(record("a", &answer(vec!["owl"], Some(0.25))).unwrap(), expected);
        assert_eq!(record("a", &answer(vec![], None)).unwrap(), r#"{"image":"a","answers":[],"predictions":[]}"#);
    }

    #[test]
    fn a_failure_is_a_record() {
        let error = ImageError::new(ErrorKind::Decode, "the JPEG data ends early").named("torn.jpg");
        let expected =
            r#"{"image":"torn.jpg","error":{"kind":"decode","message":"torn.jpg: the JPEG data ends early"}}"#;
        assert_eq!(record("torn.jpg", &Err(&error)).unwrap(), expected);
    }

    #[test]
    fn floats_as_python_prints_them() {
        for (x, text) in [
            (7.392_891_711_788_252e-5, "7.392891711788252e-05"),
            (0.9996670484542847, "0.9996670484542847"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (1e-4, "0.0001"),
            (1e16, "1e+16"),
            (-24.570_1, "-24.5701"),
            (1e-300, "1e-300"),
        ] {
            assert_eq!(python_float(x), text);
        }
    }
}
