//! Boxes of a length, a kind and contents, of which HEIF and JP2 files consist.

use super::cursor::Cursor;

/// Reads the next box: its kind, and its contents if they are whole. The last one may leave its length open.
pub(super) fn next<'a>(rest: &mut Cursor<'a>) -> Option<([u8; 4], Option<&'a [u8]>)> {
    let size = rest.u32_be()?;
    let kind: [u8; 4] = rest.array()?;
    let length = match size {
        0 => rest.rest().len(),
        1 => usize::try_from(u64::from(rest.u32_be()?) << 32 | u64::from(rest.u32_be()?)).ok()?.checked_sub(16)?,
        size => (size as usize).checked_sub(8)?,
    };
    Some((kind, rest.take(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_may_leave_their_length_open_but_not_run_past_the_end() {
        let mut rest = Cursor::new(b"\0\0\0\x0aabcd12\0\0\0\x01efgh\0\0\0\0\0\0\0\x113\0\0\0\0ijkl45");
        assert_eq!(next(&mut rest), Some((*b"abcd", Some(&b"12"[..]))));
        assert_eq!(next(&mut rest), Some((*b"efgh", Some(&b"3"[..]))));
        assert_eq!(next(&mut rest), Some((*b"ijkl", Some(&b"45"[..]))));
        for end in [&b"\0\0\0\x07abcd"[..], b"\0\0\0\x0babcd12", b"\0\0\0\x01efgh\0\0\0\0\0\0\0\x0f", b""] {
            assert_eq!(next(&mut Cursor::new(end)).and_then(|(_, contents)| contents), None);
        }
    }
}
