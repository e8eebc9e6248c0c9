//! Reads the lines of a list, with a limit on their length.

use std::io::{self, BufRead, Read};

use zsic::source::{Lease, Limits, Stage};

/// The most bytes of a line that names a file or a URL: far more than either may have.
pub const LONGEST: u64 = 1 << 20;
/// The bytes of a longer line that are read before memory is reserved for the longest.
const STEP: u64 = 16 << 20;
/// The copies of a line in memory: the line itself, and what is decoded from it.
const COPIES: u64 = 2;
/// The bytes of a line that need no reservation.
const SHORT: usize = 64 << 10;

/// Reads to the end of a line, including its separator. A line that `may_be_long` may have as many bytes as an image in
/// base64, others at most [`LONGEST`]. Returns the reserved memory too.
///
/// # Errors
/// If it cannot be read, or is too long.
pub fn read(
    reader: &mut impl BufRead,
    separator: u8,
    limits: &Limits,
    line: &mut Vec<u8>,
    may_be_long: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<Lease>> {
    let take = |length: u64| {
        let taken = limits.room.take(Stage::Walk, length.saturating_mul(COPIES), "to be read");
        taken.map_err(|e| io::Error::other(format!("a line {e}")))
    };
    let longest = (limits.max_bytes / 3).saturating_mul(4).saturating_add(LONGEST);
    let held = limits.room.most(Stage::Walk) / COPIES;
    let (mut lease, mut end) = (None, LONGEST);
    loop {
        let missing = (end + 1).saturating_sub(line.len() as u64);
        if lease.is_some() {
            line.reserve_exact(missing as usize); // a doubling buffer would take more than is counted
        }
        reader.by_ref().take(missing).read_until(separator, line)?;
        if line.len() as u64 <= end || line.last() == Some(&separator) {
            break;
        }
        if !may_be_long(line) {
            return Err(too_long(end));
        }
        if end == longest {
            let reason = format!("a line has more than {end} bytes, more than --max-bytes allows for an image");
            return Err(io::Error::other(reason));
        }
        drop(lease.take()); // give back first: waiting while holding could deadlock
        let next = if end < STEP { STEP } else { longest };
        end = next.min(held).max(end + 1).min(longest); // one byte too many shows that memory is missing
        lease = Some(take(end)?);
    }
    if lease.is_none() && line.len() > SHORT {
        lease = Some(take(line.len() as u64)?);
    }
    Ok(lease)
}

/// Returns the error of a line with more than `most` bytes.
pub fn too_long(most: u64) -> io::Error {
    io::Error::other(format!(
        "a line has more than {most} bytes; write one name per line, or end each with NUL and use -0"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zsic::source::MemoryBudget;

    fn line(mut list: &[u8]) -> io::Result<usize> {
        let limits = Limits { max_bytes: 3 << 20, room: MemoryBudget::of(1 << 40), ..Limits::default() };
        let mut line = Vec::new();
        read(&mut list, b'\n', &limits, &mut line, |line| line.starts_with(b"data:"))?;
        assert_eq!(line.pop(), Some(b'\n'));
        Ok(line.len())
    }

    #[test]
    fn only_data_may_be_long() {
        let list =
            |start: &str, length: usize| [start.as_bytes(), &vec![b'x'; length - start.len()], b"\nend\n"].concat();
        for length in [5, 64 << 10, (64 << 10) + 1, 1 << 20] {
            assert_eq!(line(&list("", length)).unwrap(), length);
            assert_eq!(line(&list("data:", length)).unwrap(), length);
        }
        let e = line(&list("", (1 << 20) + 1)).unwrap_err().to_string();
        assert!(e.contains("more than 1048576 bytes"), "{e}");
        for length in [(1 << 20) + 1, 4 << 20, 5 << 20] {
            assert_eq!(line(&list("data:", length)).unwrap(), length);
        }
        let e = line(&list("data:", (5 << 20) + 1)).unwrap_err().to_string();
        assert!(e.contains("--max-bytes"), "{e}");
    }

    #[test]
    fn a_line_and_what_is_decoded_from_it_have_room() {
        let limits = Limits { room: MemoryBudget::of(64 << 20), ..Limits::default() };
        let take = |length: usize| {
            let (list, mut line) = ([b"data:,".to_vec(), vec![b'x'; length], b"\n".to_vec()].concat(), Vec::new());
            let lease = read(&mut &list[..], b'\n', &limits, &mut line, |_| true);
            lease
                .map_err(|e| e.to_string())
                .inspect(|_| assert!(line.len() == list.len() && line.capacity() < 33 << 20))
        };
        assert!(take(31 << 20).unwrap().is_some());
        let e = take(33 << 20).unwrap_err();
        assert!(e.contains("needs 65 MiB of memory") && e.contains("may use 64 MiB"), "{e}");
    }
}
