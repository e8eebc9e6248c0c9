//! SigLIP 2 in native shapes: sizes, patches and positions as transformers makes them.

use std::fs;

use zsic::model::positions;
use zsic::model::spec::PositionResize;
use zsic::preprocess::config::Size;
use zsic::source::{MAX_PIXELS, decode};
use zsic::{Checkpoint, Compute, ImageEncoder};

use crate::common::{Expected, checkpoint, fixtures, json, worst};

#[test]
fn sizes_are_those_of_the_search() {
    let cases = json(&fixtures("naflex/sizes.json"));
    for case in cases.as_array().unwrap() {
        let n: Vec<usize> = case.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let [height, width, side, most, rows, columns] = n[..] else { panic!("{case}") };
        assert_eq!(Size::Patches { side, most }.of(width, height), (columns * side, rows * side), "{case}");
    }
}

#[test]
fn patches_are_the_reference_s() {
    for name in ["naflex/published", "naflex/odd"] {
        let (opened, expected) = (Checkpoint::open(checkpoint(name)).unwrap(), Expected::of(name));
        let images = ImageEncoder::load(&opened, &Compute::default().plan(&opened)).unwrap();
        let side = opened.family().facts().patch_size;
        for (n, image) in expected.images().iter().enumerate() {
            let bytes = fs::read(fixtures("checkpoints/images").join(image)).unwrap();
            let pixels = images.preprocess(&decode(&bytes, MAX_PIXELS).unwrap()).unwrap();
            let shape = &expected.json["spatial_shapes"][n];
            let grid = (pixels.height() / side, pixels.width() / side);
            assert_eq!((shape[0].as_u64().unwrap() as usize, shape[1].as_u64().unwrap() as usize), grid, "{name}: {image}");
            for (index, patch) in expected.rows(&format!("patches.{n}")).iter().enumerate() {
                let (top, left) = (index / grid.1 * side, index % grid.1 * side);
                let row = |y: usize| pixels.data()[((top + y) * pixels.width() + left) * 3..][..3 * side].to_vec();
                let own = (0..side).flat_map(row).map(f64::from);
                assert_eq!(worst(own, patch.iter().copied()), 0.0, "{name}: {image}, patch {index}");
            }
        }
    }
}

#[test]
fn positions_are_resized_as_by_torch() {
    for (file, how) in
        [("naflex", PositionResize::BilinearAntialiased), ("clipseg", PositionResize::Bicubic)]
    {
        let tensors = fs::read(fixtures(file).join("positions.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&tensors).unwrap();
        let values = |name: &str| {
            let tensor = tensors.tensor(name).unwrap();
            let numbers = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            (tensor.shape().to_vec(), numbers.collect::<Vec<f32>>())
        };
        println!("{file}: {:?}", tensors.names());
        let (shape, table) = values("table");
        let (width, side) = (*shape.last().unwrap(), if shape.len() == 3 { shape[0] } else { shape[0].isqrt() });
        let mut seen = 0;
        for name in tensors.names() {
            let Some((rows, columns)) = name.split_once('x') else { continue };
            let to = (rows.parse().unwrap(), columns.parse().unwrap());
            let own = positions::resize(&table, width, (side, side), to, how);
            let off = worst(own.into_iter().map(f64::from), values(name).1.into_iter().map(f64::from));
            assert!(off < 1e-6, "{file}, {name}: off by {off}");
            seen += 1;
        }
        assert!(seen >= 5, "{file}: {seen}");
    }
}
