//! Keys: SHA-256 over everything that decides an embedding's bits. Storage is in `store.rs`.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::digest::{Context, SHA256};

use crate::Plan;
use crate::kernels::{BITS_VERSION, Isa};
use crate::preprocess::Decoding;
use crate::system::file::{Changes, numbers};
use crate::text::TOKENS_VERSION;

/// Seconds that a file must be unchanged before its stamp identifies it: on some file systems two changes within a
/// moment have the same time.
const SETTLED: i64 = 2;

/// Leading bytes of a key that group entries in the file.
const PLACE: usize = 6;

/// The key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the same key, grouped with others of one `place`. The file is ordered by keys, so one run's lookups
    /// touch few of its pages. The remaining bytes of the hash are enough to be unique.
    fn beside(mut self, place: &Self) -> Self {
        self.0[..PLACE].copy_from_slice(&place.0[..PLACE]);
        self
    }

    /// Returns the key in hexadecimal.
    pub(super) fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Returns some of the key's bits as a number.
    pub(super) fn number(&self) -> i64 {
        self.0[..8].iter().fold(0, |n, byte| n << 8 | i64::from(*byte))
    }
}

/// A key under construction. Each part goes in with its length, so that two different lists of parts never hash alike.
pub(super) struct KeyParts(Context);

impl KeyParts {
    pub fn of(what: &str) -> Self {
        Self(Context::new(&SHA256)).and(what.as_bytes())
    }

    pub fn and(mut self, part: &[u8]) -> Self {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub fn key(self) -> CacheKey {
        CacheKey(digest(self.0))
    }
}

/// Bytes of a seal.
const SEAL: usize = 8;

/// Returns the check value stored after a value: a hash of the value and its key. A flipped bit on disk must not change
/// a score.
pub(super) fn seal(key: &CacheKey, value: &[u8]) -> [u8; SEAL] {
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&KeyParts::of("seal").and(key.bytes()).and(value).key().0[..SEAL]);
    seal
}

/// Returns a value without its seal, or None if either is damaged.
pub(super) fn unseal(key: &CacheKey, mut value: Vec<u8>) -> Option<Vec<u8>> {
    let seal_of = value.split_off(value.len().checked_sub(SEAL)?);
    (seal_of == seal(key, &value)).then_some(value)
}

fn digest(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// The SHA-256 of a file's or an image's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Hashes bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Self(digest(context))
    }

    /// Hashes the rest of a reader.
    ///
    /// # Errors
    /// The reader's error.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(Self(digest(context))),
                read => context.update(&buffer[..read]),
            }
        }
    }

    /// Parses the result of [`Self::bytes`]. Returns None for another length.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Parses 64 hexadecimal digits.
    pub(super) fn from_hex(hex: &str) -> Option<Self> {
        HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok().and_then(|bytes| Self::from_bytes(&bytes))
    }

    /// Returns 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Returns the 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// Identifies an unchanged file without reading it: by its absolute path, size, device, inode, and the times of its
/// last changes to the nanosecond. Windows shows neither device nor inode, and the time when it was made in place of
/// its last change of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(CacheKey);

impl Stamp {
    /// Returns the stamp of the file at `path`. Take its metadata before its content is read. Returns None for anything
    /// but a regular file, and for a file changed in the last two seconds, since it may change again and look the same.
    pub fn of(path: &Path, metadata: &Metadata) -> Option<Self> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs().cast_signed();
        Self::at(path, metadata, now)
    }

    fn at(path: &Path, metadata: &Metadata, now: i64) -> Option<Self> {
        let changes = Changes::of(metadata);
        let changed = changes.any.0.max(changes.content.0);
        if !metadata.is_file() || changed >= now - SETTLED {
            return None;
        }
        let path = std::path::absolute(path).ok()?;
        let mut parts = KeyParts::of("file").and(path.as_os_str().as_encoded_bytes());
        let (device, inode) = numbers(metadata);
        for number in [metadata.len(), device, inode] {
            parts = parts.and(&number.to_le_bytes());
        }
        for number in [changes.content.0, changes.content.1, changes.any.0, changes.any.1] {
            parts = parts.and(&number.to_le_bytes());
        }
        let folder = path.parent().unwrap_or(&path).as_os_str().as_encoded_bytes();
        Some(Self(parts.key().beside(&KeyParts::of("folder").and(folder).key())))
    }

    pub(super) fn key(&self) -> CacheKey {
        self.0
    }
}

/// Returns whether all that decides the bits of what a plan computes is known. candle's products on Metal may depend on the batch.
pub(super) fn are_known(plan: &Plan) -> bool {
    plan.device.is_cpu() || gpu(plan).is_some()
}

