//! Shares, order, and images that go alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{Bytes, MemoryBudget, Stage, too_little};
use crate::source::ErrorKind;

#[test]
fn what_is_taken_never_exceeds_the_share() {
    let room = MemoryBudget::of(160);
    let (now, highest) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..8u64 {
            let (room, now, highest) = (&room, &now, &highest);
            scope.spawn(move || {
                for i in 0..200 {
                    let bytes = 1 + (n * 7 + i) % 20;
                    let lease = room.take(Stage::Decode, bytes, "to be decoded").unwrap();
                    highest.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(bytes, Ordering::SeqCst);
                    drop(lease);
                }
            });
        }
    });
    assert!(highest.load(Ordering::SeqCst) <= 20, "{highest:?}");
    assert_eq!(room.shares[Stage::Decode as usize].lock().taken, 0);
}

#[test]
fn a_large_image_goes_alone_and_none_is_larger_than_the_room() {
    let room = MemoryBudget::of(160);
    let first = room.take(Stage::Read, 90, "").unwrap();
    assert_eq!(Bytes::new(vec![0; 30], Some(first)).spare(), Some(140 - 30));
    let first = room.take(Stage::Read, 11, "").unwrap();
    for stage in [Stage::Fetch, Stage::Read, Stage::Decode] {
        assert!(room.try_take(stage, 21).is_none(), "one at a time");
    }
    assert!(room.try_take(Stage::Decode, 1).is_none(), "nor any beside it");
    assert!(room.try_take(Stage::Fetch, 10).is_some(), "what comes before is not in its way");
    drop(first);
    assert!(room.try_take(Stage::Fetch, 150).is_some());
    for (stage, most) in [(Stage::Walk, 160), (Stage::Fetch, 150), (Stage::Read, 140), (Stage::Decode, 130)] {
        assert!(room.take(stage, most, "").is_ok(), "with the shares of its stage and of later ones");
        assert_eq!(room.take(stage, most + 1, "").unwrap_err().kind, ErrorKind::Memory);
    }
}

#[test]
fn whoever_goes_alone_waits_for_others_and_they_for_it() {
    let room = MemoryBudget::of(160);
    thread::scope(|scope| {
        for n in 0..8u64 {
            let room = &room;
            scope.spawn(move || {
                for i in 0..200 {
                    let stage = [Stage::Walk, Stage::Fetch, Stage::Read][((n + i) % 3) as usize];
                    let bytes = if (n + i) % 7 == 0 { 100 } else { 5 };
                    let file = Bytes::new(Vec::new(), Some(room.take(stage, bytes, "").unwrap()));
                    let pixels = if (n + i) % 5 == 0 { 120 } else { 15 };
                    let pixels = (!file.is_alone()).then(|| room.take(Stage::Decode, pixels, "").unwrap());
                    thread::yield_now();
                    drop((file, pixels));
                }
            });
        }
    });
    assert!(room.try_take(Stage::Walk, 160).is_some());
}

#[test]
fn what_is_needed_and_what_there_is_differ_in_print() {
    for (bytes, most) in [((5 << 20) + 2, (5 << 20) + 1), ((5 << 20) + 1, 5 << 20), (6 << 20, (6 << 20) - 1)] {
        let said = too_little(bytes, most, "to be read").message;
        let figures: Vec<u64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert!(figures.len() == 2 && figures[0] > figures[1], "{said}");
    }
}

#[test]
fn whoever_came_first_is_served_first() {
    let room = Arc::new(MemoryBudget::of(1600));
    let half = room.take(Stage::Decode, 150, "").unwrap();
    let large = thread::spawn({
        let room = Arc::clone(&room);
        move || drop(room.take(Stage::Decode, 200, "").unwrap())
    });
    while room.shares[Stage::Decode as usize].lock().came < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(room.try_take(Stage::Decode, 1).is_none(), "nobody overtakes it");
    drop(half);
    large.join().unwrap();
    assert!(room.try_take(Stage::Decode, 200).is_some());
}

#[test]
fn bytes_give_back_what_they_do_not_need() {
    let room = MemoryBudget::of(1600);
    let lease = room.take(Stage::Walk, 100, "").unwrap();
    let bytes = Bytes::new(vec![0; 40], Some(lease));
    assert!(room.try_take(Stage::Walk, 61).is_none() && room.try_take(Stage::Walk, 60).is_some());
    drop(bytes);
    assert!(room.try_take(Stage::Walk, 100).is_some());
}
