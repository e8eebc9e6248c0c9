//! Waits for room before downloading. Without room the connection is closed, since a server would not wait that long.
//! The request is repeated once there is room.

use std::io::{self, Read};

use crate::source::{Bytes, ErrorKind, ImageError, Lease, MemoryBudget, READ, Space, Stage, read_whole};

/// The room that one image waits for.
pub(super) struct AwaitedRoom<'a> {
    room: &'a MemoryBudget,
    /// Bytes that did not fit.
    wanted: Option<u64>,
    lease: Option<Lease>,
}

impl<'a> AwaitedRoom<'a> {
    pub(super) fn new(room: &'a MemoryBudget) -> Self {
        Self { room, wanted: None, lease: None }
    }

    /// Reads a body to its end, if there is room for it.
    pub(super) fn read(
        &mut self,
        body: impl Read,
        length: Option<u64>,
        cap: u64,
        failed: impl Fn(io::Error) -> ImageError,
    ) -> Result<Bytes, ImageError> {
        let (room, most) = (self.room, self.room.most(Stage::Fetch));
        let take = &mut |bytes| {
            let granted = self.lease.take().filter(|lease| lease.bytes() >= bytes);
            let lease = granted.or_else(|| room.try_take(Stage::Fetch, bytes));
            lease.ok_or_else(|| {
                self.wanted = Some(bytes);
                ImageError::new(ErrorKind::Memory, "waits for room")
            })
        };
        read_whole(body, length, Space { cap, most, take }, failed)
    }

    /// Waits until the missing room is there, if any was missing.
    pub(super) fn waits(&mut self) -> Result<bool, ImageError> {
        let Some(bytes) = self.wanted.take() else { return Ok(false) };
        self.lease = None;
        self.lease = Some(self.room.take(Stage::Fetch, bytes, READ)?);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_unknown_length_is_asked_for_again_with_room_for_the_longest() {
        let room = MemoryBudget::of(256 << 20);
        let body = [b"\xff\xd8\xff\xe0".to_vec(), vec![0; 40 << 20]].concat();
        let all = || room.take(Stage::Fetch, 20 << 20, "").unwrap();
        let mut waiting = AwaitedRoom::new(&room);
        let mut asked = 0;
        loop {
            asked += 1;
            let other = (asked == 1).then(all); // the first time, another image has the room
            let read = waiting.read(body.as_slice(), None, 100 << 20, |e| panic!("{e}"));
            drop(other);
            if !waiting.waits().unwrap() {
                assert_eq!(read.unwrap().len(), body.len());
                break;
            }
        }
        assert_eq!(asked, 2);
    }
}
