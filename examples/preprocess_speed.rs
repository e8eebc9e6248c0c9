//! Times the work before a model, on one thread. `preprocess_speed WHAT FOLDER` prints images per second over the
//! folder's files, which are read beforehand (best of three passes), and the peak of memory if /proc has it. WHAT is
//! `decode` (alone), `exact` or `fast` (with resize and crop to 224 pixels, and how JPEG files are decoded).

use std::time::Instant;

use serde_json::json;
use zsic::preprocess::Decoding;
use zsic::source::{self, MAX_PIXELS};
use zsic::{ImageError, Preprocessor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (what, folder) = (args.next().unwrap_or_default(), args.next().ok_or("give WHAT and a folder")?);
    let preprocessor = Preprocessor::from_json(json!({}), zsic::preprocess::ProcessorClass::Clip)?;
    let once = |bytes: &[u8]| -> Result<usize, ImageError> {
        let decoding = if what == "fast" { Decoding::Fast } else { Decoding::Exact };
        match what.as_str() {
            "decode" => Ok(source::decode(bytes, MAX_PIXELS)?.len()),
            _ => Ok(preprocessor.decode(bytes, MAX_PIXELS, decoding)?.data().len()),
        }
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<Result<_, _>>()?;
    let before = peak();
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        for file in &files {
            once(file)?;
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{what} {:.2} images/s, peak {} MB over the files", files.len() as f64 / best, (peak() - before) / 1024);
    Ok(())
}

/// Returns the peak of memory so far, in kB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
