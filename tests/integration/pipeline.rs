//! The library's pipeline: answers in order, counts, and the failure that ends it.

use std::path::Path;
use std::sync::Arc;

use rayon::ThreadPoolBuilder;
use zsic::pipeline::{Answer, Pipeline, Settings};
use zsic::source::{self, Entry, ErrorKind, Held, ImageError, Input, MAX_PIXELS};
use zsic::{Checkpoint, Compute, Error, ImageEncoder};

fn image(name: &str) -> Entry {
    Ok(Input::from_arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)))
}

/// The checkpoint, and its encoder on a pool of so many threads.
fn demo(threads: usize) -> (Checkpoint, ImageEncoder) {
    let checkpoint = Checkpoint::demo().unwrap();
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let plan = Compute::default().with_pool(pool).plan(&checkpoint);
    let encoder = ImageEncoder::load(&checkpoint, &plan).unwrap();
    (checkpoint, encoder)
}

/// All answers, and the error behind them.
fn answers(pipeline: &mut Pipeline, encoder: &ImageEncoder) -> (Vec<Answer>, Option<Error>) {
    let mut all = Vec::new();
    loop {
        match pipeline.next_batch(|pixels| encoder.embed(pixels)) {
            Ok(Some(answers)) => all.extend(answers),
            Ok(None) => return (all, None),
            Err(e) => return (all, Some(e)),
        }
    }
}

#[test]
fn answers_come_in_order_with_the_bits_of_the_encoder() {
    let names = ["owl.png", "fox.png", "missing.png", "owl.png", "bear.png"];
    let (checkpoint, one) = demo(1);
    let (_, three) = demo(3);
    let settings = Settings { threads: 2, batch_size: 3, ..Settings::default() };
    let mut pipeline =
        Pipeline::start(names.map(image).into_iter(), checkpoint.preprocessor().clone(), settings).unwrap();
    let (answers, e) = answers(&mut pipeline, &three);
    assert!(e.is_none(), "{e:?}");
    assert!(answers.iter().zip(names).all(|(answer, name)| answer.name.as_str().ends_with(name)));
    for answer in &answers {
        let alone =
            source::read(Input::from_arg(answer.name.as_str())).and_then(|file| source::decode(&file, MAX_PIXELS));
        match (&answer.embedding, alone) {
            (Ok(row), Ok(rgb)) => assert_eq!(**row, *one.embed(&[one.preprocess(&rgb).unwrap()]).unwrap().row(0)),
            (Err(e), Err(_)) => assert!(e.kind == ErrorKind::NotFound && e.message.contains("missing.png: "), "{e}"),
            other => panic!("{other:?}"),
        }
    }
    let summary = pipeline.summary();
    assert_eq!((summary.images, summary.failed, summary.encoded, summary.previews), (5, 1, 3, 0));
    assert!((1..=3).contains(&summary.batches) && summary.bytes > 0 && !summary.times.encode.is_zero(), "{summary:?}");
}

/// A device that has gone after hours: what it answered stands, and nothing is taken for an image's own failure.
#[test]
fn a_device_that_fails_ends_the_stream_behind_the_answers_before_it() {
    for failure in [|| Error::DeviceMemory, || Error::Device("the GPU failed: it has gone".to_owned())] {
        let (checkpoint, encoder) = demo(1);
        let names = ["owl.png", "fox.png", "bear.png"].map(image);
        let settings = Settings { threads: 1, batch_size: 1, ..Settings::default() };
        let mut pipeline = Pipeline::start(names.into_iter(), checkpoint.preprocessor().clone(), settings).unwrap();
        let first = pipeline.next_batch(|pixels| encoder.embed(pixels)).unwrap().unwrap();
        assert!(first.iter().all(|answer| answer.embedding.is_ok()) && first[0].name.as_str().ends_with("owl.png"));
        let e = pipeline.next_batch(|_| Err(failure())).unwrap_err();
        assert_eq!(e.to_string(), failure().to_string());
        assert_eq!(pipeline.summary().images, 1);
    }
}

#[test]
fn an_image_beyond_memory_ends_the_stream_behind_the_answers_before_it() {
    let (checkpoint, encoder) = demo(1);
    let failure = ImageError::new(ErrorKind::Memory, "is too large");
    let large = || Ok(Input::Held(Held::new(Input::from_arg("large.png").name(), Err(failure.clone()))));
    let entries = vec![image("owl.png"), large(), image("fox.png")];
    let mut pipeline =
        Pipeline::start(entries.into_iter(), checkpoint.preprocessor().clone(), Settings::default()).unwrap();
    let (answers, e) = answers(&mut pipeline, &encoder);
    assert_eq!((answers.len(), pipeline.summary().images), (1, 1));
    assert!(matches!(e, Some(Error::Image(e)) if e.message == "large.png: is too large"));
    assert!(pipeline.next_batch(|pixels| encoder.embed(pixels)).is_err(), "it stays ended");
}

#[test]
fn a_url_needs_a_fetcher() {
    let (checkpoint, encoder) = demo(1);
    let start = |fetch| {
        let settings = Settings { fetch, ..Settings::default() };
        let urls = ["http://h/owl.png"].map(|url| Ok(Input::from_arg(url)));
        Pipeline::start(urls.into_iter(), checkpoint.preprocessor().clone(), settings).unwrap()
    };
    let (refused, _) = answers(&mut start(None), &encoder);
    assert_eq!(refused[0].embedding.as_ref().unwrap_err().kind, ErrorKind::Refused);
    let Ok(Input::Path(owl)) = image("owl.png") else { unreachable!() };
    let (fetched, _) =
        answers(&mut start(Some(Arc::new(move |_, _| Ok(std::fs::read(&owl).unwrap().into())))), &encoder);
    assert!(fetched[0].embedding.is_ok() && fetched[0].name.as_str() == "http://h/owl.png");
}
