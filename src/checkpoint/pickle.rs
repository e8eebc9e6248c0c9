//! The pickle of a PyTorch state dict -> where each tensor lies in which storage.
//!
//! The machine here runs nothing. It knows the few opcodes that `torch.save` writes, builds tensors' places from the few
//! globals that a state dict needs, and refuses every other global. Values live in one flat arena and are named by index,
//! so that neither sharing nor nesting in a hostile file can cost more memory than the file has opcodes.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::Dtype;

type Outcome<T> = std::result::Result<T, String>;

/// A tensor: a view of a storage.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) storage: Storage,
    /// The first value's place in the storage, in values.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Values between neighbours along each dimension.
    pub(super) strides: Vec<usize>,
}

/// A run of values in an entry of the zip.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// The entry's name below `data/`.
    pub(super) key: Arc<str>,
    pub(super) dtype: Dtype,
    /// Values.
    pub(super) length: u64,
}

/// The tensors of a pickled state dict, by name.
pub(super) fn state_dict(pickle: &[u8]) -> Outcome<Vec<(String, View)>> {
    Ok(Machine::run(pickle)?.state_dict()?.map(|(name, view)| (name.to_owned(), view.clone())).collect())
}

/// The most dimensions of a tensor; copies of a longer shape could outgrow memory.
const MAX_DIMENSIONS: usize = 16;

type Id = u32;

/// A value on the machine's stack.
#[derive(Debug, Clone)]
enum Value {
    Nothing,
    Int(i64),
    Text(Arc<str>),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(View),
}

/// The only globals a state dict may name.
#[derive(Debug, Clone, Copy)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

fn global(module: &str, name: &str) -> Outcome<Global> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
        ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
        ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
        ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
        ("torch", "LongStorage") => Global::Storage(Dtype::I64),
        ("torch", "IntStorage") => Global::Storage(Dtype::I32),
        ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
        ("torch", "BoolStorage") => Global::Storage(Dtype::BOOL),
        _ => return Err(format!("its pickle asks for `{module}.{name}`, which no table of weights needs; refused")),
    })
}

#[derive(Default)]
struct Machine {
    arena: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// The bytes still to run.
struct Code<'a>(&'a [u8]);

impl<'a> Code<'a> {
    fn bytes(&mut self, n: usize) -> Outcome<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n).ok_or("its pickle ends early")?;
        self.0 = tail;
        Ok(head)
    }

    fn number(&mut self, bytes: usize) -> Outcome<u64> {
        Ok(self.bytes(bytes)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn line(&mut self) -> Outcome<&'a str> {
        let end = self.0.iter().position(|&b| b == b'\n').ok_or("its pickle ends early")?;
        let line = self.bytes(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "its pickle names a global that is not text".to_owned())
    }

    fn text(&mut self, length: u64) -> Outcome<String> {
        let bytes = self.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| "its pickle holds text that is not UTF-8".to_owned())
    }
}

/// The value that an opcode puts on the stack by itself; none if it does something else.
fn literal(op: u8, code: &mut Code) -> Outcome<Option<Value>> {
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
            code.bytes(8)?; // BINFLOAT; no number of a table has a fraction
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
        b']' => Value::List,                                        // EMPTY_LIST
        b'}' => Value::Dict(Vec::new()),                            // EMPTY_DICT
        _ => return Ok(None),
    }))
}

impl Machine {
    /// Runs a pickle to its STOP.
    fn run(pickle: &[u8]) -> Outcome<Self> {
        let mut machine = Self::default();
        let mut code = Code(pickle);
        while machine.step(&mut code)? {}
        Ok(machine)
    }