/// Returns which NVIDIA GPU and which library compute.
fn gpu(plan: &Plan) -> Option<String> {
    #[cfg(feature = "cuda")]
    if let crate::device::Device::Cuda(device) = &plan.device {
        return Some(device.identity().to_owned());
    }
    let _ = plan;
    None
}

/// Returns the key of a checkpoint in one arithmetic.
pub(super) fn scope(checkpoint: &CacheKey, plan: &Plan) -> CacheKey {
    let parts = KeyParts::of("scope")
        .and(&BITS_VERSION.to_le_bytes())
        .and(checkpoint.bytes())
        .and(plan.precision.name().as_bytes())
        .and(plan.device.name().as_bytes())
        .and(plan.isa.name().as_bytes())
        .and(plan.instructions().unwrap_or_default().as_bytes())
        // candle's products (`plain`) choose by the machine's features.
        .and(Isa::best().name().as_bytes())
        .and(std::env::consts::ARCH.as_bytes())
        .and(std::env::consts::OS.as_bytes());
    match gpu(plan) {
        Some(gpu) => parts.and(gpu.as_bytes()).key(),
        None => parts.key(),
    }
}

/// Returns the key of an image's embedding.
pub(super) fn image(scope: &CacheKey, content: &ContentHash, decode: Decoding) -> CacheKey {
    let parts = KeyParts::of("image").and(scope.bytes()).and(content.bytes());
    parts.and(&[u8::from(decode == Decoding::Fast)]).key().beside(scope)
}

/// Returns the key of the embedding of a label (all its prompts) or of a text. The checkpoint and [`TOKENS_VERSION`]
/// decide how they are tokenized.
pub(super) fn texts<'a>(
    what: &str,
    scope: &CacheKey,
    truncate: bool,
    texts: impl IntoIterator<Item = &'a String>,
) -> CacheKey {
    let parts = KeyParts::of(what).and(scope.bytes()).and(&TOKENS_VERSION.to_le_bytes()).and(&[u8::from(truncate)]);
    texts.into_iter().fold(parts, |parts, text| parts.and(text.as_bytes())).key().beside(scope)
}

#[cfg(test)]
mod tests {
    use crate::device::Device;

    use super::*;
    use crate::Precision;
    use crate::device::Threads;

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[&str]| parts.iter().fold(KeyParts::of("x"), |all, part| all.and(part.as_bytes())).key();
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["ab"]), key(&["ab", ""]));
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
    }

    #[test]
    fn a_content_hash_is_the_sha_256() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-4
        let hash = ContentHash::of(b"abc");
        assert_eq!(format!("{hash:?}"), hex);
        assert_eq!((ContentHash::from_hex(hex), ContentHash::of_reader(&b"abc"[..]).unwrap()), (Some(hash), hash));
        assert_eq!((ContentHash::from_hex(&hex[1..]), ContentHash::from_bytes(b"abc")), (None, None));
    }

    #[test]
    fn a_file_is_trusted_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "1").unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(Stamp::of(&path, &metadata), None);
        let at = |after| Stamp::at(&path, &metadata, Changes::of(&metadata).any.0 + after);
        assert!(at(2).is_none() && at(3).is_some());
        assert_eq!(Stamp::at(dir.path(), &std::fs::metadata(dir.path()).unwrap(), i64::MAX), None);
    }

    #[test]
    fn keys_of_one_place_lie_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "1").unwrap();
            Stamp::at(&path, &std::fs::metadata(&path).unwrap(), i64::MAX).unwrap().key()
        };
        let files = ["a/1", "a/2", "b/1"].map(file);
        let scopes = ["x", "y"].map(|name| KeyParts::of(name).key());
        let image = |scope, content: &[u8]| image(scope, &ContentHash::of(content), Decoding::Exact);
        let images = [image(&scopes[0], b"1"), image(&scopes[0], b"2"), image(&scopes[1], b"1")];
        for [first, second, elsewhere] in [files, images] {
            assert_eq!(first.0[..PLACE], second.0[..PLACE]);
            assert_ne!(first.0[..PLACE], elsewhere.0[..PLACE]);
            assert_ne!(first.0[PLACE..], second.0[PLACE..]);
            assert_ne!(first.0[PLACE..], elsewhere.0[PLACE..]);
        }
    }

    #[test]
    fn arithmetics_are_kept_apart() {
        let checkpoint = KeyParts::of("a checkpoint").key();
        let of = |precision, isa| {
            scope(&checkpoint, &Plan { device: Device::Cpu, precision, isa, threads: Threads::default() })
        };
        let all = [Precision::Auto, Precision::F32, Precision::Bf16].map(|p| Isa::ALL.map(|isa| of(p, isa))).concat();
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
