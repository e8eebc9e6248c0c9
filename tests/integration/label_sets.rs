//! Label sets against the lists of timm and open_clip.

use crate::common::{fixtures, json, strings};
use zsic::text::LabelSet;

#[test]
fn imagenet_s_classes_are_those_of_timm_and_openai_but_for_two_names() {
    let set = LabelSet::named("imagenet-1k").unwrap();
    let theirs = json(&fixtures("label_sets").join("imagenet-1k.json"));
    let theirs: Vec<_> = theirs.as_array().unwrap().iter().map(strings).collect();
    assert!(theirs.iter().map(|class| &class[0]).eq(&set.wordnet));
    let renamed: Vec<_> = (0..set.labels.len()).filter(|&index| theirs[index][1] != set.labels[index]).collect();
    assert_eq!(renamed, [744, 836]);
    assert_eq!((&*theirs[744][1], &*theirs[836][1]), ("missile", "sunglasses"));
}
