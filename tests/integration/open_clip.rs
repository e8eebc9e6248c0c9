//! open_clip's layout from outside: what is fetched, what is refused before weights come, and which layout is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use zsic::{Checkpoint, Compute, ImageEncoder, TextEncoder};

use crate::common::command::{err, image as picture_of, lines, out, run, zsic};
use crate::common::{checkpoint, copied};
use crate::fake_hub::NAME;
use crate::fake_hub::shell::World;

/// The files of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = entries.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("expected"));
    named.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

/// The score of every label of an image.
fn scores(model: &str, more: &[&str]) -> Vec<f64> {
    let labels = ["-l", "cat,wine glass,4x4"];
    let output = run(zsic(&["classify", &picture_of("wide.png"), "-m", model]).args(labels).args(more));
    assert!(output.status.success(), "{}", err(&output));
    let predictions = lines(&output)[0]["predictions"].as_array().unwrap().clone();
    let mut named: Vec<(String, f64)> =
        predictions.iter().map(|p| (p["label"].to_string(), p["score"].as_f64().unwrap())).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named.into_iter().map(|(_, score)| score).collect()
}

#[test]
fn only_open_clip_s_files_are_fetched() {
    // timm's own configuration and weights lie beside.
    let folder = checkpoint("open_clip/openai");
    let world = World::of(files(&folder));
    let pulled = world.run(&["models", "pull", NAME]);
    assert!(pulled.status.success(), "{}", err(&pulled));
    let got = |file: &str| world.hub.gets(&format!("/{file}")).len();
    assert_eq!(["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"].map(got), [1, 1, 1]);
    assert_eq!((got("model.safetensors"), got("pytorch_model.bin")), (0, 0));
    let shown = world.run(&["models", "show", NAME]);
    assert!(out(&shown).contains("open_clip, images of "), "{}", out(&shown));
}

#[test]
fn what_does_not_run_is_named_before_its_weights_come() {
    let text = json!({"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12});
    let of = |vision: Value, text: &Value| json!({"model_cfg": {"embed_dim": 512, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}});
    let timm = |name: &str| json!({"timm_model_name": name, "timm_pool": "", "image_size": 224});
    let vit = json!({"image_size": 224, "layers": 12, "width": 768, "patch_size": 32});
    let mut coca = of(vit.clone(), &text);
    coca["model_cfg"]["multimodal_cfg"] = json!({"width": 512});
    let mut scaled = vit.clone();
    scaled["ls_init_value"] = json!(1e-4);
    for (config, reason) in [
        (of(timm("eva02_large_patch14_clip_336"), &text), "has the image tower eva02_large_patch14_clip_336 of timm"),
        (of(timm("convnext_base"), &text), "has the image tower convnext_base of timm"),
        (of(timm("fastvit_mci2"), &text), "has the image tower fastvit_mci2 of timm"),
        (of(timm("vit_base_patch0_clip_224"), &text), "has the image tower vit_base_patch0_clip_224 of timm"),
        (of(timm("vit_pe_core_base_patch16_224"), &text), "has the image tower vit_pe_core_base_patch16_224 of timm"),
        (of(json!({"layers": [3, 4, 6, 3], "width": 64}), &text), "has a ResNet for images"),
        (of(scaled, &text), "vision_cfg.ls_init_value is set"),
        (of(vit.clone(), &json!({"hf_model_name": "google/mt5-base"})), "has the text tower google/mt5-base"),
        (
            of(vit, &json!({"hf_tokenizer_name": "x", "tokenizer_mode": "clips"})),
            "text_cfg.tokenizer_mode is \"clips\"",
        ),
        (coca, "is of a CoCa model"),
    ] {
        let mut files = files(&checkpoint("open_clip/datacomp"));
        files.insert("open_clip_config.json".to_owned(), config.to_string().into());
        let world = World::of(files);
        let refused = world.run(&["models", "pull", NAME]);
        assert_eq!(refused.status.code(), Some(3), "{config}");
        assert!(err(&refused).contains(reason), "{config}: {}", err(&refused));
        assert!(err(&refused).contains("that runs is"), "{}", err(&refused));
        assert!(world.hub.gets("open_clip_pytorch_model.bin").is_empty(), "{config}");
    }
}

#[test]
fn of_two_layouts_that_of_transformers_is_read_unless_asked() {
    let (_keep, dir) = copied("quick-gelu");
    let alone = scores(dir.to_str().unwrap(), &[]);
    for (name, content) in files(&checkpoint("open_clip/datacomp")) {
        if name.starts_with("open_clip") {
            fs::write(dir.join(name), content).unwrap();
        }
    }
    let model = dir.to_str().unwrap();
    assert_eq!(scores(model, &[]), alone);
    assert_eq!(scores(model, &["--layout", "transformers"]), alone);
    let other = scores(model, &["--layout", "open_clip"]);
    assert_eq!(other, scores(&checkpoint("open_clip/datacomp").display().to_string(), &[]));
    assert_ne!(other, alone);
}

/// The name of a repository decides its activation where the file does not, and the same files under another name are another
/// model, for kept embeddings too.
#[test]
fn the_activation_goes_by_the_name() {
    let parent = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let dir = parent.path().join(name);
        fs::create_dir(&dir).unwrap();
        files(&checkpoint("open_clip/openai")).into_iter().for_each(|(file, b)| fs::write(dir.join(file), b).unwrap());
        dir.display().to_string()
    };
    let cache = parent.path().join("cache").display().to_string();
    let kept = ["--cache-dir", cache.as_str()];
    let [quick, plain] = ["vit_tiny_clip.openai", "my-model"].map(|name| scores(&folder(name), &kept));
    assert_ne!(quick, plain);
    let again =
        ["vit_tiny_clip.openai", "my-model"].map(|n| scores(&parent.path().join(n).display().to_string(), &kept));
    assert_eq!(again, [quick, plain]);
}

#[test]
fn other_sizes_are_kept_apart() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().display().to_string();
    let (clip, naflex) =
        (checkpoint("gelu").display().to_string(), checkpoint("naflex/published").display().to_string());
    for (model, option, values) in [(&clip, "--image-size", ["24", "45"]), (&naflex, "--max-patches", ["9", "64"])] {
        let all = |kept: &[&str]| {
            let of = |more: &[&str]| scores(model, &[kept, more].concat());
            [of(&[]), of(&[option, values[0]]), of(&[option, values[1]])]
        };
        let right = all(&["--no-cache"]);
        assert!(right[0] != right[1] && right[1] != right[2] && right[0] != right[2]);
        assert_eq!(all(&["--cache-dir", &cache]), right);
        assert_eq!(all(&["--cache-dir", &cache]), right, "kept");
    }
    let args = ["classify", &picture_of("wide.png"), "-l", "cat", "-m", &naflex, "--image-size", "32"];
    let refused = run(&mut zsic(&args));
    assert_eq!(refused.status.code(), Some(3), "{}", err(&refused));
    assert!(err(&refused).contains("takes only images of its own size"), "{}", err(&refused));
}

