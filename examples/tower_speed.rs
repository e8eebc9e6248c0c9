//! Times one tower: `tower_speed image|text CHECKPOINT [f32|auto|bf16|f16] [COUNT ...]` prints the median milliseconds
//! per image for each batch of COUNT, or per label for each COUNT of labels, and the time to read the tokenizer.
//! Environment: ZSIC_ISA, ZSIC_THREADS, ZSIC_DEVICE and ZSIC_CUDA_KERNELS as for the command.

use std::ops::Range;
use std::time::{Duration, Instant};

use image::RgbImage;
use zsic::{Checkpoint, Compute, ImageEncoder, Isa, Plan, Precision, Template, TextEncoder};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result {
    let mut args = std::env::args().skip(1);
    let (what, checkpoint) =
        (args.next(), Checkpoint::open(args.next().ok_or("give image or text, and a directory")?)?);
    let precision: Precision = args.next().as_deref().unwrap_or("f32").parse()?;
    let counts: Vec<usize> = args.map(|n| n.parse()).collect::<Result<_, _>>()?;
    if let Ok(threads) = std::env::var("ZSIC_THREADS") {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let forced = std::env::var("ZSIC_ISA").ok();
    let isa = Isa::available().find(|isa| Some(isa.name()) == forced.as_deref()).unwrap_or_else(Isa::best);
    let device = std::env::var("ZSIC_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let gpu_kernels = std::env::var("ZSIC_CUDA_KERNELS").ok().as_deref() != Some("0");
    let plan = Compute::open_with(&device, precision, isa, gpu_kernels)?.plan(&checkpoint);
    match what.as_deref() {
        Some("image") => images(&checkpoint, &plan, if counts.is_empty() { &[1, 8, 32] } else { &counts }),
        Some("text") => texts(&checkpoint, &plan, if counts.is_empty() { &[200] } else { &counts }),
        _ => Err("give image or text first".into()),
    }
}

fn images(checkpoint: &Checkpoint, plan: &Plan, batches: &[usize]) -> Result {
    let encoder = loaded(plan, || Ok(ImageEncoder::load(checkpoint, plan)?))?;
    let picture = RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    let pixels = encoder.preprocess(&picture)?;
    for &batch in batches {
        let pixels = vec![pixels.clone(); batch];
        encoder.embed(&pixels)?;
        let median = median(3..20, Duration::from_secs(3), || encoder.embed(&pixels))?;
        println!("batch {batch:3} {:8.4} ms/image", median / batch as f64);
    }
    Ok(())
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
