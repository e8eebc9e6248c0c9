//! The machine that a pickle runs on: a stack, marks, a memo, and the values.

use std::collections::HashMap;
use std::sync::Arc;

use super::code::{Code, literal};
use super::value::{Global, Id, Storage, Value, View};

/// The most dimensions of a tensor; copies of a longer shape could outgrow memory.
const MAX_DIMENSIONS: usize = 16;

#[derive(Default)]
pub struct Unpickler {
    pub(super) arena: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl Unpickler {
    /// Runs a pickle to its STOP.
    pub fn run(code: &mut Code) -> Result<Self, String> {
        let mut machine = Self::default();
        while machine.step(code)? {}
        Ok(machine)
    }

    /// Runs one opcode. Returns false at STOP. Names in comments are those of Python's pickletools.
    fn step(&mut self, code: &mut Code) -> Result<bool, String> {
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
            b'a' => {
                let item = self.pop()?; // APPEND
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?; // APPENDS
                self.append(&items)?;
            }
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

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "its pickle takes from an empty stack".to_owned())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err("its pickle has no mark where one is needed".to_owned()),
        }
    }

    fn tuple(&mut self, n: usize) -> Result<(), String> {
        let start = self.stack.len().checked_sub(n).ok_or("its pickle takes from an empty stack")?;
        let items = self.stack.split_off(start);
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<(), String> {
        let id = self.top()?;
        self.memo.insert(slot, id);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let id = self.memo.get(&slot).ok_or("its pickle recalls what it never stored")?;
        self.stack.push(*id);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()? as usize;
        let Value::Dict(dict) = &mut self.arena[top] else {
            return Err("its pickle sets items on something that is not a dict".to_owned());
        };
        dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()? as usize;
        let Value::List(list) = &mut self.arena[top] else {
            return Err("its pickle appends to something that is not a list".to_owned());
        };
        list.extend(items);
        Ok(())
    }

    fn value(&self, id: Id) -> &Value {
        &self.arena[id as usize]
    }

    fn items(&self, id: Id) -> Result<&[Id], String> {
        match self.value(id) {
            Value::Tuple(items) => Ok(items),
            _ => Err("its pickle has another value where a tuple is needed".to_owned()),
        }
    }

    fn size(&self, id: Id) -> Result<u64, String> {
        match self.value(id) {
            Value::Int(n) if *n >= 0 => Ok(*n as u64),
            _ => Err("its pickle has another value where a size is needed".to_owned()),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, String> {
        let items = self.items(id)?;
        if items.len() > MAX_DIMENSIONS {
            return Err(format!("its pickle has a tensor of {} dimensions", items.len()));
        }
        items.iter().map(|&n| Ok(self.size(n)? as usize)).collect()
    }

    /// Makes a storage of `('storage', StorageClass, key, device, length)`. Files older than PyTorch 1.6 have None
    /// after these.
    fn persistent_id(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let unknown = || "its pickle refers to something that is not a storage".to_owned();
        let (class, key, length) = match *self.items(id)? {
            [_, class, key, _, length] => (class, key, length),
            [_, class, key, _, length, none] if matches!(self.value(none), Value::Nothing) => (class, key, length),
            _ => return Err(unknown()),
        };
        let (Value::Global(Global::Storage(dtype)), Value::Text(key)) = (self.value(class), self.value(key)) else {
            return Err(unknown());
        };
        let storage = Value::Storage(Storage { key: Arc::clone(key), dtype: *dtype, length: self.size(length)? });
        self.push(storage);
        Ok(())
    }

    /// Replaces a call of a known global by its result. Nothing is called.
    fn reduce(&mut self) -> Result<(), String> {
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

    /// Returns the tensors of the dict on top of the stack.
    pub fn state_dict(&self) -> Result<impl Iterator<Item = (&str, &View)>, String> {
        let Value::Dict(dict) = self.value(self.top()?) else {
            return Err("its pickle holds no dict of weights".to_owned());
        };
        Ok(dict.iter().filter_map(|&(name, tensor)| match (self.value(name), self.value(tensor)) {
            (Value::Text(name), Value::Tensor(tensor)) => Some((&**name, tensor)),
            _ => None,
        }))
    }

    /// Returns the texts of the list on top of the stack.
    pub fn texts(&self) -> Result<Vec<&str>, String> {
        let not_a_list = || "its pickle holds no list of names".to_owned();
        let Value::List(items) = self.value(self.top()?) else { return Err(not_a_list()) };
        let text = |id: &Id| if let Value::Text(text) = self.value(*id) { Ok(&**text) } else { Err(not_a_list()) };
        items.iter().map(text).collect()
    }

    /// Returns every storage that was named.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.arena.iter().filter_map(|value| if let Value::Storage(storage) = value { Some(storage) } else { None })
    }
}
