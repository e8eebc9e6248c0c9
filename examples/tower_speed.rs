//! Times the image tower alone: `tower_speed CHECKPOINT [f32|bf16|auto] [BATCH ...]`, milliseconds an image (median) for each
//! batch. Environment: ZSIC_ISA and ZSIC_THREADS as for the command.

use std::time::{Duration, Instant};

use image::RgbImage;
use zsic::{Checkpoint, Compute, ImageEncoder, Isa, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let checkpoint = Checkpoint::open(args.next().ok_or("give a checkpoint's directory")?)?;
    let precision = match args.next().as_deref() {
        Some("bf16") => Precision::Bf16,
        Some("auto") => Precision::Auto,
        _ => Precision::F32,
    };
    let batches: Vec<usize> = args.map(|n| n.parse()).collect::<Result<_, _>>()?;
    if let Ok(threads) = std::env::var("ZSIC_THREADS") {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let forced = std::env::var("ZSIC_ISA").ok();
    let isa = Isa::available().find(|isa| Some(isa.name()) == forced.as_deref()).unwrap_or_else(Isa::best);
    let plan = Compute::open_with("cpu", precision, isa)?.plan(&checkpoint);
    let start = Instant::now();
    let encoder = ImageEncoder::load(&checkpoint, &plan)?;
    println!("loaded in {:.0} ms, {}", ms(start.elapsed()), plan.instructions().unwrap_or("no kernels"));
    let picture = RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    let pixels = encoder.preprocess(&picture)?;
    for batch in if batches.is_empty() { vec![1, 8, 32] } else { batches } {
        let pixels = vec![pixels.clone(); batch];
        encoder.embed(&pixels)?;
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < 3 || (start.elapsed() < Duration::from_secs(3) && times.len() < 20) {
            let start = Instant::now();
            encoder.embed(&pixels)?;
            times.push(start.elapsed());
        }
        times.sort();
        println!("batch {batch:3} {:8.2} ms/image", ms(times[times.len() / 2]) / batch as f64);
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
