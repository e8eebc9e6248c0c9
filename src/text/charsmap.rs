//! The characters that a SentencePiece model replaces before it splits text: its `precompiled_charsmap`.
//!
//! The bytes are the size of a trie, the trie (a double array, as darts-clone writes it), and the replacements, each
//! followed by a zero byte. The longest match counts (normalizer.cc).

/// A map of characters.
#[derive(Debug, Default)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// Reads a map. Without bytes, nothing is replaced.
    ///
    /// # Errors
    /// One line, if the bytes are not such a map.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        const BAD: &str = "has a damaged precompiled_charsmap";
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or(BAD)?;
        let (trie, replacements) = rest.split_at_checked(u32::from_le_bytes(*size) as usize).ok_or(BAD)?;
        let (units, []) = trie.as_chunks::<4>() else { return Err(BAD.to_owned()) };
        let replacements = String::from_utf8(replacements.to_vec()).map_err(|_| BAD)?;
        Ok(Self { units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(), replacements })
    }

    /// Maps the beginning of a text: the longest part that is replaced, or one character. Returns what it becomes, and how
    /// many bytes it has.
    pub fn next<'a>(&'a self, text: &'a str) -> (&'a str, usize) {
        match self.longest(text.as_bytes()) {
            Some((value, length)) if text.is_char_boundary(length) => {
                let replacement = self.replacements.get(value..).unwrap_or_default();
                (replacement.split('\0').next().unwrap_or_default(), length)
            }
            _ => {
                let length = text.chars().next().map_or(0, char::len_utf8);
                (&text[..length], length)
            }
        }
    }

    /// Walks the trie. Returns the value of the longest match, and its length.
    fn longest(&self, text: &[u8]) -> Option<(usize, usize)> {
        let offset = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
        let mut unit = *self.units.first()?;
        let mut at = offset(unit);
        let mut found = None;
        for (index, &byte) in text.iter().enumerate() {
            at ^= usize::from(byte);
            unit = match self.units.get(at) {
                Some(&unit) if unit & (1 << 31 | 0xff) == u32::from(byte) => unit,
                _ => break,
            };
            at ^= offset(unit);
            if unit & (1 << 8) != 0 {
                let value = self.units.get(at)? & !(1 << 31);
                found = Some((value as usize, index + 1));
            }
        }
        found
    }
}
