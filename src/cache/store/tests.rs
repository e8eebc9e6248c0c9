//! Two connections, eviction, a lower limit and foreign files.

use super::*;
use crate::cache::keys::KeyParts;
use crate::cache::place;

fn key(number: u32) -> CacheKey {
    KeyParts::of("test").and(&number.to_le_bytes()).key()
}

fn entry(number: u32, size: usize) -> CacheEntry {
    CacheEntry { key: key(number), kind: EntryKind::Image, scope: 7, value: vec![number as u8; size] }
}

fn batch(entries: impl Iterator<Item = CacheEntry>) -> Batch {
    Batch { entries: entries.collect(), used: Vec::new(), names: vec![(7, "demo".to_owned())] }
}

#[test]
fn what_is_written_is_read_by_another_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), 64 << 20).unwrap();
    let sizes = [2048, SMALL, SMALL + 1, 0];
    store.write(&batch((0..4).map(|i| entry(i, sizes[i as usize]))), 0).unwrap();
    store.write(&batch([entry(0, 9)].into_iter()), 0).unwrap(); // there already
    let mut reader = Store::again(&place::file(dir.path()), 64 << 20).unwrap();
    let keys: Vec<CacheKey> = (0..5).map(key).collect();
    let found = reader.read(&keys, HOUR - 1).unwrap();
    let read: Vec<_> = found.values.iter().map(|value| value.as_ref().map(Vec::len)).collect();
    assert_eq!(read, [Some(2048), Some(SMALL), Some(SMALL + 1), Some(0), None]);
    assert!(found.stale.is_empty() && found.values[2] == Some(vec![2; SMALL + 1]));
    assert_eq!(reader.read(&keys, HOUR).unwrap().stale, keys[..4]);
    let bytes = sizes.iter().sum::<usize>() as u64;
    let group = Group { kind: EntryKind::Image, scope: Some("demo".to_owned()), entries: 4, bytes };
    assert_eq!(reader.groups().unwrap(), [group]);
}

#[test]
fn the_least_recently_used_go_and_the_file_stays_below_its_limit() {
    const LIMIT: u64 = 32 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), LIMIT).unwrap();
    let mut largest = 0;
    for round in 0..250u32 {
        let kept = Batch { used: (0..64).map(key).collect(), ..batch((0..64).map(|i| entry(round * 64 + i, 2048))) };
        store.write(&kept, i64::from(round) * HOUR).unwrap();
        largest = largest.max(place::size(dir.path()));
    }
    assert!(largest > LIMIT / 2 && largest <= LIMIT, "{largest}");
    let has = |store: &mut Store, numbers: std::ops::Range<u32>| {
        let keys: Vec<CacheKey> = numbers.map(key).collect();
        store.read(&keys, 0).unwrap().values.into_iter().flatten().count()
    };
    assert_eq!(has(&mut store, 0..64), 64, "used in every round");
    assert_eq!(has(&mut store, 249 * 64..250 * 64), 64, "the newest");
    assert_eq!(has(&mut store, 64..1024), 0, "the oldest");
    store.clear().unwrap();
    assert!(place::size(dir.path()) < 1 << 20 && has(&mut store, 0..16000) == 0);
}

#[test]
fn a_lower_limit_makes_the_file_shorter() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), 256 << 20).unwrap();
    for round in 0..160u32 {
        store.write(&batch((0..128).map(|i| entry(round * 128 + i, 2048))), 0).unwrap();
    }
    assert!(place::size(dir.path()) > 40 << 20);
    drop(store);
    let mut store = Store::open(dir.path(), 32 << 20).unwrap();
    store.write(&batch([entry(99_999, 2048)].into_iter()), HOUR).unwrap();
    assert!(place::size(dir.path()) <= 32 << 20, "{}", place::size(dir.path()));
    assert!(store.read(&[key(99_999)], 0).unwrap().values[0].is_some());
}

#[test]
fn what_is_no_cache_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(place::file(dir.path()), vec![7; 100_000]).unwrap();
    assert_eq!(Store::open(dir.path(), 64 << 20).unwrap_err(), CacheError::Damaged(place::file(dir.path())));
}
