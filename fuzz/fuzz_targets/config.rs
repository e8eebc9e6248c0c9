//! Any JSON as config.json and as preprocessor_config.json.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zsic::Preprocessor;
use zsic::checkpoint::Layout;
use zsic::model::family::Family;

fuzz_target!(|data: &[u8]| {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    if let Ok(family) = Family::read(&json, Layout::Transformers, "") {
        let (rows, columns) = family.image().stem.table();
        assert!(rows * columns > 0);
    }
    if let Ok(preprocessor) = Preprocessor::from_json(json, zsic::preprocess::ProcessorClass::Clip) {
        preprocessor.normalizer();
    }
});
