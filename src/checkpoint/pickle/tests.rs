//! Hostile and damaged pickles.

use super::code::Code;
use super::machine::Unpickler;
use super::value::Value;

fn run(pickle: &[u8]) -> Result<Unpickler, String> {
    Unpickler::run(&mut Code(pickle))
}

#[test]
fn other_globals_are_refused() {
    let error = run(b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.").err().unwrap();
    assert!(error.contains("os.system") && error.contains("refused"), "{error}");
}

#[test]
fn sharing_costs_no_memory() {
    // Tuples of two references to the tuple before, sixty deep: 2^60 leaves if they were copied.
    let mut pickle = b"\x80\x02K\x01q\x00".to_vec();
    for _ in 0..60 {
        pickle.extend(b"h\x00h\x00\x86q\x00");
    }
    pickle.push(b'.');
    assert!(run(&pickle).is_ok_and(|m| m.arena.len() < 100));
}

#[test]
fn a_long_shape_is_refused_before_it_is_copied() {
    let mut pickle =
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\x00\x00\x00storagectorch\nFloatStorage\n".to_vec();
    pickle.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00("); // storage, offset, then the shape
    pickle.extend([b'K', 1].repeat(1000));
    pickle.extend(b"tq\x01h\x01tR.");
    let error = run(&pickle).err().unwrap();
    assert!(error.contains("1000 dimensions"), "{error}");
}

#[test]
fn damage_is_an_error() {
    for pickle in
        [&b"X\xff\xff\xff\xffab"[..], b"R", b"t", b"h\x05", b"s", b"Q", b"\x86", b"", b"K\x01Q", b"(K\x01", b"}K\x01a."]
    {
        assert!(run(pickle).is_err(), "{pickle:?}");
    }
}

#[test]
fn long_integers_keep_their_sign() {
    let top = |pickle: &[u8]| match run(pickle).unwrap().arena.pop() {
        Some(Value::Int(n)) => n,
        other => panic!("{other:?}"),
    };
    assert_eq!(top(b"\x8a\x01\xff."), -1);
    assert_eq!(top(b"\x8a\x02\x00\x01."), 256);
    assert_eq!(top(b"\x8a\x00."), 0);
    assert_eq!(top(b"\x8a\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00."), 1);
}
