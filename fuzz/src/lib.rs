//! The code that the targets share.

use zsic::checkpoint::recipe::{Recipe, WRAPPERS};
use zsic::checkpoint::{Files, Layout, Weights};

/// The names of transformers.
const RECIPE: Recipe = Recipe { views: &[], names: &[WRAPPERS] };

/// Writes `bytes` as the weight file `name` of a checkpoint and reads every tensor that it is believed to have.
pub fn read_all(name: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), bytes).unwrap();
    let Ok(weights) = Weights::open(&Files::directory(dir.path()), Layout::Transformers.weights(), &RECIPE) else { return };
    for (name, shape) in weights.shapes() {
        if let Ok(values) = weights.root().values(name, shape) {
            assert!(values.len() <= bytes.len(), "more values than the file has bytes");
        }
    }
}

/// Decodes bytes as they are, so that whole files can be seeds, and one of the beginnings, which the first byte chooses, with the
/// rest behind it.
pub fn decode(beginnings: &[&[u8]], data: &[u8]) {
    decode_whole(data);
    let Some((kind, rest)) = data.split_first() else { return };
    decode_whole(&[beginnings[usize::from(*kind) % beginnings.len()], rest].concat());
}

fn decode_whole(bytes: &[u8]) {
    if let Ok(image) = zsic::source::decode(bytes, 1 << 20) {
        assert!(image.width() > 0 && image.height() > 0);
    }
}
