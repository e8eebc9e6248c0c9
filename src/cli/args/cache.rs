//! Flags of the embedding cache, and of `zsic cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::ListFormat;

/// The default of `--cache-size`, as a user types it.
const SIZE: &str = "4G";

/// Flags about the embeddings kept between runs.
#[derive(Debug, Clone, Args)]
pub struct Caching {
    #[command(flatten)]
    pub place: CachePlace,
    /// Do not read or keep embeddings; without --resume, do not keep the note about a finished FILE either
    #[arg(long)]
    pub no_cache: bool,
    /// The size limit of the cache, such as 500M or 4G; the least recently used entries are removed first
    #[arg(long, value_name = "BYTES", default_value = SIZE, value_parser = size)]
    pub cache_size: u64,
}

#[derive(Debug, Clone, Args)]
pub struct CachePlace {
    /// The directory of the embeddings kept between runs [default: ~/.cache/zsic]
    #[arg(long, env = "ZSIC_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

/// Show or clear the embeddings kept between runs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zsic cache info
  zsic cache clear --cache-dir /tmp/embeddings")]
pub struct CacheArgs {
    #[command(subcommand)]
    pub command: CacheCommand,
    /// The output format
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show the cache's directory, size and contents
    Info {
        #[command(flatten)]
        place: CachePlace,
        /// The size limit to show
        #[arg(long, value_name = "BYTES", default_value = SIZE, value_parser = size)]
        cache_size: u64,
    },
    /// Remove all entries, even while other processes use the cache
    Clear {
        #[command(flatten)]
        place: CachePlace,
    },
}

/// Parses a number of bytes: `500M` and `500MiB` are 500 * 1024 * 1024, `500MB` is 500,000,000. By hand, since
/// crates read `500M` as a power of ten.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("use a size of at least {LEAST}, such as 500M or 4G");
    const LEAST: &str = "32M";
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = text.trim()[digits.len()..].trim().to_ascii_uppercase();
    let (letter, step) = match (unit.strip_suffix("IB"), unit.strip_suffix('B')) {
        (Some(letter), _) if !letter.is_empty() => (letter, 1024f64),
        (None, Some(letter)) if !letter.is_empty() => (letter, 1000.0),
        (None, Some(_)) => ("", 1.0),
        _ => (unit.as_str(), 1024.0),
    };
    let power = ["", "K", "M", "G", "T"].iter().position(|known| *known == letter).ok_or_else(wrong)?;
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number * step.powi(power as i32);
    let right = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && bytes >= zsic::cache::LEAST as f64;
    if right && bytes < 1e18 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_people_write() {
        for (text, bytes) in [
            ("500M", 500 << 20),
            ("500m", 500 << 20),
            ("0.5G", 512 << 20),
            ("4GiB", 4 << 30),
            ("4 GB", 4_000_000_000),
            ("33554432", 32 << 20),
            ("100000000b", 100_000_000),
            ("1T", 1 << 40),
            (SIZE, zsic::cache::LIMIT),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "1M", "31M", "-1G", "4X", "G", "inf", "nan", "1e9", "4GG", "99999999T", "iB", "4iB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