    /// One opcode; false at STOP. Names in comments are those of Python's pickletools.
    fn step(&mut self, code: &mut Code) -> Outcome<bool> {
        let op = code.number(1)? as u8;
        if let Some(value) = literal(op, code)? {
            self.push(value);
            return Ok(true);
        }
        match op {
            0x80 => drop(code.number(1)?),             // PROTO
            0x95 => drop(code.bytes(8)?),              // FRAME
            b'.' => return Ok(false),                  // STOP
            b'(' => self.marks.push(self.stack.len()), // MARK
            0x85 => self.tuple(1)?,                    // TUPLE1
            0x86 => self.tuple(2)?,                    // TUPLE2
            0x87 => self.tuple(3)?,                    // TUPLE3
            b't' => {
                let items = self.pop_to_mark()?; // TUPLE
                self.push(Value::Tuple(items));
            }
            b'a' => drop(self.pop()?),         // APPEND; lists carry nothing a table needs
            b'e' => drop(self.pop_to_mark()?), // APPENDS
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?); // SETITEM
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?; // SETITEMS
                self.set_items(&items)?;
            }
            b'q' => self.remember(code.number(1)? as u32)?, // BINPUT
            b'r' => self.remember(code.number(4)? as u32)?, // LONG_BINPUT
            0x94 => self.remember(self.memo.len() as u32)?, // MEMOIZE
            b'h' => self.recall(code.number(1)? as u32)?,   // BINGET
            b'j' => self.recall(code.number(4)? as u32)?,   // LONG_BINGET
            b'Q' => self.persistent_id()?,                  // BINPERSID
            b'R' => self.reduce()?,                         // REDUCE
            b'b' => drop(self.pop()?),                      // BUILD: attributes of a dict, not needed
            op => return Err(format!("its pickle has opcode {op:#04x}, which no table of weights needs")),
        }
        Ok(true)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.arena.len() as Id);
        self.arena.push(value);
    }

    fn top(&self) -> Outcome<Id> {
        self.stack.last().copied().ok_or_else(|| "its pickle takes from an empty stack".to_owned())
    }

    fn pop(&mut self) -> Outcome<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Outcome<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err("its pickle has no mark where one is needed".to_owned()),
        }
    }

    fn tuple(&mut self, n: usize) -> Outcome<()> {
        let start = self.stack.len().checked_sub(n).ok_or("its pickle takes from an empty stack")?;
        let items = self.stack.split_off(start);
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Outcome<()> {
        let id = self.top()?;
        self.memo.insert(slot, id);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Outcome<()> {
        let id = self.memo.get(&slot).ok_or("its pickle recalls what it never stored")?;
        self.stack.push(*id);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Outcome<()> {
        let top = self.top()? as usize;
        let Value::Dict(dict) = &mut self.arena[top] else {
            return Err("its pickle sets items of what is no dict".to_owned());
        };
        dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn value(&self, id: Id) -> &Value {
        &self.arena[id as usize]
    }

    fn items(&self, id: Id) -> Outcome<&[Id]> {
        match self.value(id) {
            Value::Tuple(items) => Ok(items),
            _ => Err("its pickle has another value where a tuple is needed".to_owned()),
        }
    }

    fn size(&self, id: Id) -> Outcome<u64> {
        match self.value(id) {
            Value::Int(n) if *n >= 0 => Ok(*n as u64),
            _ => Err("its pickle has another value where a size is needed".to_owned()),
        }
    }

    fn sizes(&self, id: Id) -> Outcome<Vec<usize>> {
        let items = self.items(id)?;
        if items.len() > MAX_DIMENSIONS {
            return Err(format!("its pickle has a tensor of {} dimensions", items.len()));
        }
        items.iter().map(|&n| Ok(self.size(n)? as usize)).collect()
    }

    /// `('storage', StorageClass, key, device, length)` -> a storage.
    fn persistent_id(&mut self) -> Outcome<()> {
        let id = self.pop()?;
        let unknown = || "its pickle refers to something that is no storage".to_owned();
        let [_, class, key, _, length] = *self.items(id)? else { return Err(unknown()) };
        let (Value::Global(Global::Storage(dtype)), Value::Text(key)) = (self.value(class), self.value(key)) else {
            return Err(unknown());
        };
        let storage = Value::Storage(Storage { key: Arc::clone(key), dtype: *dtype, length: self.size(length)? });
        self.push(storage);
        Ok(())
    }

    /// A call of one of the known globals; nothing is called.
    fn reduce(&mut self) -> Outcome<()> {
        let (args, callable) = (self.pop()?, self.pop()?);
        let arity = || "its pickle rebuilds a tensor from the wrong arguments".to_owned();
        let result = match self.value(callable) {
            Value::Global(Global::OrderedDict) => Value::Dict(Vec::new()),
            Value::Global(Global::RebuildTensor) => {
                let [storage, offset, shape, strides, ..] = *self.items(args)? else { return Err(arity()) };
                let Value::Storage(storage) = self.value(storage) else { return Err(arity()) };
                let (offset, shape, strides) = (self.size(offset)?, self.sizes(shape)?, self.sizes(strides)?);
                Value::Tensor(View { storage: storage.clone(), offset, shape, strides })
            }
            Value::Global(Global::RebuildParameter) => {
                let [tensor, ..] = *self.items(args)? else { return Err(arity()) };
                self.value(tensor).clone()
            }
            _ => return Err("its pickle calls what cannot be called".to_owned()),
        };
        self.push(result);
        Ok(())
    }

    /// The tensors of the dict on top of the stack.
    fn state_dict(&self) -> Outcome<impl Iterator<Item = (&str, &View)>> {
        let Value::Dict(dict) = self.value(self.top()?) else {
            return Err("its pickle holds no dict of weights".to_owned());
        };
        Ok(dict.iter().filter_map(|&(name, tensor)| match (self.value(name), self.value(tensor)) {
            (Value::Text(name), Value::Tensor(tensor)) => Some((&**name, tensor)),
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_globals_are_refused() {
        let error = Machine::run(b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.").err().unwrap();
        assert!(error.contains("os.system") && error.contains("refused"), "{error}");
    }

    #[test]
    fn sharing_costs_no_memory() {
        // A tuple of two references to the tuple before it, sixty deep: 2^60 leaves if it were copied.
        let mut pickle = b"\x80\x02K\x01q\x00".to_vec();
        for _ in 0..60 {
            pickle.extend(b"h\x00h\x00\x86q\x00");
        }
        pickle.push(b'.');
        assert!(Machine::run(&pickle).is_ok_and(|m| m.arena.len() < 100));
    }

    #[test]
    fn a_long_shape_is_refused_before_it_is_copied() {
        let mut pickle =
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
                .to_vec();
        pickle.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00("); // storage, offset, then the shape
        pickle.extend([b'K', 1].repeat(1000));
        pickle.extend(b"tq\x01h\x01tR.");
        let error = Machine::run(&pickle).err().unwrap();
        assert!(error.contains("1000 dimensions"), "{error}");
    }

    #[test]
    fn damage_is_an_error() {
        for pickle in
            [&b"X\xff\xff\xff\xffab"[..], b"R", b"t", b"h\x05", b"s", b"Q", b"\x86", b"", b"K\x01Q", b"(K\x01"]
        {
            assert!(Machine::run(pickle).is_err(), "{pickle:?}");
        }
    }

    #[test]
    fn long_integers_keep_their_sign() {
        let top = |pickle: &[u8]| match Machine::run(pickle).unwrap().arena.pop() {
            Some(Value::Int(n)) => n,
            other => panic!("{other:?}"),
        };
        assert_eq!(top(b"\x8a\x01\xff."), -1);
        assert_eq!(top(b"\x8a\x02\x00\x01."), 256);
        assert_eq!(top(b"\x8a\x00."), 0);
        assert_eq!(top(b"\x8a\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00."), 1);
    }
}
