//! Classifiers that are written and read, and files that are cut, changed or hostile.

use super::*;
use crate::decision::Groups;
use crate::text::Label;

fn small() -> Compiled {
    let label = |name: &str| Label { name: name.to_owned(), prompts: vec![format!("a {name}")] };
    let [mut rows, mut background] = [Embeddings::new(3), Embeddings::new(3)];
    rows.push_unit(&[1.0, 0.5, 0.0]);
    rows.push_unit(&[0.0, 1.0, 0.1]);
    background.push_unit(&[0.0, 0.0, 1.0]);
    let about = About {
        format: FORMAT,
        zsic: "0.0.0".to_owned(),
        bits: 2,
        checkpoint: Belongs { name: "a/b".to_owned(), commit: None, built_in: false, content: "12".to_owned() },
        preprocessing: Preprocessing { decode: "exact".to_owned(), reading: String::new() },
        activation: activation_name(Activation::Softmax).to_owned(),
        labels: ["cat", "dog"].map(label).to_vec(),
        background: vec!["sky".to_owned()],
        ranks: Vec::new(),
        temperature: 1.5,
        independent: false,
        answers: true,
        head: None,
        calibration: None,
    };
    let (bias, offsets, thresholds) = (vec![0.0, 0.25], vec![-0.1], vec![0.5, NEVER]);
    Compiled { about, rows, bias, background, offsets, thresholds }
}

#[test]
fn what_is_written_is_read() {
    let bytes = small().to_bytes();
    assert_eq!(Compiled::from_bytes(&bytes).unwrap(), small());
    assert_eq!(bytes, small().to_bytes());
    let decision = small().decision().unwrap();
    assert_eq!((decision.background, decision.thresholds, decision.temperature), (vec![-0.1], vec![0.5, 2.0], 1.5));
}

#[test]
fn a_cut_or_changed_file_is_refused() {
    let bytes = small().to_bytes();
    for length in 0..bytes.len() {
        assert!(Compiled::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
    let with = |change: &dyn Fn(&mut Compiled)| {
        let mut other = small();
        change(&mut other);
        Compiled::from_bytes(&other.to_bytes()).unwrap_err()
    };
    assert!(with(&|of| of.about.format = 2).starts_with("was made by a newer zsic: its format is 2"));
    assert!(with(&|of| of.about.format = 0).starts_with("is not a classifier of zsic"));
    assert!(with(&|of| of.about.activation = "tanh".to_owned()).contains("neither softmax nor sigmoid"));
    assert!(with(&|of| of.about.temperature = 0.0).contains("the temperature"));
    assert!(with(&|of| of.about.labels[1].name = "cat".to_owned()).contains("there twice"));
    assert!(with(&|of| of.offsets[0] = f64::NAN).contains("`offsets` has values that are not finite"));
    assert!(with(&|of| of.thresholds[0] = -0.5).contains("a threshold of -0.5"));
    assert!(with(&|of| of.thresholds.truncate(1)).contains("in place of F32 [2]"));
    let groups = Groups { names: vec!["pet".to_owned()], of: vec![0, 1] };
    assert!(with(&|of| of.about.ranks = vec![groups.clone()]).contains("a group has other members"));
    let group = |names: &[&str], of: &[usize]| Groups {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        of: of.to_vec(),
    };
    for (names, of) in
        [(&["pet", "pet"][..], &[0, 1][..]), (&["pet", "empty"][..], &[0, 0][..]), (&["a\u{1b}b"][..], &[0, 0][..])]
    {
        let wrong = with(&|compiled| compiled.about.ranks = vec![group(names, of)]);
        assert!(wrong.contains("a group is there twice, is no name, or has no member"), "{wrong}");
    }
    for name in ["", " cat", "a\nb", "\u{1b}[2J"] {
        assert!(with(&|of| of.about.labels[0].name = name.to_owned()).contains("is no name"), "{name}");
        assert!(with(&|of| of.about.background[0] = name.to_owned()).contains("is no name"), "{name}");
    }
    let alone = with(&|of| {
        of.about.independent = true;
        (of.about.background, of.background, of.offsets) = (Vec::new(), Embeddings::new(3), Vec::new());
    });
    assert!(alone.contains("and there is none"), "{alone}");
    let silent = with(&|of| {
        of.about.answers = false;
        (of.about.background, of.background, of.offsets) = (Vec::new(), Embeddings::new(3), Vec::new());
    });
    assert!(silent.contains("a background or a temperature, and no answers"), "{silent}");
    let silent = with(&|of| {
        (of.about.answers, of.about.temperature) = (false, 1.0);
        (of.about.background, of.background, of.offsets) = (Vec::new(), Embeddings::new(3), Vec::new());
    });
    assert!(silent.contains("has thresholds and no answers"), "{silent}");
    let wide = with(&|of| {
        [of.rows, of.background] = [2, 1].map(|rows| {
            let mut wide = Embeddings::new(WIDEST + 1);
            (0..rows).for_each(|_| wide.push_unit(&vec![0.0; WIDEST + 1]));
            wide
        });
    });
    assert!(wide.contains("at most 16384 are read"), "{wide}");
    let other = safetensors::serialize(std::iter::empty::<(&str, TensorView)>(), None).unwrap();
    assert!(Compiled::from_bytes(&other).unwrap_err().starts_with("is not a classifier of zsic"));
}

/// Any one byte may be another: no panic, and no values that are not finite.
#[test]
fn a_flipped_byte_never_panics() {
    let bytes = small().to_bytes();
    for at in 0..bytes.len() {
        for flip in [1, 0x20, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[at] ^= flip;
            if let Ok(read) = Compiled::from_bytes(&other) {
                assert!(read.rows.values().iter().all(|x| x.is_finite()) && read.rows.len() == 2);
            }
        }
    }
}
