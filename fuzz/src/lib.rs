//! What the targets share.

use zsic::checkpoint::{Files, Weights};

/// Writes `bytes` as the weight file `name` of a checkpoint and reads every tensor that it is believed to have.
pub fn read_all(name: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), bytes).unwrap();
    let Ok(weights) = Weights::open(&Files::directory(dir.path())) else { return };
    for (name, shape) in weights.shapes() {
        if let Ok(values) = weights.root().values(name, shape) {
            assert!(values.len() <= bytes.len(), "more values than the file has bytes");
        }
    }
}
