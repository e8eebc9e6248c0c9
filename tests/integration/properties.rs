//! What holds for any input, tried on many.

use crate::common::fixtures;
use image::RgbImage;
use proptest::prelude::*;
use serde_json::json;
use zsic::checkpoint::Files;
use zsic::preprocess::resize::{Axis, resize};
use zsic::preprocess::{Arithmetic, Filter};
use zsic::text::{Tokenizer, TokenizerClass, TokenizerPlan};
use zsic::{Activation, Preprocessor, Scores, Template};

fn arithmetic() -> impl Strategy<Value = Arithmetic> {
    prop_oneof![Just(Arithmetic::Torchvision), Just(Arithmetic::Pillow)]
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![Just(Filter::Bilinear), Just(Filter::Bicubic)]
}

/// An axis and a window of it.
fn axis() -> impl Strategy<Value = Axis> {
    (1..80usize, 1..200usize).prop_flat_map(|(from, to)| {
        (0..to).prop_flat_map(move |start| (1..=to - start).prop_map(move |length| Axis { from, to, start, length }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_window_of_a_resize_is_that_part_of_it(
        columns in axis(), rows in axis(), filter in filter(), arithmetic in arithmetic(), seed in any::<u32>(),
    ) {
        let byte = |n: usize| (n as u32).wrapping_mul(2_654_435_761).wrapping_add(seed).to_be_bytes()[0];
        let source: Vec<u8> = (0..columns.from * rows.from * 3).map(byte).collect();
        let whole = |axis: Axis| Axis { start: 0, length: axis.to, ..axis };
        let all = resize(&source, whole(columns), whole(rows), filter, arithmetic);
        let part = resize(&source, columns, rows, filter, arithmetic);
        for (y, row) in part.chunks(columns.length * 3).enumerate() {
            let at = ((rows.start + y) * columns.to + columns.start) * 3;
            prop_assert_eq!(row, &all[at..at + row.len()]);
        }
    }

    #[test]
    fn a_crop_has_its_size_whatever_the_image(
        width in 1..400u32, height in 1..400u32, size in 1..300usize, (w, h) in (1..300usize, 1..300usize),
    ) {
        let settings = json!({"size": size, "crop_size": {"width": w, "height": h}});
        let preprocessor = Preprocessor::from_json(settings, zsic::preprocess::ProcessorClass::Clip).unwrap();
        let pixels = preprocessor.run(&RgbImage::from_pixel(width, height, image::Rgb([200, 100, 50]))).unwrap();
        prop_assert_eq!((pixels.width(), pixels.height(), pixels.data().len()), (w, h, w * h * 3));
        prop_assert!(pixels.data().chunks(3).all(|p| p == [200, 100, 50] || p == [0, 0, 0]));
    }

    #[test]
    fn scores_are_probabilities_in_the_logits_order(
        logits in prop::collection::vec(-1e4f32..1e4, 1..50), k in 0..60usize,
    ) {
        let scores = Scores::new(logits.clone(), Activation::Softmax);
        let sum: f64 = scores.scores().iter().map(|&s| f64::from(s)).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5);
        let top = scores.top(k);
        prop_assert_eq!(top.len(), k.min(logits.len()));
        prop_assert!(top.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.label < b.label)));
        prop_assert!(top.iter().all(|r| r.logit == logits[r.label]));
    }

    #[test]
    fn any_text_has_tokens_between_start_and_end(text in any::<String>(), limit in 2..20usize) {
        let tokenizer = Tokenizer::open(&Files::directory(fixtures("tokens")), &TokenizerPlan::of(TokenizerClass::Clip)).unwrap();
        let ids = tokenizer.encode(&text).unwrap();
        prop_assert_eq!((ids[0], ids[ids.len() - 1]), (1812, 1813));
        let cut = tokenizer.encode_upto(&text, limit).unwrap();
        prop_assert!(cut.len() == limit.min(ids.len()) && cut[cut.len() - 1] == 1813);
        prop_assert_eq!(&cut[..cut.len() - 1], &ids[..cut.len() - 1]);
    }

    #[test]
    fn a_label_stands_in_its_prompt(label in any::<String>(), before in any::<String>(), after in "[a-z{}é]*") {
        let doubled = |text: &str| text.replace('{', "{{").replace('}', "}}");
        let template: Template = format!("{}{{}}{}", doubled(&before), doubled(&after)).parse().unwrap();
        prop_assert_eq!(template.fill(&label), before + &label + &after);
    }

    #[test]
    fn any_text_is_a_template_or_none(text in "[a{}0:!é]*") {
        if let Ok(template) = text.parse::<Template>() {
            prop_assert_ne!(template.fill("x"), template.fill("y"));
        }
    }
}
