//! Images by URL for a test: answers, short waits, and the command.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::common::command::{image, model, zsic};
use crate::image_server::{Answer, Server};
use zsic::ImageError;
use zsic::net::{HttpSettings, ImageSettings, Images, Patience};

pub const LABELS: &str = "cat,the cat's toy,wine glass";

pub fn picture() -> Vec<u8> {
    fs::read(image("wide.png")).unwrap()
}

pub fn status(status: u16) -> Answer {
    Answer::Status(status, vec![], "")
}

pub fn redirect(to: impl Into<String>) -> Answer {
    Answer::Status(302, vec![("Location", to.into())], "")
}

/// Short waits.
pub fn settings() -> ImageSettings {
    let patience = Patience {
        connect: Duration::from_secs(5),
        answer: Duration::from_millis(600),
        stall: Duration::from_millis(600),
        attempts: 3,
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_secs(2),
    };
    ImageSettings {
        http: HttpSettings { patience, ..HttpSettings::default() },
        whole: Duration::from_secs(20),
        max_bytes: 1 << 20,
        ..ImageSettings::default()
    }
}

pub fn fetch(server: &Server, path: &str) -> Result<Vec<u8>, ImageError> {
    Images::new(settings()).fetch(&server.url(path))
}

/// `zsic classify` with the quick-gelu checkpoint and no proxy.
pub fn classify(args: &[&str]) -> Command {
    let mut command = zsic(&["classify", "-m", &model("quick-gelu"), "-l", LABELS]);
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(variable).env_remove(variable.to_lowercase());
    }
    command.env_remove("HF_HUB_OFFLINE").env_remove("SSL_CERT_FILE").args(args);
    command
}

/// The requests' values of a header, in the order of the requests; empty where there is none.
pub fn sent(server: &Server, header: &str) -> Vec<String> {
    let value = |head: &String| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let line = lines.find(|(name, _)| name.eq_ignore_ascii_case(header));
        line.map_or_else(String::new, |(_, value)| value.to_owned())
    };
    server.seen.lock().unwrap().iter().map(value).collect()
}
