//! One file a family: what its `config.json` means, as data. No loading, no arithmetic.

pub mod clip;
pub mod siglip;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a section of `config.json`; one that is missing has the defaults.
fn section<T: DeserializeOwned + Default>(name: &str, json: Option<Value>) -> Result<T, String> {
    json.map_or_else(|| Ok(T::default()), |json| serde_json::from_value(json).map_err(|e| format!("{name}: {e}")))
}

/// Refuses images of other than three channels.
fn check_channels(channels: usize) -> Result<(), String> {
    if channels == 3 {
        Ok(())
    } else {
        Err(format!("vision_config.num_channels is {channels}; zsic reads images of 3"))
    }
}
