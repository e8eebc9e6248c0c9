//! The names of checkpoints that this version runs, to suggest one for an unknown name.

/// The built-in checkpoint's name, whatever directories there are; `./demo` is one of those.
pub const DEMO: &str = "demo";

/// CLIP and SigLIP checkpoints in the layout of transformers.
const NAMES: [&str; 52] = [
    "apple/DFN5B-CLIP-ViT-H-14",
    "apple/DFN5B-CLIP-ViT-H-14-378",
    "facebook/metaclip-b16-400m",
    "facebook/metaclip-b16-fullcc2.5b",
    "facebook/metaclip-b32-400m",
    "facebook/metaclip-b32-fullcc2.5b",
    "facebook/metaclip-h14-fullcc2.5b",
    "facebook/metaclip-l14-400m",
    "facebook/metaclip-l14-fullcc2.5b",
    "flax-community/clip-rsicd-v2",
    "geolocal/StreetCLIP",
    "google/siglip-base-patch16-224",
    "google/siglip-base-patch16-256",
    "google/siglip-base-patch16-256-multilingual",
    "google/siglip-base-patch16-384",
    "google/siglip-base-patch16-512",
    "google/siglip-large-patch16-256",
    "google/siglip-large-patch16-384",
    "google/siglip-so400m-patch14-224",
    "google/siglip-so400m-patch14-384",
    "google/siglip2-base-patch16-224",
    "google/siglip2-base-patch16-256",
    "google/siglip2-base-patch16-384",
    "google/siglip2-base-patch16-512",
    "google/siglip2-base-patch32-256",
    "google/siglip2-giant-opt-patch16-256",
    "google/siglip2-giant-opt-patch16-384",
    "google/siglip2-large-patch16-256",
    "google/siglip2-large-patch16-384",
    "google/siglip2-large-patch16-512",
    "google/siglip2-so400m-patch14-224",
    "google/siglip2-so400m-patch14-384",
    "google/siglip2-so400m-patch16-256",
    "google/siglip2-so400m-patch16-384",
    "google/siglip2-so400m-patch16-512",
    "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
    "openai/clip-vit-base-patch16",
    "openai/clip-vit-base-patch32",
    "openai/clip-vit-large-patch14",
    "openai/clip-vit-large-patch14-336",
    "patrickjohncyh/fashion-clip",
    "vinid/plip",
    "wkcn/TinyCLIP-ViT-39M-16-Text-19M-YFCC15M",
    "wkcn/TinyCLIP-ViT-40M-32-Text-19M-LAION400M",
    "wkcn/TinyCLIP-ViT-61M-32-Text-29M-LAION400M",
    "wkcn/TinyCLIP-ViT-8M-16-Text-3M-YFCC15M",
    "wkcn/TinyCLIP-auto-ViT-63M-32-Text-31M-LAION400M",
];

/// The least similarity of a suggestion, from 0 to 1.
const ALIKE: f64 = 0.5;
/// The most suggestions.
const SUGGESTIONS: usize = 3;

/// Returns the known names similar to `name`, most similar first. The part after the owner also counts alone: people
/// remember it.
pub fn nearest(name: &str) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let tail = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        let known = known.to_lowercase();
        let whole = strsim::normalized_damerau_levenshtein(&name, &known);
        whole.max(0.95 * strsim::normalized_damerau_levenshtein(&tail(&name), &tail(&known)))
    };
    let mut alike: Vec<(f64, &str)> = NAMES.iter().map(|known| (likeness(known), *known)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.into_iter().take(SUGGESTIONS).map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_lead_to_the_name_that_was_meant() {
        for (slip, meant) in [
            ("openai/clip-vit-base-patch23", "openai/clip-vit-base-patch32"),
            ("opanai/clip-vit-large-patch14", "openai/clip-vit-large-patch14"),
            ("clip-vit-base-patch16", "openai/clip-vit-base-patch16"),
            ("laion/clip-vit-b-32-laion2b-s34b-b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
            ("fashion-clip", "patrickjohncyh/fashion-clip"),
        ] {
            assert_eq!(nearest(slip).first(), Some(&meant), "{slip}");
        }
        assert!(nearest("bert-base-uncased").is_empty());
        assert!(NAMES.is_sorted() && NAMES.iter().all(|name| zsic::net::hub::is_name(name)));
    }
}
