//! Times a tower: `tower_speed image|shapes|text CHECKPOINT [f32|auto|bf16|f16] [COUNT ...]`, milliseconds an image for each
//! batch of COUNT, or a label for each COUNT of labels (medians), and to read the tokenizer. Environment: ZSIC_ISA,
//! ZSIC_THREADS and ZSIC_DEVICE as for the command.
//!
//! For `image`, CHECKPOINT may be several directories with commas between them. Their towers run in turns, so that a machine
//! that slows down does so for all of them. `shapes` times pictures of one shape and of many, in turns.

use std::ops::Range;
use std::time::{Duration, Instant};

use image::RgbImage;
use zsic::preprocess::Pixels;
use zsic::{Checkpoint, Compute, ImageEncoder, Isa, Plan, Precision, Template, TextEncoder};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result {
    let mut args = std::env::args().skip(1);
    let (what, directories) = (args.next(), args.next().ok_or("give image, shapes or text, and a directory")?);
    let precision: Precision = args.next().as_deref().unwrap_or("f32").parse()?;
    let counts: Vec<usize> = args.map(|n| n.parse()).collect::<Result<_, _>>()?;
    if let Ok(threads) = std::env::var("ZSIC_THREADS") {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let forced = std::env::var("ZSIC_ISA").ok();
    let isa = Isa::available().find(|isa| Some(isa.name()) == forced.as_deref()).unwrap_or_else(Isa::best);
    let device = std::env::var("ZSIC_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let compute = Compute::open_with(&device, precision, isa)?;
    let opened: Vec<Checkpoint> = directories.split(',').map(Checkpoint::open).collect::<Result<_, _>>()?;
    let counts = |default: &[usize]| if counts.is_empty() { default.to_vec() } else { counts.clone() };
    match what.as_deref() {
        Some("image") => images(&directories, &opened, &compute, &counts(&[1, 8, 32])),
        Some("shapes") => shapes(&opened[0], &compute.plan(&opened[0]), &counts(&[12])),
        Some("text") => texts(&opened[0], &compute.plan(&opened[0]), &counts(&[200])),
        _ => Err("give image, shapes or text first".into()),
    }
}

fn images(directories: &str, opened: &[Checkpoint], compute: &Compute, batches: &[usize]) -> Result {
    let mut towers = Vec::new();
    for checkpoint in opened {
        let plan = compute.plan(checkpoint);
        let encoder = loaded(&plan, || Ok(ImageEncoder::load(checkpoint, &plan)?))?;
        let pixels = encoder.preprocess(&picture(640, 480))?;
        towers.push((encoder, pixels));
    }
    for &batch in batches {
        let batches: Vec<_> = towers.iter().map(|(encoder, pixels)| (encoder, vec![pixels.clone(); batch])).collect();
        for ((median, least), name) in in_turns(&batches)?.into_iter().zip(directories.split(',')) {
            let each = median / batch as f64;
            match opened.len() {
                1 => println!("batch {batch:3} {each:8.4} ms/image"),
                _ => println!("batch {batch:3} {each:8.4} ms/image, least {:8.4}  {name}", least / batch as f64),
            }
        }
    }
    Ok(())
}

/// Pictures of one shape, and of as many as there are: their time for each patch.
fn shapes(checkpoint: &Checkpoint, plan: &Plan, batches: &[usize]) -> Result {
    let encoder = loaded(plan, || Ok(ImageEncoder::load(checkpoint, plan)?))?;
    for &batch in batches {
        let of = |width: &dyn Fn(usize) -> u32| -> Result<Vec<Pixels>> {
            (0..batch).map(|n| Ok(encoder.preprocess(&picture(width(n), 480))?)).collect()
        };
        let kinds = [("one shape", of(&|_| 480)?), ("many shapes", of(&|n| 120 + 1800 * n as u32 / batch as u32)?)];
        let rows = |pixels: &[Pixels]| -> usize {
            let patch = checkpoint.family().facts().patch_size;
            pixels.iter().map(|one| (one.width() / patch) * (one.height() / patch)).sum()
        };
        let times = in_turns(&kinds.clone().map(|(_, pixels)| (&encoder, pixels)))?;
        for ((name, pixels), (median, least)) in kinds.iter().zip(times) {
            let patches = rows(pixels);
            let each = |time: f64| 1e3 * time / patches as f64;
            println!(
                "batch {batch:3}, {patches} patches: {:.3} us/patch, least {:.3}  {name}",
                each(median),
                each(least)
            );
        }
    }
    Ok(())
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]))
}

/// The median and the least time of each batch, in milliseconds. The batches run one after another, again and again.
fn in_turns(batches: &[(&ImageEncoder, Vec<Pixels>)]) -> Result<Vec<(f64, f64)>> {
    let mut times = vec![Vec::new(); batches.len()];
    let mut start = Instant::now();
    for turn in 0..=20 {
        for ((encoder, pixels), times) in batches.iter().zip(&mut times) {
            let start = Instant::now();
            encoder.embed(pixels)?;
            times.push(ms(start.elapsed()));
        }
        if turn == 0 {
            times.iter_mut().for_each(Vec::clear); // the first has memory to ask for
            start = Instant::now();
        } else if turn >= 3 && start.elapsed() > Duration::from_secs(3) * batches.len() as u32 {
            break;
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    Ok(times.iter().map(|times| (times[times.len() / 2], times[0])).collect())
}

fn texts(checkpoint: &Checkpoint, plan: &Plan, counts: &[usize]) -> Result {
    let start = Instant::now();
    checkpoint.tokenizer()?;
    println!("tokenizer in {:.0} ms", ms(start.elapsed()));
    let encoder = loaded(plan, || Ok(TextEncoder::load(checkpoint, plan)?))?;
    for &count in counts {
        let prompt = |n: usize| Template::default().fill(&format!("a {n} thing that has {} words", n * 7 % 100));
        let tokens: Vec<Vec<u32>> = (0..count).map(|n| encoder.tokenize(&prompt(n))).collect::<Result<_, _>>()?;
        let median = median(2..10, Duration::from_secs(6), || encoder.embed_tokens(&tokens, |_| {}))?;
        println!("labels {count:5} {:8.4} ms/label", median / count as f64);
    }
    Ok(())
}

/// Loads an encoder and prints how long that took.
fn loaded<T>(plan: &Plan, load: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let encoder = load()?;
    println!("loaded in {:.0} ms, {}", ms(start.elapsed()), plan.instructions().unwrap_or("no kernels"));
    Ok(encoder)
}

/// Returns the median of `runs` runs, in milliseconds; fewer runs, if they take longer than `limit`.
fn median<T>(runs: Range<usize>, limit: Duration, mut run: impl FnMut() -> zsic::Result<T>) -> Result<f64> {
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < runs.start || (start.elapsed() < limit && times.len() < runs.end) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(ms(times[times.len() / 2]))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
