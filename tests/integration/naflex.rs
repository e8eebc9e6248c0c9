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
            assert_eq!(
                (shape[0].as_u64().unwrap() as usize, shape[1].as_u64().unwrap() as usize),
                grid,
                "{name}: {image}"
            );
            for (index, patch) in expected.rows(&format!("patches.{n}")).iter().enumerate() {
                let (top, left) = (index / grid.1 * side, index % grid.1 * side);
                let row = |y: usize| pixels.data()[((top + y) * pixels.width() + left) * 3..][..3 * side].to_vec();
                let own = (0..side).flat_map(row).map(f64::from);
                assert_eq!(worst(own, patch.iter().copied()), 0.0, "{name}: {image}, patch {index}");
            }
        }
    }
}

/// Tables of 1 to 16 positions a side, to shapes that are smaller, larger and lines. CLIPSeg's shapes are pixels in patches of
/// 8, behind a class row.
#[test]
fn positions_are_resized_as_by_torch() {
    let kinds = [("naflex", PositionResize::BilinearAntialiased, 1, 0), ("clipseg", PositionResize::Bicubic, 8, 1)];
    for (file, how, patch, class) in kinds {
        let bytes = fs::read(fixtures(file).join("positions.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let values = |name: &str| -> Vec<f32> {
            let tensor = tensors.tensor(name).unwrap();
            let numbers = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            numbers.skip(class * tensor.shape()[1]).collect()
        };
        let names = tensors.names();
        let resized: Vec<&&str> = names.iter().filter(|name| name.starts_with("resized.")).collect();
        assert!(resized.len() >= 20, "{file}");
        for name in resized {
            let mut parts = name.split(['.', 'x']).skip(1).map(|number| number.parse::<usize>().unwrap());
            let (side, rows, columns) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let table = values(&format!("table.{side}"));
            let to = (rows / patch, columns / patch);
            let own = positions::resize(&table, 3, (side, side), to, how);
            let expected = values(name);
            assert_eq!(own.len(), expected.len(), "{file}, {name}");
            let off = worst(own.into_iter().map(f64::from), expected.into_iter().map(f64::from));
            assert!(off < 2e-6, "{file}, {name}: off by {off}");
        }
    }
}