/// Whatever a value of the file is, a checkpoint opens or says what is wrong, and so do its towers.
#[test]
fn no_value_of_the_file_is_a_panic() {
    let odd = [json!(null), json!(0), json!(-1), json!(7), json!(1e9), json!("x"), json!([]), json!({}), json!(true)];
    let (mut opened, mut refused) = (0, 0);
    for name in ["open_clip/dfn378", "open_clip/siglip", "open_clip/biomedclip", "open_clip/clipa"] {
        let (_keep, dir) = copied(name);
        let config = crate::common::json(&dir.join("open_clip_config.json"));
        for pointer in pointers(&config, String::new()) {
            for value in &odd {
                let mut damaged = config.clone();
                *damaged.pointer_mut(&pointer).unwrap() = value.clone();
                fs::write(dir.join("open_clip_config.json"), damaged.to_string()).unwrap();
                let loaded = Checkpoint::open(&dir).and_then(|checkpoint| {
                    let plan = Compute::default().plan(&checkpoint);
                    let images = ImageEncoder::load(&checkpoint, &plan)?;
                    TextEncoder::load(&checkpoint, &plan)?.embed(&["a cat".to_owned()])?;
                    let picture = image::RgbImage::from_pixel(40, 30, image::Rgb([9, 99, 199]));
                    images.embed(&[images.preprocess(&picture)?])
                });
                *if loaded.is_ok() { &mut opened } else { &mut refused } += 1;
            }
        }
    }
    assert!(opened > 100 && refused > 300, "{opened} opened, {refused} refused");
}

/// The places of all values of a file.
fn pointers(value: &Value, place: String) -> Vec<String> {
    let below = value.as_object().into_iter().flatten();
    let below = below.flat_map(|(key, value)| pointers(value, format!("{place}/{key}")));
    below.chain((!place.is_empty()).then(|| place.clone())).collect()
}
