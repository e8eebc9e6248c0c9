//! Images by URL: the flags and environment variables about fetching them.

use zsic::net::{HttpSettings, ImageSettings, Images};

use super::args::{Hub, Inputs};
use super::hub;

/// Returns the fetcher of images.
pub fn images(inputs: &Inputs, machine: &Hub) -> Images {
    let default = ImageSettings::default();
    Images::new(ImageSettings {
        http: HttpSettings { patience: default.http.patience, ..hub::http(machine) },
        offline: hub::is_offline(machine),
        private_redirects: inputs.allow_private_redirects,
        max_bytes: inputs.max_bytes.unwrap_or(default.max_bytes),
        ..default
    })
}
