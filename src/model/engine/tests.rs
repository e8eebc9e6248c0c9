//! Failures of a device, injected.

use super::*;
use crate::kernels::{Element, Isa};

/// Runs work that needs memory for more than `free` rows' worth of it: the rows of each try, and what came of the last one.
fn tries(free: usize, failure: fn() -> Error) -> (Vec<usize>, Result<usize>) {
    let engine = Engine::new(Cpu::new(Isa::Plain, Element::F32));
    let mut tried = Vec::new();
    let result = engine.halving(|rows| {
        tried.push(rows);
        if rows > free { Err(failure()) } else { Ok(rows) }
    });
    (tried, result)
}

#[test]
fn a_batch_that_is_too_large_is_halved() {
    let (tried, result) = tries(700, || Error::DeviceMemory);
    assert_eq!((tried, result.unwrap()), (vec![2400, 1200, 600], 600));
}

#[test]
fn a_device_that_has_no_memory_at_all_is_an_error() {
    let (tried, result) = tries(0, || Error::DeviceMemory);
    assert_eq!((tried.len(), tried.last()), (12, Some(&1)));
    assert!(result.unwrap_err().to_string().contains("out of memory"));
}

#[test]
fn another_failure_is_not_tried_again() {
    let (tried, result) = tries(0, || Error::Device("the GPU failed: it has gone".to_owned()));
    assert_eq!((tried.len(), result.unwrap_err().to_string()), (1, "the GPU failed: it has gone".to_owned()));
}

/// While the GPU works on some images, the next ones are copied, through memory on both sides that is used again and again.
#[cfg(feature = "cuda")]
#[test]
fn images_that_are_copied_beside_cuda_kernels_do_not_meet() {
    let Some(gpu) = crate::kernels::cuda::OpenGpu::of_tests() else { return };
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/odd");
    let checkpoint = crate::Checkpoint::open(dir).unwrap();
    let (spec, preprocessor) = (checkpoint.family().image(), checkpoint.preprocessor());
    let engine = Engine::new(Cuda::new(&gpu, crate::Precision::F32, &spec.blocks).unwrap());
    let tower = spec.load(&engine, checkpoint.weights()).unwrap();
    let image = |n: u8| image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8 * (n % 6), y as u8 * 3, n * 12]));
    let pixels: Vec<Pixels> = (0..20).map(|n| preprocessor.run(&image(n)).unwrap()).collect();
    let of = |most| engine.images_of(&tower, &pixels, &preprocessor.normalizer(), most).unwrap();
    let together = of(usize::MAX);
    assert!(of(1) == together && of(100) == together);
}
