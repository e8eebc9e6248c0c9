//! The bits of the built-in checkpoint's embeddings, on each instruction set: if they change, what was kept in caches is of
//! no use, and `kernels::BITS_VERSION` must say so.

use std::fmt::Write;
use std::fs;

use zsic::cache::ContentHash;
use zsic::kernels::BITS_VERSION;
use zsic::{Checkpoint, Compute, ImageEncoder, Isa, Plan, Precision, TextEncoder, source};

/// The SHA-256 of the embeddings of two images and two texts, by instruction set. Where a line changes, raise BITS_VERSION
/// and write the new lines. NEON has those of AVX2. AMX has none: the order in which it sums is its own.
const BITS: [(u32, &str, &str); 7] = [
    (2, "neon F32", "34de390be0967a4c147bc163ca0156cd1b219e5000433b3f1bd1d1f29c78d4c1"),
    (2, "neon Auto", "34de390be0967a4c147bc163ca0156cd1b219e5000433b3f1bd1d1f29c78d4c1"),
    (2, "avx2 F32", "34de390be0967a4c147bc163ca0156cd1b219e5000433b3f1bd1d1f29c78d4c1"),
    (2, "avx2 Auto", "34de390be0967a4c147bc163ca0156cd1b219e5000433b3f1bd1d1f29c78d4c1"),
    (2, "avx512 F32", "5bd4cb96f6f33944a4e6977ef2552464f38f47c9f097f4fc15185067c68b8490"),
    (2, "avx512 Auto", "5bd4cb96f6f33944a4e6977ef2552464f38f47c9f097f4fc15185067c68b8490"),
    (2, "avx512-bf16 Bf16", "ea9c1f74766b873347c1111a1efc356583267914d2bebbac59e28a2996c18f2d"),
];

/// The hash of what one arithmetic computes. `plain` is not asked: candle's products choose by more than the instruction
/// set.
fn bits(checkpoint: &Checkpoint, plan: &Plan) -> String {
    let images = ImageEncoder::load(checkpoint, plan).unwrap();
    let pixels = ["owl.png", "owl.jpg"].map(|name| {
        let path = format!("{}/examples/images/{name}", env!("CARGO_MANIFEST_DIR"));
        images.preprocess(&source::decode(&fs::read(path).unwrap(), source::MAX_PIXELS).unwrap()).unwrap()
    });
    let texts = TextEncoder::load(checkpoint, plan).unwrap();
    let texts = texts.embed(&["This is a photo of an owl.".to_owned(), "a fox".to_owned()]).unwrap();
    let images = images.embed(&pixels).unwrap();
    let bytes: Vec<u8> = images.values().iter().chain(texts.values()).flat_map(|x| x.to_le_bytes()).collect();
    format!("{:?}", ContentHash::of(&bytes))
}

#[test]
fn bits_change_only_with_their_version() {
    let checkpoint = Checkpoint::demo().unwrap();
    let (mut wrong, mut tried) = (String::new(), 0);
    for isa in Isa::available().filter(|isa| *isa != Isa::Plain) {
        for precision in [Precision::F32, Precision::Auto, Precision::Bf16] {
            let Ok(compute) = Compute::open_with("cpu", precision, isa) else { continue };
            let plan = compute.plan(&checkpoint);
            let name = format!("{} {precision:?}", plan.instructions().unwrap());
            let bits = bits(&checkpoint, &plan);
            if name.starts_with("amx") {
                println!("{name} has no line: {bits}");
                continue;
            }
            tried += 1;
            if !BITS.contains(&(BITS_VERSION, name.as_str(), bits.as_str())) {
                writeln!(wrong, "    ({BITS_VERSION}, \"{name}\", \"{bits}\"),").unwrap();
            }
        }
    }
    println!("tried {tried} arithmetics");
    assert!(tried > 0 || Isa::best() == Isa::Plain);
    assert!(wrong.is_empty(), "raise BITS_VERSION if it was not, and write in BITS:\n{wrong}");
}
