//! Times the tokenizer and the text tower: `text_speed CHECKPOINT [f32|bf16|auto] [LABELS ...]`, milliseconds to read the
//! tokenizer, and a label (median) for each number of labels. Environment: ZSIC_ISA and ZSIC_THREADS as for the command.

use std::time::{Duration, Instant};

use zsic::{Checkpoint, Compute, Isa, Precision, Template, TextEncoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let checkpoint = Checkpoint::open(args.next().ok_or("give a checkpoint's directory")?)?;
    let precision = match args.next().as_deref() {
        Some("bf16") => Precision::Bf16,
        Some("auto") => Precision::Auto,
        _ => Precision::F32,
    };
    let counts: Vec<usize> = args.map(|n| n.parse()).collect::<Result<_, _>>()?;
    if let Ok(threads) = std::env::var("ZSIC_THREADS") {
        rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    }
    let start = Instant::now();
    checkpoint.tokenizer()?;
    println!("tokenizer in {:.0} ms", ms(start.elapsed()));
    let forced = std::env::var("ZSIC_ISA").ok();
    let isa = Isa::available().find(|isa| Some(isa.name()) == forced.as_deref()).unwrap_or_else(Isa::best);
    let plan = Compute::open_with("cpu", precision, isa)?.plan(&checkpoint);
    let start = Instant::now();
    let encoder = TextEncoder::load(&checkpoint, &plan)?;
    println!("loaded in {:.0} ms, {}", ms(start.elapsed()), plan.instructions().unwrap_or("no kernels"));
    for count in if counts.is_empty() { vec![200] } else { counts } {
        let prompt = |n: usize| Template::default().fill(&format!("a {n} thing that has {} words", n * 7 % 100));
        let tokens: Vec<Vec<u32>> = (0..count).map(|n| encoder.tokenize(&prompt(n))).collect::<Result<_, _>>()?;
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < 2 || (start.elapsed() < Duration::from_secs(6) && times.len() < 10) {
            let start = Instant::now();
            encoder.embed_tokens(&tokens, |_| {})?;
            times.push(start.elapsed());
        }
        times.sort();
        println!("labels {count:5} {:8.2} ms/label", ms(times[times.len() / 2]) / count as f64);
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
