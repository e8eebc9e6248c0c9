//! The bytes of a pickle -> opcodes' arguments, and the values that opcodes write out.

use super::value::{Value, global};

/// The bytes still to run.
pub struct Code<'a>(pub &'a [u8]);

impl<'a> Code<'a> {
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (head, tail) = self.0.split_at_checked(n).ok_or("its pickle ends early")?;
        self.0 = tail;
        Ok(head)
    }

    pub fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.bytes(bytes)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.0.iter().position(|&b| b == b'\n').ok_or("its pickle ends early")?;
        let line = self.bytes(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "its pickle names a global that is not text".to_owned())
    }

    fn text(&mut self, length: u64) -> Result<String, String> {
        let bytes = self.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| "its pickle holds text that is not UTF-8".to_owned())
    }
}

/// Returns the value that an opcode writes out, or None if it does something else.
pub fn literal(op: u8, code: &mut Code) -> Result<Option<Value>, String> {
    Ok(Some(match op {
        b'N' | 0x88 | 0x89 => Value::Nothing, // NONE, NEWTRUE, NEWFALSE
        b'J' => Value::Int((code.number(4)? as u32 as i32).into()), // BININT
        b'K' => Value::Int(code.number(1)? as i64), // BININT1
        b'M' => Value::Int(code.number(2)? as i64), // BININT2
        0x8a => {
            // LONG1, two's complement of any length
            let length = code.number(1)? as usize;
            let (bytes, shift) = (code.bytes(length)?, 64 - 8 * length.min(8));
            let n = bytes.iter().take(8).rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
            Value::Int(if length == 0 { 0 } else { ((n << shift) as i64) >> shift })
        }
        b'G' => {
            code.bytes(8)?; // BINFLOAT; a table of weights needs no fractions
            Value::Nothing
        }
        b'X' => {
            let length = code.number(4)?; // BINUNICODE
            Value::Text(code.text(length)?.into())
        }
        0x8c => {
            let length = code.number(1)?; // SHORT_BINUNICODE
            Value::Text(code.text(length)?.into())
        }
        b'c' => Value::Global(global(code.line()?, code.line()?)?), // GLOBAL
        b')' => Value::Tuple(Vec::new()),                           // EMPTY_TUPLE
        b']' => Value::List(Vec::new()),                            // EMPTY_LIST
        b'}' => Value::Dict(Vec::new()),                            // EMPTY_DICT
        _ => return Ok(None),
    }))
}
